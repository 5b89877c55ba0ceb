"""Serve a session's page on 127.0.0.1: a token in the address, and no other page may ask or answer."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from evalkit.errors import InputError, install_command
from evalkit.storage.files import read_text, shipped

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

Handler = Callable[["Request"], Awaitable["Response"]]
LARGEST = 100_000


class PageSession(Protocol):
    """What the page shows: pairs to label, or drafts to confirm."""

    def view(self) -> dict[str, Any]:
        """Return what is to be shown now."""

    def answer(self, keys: Sequence[str], answer: str) -> None:
        """Keep an answer, or refuse it."""

    def undo(self) -> None:
        """Take the last answer back."""

    def export(self) -> int:
        """Write what the answers amount to; return how many there are."""


def require() -> None:
    """Refuse with the way out when the extra is not installed."""
    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        raise InputError(f"the label page needs starlette and uvicorn: {install_command('label')}")


def serve(session: PageSession, *, port: int, announce: Callable[[str], None]) -> None:
    """Serve the page until the user stops it; `announce` gets the address."""
    import uvicorn

    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        raise InputError(f"port {port} cannot be had ({error.strerror}); choose another --port") from error
    listener.listen()  # before the address is known: a browser that is quicker than the server waits
    token, number = secrets.token_urlsafe(24), listener.getsockname()[1]
    announce(f"http://127.0.0.1:{number}/?token={token}")
    server = uvicorn.Server(uvicorn.Config(application(session, token, number), log_level="warning", access_log=False))
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        pass  # how a session ends: everything is on disk
    finally:
        session.export()


def application(session: PageSession, token: str, port: int) -> Starlette:
    """Return the page and the three requests that it makes."""
    from starlette.applications import Starlette
    from starlette.responses import HTMLResponse, JSONResponse
    from starlette.routing import Route

    hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    async def page(request: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        return HTMLResponse(_page(nonce, token), headers={"Content-Security-Policy": policy})

    async def state(request: Request) -> Response:
        return JSONResponse(session.view())

    async def answer(request: Request) -> Response:
        body = await request.json()
        session.answer([str(key) for key in body["keys"]], str(body["answer"]))
        return JSONResponse(session.view())

    async def undo(request: Request) -> Response:
        session.undo()
        return JSONResponse(session.view())

    handlers: tuple[tuple[str, Handler, str], ...] = (
        ("/", page, "GET"), ("/state", state, "GET"), ("/answer", answer, "POST"), ("/undo", undo, "POST"),
    )  # fmt: skip
    return Starlette(
        routes=[Route(path, _guarded(handler, token, hosts), methods=[verb]) for path, handler, verb in handlers]
    )


def _guarded(handler: Handler, token: str, hosts: set[str]) -> Handler:
    """Check the token, the host and, for what changes something, the origin before a handler runs."""
    from starlette.responses import JSONResponse, PlainTextResponse

    async def guarded(request: Request) -> Response:
        if reason := _refusal(request, token, hosts):
            return PlainTextResponse(reason, status_code=403)
        try:
            response = await handler(request)
        except (InputError, ValueError, KeyError, TypeError) as error:
            response = JSONResponse({"error": str(error)}, status_code=400)
        response.headers.update({"Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
                                 "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"})  # fmt: skip
        return response

    return guarded


def _refusal(request: Request, token: str, hosts: set[str]) -> str:
    """Return why a request is refused; empty when it is not."""
    sent: Any = request.headers.get("x-token") or request.query_params.get("token") or ""
    if request.headers.get("host", "") not in hosts:
        return "this page is served to this machine alone"
    if not secrets.compare_digest(sent.encode(), token.encode()):
        return "the address lacks its token: use the one that evalkit label printed"
    origin = request.headers.get("origin")
    if origin is not None and origin not in {f"http://{host}" for host in hosts}:
        return "another page may not ask"
    if request.method == "POST":
        if origin is None or request.headers.get("content-type") != "application/json":
            return "only the page itself may answer"
        if not request.headers.get("x-token") or int(request.headers.get("content-length") or LARGEST) >= LARGEST:
            return "not an answer of this page"
    return ""


def _page(nonce: str, token: str) -> str:
    """Return the page with its style and script inside; no text of any plan is part of it."""
    parts = {name: read_text(shipped(f"labels/page/assets/label.{name}")) for name in ("html", "css", "js")}
    for name in ("css", "js"):
        parts["html"] = parts["html"].replace(f"/*{name}*/", parts[name])
    return parts["html"].replace("__NONCE__", nonce).replace("__TOKEN__", token)
