"""Where work is done: takes the name of an engine, gives a `map` in order, on this machine or on a cluster.

Work that a dead worker had in its hands is given out again, to another worker of the same engine. Work that kills its
worker every time ends in one clear error; results are never left out. The work is packed once for all its items, and
items and results travel as bytes: the first process hands out and writes, and does as little else as possible.
"""

from __future__ import annotations

import gc
import logging
import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from queue import Empty
from typing import Any

from evalkit.errors import EngineError

NAMES = ("local", "processes", "dask", "ray")
ATTEMPTS = 3
AHEAD = 16  # batches for each worker that may be under way or wait to be taken: what bounds memory
IDLE = 300  # seconds after which a process without work goes; that is also how long one outlives a killed parent
# With these, several workers do not each start a thread a core for products of small matrices.
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

Work = Callable[[Any], Any]
Map = Callable[[Work, Iterable[Any]], Iterator[Any]]
Lost = tuple[type[BaseException], ...]
Wait = Callable[[], bytes]  # gives the result of what was handed out, when there is one
UnderWay = deque[tuple[bytes, Wait]]


@dataclass(frozen=True, slots=True)
class Backend:
    """How an engine hands out one piece of work, what it raises when a worker is gone, and how it forgets its work.

    `alone`: a worker that dies takes nothing with it but what it was doing.
    """

    workers: int
    lost: Lost
    start: Callable[[bytes, bytes], Wait]
    forget: Callable[[], None]
    attempts: int = ATTEMPTS
    alone: bool = True


@contextmanager
def engine(name: str, workers: int = 0, address: str = "") -> Iterator[Map]:
    """An engine for the length of a block. `workers` 0 is all there are; `address` is that of a running cluster."""
    if address and name not in ("dask", "ray"):
        raise EngineError(f"--address {address}: only dask and ray run on a cluster; choose one with --engine")
    with OPENERS[name](workers, address) as opened:
        yield opened


def _local(workers: int, address: str) -> AbstractContextManager[Map]:
    """This process, one plan after another."""
    return nullcontext(map)


@contextmanager
def _processes(workers: int, address: str) -> Iterator[Map]:
    """Processes on this machine."""
    from joblib import effective_n_jobs
    from joblib.externals.loky.process_executor import BrokenProcessPool

    found = effective_n_jobs(workers or -1)
    if found == 1:  # also where a process may have no children
        yield map
        return
    pool = Pool(found)
    try:
        yield Engine(Backend(found, (BrokenProcessPool,), pool.start, pool.close, alone=False))
    finally:
        pool.close()


class Pool:
    """Processes that load what they need before there is work for them; new ones when some were lost."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool = self._opened()

    def _opened(self) -> Any:
        from joblib.externals.loky import ProcessPoolExecutor

        each = str(max(1, (os.cpu_count() or 1) // self._workers))
        pool = ProcessPoolExecutor(
            self._workers,
            timeout=IDLE,
            env={name: os.environ.get(name, each) for name in THREADS},
            initializer=_ready,
        )
        with _deaf():
            pool.submit(_nothing)  # starts them all
        return pool

    def start(self, work: bytes, item: bytes) -> Wait:
        """Hand out one piece of work; that there is nobody left to do it shows when it is waited for."""
        from joblib.externals.loky.process_executor import BrokenProcessPool

        self._pool = self._pool or self._opened()
        try:
            result: Wait = self._pool.submit(_done, work, item).result
        except BrokenProcessPool as error:
            return partial(_fail, error)
        return result

    def close(self) -> None:
        """Let the processes go, whatever they are doing."""
        if self._pool is not None:
            # Stopped with work that nobody has taken, its thread would end in a KeyError that Python prints.
            waiting = getattr(self._pool, "_work_ids", None)
            while waiting is not None and not waiting.empty():
                with suppress(Empty):
                    waiting.get_nowait()
            self._pool.shutdown(kill_workers=True)
            self._pool = None


@contextmanager
def _dask(workers: int, address: str) -> Iterator[Map]:
    """A Dask cluster: the one at the address, else one of processes on this machine."""
    try:
        from distributed import Client, KilledWorker, LocalCluster  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise EngineError("the engine dask needs an extra: pip install 'evalkit[dask]'") from error
    with ExitStack() as stack:
        if not address:
            one_each = {"n_workers": workers or os.cpu_count() or 1, "threads_per_worker": 1, "processes": True}
            cluster = stack.enter_context(LocalCluster(**one_each, dashboard_address=None))
        client = stack.enter_context(Client(address or cluster, set_as_default=False))
        found = workers or len(client.scheduler_info()["workers"]) or 1

        def start(work: bytes, item: bytes) -> Wait:
            result: Wait = client.submit(_done, work, item, pure=False).result
            return result

        # The scheduler gives work out again by itself, and says so when that was in vain. It forgets what nobody
        # waits for.
        yield Engine(Backend(found, (KilledWorker,), start, _nothing, attempts=1))


@contextmanager
def _ray(workers: int, address: str) -> Iterator[Map]:
    """Ray: the cluster at the address, else one on this machine."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        from ray.exceptions import NodeDiedError, OutOfMemoryError, WorkerCrashedError
    except ImportError as error:
        raise EngineError("the engine ray needs an extra: pip install 'evalkit[ray]'") from error
    ours = not ray.is_initialized()
    if ours:
        where = {"address": address} if address else {"num_cpus": workers or os.cpu_count(), "include_dashboard": False}
        ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
    try:
        found = workers or int(ray.cluster_resources()["CPU"])
        done = ray.remote(max_retries=0)(_done)
        handed: deque[Any] = deque(maxlen=AHEAD * found)

        def start(work: bytes, item: bytes) -> Wait:
            handed.append(done.remote(work, item))
            return partial(ray.get, handed[-1])

        def forget() -> None:
            for one in handed:
                ray.cancel(one)

        yield Engine(Backend(found, (WorkerCrashedError, NodeDiedError, OutOfMemoryError), start, forget))
    finally:
        if ours:
            ray.shutdown()


