"""Finding what a key may see. What belongs to another key does not exist."""

from __future__ import annotations

from uuid import UUID

from claudeapi.core import errors
from keys_app.models import ApiKey
from sessions_app.models import Approval, Run, Session, SessionStatus


def as_uuid(text: object) -> UUID | None:
    """A UUID in its canonical form, or None."""
    try:
        found = UUID(str(text))
    except ValueError:
        return None
    return found if str(found) == str(text).lower() else None


def find_session(key: ApiKey, session_id: object, *, lock: bool = False) -> Session:
    """The session, if this key may see it.

    Raises:
        SessionNotFound: there is none, or it is another key's.
    """
    identity = as_uuid(session_id)
    rows = Session.objects.owned_by(key).select_related("key")
    if lock:
        rows = rows.select_for_update(of=("self",))
    found = rows.filter(pk=identity).first() if identity else None
    if found is None:
        raise errors.SessionNotFound.of(session_id)
    return found


def find_run(session: Session, run_id: object) -> Run:
    """The run of this session.

    Raises:
        RunNotFound: there is none.
    """
    identity = as_uuid(run_id)
    found = session.runs.without_texts().filter(pk=identity).first() if identity else None
    if found is None:
        raise errors.RunNotFound.of(run_id)
    return found


def find_approval(session: Session, approval_id: object) -> Approval:
    """The approval of this session.

    Raises:
        ApprovalNotFound: there is none.
    """
    identity = as_uuid(approval_id)
    rows = session.approvals.select_related("run").defer("run__prompt", "run__response")
    found = rows.filter(pk=identity).first() if identity else None
    if found is None:
        raise errors.ApprovalNotFound.of(approval_id)
    return found


def require_event(session: Session, number: int) -> None:
    """Refuse a cursor beyond any number ever given out: it is a mistake.

    Raises:
        InvalidRequest.
    """
    if number > session.reserved_event_id:
        raise errors.InvalidRequest.field("after", "no event has this number yet.")


def require_active(session: Session) -> None:
    """Refuse what only an active session can do.

    Raises:
        SessionEnded, SessionExpired: with the session's id.
    """
    details = {"sessionId": str(session.id)}
    status = session.current_status
    if status == SessionStatus.ENDED:
        raise errors.SessionEnded(details=details)
    if status == SessionStatus.EXPIRED:
        raise errors.SessionExpired(details=details)
