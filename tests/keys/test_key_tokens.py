"""The text of a key: its shape, its checksum, its hash."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys_app import tokens

BASE62 = string.digits + string.ascii_letters


def test_a_minted_token_parses_into_its_parts() -> None:
    token = tokens.mint()
    parsed = tokens.parse(token.text)
    assert parsed == tokens.Parsed(token.id, token.secret)
    assert token.text.startswith(f"capi_{token.id}_{token.secret}")


def test_a_token_has_the_documented_lengths() -> None:
    mark, public_id, rest = tokens.mint().text.split("_")
    assert (mark, len(public_id), len(rest)) == ("capi", 12, 43 + 6)


def test_no_two_tokens_are_alike() -> None:
    assert len({tokens.mint().text for _ in range(200)}) == 200
    assert len({tokens.mint().id for _ in range(200)}) == 200


def test_a_rotation_keeps_the_id_and_changes_the_secret() -> None:
    first = tokens.mint()
    second = tokens.mint(first.id)
    assert second.id == first.id
    assert second.secret != first.secret


@given(st.integers(0, 66), st.sampled_from(BASE62 + "_-? é\0"))
def test_any_single_changed_character_is_refused(at: int, other: str) -> None:
    text = tokens.mint().text
    changed = text[:at] + other + text[at + 1 :]
    assert changed == text or tokens.parse(changed) is None


@given(st.integers(0, 65))
def test_any_two_swapped_neighbours_are_refused(at: int) -> None:
    text = tokens.mint().text
    swapped = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    assert swapped == text or tokens.parse(swapped) is None


@given(st.text(max_size=200))
def test_junk_is_refused_without_an_exception(text: str) -> None:
    assert tokens.parse(text) is None
    assert len(tokens.digest(text)) == 64


@given(st.text(BASE62, min_size=12, max_size=12), st.text(BASE62, min_size=49, max_size=49))
def test_a_right_shape_with_a_guessed_checksum_is_refused(public_id: str, rest: str) -> None:
    assert tokens.parse(f"capi_{public_id}_{rest}") is None


@pytest.mark.parametrize("around", [" {}", "{} ", "{}\n", "\n{}", "{}x", "CAPI{}"])
def test_text_around_a_token_is_refused(around: str) -> None:
    assert tokens.parse(around.format(tokens.mint().text)) is None


def test_the_repr_of_a_token_shows_no_secret() -> None:
    token = tokens.mint()
    assert token.secret not in repr(token)
    assert token.secret not in repr(tokens.parse(token.text))
