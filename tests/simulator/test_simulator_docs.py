"""The page about the simulator, held against the simulator."""

from __future__ import annotations

import contextlib

import pytest

from simulator.directives import Directive, parse
from simulator.errors import ApiError
from simulator.fault_counters import FaultCounters
from simulator.script import DIRECTIVES, plan_reply
from simulator.testing import PROJECT, request_body
from simulator.validation import read_request

PAGE = (PROJECT / "docs" / "simulator.md").read_text()
EXAMPLES = parse(PAGE.replace("[[sim NAME", ""))


def test_every_directive_has_an_example() -> None:
    assert {directive.name for directive in EXAMPLES} == set(DIRECTIVES)


@pytest.mark.parametrize("name", DIRECTIVES)
def test_every_argument_is_explained(name: str) -> None:
    _, arguments = DIRECTIVES[name]
    rows = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` ")]
    for argument in arguments or ():
        assert any(f"`{argument}`" in row for row in rows), argument


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.source)
def test_every_example_is_obeyed(example: Directive) -> None:
    request = read_request(request_body(example.source))
    refusal = pytest.raises(ApiError, match=r"^(?!.*simulator:)")
    with refusal if example.name == "status" else contextlib.nullcontext():
        plan_reply(request, FaultCounters())


def test_the_endpoints_are_listed() -> None:
    for path in ("/v1/messages", "/v1/messages/count_tokens", "/v1/models", "/sim/stats"):
        assert f"`{path}`" in PAGE or f" {path}`" in PAGE
