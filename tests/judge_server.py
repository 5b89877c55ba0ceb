"""A judge's server for tests: speaks the protocol on 127.0.0.1, keeps a log, and misbehaves as it is told to."""

from __future__ import annotations

import email
import email.policy
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

    Words: ok, slow, 429, 500, 401, cut, broken, schema, ids, missing, gullible, uncounted, odd, refused, filtered,
    parts, eos; fenced, prose, think, twice wrap the answer. `retry_after` is what a 429 asks to wait. `forms` are the
    kinds of `response_format` that it knows, as llama-cpp-python's server knows text and json_object;
    `knows_max_tokens` off refuses that, as some hosted models do. It speaks Anthropic's protocol too; there "tool" and
    "text" are the forms.
    """

    def __init__(self, script: Sequence[str] = (), decide: Decide = same_part, *, always: str = "ok") -> None:
        self.log: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._script, self._decide, self._always = list(script), decide, always
        self._lock = threading.Lock()
        self.slowness = 0.5
        self.retry_after = "0"
        self.forms: Sequence[str] = ("json_schema", "json_object", "text")
        self.knows_max_tokens = True
        self.knows_temperature = True
        self.batches = Batches(self)

    def refusal(self, body: dict[str, Any]) -> tuple[int, str] | None:
        """The status and message for a request with something that this server does not know."""
        form = body.get("response_format", {"type": "text"})["type"]
        if form not in self.forms:
            # llama-cpp-python 0.3 wraps what its web framework says of the request (server/errors.py) in a 500.
            where = "{'type': 'literal_error', 'loc': ('body', 'response_format', 'type'), 'input': '" + form + "'}"
            return 500, f"[{where}]"
        if "max_tokens" in body and not self.knows_max_tokens:
            return 400, "Unsupported parameter: 'max_tokens' is not supported with this model."
        if "temperature" in body and not self.knows_temperature:
            return 400, "Unsupported value: 'temperature' does not support 0 with this model."
        return None

    def completion(self, body: dict[str, Any], how: str) -> tuple[int, dict[str, Any]]:
        """The status and the body of the response to a request."""
        if refusal := self.refusal(body):
            return refusal[0], {"error": {"message": refusal[1], "type": "internal_server_error"}}
        if how in ("429", "500", "401", "400"):
            return int(how), {"error": {"message": f"no: {self.headers[-1].get('authorization')}", "type": "t"}}
        if how == "odd":
            return 200, {"choices": [{"message": None}], "usage": {"prompt_tokens": None}}
        content: Any = self.answers(body["messages"][1]["content"], how)
        end = {"cut": "length", "filtered": "content_filter", "eos": "eos_token"}.get(how, "stop")
        choice = {"index": 0, "finish_reason": end, "message": {"role": "assistant", "content": content}}
        if how in ("refused", "filtered"):
            choice["message"] = {
                "role": "assistant",
                "content": None,
                "refusal": "I cannot." if how == "refused" else None,
            }
        if how == "parts":  # as Mistral's models that think answer
            thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Well."}]}
            choice["message"]["content"] = [thinking, {"type": "text", "text": content}]
        usage = None if how == "uncounted" else {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        return 200, {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"],
                     "choices": [choice], "usage": usage}  # fmt: skip

    def next(self, body: dict[str, Any], headers: dict[str, str]) -> str:
        with self._lock:
            self.log.append(body)
            self.headers.append(headers)
            return self._script.pop(0) if self._script else self._always

    def message(self, body: dict[str, Any], how: str) -> tuple[int, dict[str, Any]]:
        """The status and the body of the response to a request by Anthropic's protocol."""
        wrong, tools = None, body.get("tools", [])
        if tools and "tool" not in self.forms:
            wrong = "tool_choice: this model does not support forced tool use"
        if "temperature" in body and not self.knows_temperature:
            wrong = "temperature: Extra inputs are not permitted"
        if wrong or how in ("429", "500", "401", "400", "529"):
            keys = [self.headers[-1].get(name) for name in ("x-api-key", "authorization")]
            said = wrong or f"no: {keys}"
            error = {"type": "error", "error": {"type": "invalid_request_error", "message": said}}
            return 400 if wrong else int(how), error
        text = self.answers(body["messages"][0]["content"], how)
        blocks: list[dict[str, Any]] = [{"type": "text", "text": text}]
        if tools:
            given = {} if how == "cut" else json.loads(text)
            blocks = [{"type": "text", "text": "I answer by the tool."},
                      {"type": "tool_use", "id": "toolu_1", "name": tools[0]["name"], "input": given}]  # fmt: skip
        if how == "twice":
            blocks *= 2
        end = "max_tokens" if how == "cut" else "tool_use" if tools else "end_turn"
        if how == "refused":
            end, blocks = "refusal", [{"type": "text", "text": "I cannot."}]
        usage = None if how == "uncounted" else {"input_tokens": 100, "output_tokens": 10}
        return 200, {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "content": blocks,
                     "stop_reason": end, "stop_sequence": None, "usage": usage}  # fmt: skip

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


