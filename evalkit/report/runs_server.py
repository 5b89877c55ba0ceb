"""The local page over a folder of runs: a list, each run's report, and comparisons, made when they are asked for.

Of a run, lists read run.json and the leaderboard; its tables are read when it is opened or compared.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING

from evalkit import local_server
from evalkit.comparison.history import History, exactly, history, renamed_leader
from evalkit.errors import InputError
from evalkit.report import comparison_page, run_page, runs_page
from evalkit.report.escaping import address
from evalkit.report.html import Page
from evalkit.settings import fingerprint
from evalkit.storage.provenance import parsed_tags
from evalkit.storage.run_list import RunHead, RunList, annotate, list_runs
from evalkit.storage.runs import load_run

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

KEPT_PAGES = 3  # reports that are kept in memory; one of 350 papers and 5 planners has some 20 MB


class RunFolderView:
    """A folder of runs as it is now, its history, and the pages that were looked at last."""

    def __init__(self, top: Path, metric: str) -> None:
        self.top, self.metric = top, metric
        self._tested: tuple[str, History] | None = None
        self._testing = ""
        self._pages: OrderedDict[str, Page] = OrderedDict()
        self._lock = Lock()

    def runs(self) -> RunList:
        """Return the runs that are there now; what did not change is not read again."""
        try:
            return list_runs([self.top], self.metric)
        except InputError:  # none yet, or no longer
            return RunList((), ())

    def head(self, name: str) -> RunHead:
        """Return the run of a name in the list; nothing else can be opened."""
        found = next((run for run in self.runs().runs if run.name == name), None)
        if found is None:
            raise InputError(f"no run is called {name!r:.200} here")
        return found

    def history(self) -> tuple[History, bool]:
        """Return the history of all runs, and whether its changes are tested; that is done meanwhile, if it is not."""
        found = self.runs()
        state = _state_of(found)
        if self._tested is not None and self._tested[0] == state:
            return self._tested[1], True
        with self._lock:
            if self._testing != state:
                self._testing = state
                Thread(target=self._test, args=(found, state), daemon=True).start()
        return history(found.runs, self.metric, tests=False, unread=found.unread), False

    def _test(self, found: RunList, state: str) -> None:
        self._tested = state, history(found.runs, self.metric, unread=found.unread)

    def digest(self) -> str:
        """Return what changes whenever the list does."""
        state = _state_of(self.runs())
        return fingerprint([state, self._tested is not None and self._tested[0] == state])[:16]

    def chosen(self, names: list[str], planner: str) -> History:
        """Return the tested history of some runs, of all without names."""
        found = self.runs()
        runs = [run for run in found.runs if not names or run.name in names]
        if len(runs) < len(set(names)):
            raise InputError("one of these runs is not here any more")
        return history(runs, self.metric, planner=planner)

    def kept(self, key: str, make: Callable[[], Page]) -> Page:
        """Return a page that was looked at lately, or make it; only the last few are kept."""
        with self._lock:
            if key in self._pages:
                self._pages.move_to_end(key)
                return self._pages[key]
        page = make()
        with self._lock:
            self._pages[key] = page
            while len(self._pages) > KEPT_PAGES:
                self._pages.popitem(last=False)
        return page


def _state_of(found: RunList) -> str:
    runs = [[run.name, run.time, run.note, run.tags, str(run.signature)] for run in found.runs]
    return fingerprint([runs, found.unread])


def application(view: RunFolderView, token: str, port: int) -> Starlette:
    """Return the pages of a folder of runs, and the requests that the list makes."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import HTMLResponse, JSONResponse
    from starlette.responses import Response as Plain

    places = _places(token)

    async def index(request: Request) -> Response:
        def made() -> str:
            digest = view.digest()
            result, tested = view.history()
            return runs_page.list_page(result, places(digest), tested=tested)

        return HTMLResponse(await run_in_threadpool(made))

    async def run(request: Request) -> Response:
        name = request.query_params["run"]
        return HTMLResponse((await run_in_threadpool(_run_page, view, name, token)).text)

    async def compare(request: Request) -> Response:
        base, new = request.query_params["base"], request.query_params["new"]
        return HTMLResponse((await run_in_threadpool(_pair_page, view, base, new, token)).text)

    async def many(request: Request) -> Response:
        names, planner = request.query_params.getlist("run"), request.query_params.get("planner", "")

        def made() -> str:
            return runs_page.many_page(view.chosen(names, planner), places(""))

        return HTMLResponse(await run_in_threadpool(made))

    async def paper(request: Request) -> Response:
        page = view.kept(request.path_params["key"], _gone)
        return Plain(page.files[request.path_params["file"]], media_type="text/javascript")

    async def state(request: Request) -> Response:
        return JSONResponse({"digest": await run_in_threadpool(view.digest)})

    async def change(request: Request) -> Response:
        body = await request.json()
        tags = parsed_tags(str(line) for line in body["tags"])
        annotate(view.head(str(body["run"])).folder, str(body["note"]), tags)
        return JSONResponse({"kept": True})

    return local_server.application(
        (("/", index, "GET"), ("/run", run, "GET"), ("/compare", compare, "GET"), ("/runs", many, "GET"),
         ("/papers/{token}/{key}/{file}", paper, "GET"), ("/state", state, "GET"), ("/annotate", change, "POST")),
        token, port,
    )  # fmt: skip


def _places(token: str) -> Callable[[str], runs_page.Places]:
    """Return how to make the addresses of a page's other views; each carries the token, so that it can be passed on."""
    own = f"?token={token}"

    def places(digest: str) -> runs_page.Places:
        return runs_page.Places(
            home=f"/{own}" if not digest else "", many=f"/runs{own}",
            run=lambda name: f"/run{own}&run={address(name)}",
            pair=lambda base, new: f"/compare{own}&base={address(base)}&new={address(new)}",
            planner=lambda name: f"/runs{own}&planner={address(exactly(name))}",
            data={"live": True, "token": token, "digest": digest, "compare": f"/compare{own}", "many": f"/runs{own}"},
        )  # fmt: skip

    return places


def _run_page(view: RunFolderView, name: str, token: str) -> Page:
    head = view.head(name)
    key = fingerprint([name, str(head.signature), head.time])[:16]
    home = f"/?token={token}"
    return view.kept(key, lambda: run_page.run_page(load_run(head.folder), f"/papers/{token}/{key}", home=home))


def _pair_page(view: RunFolderView, base: str, new: str, token: str) -> Page:
    heads = [view.head(base), view.head(new)]
    key = fingerprint([[head.name, str(head.signature), head.time] for head in heads])[:16]

    def made() -> Page:
        pair = {head.name: load_run(head.folder) for head in heads}
        if len(pair) < 2:
            raise InputError("a run compared with itself differs in nothing; choose two")
        home = f"/?token={token}"
        renamed = renamed_leader(*heads)
        return comparison_page.comparison_page(pair, f"/papers/{token}/{key}", False, home=home, renamed=renamed)

    return view.kept(key, made)


def _gone() -> Page:
    raise InputError("this page is not kept any more; open it again")


def serve(view: RunFolderView, *, port: int, announce: Callable[[str], None]) -> None:
    """Serve the folder's pages until the user stops it; `announce` gets the address."""
    view.history()  # the first page finds the list read and the tests begun

    def made(token: str, number: int) -> Starlette:
        return application(view, token, number)

    local_server.serve(made, port=port, announce=announce, ended=lambda: None)
