"""Processes of this machine that do work for this one: started safely, ended surely."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from queue import Empty
from typing import Any

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


@contextmanager
def started_pool(workers: int, most: int) -> Iterator[Pool | None]:
    """Start `workers` processes, or one a processor but `most` at most if that is 0; yield None where one would do."""
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
        self.workers = workers
        self._pool: Any = None
        self._answer: Future[int] = Future()

    def ready(self) -> bool:
        """Start the processes if they are not; return whether one of them has loaded what it needs."""
        if self._pool is None:
            self.start()
        return self._answer.done()

    def start(self) -> None:
        """Start the processes."""
        from joblib.externals.loky import ProcessPoolExecutor

        threads = str(max(1, (os.cpu_count() or 1) // self.workers))
        with _held_interrupts():  # also while it makes its locks: one made by half would be warned of at the end
            self._pool = ProcessPoolExecutor(
                self.workers,
                timeout=IDLE,
                env={name: os.environ.get(name, threads) for name in THREADS},
                initializer=_preload,
                initargs=(os.getpid(),),
            )
            self._answer = self._pool.submit(os.getpid)  # starts them all

    def submit(self, call: Callable[[bytes, bytes], bytes], work: bytes, item: bytes) -> Callable[[], bytes]:
        """Hand out a call; that there is nobody left to take it shows when its result is waited for."""
        from joblib.externals.loky.process_executor import BrokenProcessPool

        if self._pool is None:
            self.start()
        try:
            future: Future[bytes] = self._pool.submit(call, work, item)
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


def _preload(parent: int) -> None:
    """Load what the work of a run needs, while the first process is still busy with other things."""
    import evalkit.scoring.pipeline  # noqa: F401

    if sys.platform != "win32":
        threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    # A run makes many small things that all stay: Python's search for cycles among them took a tenth of its time.
    gc.set_threshold(500_000, 20, 20)
    # A worker that grows by 300 MB would be replaced, with a warning, as one that leaks; a model that it loads is none.
    if executor := sys.modules.get("joblib.externals.loky.process_executor"):
        executor._MAX_MEMORY_LEAK_SIZE = sys.maxsize  # type: ignore[attr-defined]


def _leave_with(parent: int) -> None:
    """End this process when the one that started it is gone, killed before it could end its processes."""
    first = os.getppid()
    with suppress(ProcessLookupError):
        while os.getppid() == first:
            os.kill(parent, 0)
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
