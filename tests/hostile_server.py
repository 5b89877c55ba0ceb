"""A judge's server that is hostile in one way for each name in MODES: what it sends after it has read the request."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from judge_server import pairs_in

Send = Callable[[socket.socket], None]
DRIP = 0.05  # seconds between two bytes of a slow answer


def answers(request: bytes) -> str:
    """What an honest judge would say."""
    body = json.loads(request.partition(b"\r\n\r\n")[2])
    pairs = pairs_in(body["messages"][1]["content"])
    return json.dumps(
        {"answers": [{"id": pair["id"], "reason": "r", "same_part": True, "match": True} for pair in pairs]}
    )


def completion(content: Any = "{}", **changes: Any) -> dict[str, Any]:
    tree = {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "usage": None,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
    }
    return tree | changes


def http(body: bytes, status: str = "200 OK", *headers: str, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    lines = (f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {size}", *headers)
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def says(tree: Any) -> Callable[[bytes], bytes]:
    """Answer with this JSON."""
    return lambda _: http(tree if isinstance(tree, bytes) else json.dumps(tree).encode())


def honest(**changes: Any) -> Callable[[bytes], bytes]:
    """Answer as an honest judge would, with other fields of the completion."""
    return lambda request: http(json.dumps(completion(answers(request), **changes)).encode())


def content(text: Any) -> Callable[[bytes], bytes]:
    return says(completion(text))


def status(line: str, *headers: str, body: bytes = b"{}") -> Callable[[bytes], bytes]:
    return lambda _: http(body, line, *headers)


def raw(data: bytes) -> Callable[[bytes], bytes]:
    return lambda _: data


def forever(start: bytes, piece: bytes, pause: float = 0.0) -> Callable[[bytes], Iterator[bytes]]:
    """Send a piece again and again."""

    def pieces(_: bytes) -> Iterator[bytes]:
        yield start
        while True:
            yield piece
            time.sleep(pause)

    return pieces


def usage(prompt: Any, out: Any = 1) -> Callable[[bytes], bytes]:
    return honest(usage={"prompt_tokens": prompt, "completion_tokens": out, "total_tokens": 1})


def reason(text: str) -> Callable[[bytes], bytes]:
    """Answer honestly, with this reason in every verdict."""

    def reply(request: bytes) -> bytes:
        tree = json.loads(answers(request))
        for item in tree["answers"]:
            item["reason"] = text
        return http(json.dumps(completion(json.dumps(tree))).encode())

    return reply


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BOMB = gzip.compress(b" " * 50_000_000)
# Those that give an opinion all the same; all others leave the pairs to the matcher, or refuse.
HARMLESS: dict[str, Any] = {
    "honest": honest(),
    "usage infinity": usage(float("inf")),
    "usage nan": usage(float("nan")),
    "usage huge": usage(10**400),
    "usage a list": usage([1]),
    "usage an object": usage({}),
    "usage a text": usage("9"),
    "usage true": usage(True),
    "usage negative": usage(-(10**9), -5),
    "usage a fraction": usage(1.5),
    "usage is a list": honest(usage=[1]),
    "usage is a text": honest(usage="free"),
    "no model": honest(model=None),
    "ids of other kinds": honest(id=[1], created="x"),
    "more fields": honest(extra={"deep": [[[]]]}),
    "reason of half a character": reason("\ud800"),
    "reason of escapes": reason("\x1b[31m\0\u202e"),
    "a long reason": reason("x" * 100_000),
    "two choices": lambda request: http(
        json.dumps(completion(answers(request), choices=completion(answers(request))["choices"] * 2)).encode()
    ),
}
UNFIT: dict[str, Any] = {
    "empty body": says(b""),
    "null": says(None),
    "a number": says(1),
    "a text": says("x"),
    "a list": says([]),
    "an empty object": says({}),
    "NaN": says(b"NaN"),
    "cut JSON": says(b'{"choices": [{'),
    "500 kB of [": says(b"[" * 500_000),
    "500 kB of objects": says(b'{"a":' * 500_000),
    "digits": says(b"9" * 100_000),
    "not UTF-8": says(b"\xff\xfe\xfa"),
    "UTF-16": says(json.dumps(completion()).encode("utf-16")),
    "HTML": says(b"<html>busy</html>"),
    "choices null": says(completion(choices=None)),
    "choices empty": says(completion(choices=[])),
    "choices an object": says(completion(choices={"0": 1})),
    "choices a text": says(completion(choices="x")),
    "choices numbers": says(completion(choices=[1])),
    "choices null inside": says(completion(choices=[None])),
    "message null": says(completion(choices=[{"message": None}])),
    "message a list": says(completion(choices=[{"message": [1]}])),
    "no message": says(completion(choices=[{}])),
    "content null": content(None),
    "content a number": content(1),
    "content a list": content([{"type": "text", "text": "{}"}]),
    "content empty": content(""),
    "content of [": content("[" * 500_000),
    "content of objects": content('{"answers":' * 100_000),
    "content digits": content("9" * 10_000),
    "half characters": content("\ud800\udfff"),
    "content null bytes": content("\0" * 100),
    "answers of numbers": content('{"answers": [1, 2]}'),
    "answers of half ids": content('{"answers": [{"id": "\\ud800", "reason": "", "same_part": true, "match": true}]}'),
    "answers of infinities": content('{"answers": [{"id": Infinity, "reason": 1, "same_part": 1, "match": 1}]}'),
    "finish of another kind": lambda request: http(
        json.dumps(completion(choices=[{"finish_reason": ["stop"], "message": {"content": answers(request)}}])).encode()
    ),
    "an endless stream": forever(CHUNKED, b"10000\r\n" + b" " * 65536 + b"\r\n"),
    "endless without a length": forever(HEAD + b"Connection: close\r\n\r\n", b"[" * 65536),
    "endless error": forever(
        b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65536 + b"\r\n"
    ),
    "endless refusal": forever(
        b"HTTP/1.1 400 No\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65536 + b"\r\n"
    ),
    "endless headers": forever(HEAD, b"X-A: " + b"x" * 1000 + b"\r\n"),
    "endless informational": forever(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", DRIP),
    "a slow body": forever(CHUNKED, b"1\r\n \r\n", DRIP),
    "slow headers": forever(HEAD + b"X-A: ", b"x", DRIP),
    "a slow status": forever(b"HTTP/1.1 2", b"0", DRIP),
    "silence": forever(b"", b"", DRIP),
    "silence in the body": forever(CHUNKED, b"", DRIP),
    "a gzip bomb": lambda _: http(BOMB, "200 OK", "Content-Encoding: gzip"),
    "a deflate bomb": lambda _: http(BOMB, "200 OK", "Content-Encoding: deflate"),
    "brotli": lambda _: http(b"x", "200 OK", "Content-Encoding: br"),
    "gzip twice": lambda _: http(gzip.compress(BOMB), "200 OK", "Content-Encoding: gzip, gzip"),
    "closed at once": raw(b""),
    "closed after the headers": raw(CHUNKED),
    "too short": lambda _: http(b"{}", length=1000),
    "a huge length": lambda _: http(b"{}", length=10**15),
    "a negative length": lambda _: http(b"{}", length=-1),
    "two lengths": lambda _: http(b"{}", "200 OK", "Content-Length: 1"),
    "a bad chunk": raw(CHUNKED + b"zz\r\n"),
    "a huge chunk": raw(CHUNKED + b"f" * 16 + b"\r\n"),
    "not HTTP": raw(b"SSH-2.0-x\r\n"),
    "HTTP/9": raw(b"HTTP/9.9 200 OK\r\n\r\n"),
    "null bytes in headers": raw(b"HTTP/1.1 200 OK\r\nX: \0\r\n\r\n"),
    "status 999": status("999 Odd"),
    "status 204": raw(b"HTTP/1.1 204 No\r\n\r\n"),
    "status 500": status("500 No"),
    "status 503 for ever": status("503 No", "Retry-After: 0"),
    "retry after nan": status("429 No", "Retry-After: nan"),
    "retry after a date": status("429 No", "Retry-After: Wed, 21 Oct 2099 07:28:00 GMT"),
    "retry after minus": status("429 No", "Retry-After: -5"),
    "deep error": status("500 No", body=b"[" * 500_000),
    "an id that leads elsewhere": says({"id": "../../admin", "status": "completed"}),
    "an id of another kind": says({"id": ["x"], "status": ["completed"]}),
    "a batch without end": says({"id": "x", "status": "in_progress", "request_counts": {"completed": 10**30}}),
    "a batch of no status": says({"id": "x", "status": "done"}),
    "results that lead elsewhere": says({"id": "x", "status": "completed", "output_file_id": "../../admin"}),
    "results of another kind": says({"id": "x", "status": "completed", "output_file_id": {"id": 1}}),
    "results that are the batch": says({"id": "x", "status": "completed", "output_file_id": "x"}),
    "a failure of odd kind": says({"id": "x", "status": "failed", "errors": {"data": [{"message": "\ud800"}]}}),
    "failures that are no list": says({"id": "x", "status": "failed", "errors": {"data": {"0": 1}}}),
    "a wrong type": lambda request: http(answers(request).encode(), "200 OK", "Content-Type: image/png"),
}
REFUSED: dict[str, Any] = {
    "status 400": status("400 No"),
    "status 401": status("401 No"),
    "status 404": status("404 No", body=b"\xff"),
    "deep refusal": status("400 No", body=b"[" * 500_000),
    "refusal of odd kind": status("422 No", body=b'{"error": [1, {"a": null}]}'),
    "refusal of numbers": status("400 No", body=b"9" * 100_000),
    "refusal of escapes": status("400 No", body=b'{"error": "\\u001b[31m\\u0000"}'),
    **{f"redirect {code}": status(f"{code} Go", "Location: ELSEWHERE") for code in (301, 302, 303, 307, 308)},
    "redirect to a file": status("307 Go", "Location: file:///etc/passwd"),
    "redirect to nowhere": status("307 Go"),
}
MODES = HARMLESS | UNFIT | REFUSED


class HostileServer:
    """Answers every request in one mode; `seen` are the requests that came."""

    def __init__(self, mode: str, elsewhere: str = "") -> None:
        self.mode, self.elsewhere = mode, elsewhere
        self.seen: list[bytes] = []

    def answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(20)
            request = self._request(connection)
            self.seen.append(request)
            reply = MODES[self.mode](request)
            for piece in [reply] if isinstance(reply, bytes) else reply:
                connection.sendall(piece.replace(b"ELSEWHERE", self.elsewhere.encode()))
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)

    def _request(self, connection: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536) or self._gone()
        head, _, body = data.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        while len(body) < int(fields.get(b"content-length", 0)):
            body += connection.recv(65536) or self._gone()
        return head + b"\r\n\r\n" + body

    def _gone(self) -> bytes:
        raise ConnectionError


@contextmanager
def hostile(mode: str, elsewhere: str = "") -> Iterator[tuple[str, HostileServer]]:
    """The address of a hostile server, and the server."""
    server, listener = HostileServer(mode, elsewhere), socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=server.answer, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1", server
    finally:
        listener.close()
