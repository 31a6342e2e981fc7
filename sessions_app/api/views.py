"""Sessions and what belongs to them, over REST."""

from __future__ import annotations

from uuid import UUID

import orjson
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from claudeapi.core import errors
from claudeapi.core.errors import timestamp
from keys_app import scopes
from keys_app.drf import scope
from sessions_app import eventlog, payloads
from sessions_app.actions import messages as message_actions
from sessions_app.actions import origins
from sessions_app.actions import sessions as actions
from sessions_app.actions.lookup import find_approval, find_run, require_event
from sessions_app.actions.tickets import issue_ticket
from sessions_app.api import bodies, schema
from sessions_app.api import representations as show
from sessions_app.api import serializers as wire
from sessions_app.api.base import View
from sessions_app.api.metadata import METADATA, with_metadata
from sessions_app.api.pages import oldest_first, page, slice_of
from sessions_app.models import Message, Session

LARGE = ("input", "suggestions", "updated_input")
"""What an agent says in an approval, as long as it likes."""


class SessionViewSet(View):
    """Conversations."""

    reads_query = ("list", "events")
    lookup_url_kwarg = "session_id"
    lookup_value_regex = "[^/]+"

    @schema.list_sessions
    def list(self, request: Request) -> Response:
        """The key's sessions, newest activity first."""
        given = self.given()
        wanted = {k: given.pop(k) for k in list(given) if k.startswith(METADATA)}
        query = wire.checked(wire.ListSessions, given)
        shown = Session.objects.owned_by(self.key).shown_as(query["status"])
        rows = with_metadata(shown, wanted).defer(*show.NOT_IN_SUMMARY)
        found, cursor = page(rows, "last_activity", query["limit"], query.get("cursor"))
        return Response(
            {
                "sessions": [show.summary(session) for session in found],
                "total": rows.count(),
                "nextCursor": cursor,
            }
        )

    @schema.create_session
    def create(self, request: Request) -> Response:
        """Make a session."""
        body = self.body(wire.CreateSession)

        wanted = bodies.new_session(body)

        def act(copy: UUID | None) -> Response:
            return self._created(actions.create_session(self.key, wanted, copy))

        return self.prepared_once(origins.copy_for(self.key, wanted), act)

    @schema.get_session
    def retrieve(self, request: Request, session_id: str) -> Response:
        """One session, with all there is to know."""
        message_actions.recover_if_orphaned(self.session().id)
        return Response(show.detail(self.session()))

    @schema.update_session
    def partial_update(self, request: Request, session_id: str) -> Response:
        """Change a session."""
        body = self.body(wire.UpdateSession)
        return Response(show.detail(actions.update_session(self.key, session_id, body)))

    @schema.delete_session
    def destroy(self, request: Request, session_id: str) -> Response:
        """End a session; its history stays readable."""
        actions.end_session(self.key, session_id)
        return Response(status=204)

    @schema.fork_session
    @action(detail=True, methods=["post"])
    def fork(self, request: Request, session_id: str) -> Response:
        """Make a new session with the same history."""
        at = self.body(wire.ForkSession).get("atMessage")

        def act(copy: UUID | None) -> Response:
            return self._created(actions.fork_session(self.key, session_id, copy, at))

        return self.prepared_once(origins.copy_for_fork(self.key, session_id), act)

    @schema.cancel_run
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, session_id: str) -> Response:
        """Stop what runs, from anywhere."""
        self.body(wire.Nothing)

        def act() -> Response:
            self.session()
            _, run = message_actions.cancel(self.key, session_id)
            return Response(show.cancelled(run), status=202)

        return self.once(act)

    @schema.create_ticket
    @action(detail=True, methods=["post"], permission_classes=[scope(scopes.SESSIONS_READ)])
    def tickets(self, request: Request, session_id: str) -> Response:
        """A single-use pass to this session's stream, for browsers."""
        self.body(wire.Nothing)

        def act() -> Response:
            self.session()
            ticket, expires_at = issue_ticket(self.key, session_id)
            return Response({"ticket": ticket, "expiresAt": timestamp(expires_at)}, status=201)

        return self.once(act)

    @schema.list_events
    @action(detail=True, methods=["get"])
    def events(self, request: Request, session_id: str) -> Response:
        """The session's log as JSON."""
        query = self.query(wire.ListEvents)
        session = self.session()
        require_event(session, query["after"])
        found = eventlog.read(session.id, query["after"], query["limit"])
        last = found[-1].id if found else query["after"]
        return Response(
            {
                "events": [
                    {"id": e.id, "event": e.name, "data": orjson.Fragment(e.data)} for e in found
                ],
                "lastEventId": last,
                "hasMore": bool(found) and eventlog.last_event_id(session.id) > last,
            }
        )

    def _created(self, session: Session) -> Response:
        headers = {"Location": f"/api/v1/sessions/{session.id}"}
        return Response(show.detail(session), status=201, headers=headers)


