"""The directive language by itself."""

from __future__ import annotations

import pytest

from simulator.directives import MAIN, Directive, DirectiveError, parse


def only(text: str) -> Directive:
    (directive,) = parse(text)
    return directive


def test_text_around_directives_is_ignored() -> None:
    found = parse("please [[sim slow n=2]] and then [[sim cut after=1]] [[other]] [sim x]")
    assert [directive.name for directive in found] == ["slow", "cut"]
    assert found[0].source == "[[sim slow n=2]]"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("bare", "bare"),
        ('"two words"', "two words"),
        (r'"a \"quote\", a \\ and a\nnewline"', 'a "quote", a \\ and a\nnewline'),
        ("'raw \\n \"text\"'", 'raw \\n "text"'),
        ("'{\"a\":[[1]]}'", '{"a":[[1]]}'),
        ('""', ""),
    ],
)
def test_values(written: str, value: str) -> None:
    assert only(f"[[sim text {written}]]").text(MAIN) == value
    assert only(f"[[sim text key={written} ]]").text("key") == value


def test_arguments_keep_order_and_repetitions() -> None:
    directive = only("[[sim tools Bash='{}' mcp__a__b-c='{}' Bash='{\"x\":1}']]")
    assert [name for name, _ in directive.arguments] == ["Bash", "mcp__a__b-c", "Bash"]


@pytest.mark.parametrize(
    ("written", "seconds"), [("20ms", 0.02), ("1.5s", 1.5), ("2m", 120.0), ("0", 0.0)]
)
def test_durations(written: str, seconds: float) -> None:
    assert only(f"[[sim slow delay={written}]]").seconds("delay", 9.0) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("written", "size"), [("2MB", 2_000_000), ("64KiB", 65536), ("10", 10), ("1.5KB", 1500)]
)
def test_sizes(written: str, size: int) -> None:
    assert only(f"[[sim big size={written}]]").size("size", 1) == size


def test_defaults() -> None:
    directive = only("[[sim stall]]")
    assert directive.count("after", 5) == 5
    assert directive.seconds("for", 1.0) == 1.0
    assert directive.flag("pings", default=True)
    assert not directive.has("after")


@pytest.mark.parametrize(
    "text",
    ["[[sim slow n=2", '[[sim text "open]]', "[[sim 5]]", "[[sim text 'a'b\"]]"],
)
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(DirectiveError):
        parse(text)


def test_a_wrong_unit_is_refused() -> None:
    with pytest.raises(DirectiveError, match="duration"):
        only("[[sim slow delay=20]]").seconds("delay", 1.0)
    with pytest.raises(DirectiveError, match="whole number"):
        only("[[sim slow n=-1]]").count("n", 1)
    with pytest.raises(DirectiveError, match="size"):
        only("[[sim big size=2GB]]").size("size", 1)
    with pytest.raises(DirectiveError, match="true or false"):
        only("[[sim stall pings=yes]]").flag("pings", default=False)
