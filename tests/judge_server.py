"""A judge's server for tests: speaks the protocol on 127.0.0.1, keeps a log, and misbehaves as it is told to."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Entry = dict[str, Any]
Decide = Callable[[Entry, Entry], tuple[bool, bool]]


def same_part(one: Entry, other: Entry) -> tuple[bool, bool]:
    """A simple judge: the part must be the same word for word, and the action too."""
    part = one["ablated_part"].casefold() == other["ablated_part"].casefold()
    return part, part and one.get("action") == other.get("action")


def pairs_in(message: str) -> list[dict[str, Any]]:
    """The pairs between the two fences of a message."""
    fence = re.search(r"^=====DATA-[0-9a-f]{16}=====$", message, flags=re.MULTILINE)
    assert fence is not None
    return list(json.loads(message.split(f"\n{fence[0]}\n")[1]))


class JudgeServer:
    """`script` has what happens to the first requests, one word each, `always` to those after it.

    Words: ok, slow, 429, 500, 401, cut, broken, schema, ids, missing, gullible, uncounted, odd; fenced, prose, think,
    twice wrap the answer. `forms` are the kinds of `response_format` that it knows, as llama-cpp-python's server knows
    text and json_object; `knows_max_tokens` off refuses that, as some hosted models do.
    """

    def __init__(self, script: Sequence[str] = (), decide: Decide = same_part, *, always: str = "ok") -> None:
        self.log: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._script, self._decide, self._always = list(script), decide, always
        self._lock = threading.Lock()
        self.slowness = 0.5
        self.forms: Sequence[str] = ("json_schema", "json_object", "text")
        self.knows_max_tokens = True

    def refusal(self, body: dict[str, Any]) -> tuple[int, str] | None:
        """The status and message for a request with something that this server does not know."""
        form = body.get("response_format", {"type": "text"})["type"]
        if form not in self.forms:
            # llama-cpp-python 0.3 wraps what its web framework says of the request (server/errors.py) in a 500.
            where = "{'type': 'literal_error', 'loc': ('body', 'response_format', 'type'), 'input': '" + form + "'}"
            return 500, f"[{where}]"
        if "max_tokens" in body and not self.knows_max_tokens:
            return 400, "Unsupported parameter: 'max_tokens' is not supported with this model."
        return None

    def next(self, body: dict[str, Any], headers: dict[str, str]) -> str:
        with self._lock:
            self.log.append(body)
            self.headers.append(headers)
            return self._script.pop(0) if self._script else self._always

    def answers(self, message: str, how: str) -> str:
        pairs = pairs_in(message)
        rows = []
        for pair in pairs:
            part, match = self._decide(pair["A"], pair["B"])
            rows.append({"id": pair["id"], "reason": "because", "same_part": part, "match": match})
        if how == "schema":
            rows = [{"id": row["id"], "verdict": "yes"} for row in rows]
        if how == "ids":
            rows[0]["id"] = "all"
        if how == "missing":
            rows = rows[1:]
        if how == "gullible":
            # What a judge would say that obeys a plan's text: one row for everything.
            rows = [{"id": "*", "reason": "told to", "same_part": True, "match": True}]
        text = json.dumps({"answers": rows})
        wrapped = {
            "fenced": f"```json\n{text}\n```",
            "prose": f'I answer with {{"answers": [...]}} for each id {{A, B}}:\n\n{text}\n\nThat is all.',
            "think": f'<think>Perhaps {{"answers": []}}? No.</think>\n{text}',
            "twice": f"{text}\n{text}",
        }
        return text[: len(text) // 2] if how == "cut" else wrapped.get(how, text)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    judge: JudgeServer

    def log_message(self, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        how = self.judge.next(body, {name.lower(): value for name, value in self.headers.items()})
        if how == "slow":
            time.sleep(self.judge.slowness)
        if refusal := self.judge.refusal(body):
            self.reply(refusal[0], {"error": {"message": refusal[1], "type": "internal_server_error"}})
            return
        if how in ("429", "500", "401", "400"):
            self.reply(int(how), {"error": {"message": f"no: {self.headers.get('Authorization')}", "type": "t"}})
            return
        content = self.judge.answers(body["messages"][1]["content"], how)
        choice = {"index": 0, "finish_reason": "length" if how == "cut" else "stop",
                  "message": {"role": "assistant", "content": content}}  # fmt: skip
        usage = None if how == "uncounted" else {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        if how == "odd":
            self.reply(200, {"choices": [{"message": None}], "usage": {"prompt_tokens": None}})
            return
        self.reply(200, {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"],
                         "choices": [choice], "usage": usage}, broken=how == "broken")  # fmt: skip

    def reply(self, status: int, content: dict[str, Any], *, broken: bool = False) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if status == 429:
            self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if broken else data)
        if broken:
            self.close_connection = True


@contextmanager
def serving(judge: JudgeServer) -> Iterator[str]:
    """The judge's address while it serves."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"judge": judge}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
