"""The page of a labelling session and the requests that it makes."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from evalkit import local_server
from evalkit.storage.files import read_text, shipped

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response


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
    local_server.require("the label page")


def serve(session: PageSession, *, port: int, announce: Callable[[str], None]) -> None:
    """Serve the page until the user stops it; `announce` gets the address."""

    def end() -> None:
        session.export()

    local_server.serve(
        lambda token, number: application(session, token, number), port=port, announce=announce, ended=end
    )


def application(session: PageSession, token: str, port: int) -> Starlette:
    """Return the page and the three requests that it makes."""
    from starlette.responses import JSONResponse

    async def page(request: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        return local_server.secured(_page(nonce, token), nonce)

    async def state(request: Request) -> Response:
        return JSONResponse(session.view())

    async def answer(request: Request) -> Response:
        body = await request.json()
        session.answer([str(key) for key in body["keys"]], str(body["answer"]))
        return JSONResponse(session.view())

    async def undo(request: Request) -> Response:
        session.undo()
        return JSONResponse(session.view())

    routes = (("/", page, "GET"), ("/state", state, "GET"), ("/answer", answer, "POST"), ("/undo", undo, "POST"))
    return local_server.application(routes, token, port)


def _page(nonce: str, token: str) -> str:
    """Return the page with its style and script inside; no text of any plan is part of it."""
    parts = {name: read_text(shipped(f"labels/page/assets/label.{name}")) for name in ("html", "css", "js")}
    for name in ("css", "js"):
        parts["html"] = parts["html"].replace(f"/*{name}*/", parts[name])
    return parts["html"].replace("__NONCE__", nonce).replace("__TOKEN__", token)
