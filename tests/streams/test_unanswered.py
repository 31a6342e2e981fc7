"""What a run leaves unanswered is not sent to the model again."""

from __future__ import annotations

from typing import Any

import pytest

from claudeapi.core.errors import ApiError, RequestTimeout, UpstreamOverloaded, UpstreamRejected
from sessions_app import payloads, runs, turns
from sessions_app.models import Message, Run, RunStatus, Session
from sessions_app.runs import Outcome

pytestmark = pytest.mark.django_db

INTERRUPTED = runs.cancellation(runs.INTERRUPTED)
TIMED_OUT = RequestTimeout()
TEXT = {"type": "text", "text": "Hello"}
THOUGHT = {"type": "thinking", "thinking": "Hm", "signature": "x"}


def rejected(status: int) -> ApiError:
    return UpstreamRejected(details={"status": status})


def say(session: Session, prompt: str, error: ApiError | None, *reply: dict[str, Any]) -> None:
    """A run that ends like this."""
    Run.objects.create(session=session, key=session.key, prompt=[], owner=runs.PROCESS_ID)
    claim = runs.claim_next(session.id)
    assert claim is not None
    said = [("user", "user", prompt)]
    if reply:
        said.append(("assistant", "sdk", list(reply)))  # type: ignore[arg-type]
    rows = [
        Message(
            session=session, run=claim.run, sequence=number, type=role, source=source,
            content={"message": {"role": role, "content": content}},
        )
        for number, (role, source, content) in enumerate(said, claim.start)
    ]  # fmt: skip
    ended = RunStatus.CANCELLED if error in (INTERRUPTED, TIMED_OUT) else RunStatus.FAILED
    outcome = Outcome((ended if error else RunStatus.COMPLETED).value, error, begun=True)
    encoder = payloads.Encoder(session.id, claim.run.id, "")
    runs.conclude(claim, outcome, encoder, [], rows, claim.start + len(rows) - 1)


def told(session: Session) -> list[Any]:
    """What the next run's model is told of it."""
    Run.objects.create(session=session, key=session.key, prompt=[], owner=runs.PROCESS_ID)
    claim = runs.claim_next(session.id)
    assert claim is not None
    return [one["content"] for one in turns.turn_of(claim).history if one["role"] == "user"]


@pytest.mark.parametrize(
    ("error", "reply", "stays"),
    [
        (None, [TEXT], True),
        (None, [], True),
        (TIMED_OUT, [TEXT], True),
        (TIMED_OUT, [THOUGHT, TEXT], True),
        (TIMED_OUT, [THOUGHT], False),
        (TIMED_OUT, [], False),
        (UpstreamOverloaded(), [], False),
        (INTERRUPTED, [], True),
        (rejected(400), [], False),
    ],
)
def test_a_prompt_is_told_again_if_it_got_a_reply_or_was_added_to(
    session: Session, error: ApiError | None, reply: list[dict[str, Any]], stays: bool
) -> None:
    say(session, "first", None, TEXT)
    say(session, "asked", error, *reply)
    assert told(session) == ["first", *["asked"] * stays]
    assert Message.objects.filter(type="user").count() == 2, "both are shown"


@pytest.mark.parametrize(("status", "stays"), [(400, False), (413, False), (404, True)])
def test_what_the_upstream_refuses_goes_also_where_it_was_interrupted_before(
    session: Session, status: int, stays: bool
) -> None:
    say(session, "first", None, TEXT)
    say(session, "no picture", INTERRUPTED)
    say(session, "only this part", rejected(status))
    assert told(session) == ["first", *["no picture"] * stays]
