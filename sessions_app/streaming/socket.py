"""The WebSocket: the same events as over SSE, and commands the other way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from time import monotonic
from typing import Any
from uuid import UUID

import orjson
import structlog
from channels.exceptions import StopConsumer

from claudeapi.core import errors
from claudeapi.core.access_log import note
from claudeapi.core.database import in_db
from claudeapi.core.exceptions import as_api_error
from claudeapi.core.lifecycle import state
from claudeapi.core.query import parse_query
from claudeapi.core.request_id import request_id_var
from claudeapi.core.websocket import INTERNAL, SUBPROTOCOL, accept_message, close_code
from keys_app import asgi as keys
from keys_app import auth, limits, policy, scopes
from keys_app.models import ApiKey
from sessions_app import eventlog, metrics, payloads
from sessions_app.actions import messages as actions
from sessions_app.actions.lookup import find_approval, find_session, require_event
from sessions_app.api import bodies
from sessions_app.api import representations as show
from sessions_app.api import serializers as wire
from sessions_app.models import Session
from sessions_app.streaming import entrance, sse
from sessions_app.streaming.ending import Ending
from sessions_app.streaming.exchange import QuietConsumer
from sessions_app.streaming.frames import PING, ClientFrame
from sessions_app.streaming.watch import ends_with_key, scope_for

log = structlog.get_logger(__name__)

IDLE_SECONDS = 1800.0
NORMAL, RESTARTING, IDLE = 1000, 1012, 4408


class SessionSocket(QuietConsumer):
    """One client of one session."""

    key: ApiKey
    session: Session

    def __init__(self) -> None:
        super().__init__()
        self._pump_task: asyncio.Task[None] | None = None
        self._closing: tuple[int, str] = (NORMAL, "")
        self._closed = False
        self._heard = monotonic()
        self._cancel_on_leaving: set[UUID] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one client, and clean up however that ends."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._leave()

    async def send(self, message: dict[str, Any]) -> None:
        """Send to the client.

        Raises:
            StopConsumer: it has left, or we have closed.
        """
        if self._closed:
            raise StopConsumer()
        self._closed = message["type"] == "websocket.close"
        try:
            await super().send(message)
        except OSError:
            raise StopConsumer() from None

    async def websocket_connect(self, message: dict[str, Any]) -> None:
        """Admit the client, then start to send; a refusal says why in a frame first."""
        note(route="/ws/v1/sessions/{session_id}")
        await self.send(accept_message(self.scope))
        try:
            after = await self._enter()
        except Exception as exc:
            error = self._error(exc)
            await self._frame("error", errors.envelope(error, request_id_var.get()))
            await self._close(close_code(error), error.code)
            return
        self._pump_task = asyncio.ensure_future(self._serve(after))

    async def websocket_receive(self, message: dict[str, Any]) -> None:
        """Obey one client frame; a bad one gets an `error` frame and the socket stays open."""
        self._heard = monotonic()
        if self._pump_task is None:
            return  # refused, and about to close
        frame = ClientFrame(message.get("text") or "")
        try:
            if not frame.is_free:
                await in_db(self._count)
            await frame.read()
            event, data = await self._commands[frame.kind](frame.body)
            ref = frame.ref
        except Exception as exc:
            event, data = "error", errors.envelope(self._error(exc), request_id_var.get())
            ref = frame.legible_ref
        await self._frame(event, data, ref)

    async def websocket_disconnect(self, message: dict[str, Any]) -> None:
        """The client has left."""
        raise StopConsumer()

    async def _leave(self) -> None:
        if self._pump_task is not None:
            self._pump_task.cancel()
            await asyncio.wait({self._pump_task})
        for run_id in self._cancel_on_leaving:
            await in_db(actions.cancel_run, run_id, "client_left")

    async def _enter(self) -> int:
        """Who it is, which session, and the number after which to send."""
        session_id = str(self.scope["url_route"]["kwargs"]["session_id"])
        ticket = self._ticket()
        if ticket is not None:
            self._query()  # a mistake must not use it up
        self.key, _ = await entrance.admit(
            self.scope, session_id, needs=scopes.SESSIONS_READ, ticket=ticket
        )
        self.session = await in_db(entrance.load_session, self.key, session_id)
        after: int = self._query().get("after", self.session.last_event_id)
        require_event(self.session, after)
        return after

    def _query(self) -> dict[str, Any]:
        return wire.checked(wire.SocketQuery, parse_query(self.scope["query_string"]))

    def _ticket(self) -> str | None:
        """A browser offers our subprotocol and, next to it, its ticket.

        Other clients have credentials in their headers, and subprotocols of their own.
        """
        if auth.credentials_from(keys.headers_of(self.scope)) is not None:
            return None
        offered = self.scope.get("subprotocols", [])
        return next((text for text in offered if text != SUBPROTOCOL), None)

    async def _serve(self, after: int) -> None:
        needs = scope_for(self.key, self.session, scopes.SESSIONS_READ)
        try:
            with (
                metrics.STREAMS.labels("websocket").track_inprogress(),
                ends_with_key(self.key, needs, self._end_with_key),
            ):
                await self._pump(after)
        except asyncio.CancelledError:
            if self._closing[0] == NORMAL:
                raise
        except StopConsumer:
            return
        except Exception:
            log.exception("socket_failed")
            self._closing = (INTERNAL, "INTERNAL_ERROR")
        with suppress(StopConsumer):
            await self._close(*self._closing)

    async def _pump(self, after: int) -> None:
        await self._frame("connected", sse.greeting(self.session.id, None, after))
        told = monotonic()
        ending = Ending(self.session.id, None, after)
        async with aclosing(eventlog.follow(self.session.id, after)) as batches:
            async for batch in batches:
                for event in batch:
                    await self.send({"type": "websocket.send", "text": event.frame().decode()})
                if batch:
                    told = monotonic()
                if state.draining:
                    self._closing = (RESTARTING, "DRAINING")
                if await ending.reached(batch):
                    return
                if monotonic() - max(told, self._heard) > IDLE_SECONDS:
                    self._closing = (IDLE, "IDLE")
                    return

    def _end_with_key(self, why: errors.ApiError) -> None:
        self._closing = (close_code(why), why.code)
        if self._pump_task is not None:
            self._pump_task.cancel()

    @property
    def _commands(self) -> dict[str, Callable[[dict[str, Any]], Awaitable[tuple[str, Any]]]]:
        return {
            "message": self._message,
            "cancel": self._cancel,
            "approval": self._approval,
            PING: self._ping,
        }

    async def _message(self, body: dict[str, Any]) -> tuple[str, Any]:
        message = bodies.new_message(body)
        run = await in_db(self._allowed, scopes.SESSIONS_WRITE, self._start_run, message)
        if body["onDisconnect"] == "cancel":
            self._cancel_on_leaving.add(run.id)
        return "ack", show.accepted(run)

    async def _cancel(self, body: dict[str, Any]) -> tuple[str, Any]:
        _, run = await in_db(
            self._allowed, scopes.SESSIONS_WRITE, actions.cancel, self.key, self.session.id
        )
        return "ack", show.cancelled(run)

    async def _approval(self, body: dict[str, Any]) -> tuple[str, Any]:
        row = await in_db(self._allowed, scopes.APPROVALS_WRITE, self._decide, body)
        return "ack", payloads.approval(row)

    async def _ping(self, body: dict[str, Any]) -> tuple[str, Any]:
        return "pong", {"timestamp": errors.timestamp()}

    def _count(self) -> None:
        """A frame is a request, also one that can't be read; it goes by the key as it is now."""
        self.key = ApiKey.objects.get(pk=self.key.pk)
        if not self.key.is_standing:
            raise errors.InvalidApiKey()
        limits.hit(self.key)

    def _allowed(self, needs: str, act: Callable[..., Any], *args: Any) -> Any:
        """Do what needs a scope."""
        policy.require_scope(self.key, needs)
        return act(*args)

    def _start_run(self, message: actions.NewMessage) -> Any:
        run = entrance.start_run(self.key, str(self.session.id), message).run
        note(run=str(run.id))
        return run

    def _decide(self, body: dict[str, Any]) -> Any:
        row = find_approval(find_session(self.key, self.session.id), body["approvalId"])
        return bodies.answer(row, body, self.key.prefix)

    def _error(self, exc: Exception) -> errors.ApiError:
        error = as_api_error(exc)
        if error is None:
            log.exception("socket_command_failed", exc_info=exc)
            error = errors.InternalError()
        return error

    async def _frame(self, event: str, data: Any, ref: Any = None) -> None:
        frame: dict[str, Any] = {"event": event, "id": None, "data": data}
        if ref is not None:
            frame["ref"] = ref
        await self.send({"type": "websocket.send", "text": orjson.dumps(frame).decode()})

    async def _close(self, code: int, reason: str) -> None:
        await self.send({"type": "websocket.close", "code": code, "reason": reason})