OPENERS: dict[str, Callable[[int, str], AbstractContextManager[Map]]] = {
    "local": _local,
    "processes": _processes,
    "dask": _dask,
    "ray": _ray,
}


class Engine:
    """`map` in order, with a bounded number of batches under way: one is handed out whenever one has come back."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def __call__(self, work: Work, items: Iterable[Any]) -> Iterator[Any]:
        """The results in the order of the items, as they come; the first items are handed out at once."""
        packed, rest = _packed(work), iter(items)
        under_way: UnderWay = deque()
        self._hand_out(packed, rest, under_way)
        return self._results(packed, rest, under_way)

    def _hand_out(self, work: bytes, rest: Iterator[Any], under_way: UnderWay) -> None:
        """As much as may be under way."""
        for item in islice(rest, AHEAD * self.backend.workers - len(under_way)):
            content = pickle.dumps(item, protocol=5)
            under_way.append((content, self.backend.start(work, content)))

    def _results(self, work: bytes, rest: Iterator[Any], under_way: UnderWay) -> Iterator[Any]:
        """What comes back, in order; something is handed out for everything that did."""
        try:
            while under_way:
                yield pickle.loads(self._first(work, under_way))
                under_way.popleft()
                self._hand_out(work, rest, under_way)
        finally:
            if under_way:
                self.backend.forget()

    def _first(self, work: bytes, under_way: UnderWay) -> bytes:
        """The result that comes first; what was lost with a worker is asked for again."""
        for attempt in range(1, self.backend.attempts + 1):
            try:
                return under_way[0][1]()
            except self.backend.lost as error:
                if attempt == self.backend.attempts:
                    said = str(error).strip().partition("\n")[0][:200] or type(error).__name__
                    raise EngineError(
                        "workers of the engine died again and again over the same work, perhaps for want of memory; "
                        f"nothing was written ({said})"
                    ) from error
                self._again(work, under_way)
        raise AssertionError("a backend tries at least once")

    def _again(self, work: bytes, under_way: UnderWay) -> None:
        """Hand out once more what is lost."""
        if not self.backend.alone:
            self.backend.forget()
        for at in range(1 if self.backend.alone else len(under_way)):
            under_way[at] = (under_way[at][0], self.backend.start(work, under_way[at][0]))


def _packed(work: Work) -> bytes:
    """Work for other processes, also when it holds what a notebook defined."""
    from joblib.externals.loky.backend.reduction import dumps

    return bytes(dumps(work))


def _done(work: bytes, item: bytes) -> bytes:
    """What a worker is told to do."""
    return pickle.dumps(_opened(work)(pickle.loads(item)), protocol=5)


@lru_cache(maxsize=2)
def _opened(work: bytes) -> Work:
    """The work that `_packed` made these bytes of; what it holds serves every batch of it."""
    found: Work = pickle.loads(work)
    return found


def _ready() -> None:
    """Loads what the work of a run needs, while the first process is still busy with other things.

    A worker that grows by 300 MB would be replaced, with a warning, as one that leaks; a model that it loads is no
    leak.
    """
    import evalkit.scoring.load
    import evalkit.scoring.worker  # noqa: F401

    seldom_look_for_cycles()
    if executor := sys.modules.get("joblib.externals.loky.process_executor"):
        executor._MAX_MEMORY_LEAK_SIZE = sys.maxsize  # type: ignore[attr-defined]


def seldom_look_for_cycles() -> None:
    """For a process of our own: a run makes many small things that all stay, and Python's search for cycles among them
    took a tenth of its time."""
    gc.set_threshold(50_000, 20, 20)


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that are started here do not hear Ctrl-C, which a terminal sends to all: the first one stops them."""
    if threading.current_thread() is not threading.main_thread():  # who alone may say what is done with signals
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)


def _fail(error: BaseException) -> bytes:
    """The result of work that nobody took."""
    raise error


def _nothing() -> None:
    """Nothing is left to do."""
