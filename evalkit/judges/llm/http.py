"""HTTP to a judge's server that may be hostile: bounded in size and time, no redirects, no proxy on this machine."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from evalkit.errors import JudgeError
from evalkit.settings import is_here

LARGEST_REPLY = 8 << 20  # bytes; a thousand verdicts with their reasons have a tenth of it
MOST_TOKENS = 100_000_000  # of one call; more is no count


class UnfitResponse(ValueError):
    """A response that is too large, too slow or compressed."""


class LargeResponse(UnfitResponse):
    """A response that is larger than anything that was asked for."""


class Exchange:
    """One request and its response. The watch shuts the connection at the deadline, whatever it is waiting for."""

    def __init__(self, seconds: float, largest: int = LARGEST_REPLY) -> None:
        self._deadline, self._largest = time.monotonic() + seconds, largest
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self.late = False
        self._watch = threading.Timer(seconds, self._shut)
        self._watch.daemon = True

    def __enter__(self) -> Exchange:
        self._watch.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._watch.cancel()

    def _shut(self) -> None:
        with self._lock:
            self.late = True
            for connection in self._sockets:
                _shut(connection)

    def trace(self, event: str, facts: dict[str, Any]) -> None:
        """Collect the connections as they are opened, from the events of the HTTP library."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            connection = facts["return_value"].get_extra_info("socket")
            with self._lock:
                self._sockets.append(connection)
                if self.late:
                    _shut(connection)

    def receive(self, response: Any) -> None:
        """Read a response whole, or refuse it; nothing is decompressed, as nothing compressed was asked for."""
        if response.headers.get("content-encoding", "identity").strip().casefold() not in ("", "identity"):
            raise UnfitResponse("a compressed response")
        body = bytearray()
        for chunk in response.stream:
            body += chunk
            if len(body) > self._largest:
                response.stream.close()
                raise LargeResponse("a response that is too large")
            if time.monotonic() > self._deadline:
                response.stream.close()
                raise UnfitResponse("a response that is too slow")
        response.stream.close()
        # What reads on finds the same bytes; the stream of a request without a body is of the kind that holds bytes.
        request = response.request
        response.stream = type(type(request)("GET", request.url).stream)(bytes(body))


def _shut(connection: socket.socket) -> None:
    with suppress(OSError, ValueError):
        connection.shutdown(socket.SHUT_RDWR)


class Connection:
    """The HTTP client of one server, of the kind that an official client wants; a thread has one exchange at a time."""

    def __init__(self, sdk: Any, url: str, seconds: float) -> None:
        self._seconds = seconds
        self._local = threading.local()
        hooks: dict[str, list[Any]] = {"request": [self._send], "response": [self._receive]}
        # A server on this machine needs no proxy, and what is sent to it stays here. The kind of HTTP client that an
        # official client prefers may take proxies from the environment whatever `trust_env` says (anthropic 2.0); what
        # it is derived from does not.
        here = is_here(url)
        kind = sdk.DefaultHttpxClient.__base__ if here else sdk.DefaultHttpxClient
        try:
            self.client = kind(
                base_url=url, timeout=seconds, follow_redirects=False, event_hooks=hooks, trust_env=not here
            )
        except Exception as error:  # addresses and proxies that only the HTTP library knows to be wrong
            raise JudgeError(f"{url}: no server can be asked there: {error}") from error

    @contextmanager
    def exchange(self, times: float = 1, largest: int = LARGEST_REPLY) -> Iterator[Exchange]:
        """Bound the request that is made in this block; `times` as long as usual."""
        with Exchange(times * self._seconds, largest) as exchange:
            self._local.exchange = exchange
            yield exchange

    def _send(self, request: Any) -> None:
        request.headers["Accept-Encoding"] = "identity"
        request.headers["Connection"] = "close"  # every exchange opens, and can shut, its own
        request.extensions = {**request.extensions, "trace": self._local.exchange.trace}

    def _receive(self, response: Any) -> None:
        self._local.exchange.receive(response)


def read_tree(body: bytes) -> Any:
    """Return the JSON of a response; raise ValueError for what is none."""
    try:
        return json.loads(body)
    except RecursionError as error:
        raise ValueError("a reply that is nested too deep") from error


def text_without_halves(text: str) -> str:
    """Return a text without halves of characters, which JSON can hold and nothing else can."""
    return text.encode("utf-8", "replace").decode()


def counted(usage: Any, *names: str) -> tuple[int, int]:
    """Return the tokens in and out that a server says were used; 0 for what is no count."""
    counts = [usage.get(name) if isinstance(usage, dict) else None for name in names]
    used_in, used_out = (n if type(n) is int and 0 < n < MOST_TOKENS else 0 for n in counts)
    return used_in, used_out
