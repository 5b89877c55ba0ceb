"""A server on this machine that answers as the Hugging Face hub does for data sets, and notes what it was asked."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

Tree = Mapping[str, bytes]


def git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass
class Hub:
    """Commits by data set, and what is to go wrong: entries of a list as they are, sizes and contents that lie."""

    commits: dict[str, dict[str, Tree]] = field(default_factory=dict)  # "owner/name" -> commit -> its files
    branches: dict[str, dict[str, str]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    large: set[str] = field(default_factory=set)  # paths that lie on another server, as large files do
    listed: list[dict[str, Any]] = field(default_factory=list)  # appended to every list of files
    sent: dict[str, bytes] = field(default_factory=dict)  # what is sent for a path instead
    url: str = ""
    elsewhere: str = ""
    asked: list[str] = field(default_factory=list)
    tokens: list[tuple[str, str]] = field(default_factory=list)  # the server and the token it got

    def put(self, repo: str, commit: str, files: Tree, branch: str = "main") -> None:
        self.commits.setdefault(repo, {})[commit] = files
        self.branches.setdefault(repo, {})[branch] = commit

    def answer(self, path: str, token: str) -> tuple[int, Any, dict[str, str]]:
        """Return the status, the content and more headers."""
        parts = unquote(urlsplit(path).path).strip("/").split("/")
        if parts[0] == "elsewhere":
            return 200, self._file("/".join(parts[1:3]), parts[3], "/".join(parts[4:])), {}
        api = parts[0] == "api"
        parts = parts[1:] if api else parts
        repo, rest = "/".join(parts[1:3]), parts[3:]
        if repo not in self.commits or (repo in self.private and token != "Bearer hf_right"):
            return 401, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"}
        verb, revision, inside = (rest[0], rest[1], "/".join(rest[2:])) if rest else ("revision", "main", "")
        if verb == "revision":
            revision = "/".join(rest[1:]) or "main"
        commit = self.branches[repo].get(revision, revision)
        if commit not in self.commits[repo]:
            return 404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"}
        if verb == "revision":
            return 200, {"id": repo, "sha": commit, "siblings": [], "tags": [], "private": False}, {}
        if verb == "tree":
            return 200, [*map(self._entry, *zip(*self.commits[repo][commit].items(), strict=True)), *self.listed], {}
        if inside in self.large:
            return 302, b"", {"Location": f"{self.elsewhere}/elsewhere/{repo}/{commit}/{inside}"}
        data = self._file(repo, commit, inside)
        return 200, data, {"ETag": f'"{git_hash(data)}"', "X-Repo-Commit": commit}

    def _file(self, repo: str, commit: str, path: str) -> bytes:
        return self.sent.get(path, self.commits[repo][commit].get(path, b"[]"))

    def _entry(self, path: str, data: bytes) -> dict[str, Any]:
        entry: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": git_hash(data)}
        if path in self.large:
            entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
        return entry


def _server(hub: Hub, name: str) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            token = self.headers.get("Authorization", "")
            if self.path != "/api/agent-harnesses":  # which the client asks once a day, for its own name
                hub.asked.append(self.path)
            hub.tokens.append((name, token))
            status, content, more = hub.answer(self.path, token)
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for header, value in {**more, "Content-Length": str(len(data))}.items():
                self.send_header(header, value)
            self.end_headers()
            with suppress(ConnectionError):  # of a content that is longer than its commit says, not all is read
                self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


@contextmanager
def hub_serving() -> Iterator[Hub]:
    """Serve an empty hub, and the server that its large files lie on."""
    hub = Hub()
    servers = [_server(hub, name) for name in ("hub", "elsewhere")]
    hub.url, hub.elsewhere = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