class Batches:
    """The Batch API: files, batches that end after `polls` looks in `final`, results in an order of their own.

    `spoil` changes the lines of the results; `failing` are statuses of the next requests to this API, 0 a break after
    the work was done; `log` are its requests.
    """

    def __init__(self, judge: JudgeServer) -> None:
        self._judge = judge
        self.log: list[str] = []
        self.keys: list[str] = []
        self.files: dict[str, bytes] = {}
        self.made: dict[str, dict[str, Any]] = {}
        self.polls, self.final, self.errors = 2, "completed", ""
        self.slowness = 0.0  # seconds between a batch and its receipt
        self.untouched = 0  # requests that a batch does not come to before it ends
        self.failing: list[int] = []
        self.spoil: Callable[[list[bytes]], list[bytes]] = lambda lines: lines[::-1]

    def post(self, path: str, content: bytes, kind: str) -> tuple[int, dict[str, Any]]:
        self.log.append(f"POST {path}")
        broken = self.failing.pop(0) if self.failing else 200
        if broken not in (0, 200):
            return broken, {"error": {"message": "not now"}}
        if path == "/v1/files":
            name = f"file-{len(self.files)}"
            head = f"Content-Type: {kind}\r\n\r\n".encode()
            fields = email.message_from_bytes(head + content, policy=email.policy.HTTP).iter_parts()
            parts = {part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
                     for part in fields}  # fmt: skip
            assert parts["purpose"] == b"batch"
            self.files[name] = parts["file"]
            return 200, {"id": name, "object": "file", "purpose": "batch", "filename": "x.jsonl", "created_at": 0,
                         "bytes": len(parts["file"]), "status": "processed"}  # fmt: skip
        asked = json.loads(content)
        assert (asked["endpoint"], asked["completion_window"]) == ("/v1/chat/completions", "24h")
        name = f"batch_{len(self.made)}"
        lines = list(map(json.loads, self.files[asked["input_file_id"]].splitlines()))
        self.made[name] = {"id": name, "object": "batch", "status": "validating", "looks": 0, "lines": lines,
                           "created_at": 0, **asked}  # fmt: skip
        time.sleep(self.slowness)
        return (500, {"error": {"message": "lost"}}) if broken == 0 else (200, self.shown(name))

    def shown(self, name: str) -> dict[str, Any]:
        return {key: value for key, value in self.made[name].items() if key not in ("lines", "looks")}

    def get(self, path: str) -> tuple[int, bytes | dict[str, Any]]:
        self.log.append(f"GET {path}")
        if self.failing and (status := self.failing.pop(0)) != 200:
            return status, {"error": {"message": "not now"}}
        if path.startswith("/v1/files/"):
            return 200, self.files[path.split("/")[3]]
        if path.partition("?")[0] == "/v1/batches":
            return 200, {"object": "list", "data": [self.shown(name) for name in self.made], "has_more": False}
        name = path.split("/")[3]
        if name not in self.made:
            return 404, {"error": {"message": f"No batch found with id '{name}'."}}
        batch = self.made[name]
        batch["looks"] += 1
        if batch["looks"] >= self.polls and batch["status"] not in ("completed", "expired", "cancelled", "failed"):
            self.end(name, batch)
        elif batch["status"] == "validating":
            batch["status"] = "in_progress"
        return 200, self.shown(name)

    def end(self, name: str, batch: dict[str, Any]) -> None:
        """Answer all requests of a batch, but the last `untouched`, and write the files of results."""
        batch["status"] = self.final
        if self.final == "failed":
            batch["errors"] = {"object": "list", "data": [{"code": "x", "message": self.errors}]}
            return
        good, bad = [], []
        lines, left = batch["lines"], len(batch["lines"]) - self.untouched
        for line in lines[:left]:
            how = self._judge.next(line["body"], {"authorization": self.keys[-1]})
            status, body = self._judge.completion(line["body"], how)
            row = {"id": "r", "custom_id": line["custom_id"], "error": None,
                   "response": {"status_code": status, "request_id": "q", "body": body}}  # fmt: skip
            (good if status == 200 else bad).append(json.dumps(row).encode())
        for line in lines[left:]:
            row = {"id": "r", "custom_id": line["custom_id"], "response": None,
                   "error": {"code": f"batch_{self.final}", "message": "This could not be executed."}}  # fmt: skip
            bad.append(json.dumps(row).encode())
        for field, rows in (("output_file_id", good), ("error_file_id", bad)):
            if rows:
                batch[field] = f"{name}-{field}"
                self.files[batch[field]] = b"\n".join(self.spoil(rows)) + b"\n"
        batch["request_counts"] = {"total": len(lines), "completed": len(good), "failed": len(bad)}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    judge: JudgeServer

    def log_message(self, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.path.startswith("/v1/") or self.path.count("/chat") > 1:
            self.reply(404, {"detail": "Not Found"})
            return
        if self.path not in ("/v1/chat/completions", "/v1/messages"):
            self.batch_reply(*self.judge.batches.post(self.path, content, self.headers.get("Content-Type", "")))
            return
        body = json.loads(content)
        how = self.judge.next(body, {name.lower(): value for name, value in self.headers.items()})
        if how == "slow":
            time.sleep(self.judge.slowness)
        respond = self.judge.message if self.path == "/v1/messages" else self.judge.completion
        self.reply(*respond(body, how), broken=how == "broken")

    def do_GET(self) -> None:
        self.batch_reply(*self.judge.batches.get(self.path))

    def batch_reply(self, status: int, content: bytes | dict[str, Any]) -> None:
        self.judge.batches.keys.append(self.headers.get("Authorization", ""))
        if isinstance(content, dict):
            self.reply(status, content)
            return
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def reply(self, status: int, content: dict[str, Any], *, broken: bool = False) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if status == 429:
            self.send_header("Retry-After", self.judge.retry_after)
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
