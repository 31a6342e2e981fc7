"""What is left of a text that quotes the operator's key."""

from __future__ import annotations

import pytest

from sessions_app.engines.redaction import bytes_without_key, without_key

KEY = "sk-ant-0123456789abcdef"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (f"bad key {KEY}", "bad key [key]"),
        (f"{KEY} and {KEY}x", "[key] and [key]x"),
        (f"bad key {KEY[:8]}...", "bad key [key]..."),
        (f"bad key {KEY[:15]}", "bad key [key]"),
        ("keys begin with sk-ant-", "keys begin with sk-ant-"),
        ("", ""),
    ],
)
def test_the_key_and_its_beginnings_are_left_out(said: str, told: str) -> None:
    assert without_key(said, KEY) == told
    assert bytes_without_key(b"\xff" + said.encode(), KEY) == b"\xff" + told.encode()


@pytest.mark.parametrize("key", ["", "none", "simulator"])
def test_a_placeholder_is_a_word_like_any_other(key: str) -> None:
    assert without_key("simulator: none", key) == "simulator: none"
