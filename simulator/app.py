"""The ASGI application: which path is answered by what."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, unquote

from simulator import catalog
from simulator.errors import ApiError, invalid
from simulator.fault_counters import FaultCounters
from simulator.identifiers import new_id
from simulator.journal import Entry, Journal, key_digest
from simulator.playback import StreamPlayer, respond_whole
from simulator.prompt_cache import PromptCache, input_tokens
from simulator.script import plan_reply
from simulator.sse import Envelope
from simulator.validation import check_access, read_object, read_request
from simulator.wire import ClientLeftError, Exchange, Receive, Scope, Send

_MODELS = "/v1/models"
_LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})
_PORT = re.compile(r":\d+$")

_log = logging.getLogger(__name__)

Handler = Callable[[Exchange, Entry], Awaitable[None]]


class Simulator:
    """One simulated Messages API; all its state is in this object and dies with it.

    Args:
        built_in: it answers for a service with many users, so nobody may read in its journal
            what others have said, and no web page may reach it under a name of its own.
    """

    def __init__(self, *, built_in: bool = False) -> None:
        self._built_in = built_in
        self._journal = Journal()
        self._counters = FaultCounters()
        self._cache = PromptCache()
        self._api: dict[tuple[str, str], Handler] = {
            ("POST", "/v1/messages"): self._create_message,
            ("POST", "/v1/messages/count_tokens"): self._count_tokens,
            ("GET", _MODELS): self._list_models,
        }
        self._test_aids: dict[tuple[str, str], Callable[[Exchange], Awaitable[None]]] = {
            ("GET", "/healthz"): self._health,
        }
        if not built_in:
            self._test_aids |= {
                ("GET", "/sim/requests"): self._list_requests,
                ("DELETE", "/sim/requests"): self._forget,
                ("GET", "/sim/stats"): self._stats,
            }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; anything but HTTP is not spoken here."""
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        exchange = Exchange(scope, receive, send)
        if exchange.path.startswith("/v1/"):
            await self._answer(exchange)
            return
        try:
            self._check_host(exchange)
            await self._beside_the_api(exchange)
        except ApiError as error:
            await exchange.respond(error.status, error.body(exchange.request_id))

    async def _answer(self, exchange: Exchange) -> None:
        entry = self._journal.begin(
            exchange.method, exchange.path, exchange.headers, exchange.request_id
        )
        outcome = "cancelled"
        try:
            self._check_host(exchange)
            await self._route(exchange)(exchange, entry)
            entry.status, outcome = entry.status or 200, "completed"
        except ApiError as error:
            entry.status, outcome = error.status, "refused"
            await exchange.respond(error.status, error.body(exchange.request_id), error.headers)
        except ClientLeftError:
            outcome = "cancelled"
        except Exception:
            _log.exception("%s %s", exchange.method, exchange.path)
            entry.status, outcome = 500, "refused"
            if not exchange.started:
                failure = ApiError(500, "The simulator itself failed; see its standard error.")
                await exchange.respond(500, failure.body(exchange.request_id))
        finally:
            self._journal.end(entry, outcome)

    def _check_host(self, exchange: Exchange) -> None:
        host = exchange.headers.get("host", "")
        if self._built_in and _PORT.sub("", host.lower()) not in _LOCAL:
            raise ApiError(403, "This simulator answers to this machine's own names only")

    def _route(self, exchange: Exchange) -> Handler:
        handler = self._api.get((exchange.method, exchange.path))
        if handler is not None:
            return handler
        if exchange.method == "GET" and exchange.path.startswith(f"{_MODELS}/"):
            return self._get_model
        raise ApiError(404, "Not found")

    async def _beside_the_api(self, exchange: Exchange) -> None:
        """The test aids, and 404 for what a client probes for; none of it is in the journal."""
        test_aid = self._test_aids.get((exchange.method, exchange.path))
        if test_aid is None:
            raise ApiError(404, "Not found")
        await test_aid(exchange)

    async def _create_message(self, exchange: Exchange, entry: Entry) -> None:
        key = check_access(exchange.headers)
        raw = await exchange.read_body()
        self._journal.keep_body(entry, raw)
        body = read_object(raw)
        request = read_request(body)
        plan = plan_reply(request, self._counters)
        usage = self._cache.use(body, key_digest(key), time.monotonic())
        envelope = Envelope(new_id("msg"), exchange.request_id, request.model, usage)
        if request.stream:
            work = StreamPlayer(exchange, envelope, plan, entry).play()
        else:
            work = respond_whole(exchange, envelope, plan, entry)
        await exchange.unless_client_leaves(work)

    async def _count_tokens(self, exchange: Exchange, entry: Entry) -> None:
        check_access(exchange.headers)
        raw = await exchange.read_body()
        self._journal.keep_body(entry, raw)
        body = read_object(raw)
        read_request(body, counting=True)
        await exchange.respond(200, {"input_tokens": input_tokens(body)})

    async def _list_models(self, exchange: Exchange, entry: Entry) -> None:
        check_access(exchange.headers)
        await exchange.respond(200, catalog.page(exchange.query))

    async def _get_model(self, exchange: Exchange, entry: Entry) -> None:
        check_access(exchange.headers)
        model = unquote(exchange.path.removeprefix(f"{_MODELS}/"))
        await exchange.respond(200, catalog.get(model))

    async def _health(self, exchange: Exchange) -> None:
        await exchange.respond(200, {"status": "ok"})

    async def _list_requests(self, exchange: Exchange) -> None:
        given = {name: values[-1] for name, values in parse_qs(exchange.query).items()}
        limit, after = given.get("limit", "100"), given.get("after", "0")
        if not (limit.isdecimal() and after.isdecimal()):
            raise invalid("limit and after: Input should be a valid integer")
        requests = self._journal.entries(limit=max(1, int(limit)), after=int(after))
        await exchange.respond(200, {"requests": requests})

    async def _forget(self, exchange: Exchange) -> None:
        """Forget everything that makes one test depend on another."""
        self._journal.clear()
        self._counters.clear()
        self._cache = PromptCache()
        await exchange.respond(200, {"status": "ok"})

    async def _stats(self, exchange: Exchange) -> None:
        await exchange.respond(200, self._journal.stats())
