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
import logging
import os
import pickle
import socket
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain, islice
from typing import Any

from evalkit.errors import EngineError, install_command
from evalkit.scoring.processes import Pool, started_pool
from evalkit.storage.cache import environment

ATTEMPTS = 3
MOST_WORKERS = 256
AHEAD = 16  # batches for each worker that may be pending: what bounds memory
ANSWER = 5  # seconds that a cluster has to answer
HEAVY, LONG = 0.1, 1.0  # seconds of one item, or of all so far, after which starting processes pays
FEW = 3  # items that must be left for that
MOST_UNASKED = 4  # processes, unless --workers gives their number

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
                # Processes are optional here: where none can start, this one does all work, without a warning.
                with suppress(OSError, RuntimeError), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    started[0] = stack.enter_context(started_pool(workers, MOST_UNASKED))
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
                    yield from _of_pool(pool)(work, chain(ahead, rest))
                    return
                began = time.perf_counter()
                result = work(ahead.popleft())
                taken = time.perf_counter() - began
                spent += taken
                yield result

        yield start


def _of_pool(pool: Pool) -> Executor:
    from joblib.externals.loky.process_executor import BrokenProcessPool

    return Executor(pool.workers, (BrokenProcessPool,), partial(pool.submit, _run), pool.close, shared_fate=True)


def _open_local(workers: int, address: str) -> AbstractContextManager[Map]:
    return nullcontext(map)


@contextmanager
def _open_processes(workers: int, address: str) -> Iterator[Map]:
    with started_pool(workers, MOST_WORKERS) as pool:
        yield _of_pool(pool) if pool else map


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
