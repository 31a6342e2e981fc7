"""A proxy that cuts streams off, and is then not to be reached for a while."""

from __future__ import annotations

import socket
import socketserver
import threading
from urllib.parse import urlsplit

CUT_AFTER = 1500
"""Bytes of a streamed answer: its head, and an event or two."""
REFUSALS = 3


class CuttingProxy(socketserver.ThreadingTCPServer):
    """Passes requests on; the first stream breaks off, and connections after it are dropped.

    Attributes:
        cuts: streams that were broken off.
    """

    allow_reuse_address = daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream)
        self.cuts = 0
        self.refusals = 0
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(socketserver.BaseRequestHandler):
    server: CuttingProxy
    request: socket.socket

    def handle(self) -> None:
        proxy = self.server
        with proxy.lock:
            if proxy.refusals:
                proxy.refusals -= 1
                return
        address = (proxy.upstream.hostname or "", proxy.upstream.port or 80)
        with socket.create_connection(address) as upstream:
            streams = threading.Event()
            there = threading.Thread(target=self._requests, args=(upstream, streams), daemon=True)
            there.start()
            self._answers(upstream, streams)

    def _requests(self, upstream: socket.socket, streams: threading.Event) -> None:
        seen = b""
        try:
            while data := self.request.recv(65536):
                seen = (seen + data)[-4096:]
                if b'"stream": true' in seen or b'"stream":true' in seen:
                    streams.set()
                upstream.sendall(data)
            upstream.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def _answers(self, upstream: socket.socket, streams: threading.Event) -> None:
        proxy, passed = self.server, 0
        while data := upstream.recv(200):
            self.request.sendall(data)
            passed += len(data)
            with proxy.lock:
                if streams.is_set() and passed > CUT_AFTER and not proxy.cuts:
                    proxy.cuts, proxy.refusals = 1, REFUSALS
                    return
