"""Run work and return its results in order: in this process, in several of this machine, or on a Dask or Ray cluster.

Which of the first two is chosen by how long the work takes, unless the user says.

Work that died with its worker is handed out again, and ends in one clear error when it kills its worker every time; no
result is ever left out. Work is pickled once for all items, and items and results travel as bytes. Each result comes
with what its worker runs; one that was made by other code or libraries than ours ends the run.

joblib's own generator (`Parallel(return_as="generator")`) is not used: it hands out all items however slowly results
are taken, so that memory has no bound, and it does not survive a killed worker.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import pickle
import signal
import socket
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain, islice
from queue import Empty
from typing import Any

from evalkit.errors import EngineError, install_command
from evalkit.storage.cache import environment

ATTEMPTS = 3
MOST_WORKERS = 256
AHEAD = 16  # batches for each worker that may be pending: what bounds memory
ANSWER = 5  # seconds that a cluster has to answer
HEAVY, LONG = 0.1, 1.0  # seconds of one item, or of all so far, after which starting processes pays
FEW = 3  # items that must be left for that
MOST_UNASKED = 4  # processes that are started where nobody said how many
WAIT = 5  # seconds for a thread that is about to end
LOOK = 1  # seconds between a process's looks whether the one that started it is still there
IDLE = 300  # seconds after which a process without work goes
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
Wait = Callable[[], bytes]  # waits for the result of what was submitted


@contextmanager
def open_executor(name: str, workers: int = 0, address: str = "") -> Iterator[Map]:
    """Open an executor for a block. `workers` 0 is all there are; `address` is that of a running cluster."""
    if address and name not in ("dask", "ray"):
        raise EngineError(f"--address {address}: only dask and ray run on a cluster; choose one with --engine")
    if not 0 <= workers <= MOST_WORKERS:
        raise EngineError(f"--workers {workers}: expected 0 or more, at most {MOST_WORKERS}")
    with ENGINES[name](workers, address) as executor:
        yield executor


@dataclass(frozen=True, slots=True)
class Executor:
    """`map` in order with a bounded number of items pending: one is handed out whenever one has come back.

    `lost` are the errors that say that a worker is gone; with `shared_fate`, all pending items are lost with it.
    """

    workers: int
    lost: tuple[type[BaseException], ...]
    submit: Callable[[bytes, bytes], Wait]
    cancel: Callable[[], None]
    attempts: int = ATTEMPTS
    shared_fate: bool = False

    def __call__(self, work: Work, items: Iterable[Any]) -> Iterator[Any]:
        """Return the results in the order of the items, as they come; the first items are handed out at once."""
        from joblib.externals.loky.backend.reduction import dumps  # also for what a notebook defines

        packed, rest = bytes(dumps(work)), iter(items)
        pending: deque[tuple[bytes, Wait]] = deque()
        self._fill(packed, rest, pending)
        return self._results(packed, rest, pending)

    def _fill(self, work: bytes, rest: Iterator[Any], pending: deque[tuple[bytes, Wait]]) -> None:
        for item in islice(rest, AHEAD * self.workers - len(pending)):
            content = pickle.dumps(item, protocol=5)
            pending.append((content, self.submit(work, content)))

    def _results(self, work: bytes, rest: Iterator[Any], pending: deque[tuple[bytes, Wait]]) -> Iterator[Any]:
        try:
            while pending:
                yield _value(self._first(work, pending))
                pending.popleft()
                self._fill(work, rest, pending)
        finally:
            if pending:
                self.cancel()

    def _first(self, work: bytes, pending: deque[tuple[bytes, Wait]]) -> bytes:
        """Wait for the first result; submit again what was lost with a worker."""
        for _ in range(self.attempts - 1):
            try:
                return pending[0][1]()
            except self.lost:
                if self.shared_fate:
                    self.cancel()
                for index in range(len(pending) if self.shared_fate else 1):
                    pending[index] = (pending[index][0], self.submit(work, pending[index][0]))
        try:
            return pending[0][1]()
        except self.lost as error:
            message = str(error).strip().partition("\n")[0][:200] or type(error).__name__
            raise EngineError(
                "workers of the engine died again and again over the same work, perhaps for want of memory "
                f"(--engine local needs the least); nothing was written ({message})"
            ) from error


def _run(work: bytes, item: bytes) -> bytes:
    """Do the work on one item, in a worker; return the result with what the worker runs."""
    result = pickle.dumps(_unpacked(work)(pickle.loads(item)), protocol=5)
    return pickle.dumps((environment(), result), protocol=5)


def _value(content: bytes) -> Any:
    """Return the result that a worker sent; refuse one that was made by other code or libraries than ours."""
    there, result = pickle.loads(content)
    here = environment()
    if there != here:
        names = (name for name in {**here, **there} if here.get(name) != there.get(name))
        other = ", ".join(f"{name} {there.get(name, 'absent')} (here {here.get(name, 'absent')})" for name in names)
        raise EngineError(
            f"a worker of the engine runs other code or versions than this process, so its scores may differ: {other}; "
            "install the same on all of them; nothing was written"
        )
    return pickle.loads(result)


@lru_cache(maxsize=2)
def _unpacked(work: bytes) -> Work:
    """Unpickle work once for all its items in this process, with the model that it may hold."""
    function: Work = pickle.loads(work)
    return function


@contextmanager
def _open_auto(workers: int, address: str) -> Iterator[Map]:
    """Open an executor that works in this process, and leaves the rest to several once some work turns out long."""
    with ExitStack() as stack:
        started: list[Pool | None] = []

        def ready_pool() -> Pool | None:
            if not started:
                started.append(None)
                # Where no process or thread may start, nobody asked for one; nor for a warning that says so.
                with suppress(OSError, RuntimeError), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    started[0] = stack.enter_context(_started_pool(workers, MOST_UNASKED))
            return started[0] if started[0] and started[0].ready() else None

        def start(work: Work, items: Iterable[Any]) -> Iterator[Any]:
            rest, ahead = iter(items), deque[Any]()
            taken = spent = 0.0
            while True:
                ahead.extend(islice(rest, FEW - len(ahead)))
                if not ahead:
                    return
                long = started or taken > HEAVY or spent > LONG
                if long and len(ahead) == FEW and (pool := ready_pool()):
                    yield from pool.map(work, chain(ahead, rest))
                    return
                began = time.perf_counter()
                result = work(ahead.popleft())
                taken = time.perf_counter() - began
                spent += taken
                yield result

        yield start


def _open_local(workers: int, address: str) -> AbstractContextManager[Map]:
    return nullcontext(map)


@contextmanager
def _open_processes(workers: int, address: str) -> Iterator[Map]:
    with _started_pool(workers, MOST_WORKERS) as pool:
        yield pool.map if pool else map


@contextmanager
def _started_pool(workers: int, most: int) -> Iterator[Pool | None]:
    """Start as many processes as there are processors, where nobody said how many; none where one would do."""
    with _safe_path():
        from joblib import effective_n_jobs

        count = effective_n_jobs(workers or -1)
        if count == 1 or sys.stderr is None:  # also where a process may have no children; loky flushes that stream
            yield None
            return
        pool = Pool(count if workers else min(count, most))
        try:
            pool.start()  # in the block, so that a signal which comes while they start ends them too
            yield pool
        finally:
            pool.close()


@contextmanager
def _safe_path() -> Iterator[None]:
    """Start Python for a block without the current folder in its path: what lies there is nobody's code to run.

    Processes get the path of this one once they have started.
    """
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("PYTHONSAFEPATH", None)
        else:
            os.environ["PYTHONSAFEPATH"] = before


class Pool:
    """Processes, once started: they load what they need before there is work, and are replaced if lost."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool: Any = None
        self._answer: Future[int] = Future()

    def map(self, work: Work, items: Iterable[Any]) -> Iterator[Any]:
        """Hand out the items, and return the results in their order."""
        from joblib.externals.loky.process_executor import BrokenProcessPool

        return Executor(self._workers, (BrokenProcessPool,), self.submit, self.close, shared_fate=True)(work, items)

    def ready(self) -> bool:
        """Start the processes if they are not; return whether one of them has loaded what it needs."""
        if self._pool is None:
            self.start()
        return self._answer.done()

    def start(self) -> None:
        """Start the processes."""
        from joblib.externals.loky import ProcessPoolExecutor

        threads = str(max(1, (os.cpu_count() or 1) // self._workers))
        with _held_interrupts():  # also while it makes its locks: one made by half would be warned of at the end
            self._pool = ProcessPoolExecutor(
                self._workers,
                timeout=IDLE,
                env={name: os.environ.get(name, threads) for name in THREADS},
                initializer=_preload,
            )
            self._answer = self._pool.submit(os.getpid)  # starts them all

    def submit(self, work: bytes, item: bytes) -> Wait:
        """Hand out one item; that there is nobody left to take it shows when its result is waited for."""
        from joblib.externals.loky.process_executor import BrokenProcessPool

        if self._pool is None:
            self.start()
        try:
            future: Future[bytes] = self._pool.submit(_run, work, item)
        except BrokenProcessPool as error:
            future = Future()
            future.set_exception(error)
        return future.result

    def close(self) -> None:
        """Let the processes go, whatever they are doing."""
        from joblib.externals.loky.backend.utils import kill_process_tree

        if self._pool is not None:
            # Stopped with work that nobody has taken, its thread would end in a KeyError that Python prints.
            waiting = getattr(self._pool, "_work_ids", None)
            while waiting is not None and not waiting.empty():
                with suppress(Empty):
                    waiting.get_nowait()
            # One that was stopped while it started has nobody yet who would end its processes.
            started = list((getattr(self._pool, "_processes", None) or {}).values())
            queue = getattr(self._pool, "_call_queue", None)
            pool, self._pool = self._pool, None
            with suppress(RuntimeError):  # where its threads could not start
                pool.shutdown(kill_workers=True)
            for process in started:
                kill_process_tree(process)
            _end_feeder(queue)


def _end_feeder(queue: Any) -> None:
    """Wait for the thread that feeds the processes, which may be writing to a full pipe that nobody reads any more.

    Python's end would cut it off while it gives back a lock, which is then warned of as leaked.
    """
    feeder, reader = getattr(queue, "_thread", None), getattr(queue, "_reader", None)
    if feeder is not None and reader is not None:
        with suppress(OSError):
            reader.close()
        feeder.join(WAIT)


def _preload() -> None:
    """Load what the work of a run needs, while the first process is still busy with other things."""
    import evalkit.scoring.pipeline  # noqa: F401

    threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
    # A run makes many small things that all stay: Python's search for cycles among them took a tenth of its time.
    gc.set_threshold(500_000, 20, 20)
    # A worker that grows by 300 MB would be replaced, with a warning, as one that leaks; a model that it loads is none.
    if executor := sys.modules.get("joblib.externals.loky.process_executor"):
        executor._MAX_MEMORY_LEAK_SIZE = sys.maxsize  # type: ignore[attr-defined]


def _leave_with(parent: int) -> None:
    """End this process when the one that started it is gone, killed before it could end its processes."""
    while os.getppid() == parent:
        time.sleep(LOOK)
    os._exit(1)


@contextmanager
def _held_interrupts() -> Iterator[None]:
    """Start processes that do not hear Ctrl-C, which a terminal sends to all: the first process stops them.

    The processes inherit the blocked signal. One that comes meanwhile, to whichever thread, is acted on afterwards.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield  # only that thread may set signal handlers; one that is ignored is ignored by processes, too
        return
    from multiprocessing import resource_tracker

    from joblib.externals.loky.backend import resource_tracker as loky_tracker

    # Both come with the processes; a tracker that starts inside the block would lift it.
    resource_tracker.ensure_running()
    loky_tracker.ensure_running()
    received: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if sys.platform != "win32" else None
    try:
        yield
    finally:
        if sys.platform != "win32" and mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, before)
    if received:
        before(signal.SIGINT, None)


@contextmanager
def _open_dask(workers: int, address: str) -> Iterator[Map]:
    try:
        from distributed import Client, KilledWorker, LocalCluster  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise EngineError(f"the engine dask needs an extra: {install_command('dask')}") from error
    with ExitStack() as stack:
        if not address:
            one_each = {"n_workers": workers or os.cpu_count() or 1, "threads_per_worker": 1, "processes": True}
            cluster = stack.enter_context(LocalCluster(**one_each, dashboard_address=None))
        if address:
            _reach(address)
        client = stack.enter_context(Client(address or cluster, set_as_default=False))
        count = workers or len(client.scheduler_info()["workers"]) or 1

        def submit(work: bytes, item: bytes) -> Wait:
            wait: Wait = client.submit(_run, work, item, pure=False).result
            return wait

        # The scheduler hands lost work out again by itself, and forgets what nobody waits for.
        yield Executor(count, (KilledWorker,), submit, cancel=lambda: None, attempts=1)


def _reach(address: str) -> None:
    """Refuse an address where no scheduler answers, whatever is wrong with it and whatever else listens there.

    A `Client` would ask for half a minute, wait for ever where a connection is taken and nothing said, and end in
    tracebacks of its threads.
    """
    from distributed.comm import connect  # type: ignore[import-untyped,unused-ignore]

    async def connected() -> None:
        comm = await asyncio.wait_for(connect(address, timeout=ANSWER), ANSWER)
        comm.abort()

    with _answered(address, "Dask scheduler"), ThreadPoolExecutor(1) as thread:  # a notebook has a loop of its own here
        thread.submit(asyncio.run, connected()).result()


@contextmanager
def _answered(address: str, what: str) -> Iterator[None]:
    """Turn what a library says of an address where nobody answers into one error that names it."""
    try:
        yield
    except Exception as error:
        reason = str(error).strip().partition("\n")[0][:200] or f"nothing within {ANSWER} s"
        raise EngineError(f"--address {address}: no {what} answers there ({reason})") from error


def _greet(address: str) -> None:
    """Refuse a host and port where nothing speaks HTTP/2, as the store of a Ray cluster does: Ray tries for minutes.

    Other addresses, such as `auto` and mistakes, are left to Ray, which answers at once.
    """
    host, _, port = address.rpartition(":")
    if not host or "://" in address or not port.isdecimal():
        return
    if int(port) > 65_535:
        raise ValueError(f"port {port} is above 65535")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))  # 4: settings
        if connection.recv(4)[3:] != b"\x04":
            raise ValueError("something else listens")


@contextmanager
def _open_ray(workers: int, address: str) -> Iterator[Map]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        from ray.exceptions import NodeDiedError, OutOfMemoryError, WorkerCrashedError
    except ImportError as error:
        raise EngineError(f"the engine ray needs an extra: {install_command('ray')}") from error
    ours = not ray.is_initialized()
    if ours:
        where = {"address": address} if address else {"num_cpus": workers or os.cpu_count(), "include_dashboard": False}
        with _answered(address, "Ray cluster") if address else nullcontext():
            _greet(address)
            ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
    try:
        count = workers or int(ray.cluster_resources()["CPU"])
        remote = ray.remote(max_retries=0)(_run)
        submitted: deque[Any] = deque(maxlen=AHEAD * count)

        def submit(work: bytes, item: bytes) -> Wait:
            submitted.append(remote.remote(work, item))
            return partial(ray.get, submitted[-1])

        def cancel() -> None:
            for result in submitted:
                ray.cancel(result)

        yield Executor(count, (WorkerCrashedError, NodeDiedError, OutOfMemoryError), submit, cancel)
    finally:
        if ours:
            ray.shutdown()


ENGINES: dict[str, Callable[[int, str], AbstractContextManager[Map]]] = {
    "auto": _open_auto,
    "local": _open_local,
    "processes": _open_processes,
    "dask": _open_dask,
    "ray": _open_ray,
}