class MessageViewSet(View):
    """A session's messages."""

    reads_query = ("list",)

    @schema.list_messages
    def list(self, request: Request, session_id: str) -> Response:
        """The history, in order; deltas are not in it."""
        query = self.query(wire.ListMessages)
        session = self.session()
        limit, offset = query["limit"], query["offset"]
        rows = Message.objects.filter(session=session).order_by("sequence")
        found = slice_of(rows, "content", offset, limit)
        total = rows.count()
        return Response(
            {
                "sessionId": str(session.id),
                "messages": [show.message(row) for row in found],
                "pagination": {
                    "limit": limit,
                    "offset": offset,
                    "total": total,
                    "hasMore": offset + len(found) < total,
                },
            }
        )

    @schema.send_message
    def create(self, request: Request, session_id: str) -> Response:
        """Send a message: wait for the reply, stream it, or let it run in the background."""
        raise errors.Unavailable("This route is answered by the ASGI application only.")


class StreamViewSet(View):
    """A session's live stream."""

    reads_query = ("list", "create")
    http_method_names = ("get", "post")  # no HEAD: nobody may start a run or follow by it

    @schema.follow_session
    def list(self, request: Request, session_id: str) -> Response:
        """Follow the session, or send `prompt` and stream the reply."""
        raise errors.Unavailable("This route is answered by the ASGI application only.")

    @schema.stream_message
    def create(self, request: Request, session_id: str) -> Response:
        """Send a message and stream the reply."""
        raise errors.Unavailable("This route is answered by the ASGI application only.")


class RunViewSet(View):
    """A session's runs."""

    reads_query = ("list",)
    lookup_url_kwarg = "run_id"
    lookup_value_regex = "[^/]+"

    @schema.list_runs
    def list(self, request: Request, session_id: str) -> Response:
        """The session's runs, newest first."""
        query = self.query(wire.ListRuns)
        session = self.session()
        message_actions.recover_if_orphaned(session.id)
        rows = session.runs.without_texts()
        found, cursor = page(rows, "created_at", query["limit"], query.get("cursor"))
        return Response({"runs": [show.run(row) for row in found], "nextCursor": cursor})

    @schema.get_run
    def retrieve(self, request: Request, session_id: str, run_id: str) -> Response:
        """One run."""
        session = self.session()
        message_actions.recover_if_orphaned(session.id)
        return Response(show.run(find_run(session, run_id)))


class ApprovalViewSet(View):
    """Tool calls that wait for a yes."""

    reads_query = ("list",)
    permission_classes = (scope(scopes.SESSIONS_READ, write=scopes.APPROVALS_WRITE),)

    @schema.list_approvals
    def list(self, request: Request, session_id: str) -> Response:
        """The session's approvals, oldest first."""
        query = self.query(wire.ListApprovals)
        rows = self.session().approvals.all()
        if query["status"] == "pending":
            rows = rows.filter(status="pending")
        found, cursor = oldest_first(rows, "created_at", LARGE, query.get("cursor"))
        more = {"nextCursor": cursor} if cursor else {}
        return Response({"approvals": [payloads.approval(row) for row in found], **more})

    @schema.decide_approval
    def decide(self, request: Request, session_id: str, approval_id: str) -> Response:
        """Answer one."""
        body = self.body(wire.Decide)

        def act() -> Response:
            row = find_approval(self.session(), approval_id)
            row = bodies.answer(row, body, self.key.prefix)
            return Response(payloads.approval(row))

        return self.once(act)
