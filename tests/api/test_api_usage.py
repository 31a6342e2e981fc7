"""The sums of a key, over whole hours."""

from __future__ import annotations

from tests.api.caller import Caller, ok


def test_the_hours_that_are_counted_are_the_ones_shown(alice: Caller) -> None:
    query = {"from": "2026-03-01T09:20:00+01:00", "to": "2026-03-01T12:00:01Z"}
    shown = ok(alice.get("/usage", **query))
    assert (shown["from"], shown["to"]) == ("2026-03-01T08:00:00.000Z", "2026-03-01T13:00:00.000Z")
    whole = {"from": "2026-03-01T09:00:00Z", "to": "2026-03-01T12:00:00Z"}
    assert ok(alice.get("/usage", **whole))["to"] == "2026-03-01T12:00:00.000Z"


def test_what_has_just_been_used_is_in_the_sums_and_named_by_its_key(
    alice: Caller, session: str
) -> None:
    alice.say(session)
    me, (row,) = ok(alice.get("/me")), ok(alice.get("/usage", groupBy="key"))["usage"]
    assert (row["key"], row["name"], row["prefix"]) == (me["id"], "Alice", me["prefix"])
    assert row["runs"] == 1
    assert "name" not in ok(alice.get("/usage", groupBy="model"))["usage"][0]
