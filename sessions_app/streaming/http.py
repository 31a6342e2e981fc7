"""Sending a message and following a session over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from time import monotonic
from typing import Any

from claudeapi.core import errors
from claudeapi.core.access_log import note
from claudeapi.core.aside import aside
from claudeapi.core.database import in_db
from keys_app import scopes
from keys_app.asgi import headers_of
from keys_app.models import ApiKey
from sessions_app import eventlog, metrics, payloads, runs
from sessions_app.actions import messages as actions
from sessions_app.actions.lookup import require_event
from sessions_app.api import bodies
from sessions_app.api import representations as show
from sessions_app.api import serializers as wire
from sessions_app.hub import LAST_EVENTS, Event
from sessions_app.idempotency import REPLAYED, Attempt
from sessions_app.models import Run, RunStatus, Session
from sessions_app.streaming import entrance, sse
from sessions_app.streaming.ending import Ending, of_run, outcome_error, session_is_over
from sessions_app.streaming.entrance import Started
from sessions_app.streaming.exchange import HttpExchange
from sessions_app.streaming.watch import ends_with_key, scope_for


class StreamExchange(HttpExchange):
    """What sending and following have in common: writing a stream."""

    on_disconnect = "continue"

    async def send_message(self, key: ApiKey, body: dict[str, Any], raw: Any) -> Started:
        """Accept the message in a validated body."""
        headers = headers_of(self.scope)
        path = self.scope["path"]
        method = self.scope["method"]
        attempt = None
        if method == "POST":
            value = headers.get("idempotency-key")
            attempt = await aside(self.size, Attempt.of, value, method, path, raw)
        message = bodies.new_message(body)
        self.on_disconnect = body["onDisconnect"]
        starting = asyncio.ensure_future(
            in_db(
                entrance.start_run,
                key,
                self.session_id,
                message,
                attempt,
                waits=not body.get("background"),
            )
        )
        try:
            started = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # The client has left already, and its run begins all the same.
            await self.left((await starting).run)
            raise
        note(run=str(started.run.id))
        return started

    async def stream_run(self, key: ApiKey, started: Started, *, partial: bool = True) -> None:
        """Stream one run, up to its `complete` or `error`."""
        run = started.run
        headers = {**sse.HEADERS, **(REPLAYED if started.replayed else {})}
        try:
            await self._stream(key, run.session, run, started.after, partial, headers)
        except asyncio.CancelledError:
            await self.left(run)
            raise

    async def left(self, run: Run) -> None:
        """The client is gone: stop its run if it asked for that."""
        if self.on_disconnect == "cancel":
            await asyncio.shield(in_db(actions.cancel_run, run.id, "client_left"))

    async def follow(self, key: ApiKey, session: Session, after: int, partial: bool) -> None:
        """Stream a session until the client leaves or the session is over."""
        await self._stream(key, session, None, after, partial, sse.HEADERS)

    async def _stream(
        self,
        key: ApiKey,
        session: Session,
        run: Run | None,
        after: int,
        partial: bool,
        headers: dict[str, str],
    ) -> None:
        await self.start(200, headers)
        greeting = sse.greeting(session.id, run.id if run else None, after)
        await self.write(sse.connected(greeting))
        pump = asyncio.current_task()
        assert pump is not None
        # As at its beginning: whoever may send sees the reply.
        needs = scope_for(key, session, scopes.SESSIONS_WRITE if run else scopes.SESSIONS_READ)
        with (
            metrics.STREAMS.labels("sse").track_inprogress(),
            ends_with_key(key, needs, lambda _: pump.cancel()),
        ):
            try:
                async with aclosing(self._events(session, run, after)) as batches:
                    await self._pump(batches, partial)
            except asyncio.CancelledError:
                await asyncio.shield(self._end())
                raise
        await self._end()

    async def _end(self) -> None:
        await self.write(b"", more=False)

    async def _pump(self, batches: AsyncIterator[Sequence[Event]], partial: bool) -> None:
        quiet_since = monotonic()
        async for batch in batches:
            wanted = [e for e in batch if partial or not e.partial]
            if wanted:
                await self.write(sse.encoded(wanted))
                quiet_since = monotonic()
            elif monotonic() - quiet_since >= eventlog.IDLE_SECONDS - 0.5:
                await self.write(sse.KEEPALIVE)
                quiet_since = monotonic()

    async def _events(
        self, session: Session, run: Run | None, after: int
    ) -> AsyncGenerator[Sequence[Event], None]:
        """The session's events, or one run's, up to the last that will come."""
        ending = Ending(session.id, run, after)
        async with aclosing(eventlog.follow(session.id, after)) as batches:
            async for batch in batches:
                mine = batch if run is None else of_run(batch, run.id.hex)
                yield mine
                if run is not None and mine and mine[-1].name in LAST_EVENTS:
                    return
                if await ending.reached(batch):
                    return


class SendMessage(StreamExchange):
    """`POST /sessions/{id}/messages`: wait for the reply, stream it, or let it run."""

    always_streams = False

    async def respond(self) -> None:
        """Answer in the way the body asks for."""
        key, self.rate = await entrance.admit(
            self.scope, self.session_id, needs=scopes.SESSIONS_WRITE, ticket=None
        )
        raw, body = await self.json(wire.SendMessage)
        partial = self._partial()
        if self.always_streams and body["background"]:
            raise errors.InvalidRequest.field("background", "excludes streaming.")
        started = await self.send_message(key, body, raw)
        if body["background"]:
            await self._accepted(started)
        elif body["stream"] or self.always_streams:
            await self.stream_run(key, started, partial=partial)
        else:
            await self._wait(key, started)

    def _partial(self) -> bool:
        """Whether a stream that a POST begins has deltas.

        Raises:
            ValidationError: there is anything else in the query.
        """
        return bool(wire.checked(wire.SendQuery, self.query())["partial"])

    async def _accepted(self, started: Started) -> None:
        run = started.run
        location = f"/api/v1/sessions/{run.session_id}/runs/{run.id}"
        headers = {"Location": location, **(REPLAYED if started.replayed else {})}
        await self.answer(202, show.accepted(run), headers)

    async def _wait(self, key: ApiKey, started: Started) -> None:
        run = started.run
        waiting = asyncio.ensure_future(self._to_the_end(started))
        refusals: list[errors.ApiError] = []

        def end(why: errors.ApiError) -> None:
            refusals.append(why)
            waiting.cancel()

        try:
            with ends_with_key(key, scope_for(key, run.session, scopes.SESSIONS_WRITE), end):
                await asyncio.wait({waiting})
        except asyncio.CancelledError:
            waiting.cancel()
            await self.left(run)
            raise
        if refusals:
            raise refusals[0]
        waiting.result()
        run = await in_db(Run.objects.select_related("session").get, pk=run.id)
        if run.cancel_reason == runs.KEY_REVOKED:
            raise errors.InvalidApiKey()
        if not run.finished:
            raise await self._not_ended(run)
        await self._answer_run(run, REPLAYED if started.replayed else {})

    async def _not_ended(self, run: Run) -> errors.Draining:
        """The server ends: what has not begun will not be, so that it may be sent again."""
        details = {"runId": str(run.id)}
        if await in_db(actions.take_back, run.id):
            return errors.Draining(
                "The server restarts and has not begun to answer: send it again.", details=details
            )
        return errors.Draining("The server restarts: see what became of the run.", details=details)

    async def _to_the_end(self, started: Started) -> None:
        """Wait for the run's end, or for its caller's bound while it waits its turn."""
        run = started.run
        left = None if run.finished else run.seconds_left
        try:
            async with asyncio.timeout(left):
                await self._follow_to_the_end(started)
        except TimeoutError:
            if await in_db(actions.cancel_queued, run.id, "timeout"):
                raise errors.RequestTimeout(details={"runId": str(run.id)}) from None
            await self._follow_to_the_end(started)  # it has begun, and its driver stops it

    async def _follow_to_the_end(self, started: Started) -> None:
        run = started.run
        async with aclosing(self._events(run.session, run, started.after)) as batches:
            async for _ in batches:
                pass

    async def _answer_run(self, run: Run, headers: dict[str, str]) -> None:
        if run.status == RunStatus.COMPLETED:
            claude_session_id = run.session.claude_session_id
            body = {**payloads.completion(run, claude_session_id), "response": run.response}
            await self.answer(200, body, headers)
            return
        error = outcome_error(run)
        error.headers.update(headers)
        await self.fail(error)


class StreamMessage(SendMessage):
    """`POST /sessions/{id}/stream`: send a message and stream the reply."""

    always_streams = True


class FollowSession(StreamExchange):
    """`GET /sessions/{id}/stream`: follow the session, or send `prompt` and stream the reply."""

    async def respond(self) -> None:
        """Replay after the cursor, then go on live."""
        given = self.query()
        if "ticket" in given:
            wire.checked(wire.StreamQuery, given)  # a mistake must not use the ticket up
        needs = scopes.SESSIONS_WRITE if "prompt" in given else scopes.SESSIONS_READ
        key, self.rate = await entrance.admit(
            self.scope, self.session_id, needs=needs, ticket=given.get("ticket")
        )
        query = wire.checked(wire.StreamQuery, given)
        resumes = self._last_event_id()
        if "prompt" in query and resumes is None:
            started = await self.send_message(key, query, None)
            await self.stream_run(key, started, partial=query["partial"])
            return
        session = await in_db(entrance.load_session, key, self.session_id)
        # A reconnecting browser sends the header, and repeats the query as it was.
        cursor = query.get("after") if resumes is None else resumes
        require_event(session, cursor or 0)
        if "prompt" in query:
            await self._resume_run(key, session, cursor or 0, query)
            return
        await self._follow(key, session, cursor, query["partial"])

    async def _resume_run(
        self, key: ApiKey, session: Session, cursor: int, query: dict[str, Any]
    ) -> None:
        """A browser reconnects: its prompt was sent, and is not sent again."""
        run = await in_db(entrance.resumed_run, session, cursor)
        if run is None or (run.finished and run.last_event_id <= cursor):
            await self.answer(204, None)  # tells an EventSource to stop
            return
        self.on_disconnect = query["onDisconnect"]
        run.session = session
        await self.stream_run(key, Started(run, cursor), partial=query["partial"])

    async def _follow(
        self, key: ApiKey, session: Session, cursor: int | None, partial: bool
    ) -> None:
        after = session.last_event_id if cursor is None else cursor
        if after >= session.last_event_id and await in_db(session_is_over, session.id):
            await self.answer(204, None)
            return
        await self.follow(key, session, after, partial)

    def _last_event_id(self) -> int | None:
        text = headers_of(self.scope).get("last-event-id", "").strip()
        if not text:
            return None
        if not text.isdecimal() or len(text) > 18:
            raise errors.InvalidRequest.field("Last-Event-ID", "must be a number.")
        return int(text)
