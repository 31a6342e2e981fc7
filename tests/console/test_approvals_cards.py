"""Approvals as they are shown: all that would be allowed, in the tool's own terms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from console.approvals.cards import card, cards
from console.approvals.grants import in_words
from console.reading.diffs import MAX_LINES, SHOWN_LINES, between, of_call
from console.reading.room import Room
from console.reading.text import SHOWN_CHARACTERS
from sessions_app import agents
from sessions_app.models import Run
from tests.console.talking import asked, key_of, run_of, session_of

SignedIn = Callable[..., Client]
COLOURS = {"questions": [{"question": "Which?", "options": [{"label": "Red"}, {"label": "Blue"}]}]}


@pytest.fixture
def run(db: None) -> Run:
    return run_of(session_of(key_of("Alice"), engine="claude-code"), status="waiting")


def test_a_diff_shows_what_goes_and_what_comes() -> None:
    [diff] = of_call("Edit", {"file_path": "a", "old_string": "x\ny\n", "new_string": "x\nz\n"})

    assert [(line.kind, line.text) for line in diff.lines[1:]] == [
        ("same", "x"),
        ("removed", "y"),
        ("added", "z"),
    ]


def test_each_edit_of_several_is_shown() -> None:
    edits = [{"old_string": "a", "new_string": "b"}, {"old_string": "c", "new_string": "d"}]

    diffs = of_call("MultiEdit", {"file_path": "x", "edits": [*edits, "junk", {}]})

    assert [(diff.added, diff.removed) for diff in diffs] == [(1, 1), (1, 1)]


def test_a_line_of_dashes_is_a_line_like_any_other() -> None:
    assert between("a", "-- \n++ \nx\n", "y\n").removed == 3


def test_texts_too_long_to_compare_are_shown_whole_up_to_a_bound() -> None:
    diff = between("a", "x\n" * (MAX_LINES + 1), "y\n")

    assert diff.left_out > 0
    assert all(line.kind == "removed" for line in diff.lines)


def test_what_is_costly_to_compare_is_compared_up_to_a_bound_a_page() -> None:
    alike = {"old_string": "a\nb\n" * 99, "new_string": "a\n" * 199}
    room = Room()

    shown = of_call("MultiEdit", {"file_path": "x", "edits": [alike] * 100}, room=room)

    compared = [diff for diff in shown if diff.removed == 99]
    beside = [diff for diff in shown if diff.removed == 198]
    assert (len(compared) + len(beside), len(compared) < 15) == (100, True)
    assert not any(diff.left_out for diff in shown)
    assert room.steps >= 0


def test_the_longest_edit_that_is_compared_finds_room_on_a_page_of_its_own() -> None:
    lines = [f"{number}\n" for number in range(MAX_LINES)]

    assert between("a", "".join(lines), "".join([*lines[1:], "x\n"])).removed == 1


def test_the_cards_of_a_page_share_its_room(run: Run) -> None:
    plan = {"plan": "*a* " * 15_000}
    rows = [asked(run, "ExitPlanMode", plan) for _ in range(10)]

    shown = [str(found.plan).startswith("<p>") for found in cards(rows)]

    assert shown == [True] * 8 + [False] * 2


@pytest.mark.parametrize("given", [{}, {"old_string": 1}, {"edits": "x"}, {"content": None}])
def test_an_input_of_another_shape_has_no_diff(given: dict[str, object]) -> None:
    for tool in ("Edit", "Write", "MultiEdit", "NotebookEdit"):
        assert of_call(tool, given) == []


def test_a_file_that_is_written_is_compared_with_what_is_there(run: Run) -> None:
    root = agents.workspaces().private(str(run.key_id), str(run.session_id))
    root.mkdir(parents=True)
    (root / "a.txt").write_text("old\n")
    (root / "out").symlink_to("/etc/passwd")

    inside = card(asked(run, "Write", {"file_path": str(root / "a.txt"), "content": "new\n"}))
    outside = card(asked(run, "Write", {"file_path": "out", "content": "new\n"}))

    assert (inside.diffs[0].removed, outside.diffs[0].removed) == (1, 0)


@pytest.mark.parametrize(
    ("tool", "given", "kind"),
    [
        ("Bash", {"command": "ls"}, "command"),
        ("Edit", {"file_path": "a", "old_string": "", "new_string": "x"}, "edit"),
        ("AskUserQuestion", COLOURS, "question"),
        ("ExitPlanMode", {"plan": "1. x"}, "plan"),
        ("WebFetch", {"url": "x"}, "other"),
        ("Bash", {"command": 5}, "other"),
        ("AskUserQuestion", {"questions": "x"}, "other"),
        ("ExitPlanMode", {}, "other"),
        ("Edit", ["x"], "other"),
    ],
)
def test_each_call_is_shown_in_its_own_terms(
    run: Run, signed_in: SignedIn, tool: str, given: object, kind: str
) -> None:
    row = asked(run, tool, given)

    assert card(row).kind == kind
    assert signed_in("approver").get(f"/admin/approvals/{row.pk}/").status_code == 200


@pytest.mark.parametrize(
    ("tool", "told", "hidden"),
    [
        ("Bash", {"command": "ls"}, {"dangerouslyDisableSandbox": True, "run_in_background": True}),
        ("Bash", {"command": "ls"}, {"description": "x" * 300}),
        ("Bash", {"command": "ls", "description": "List"}, {"timeout": 600_000}),
        ("Edit", {"file_path": "a", "old_string": "", "new_string": "x"}, {"replace_all": "no"}),
        ("Write", {"file_path": "a", "content": "x"}, {"mode": "0777"}),
        ("ExitPlanMode", {"plan": "1. x"}, {"allowedPrompts": [{"tool": "Bash"}]}),
        ("AskUserQuestion", COLOURS, {"metadata": {"source": "x"}}),
    ],
)
def test_what_a_view_does_not_tell_is_listed(
    run: Run, tool: str, told: dict[str, Any], hidden: dict[str, Any]
) -> None:
    assert card(asked(run, tool, told)).rest == ""

    rest = card(asked(run, tool, {**told, **hidden})).rest

    assert all(f'"{name}"' in rest for name in hidden)
    assert not any(f'"{name}"' in rest for name in told)


@pytest.mark.parametrize(
    ("tool", "given"),
    [
        ("MultiEdit", {"edits": [{"old_string": "a", "new_string": "b", "mode": "x"}]}),
        ("MultiEdit", {"edits": [{"old_string": "a", "new_string": "b"}] * 101}),
        ("AskUserQuestion", {"questions": [{"question": "Which?", "preview": "rm -rf"}]}),
    ],
)
def test_what_hides_deeper_in_an_input_is_listed_too(
    run: Run, tool: str, given: dict[str, Any]
) -> None:
    assert f'"{next(iter(given))}"' in card(asked(run, tool, given)).rest


def test_what_is_too_long_to_show_is_counted(run: Run, signed_in: SignedIn) -> None:
    row = asked(run, "WebFetch", {"url": "x" * (SHOWN_CHARACTERS + 100)})
    page = signed_in("approver").get(f"/admin/approvals/{row.pk}/").content.decode()
    whole = signed_in("viewer").get(f"/admin/approvals/{row.pk}/input/")

    assert card(row).left_out > 100
    assert "characters are not shown here" in page
    assert "data-partial" in page
    assert whole.content.decode().count("x") == SHOWN_CHARACTERS + 100
    assert whole["Content-Type"].startswith("text/plain")


def test_lines_are_counted_before_they_are_cut(run: Run) -> None:
    given = {"file_path": "a", "content": "x\n" * (SHOWN_LINES + 5)}
    shown = card(asked(run, "Write", given))

    assert (shown.diffs[0].added, shown.diffs[0].left_out) == (SHOWN_LINES + 5, 6)
    assert not shown.is_whole


@pytest.mark.parametrize(
    ("given", "note", "added"),
    [
        ({"edit_mode": "delete"}, "Deletes cell c1.", 0),
        ({"edit_mode": "insert", "new_source": "x"}, "Inserts a cell after c1.", 1),
        ({"new_source": "x", "cell_type": "code"}, "Replaces cell c1 (code).", 1),
        ({"edit_mode": "burn", "new_source": "x"}, "burn: cell c1.", 1),
    ],
)
def test_a_notebooks_cell_says_what_becomes_of_it(
    given: dict[str, str], note: str, added: int
) -> None:
    [diff] = of_call("NotebookEdit", {"notebook_path": "a", "cell_id": "c1", **given})

    assert (diff.path, diff.note, diff.added) == ("a", note, added)


MALFORMED = [
    {"questions": [{"question": "Which?", "options": 5}]},
    {"questions": [{"question": "Which?", "options": [5, {"label": None}]}]},
    {"questions": {"question": "Which?"}},
]


@pytest.mark.parametrize("given", MALFORMED)
def test_a_malformed_question_takes_no_other_card_with_it(
    run: Run, signed_in: SignedIn, given: object
) -> None:
    asked(run, "AskUserQuestion", given)
    asked(run, "Bash", {"command": "echo fine"})

    page = signed_in("approver").get("/admin/approvals/")

    assert page.status_code == 200
    assert "echo fine" in page.content.decode()


def test_a_card_that_cannot_be_made_is_shown_as_it_is(run: Run) -> None:
    row = asked(run, "Edit", {"file_path": "a", "old_string": "b", "new_string": "c"})
    row.session.config = None  # what a view stumbles over

    row.tool_name = "Write"
    row.input = {"file_path": "a", "content": "b"}
    shown = card(row)

    assert shown.kind == "other"
    assert '"file_path": "a"' in shown.rest


@pytest.mark.parametrize(
    ("update", "told"),
    [
        ({"type": "setMode", "mode": "acceptEdits"}, "permission mode acceptEdits from now on"),
        ({"type": "addDirectories", "directories": ["/a"]}, "work in the folder /a"),
        (
            {"type": "addRules", "behavior": "allow", "rules": [{"toolName": "WebFetch"}]},
            "every call of WebFetch",
        ),
        (
            {
                "type": "addRules",
                "behavior": "allow",
                "rules": [{"toolName": "Bash", "ruleContent": "npm *"}],
            },
            "Bash(npm *)",
        ),
        (
            {
                "type": "addRules",
                "behavior": "allow",
                "rules": [{"toolName": "Bash", "ruleContent": "npm test"}],
            },
            "this very command again",
        ),
        ({"type": "addRules", "rules": 5}, '{"type": "addRules", "rules": 5}'),
        ("x", '"x"'),
    ],
)
def test_what_a_yes_for_the_session_grants_is_said(update: object, told: str) -> None:
    assert in_words([update], {"command": "npm test"}) == [told]
    assert in_words([], {}) == in_words(None, {}) == []


def test_a_card_says_what_the_agent_was_asked_to_do_and_where(
    run: Run, signed_in: SignedIn
) -> None:
    run.prompt = [{"type": "image"}, {"type": "text", "text": "Tidy\nthe \u202eshop"}]
    run.save()
    run.session.config = {"cwd": "/srv/shop"}
    run.session.save()
    asked(run, "Bash", {"command": "ls", "description": "Looks"}, reason="Looks")

    page = signed_in("viewer").get("/admin/approvals/").content.decode()

    assert "<q>Tidy the ⟨U+202E⟩shop</q>" in page
    assert "/srv/shop" in page
    assert page.count("Looks") == 1
