"""Serve pages on 127.0.0.1 to this machine alone: a token in the address, and no other page may ask or answer."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from evalkit.errors import EvalkitError, InputError, install_command

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

Handler = Callable[["Request"], Awaitable["Response"]]
Routes = Sequence[tuple[str, Handler, str]]  # (path, handler, "GET" or "POST")
LARGEST = 100_000


def require(what: str) -> None:
    """Refuse with the way out when the extra is not installed."""
    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        raise InputError(f"{what} needs starlette and uvicorn: {install_command('label')}")


def serve(
    made: Callable[[str, int], Starlette], *, port: int, announce: Callable[[str], None], ended: Callable[[], None]
) -> None:
    """Serve an application, made of its token and port, until the user stops it.

    `announce` gets the address as soon as the port is had, and `ended` is called when the server has ended.
    """
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
    server = uvicorn.Server(uvicorn.Config(made(token, number), log_level="warning", access_log=False))
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        pass  # how a session ends: everything is on disk
    finally:
        ended()


def application(routes: Routes, token: str, port: int) -> Starlette:
    """Return the application of these routes; each checks who asks before its handler runs."""
    from starlette.applications import Starlette
    from starlette.routing import Route

    hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
    return Starlette(
        routes=[Route(path, _guarded(handler, token, hosts), methods=[verb]) for path, handler, verb in routes]
    )


def secured(text: str, nonce: str) -> Response:
    """Return a page that may run and wear what carries the nonce, ask its own server, and nothing else."""
    from starlette.responses import HTMLResponse

    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return HTMLResponse(text, headers={"Content-Security-Policy": policy})


def _guarded(handler: Handler, token: str, hosts: set[str]) -> Handler:
    """Check the token, the host and, for what changes something, the origin before a handler runs."""
    from starlette.responses import JSONResponse, PlainTextResponse

    async def guarded(request: Request) -> Response:
        if reason := _refusal(request, token, hosts):
            return PlainTextResponse(reason, status_code=403)
        try:
            response = await handler(request)
        except (EvalkitError, ValueError, KeyError, TypeError) as error:
            response = JSONResponse({"error": str(error)}, status_code=400)
        response.headers.update(HEADERS)
        return response

    return guarded


HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}  # fmt: skip


def _refusal(request: Request, token: str, hosts: set[str]) -> str:
    """Return why a request is refused; empty when it is not."""
    own: Any = request.headers.get("x-token")
    sent = own or request.query_params.get("token") or request.path_params.get("token") or ""
    if request.headers.get("host", "") not in hosts:
        return "this page is served to this machine alone"
    if not secrets.compare_digest(sent.encode(), token.encode()):
        return "the address lacks its token: use the one that the command printed"
    origin = request.headers.get("origin")
    if origin is not None and origin not in {f"http://{host}" for host in hosts}:
        return "another page may not ask"
    if request.method == "POST":
        if origin is None or request.headers.get("content-type") != "application/json":
            return "only the page itself may answer"
        if not own or int(request.headers.get("content-length") or LARGEST) >= LARGEST:
            return "not an answer of this page"
    return ""
