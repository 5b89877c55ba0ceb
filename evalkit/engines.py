"""Where work is done: takes the name of an engine, gives a `map` in order, on this machine or on a cluster.

Work that a dead worker had in its hands is given out again, to another worker of the same engine. Work that kills its
worker every time ends in one clear error; results are never left out.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from evalkit.errors import EngineError

NAMES = ("local", "processes", "dask", "ray")
ATTEMPTS = 3
AHEAD = 32  # batches for each worker that may be under way or wait to be taken: what bounds memory

Work = Callable[[Any], Any]
Map = Callable[[Work, Iterable[Any]], Iterator[Any]]
Lost = tuple[type[BaseException], ...]


@dataclass(frozen=True, slots=True)
class Backend:
    """How an engine does a window of work, and what it raises when a worker is gone."""

    workers: int
    lost: Lost
    run: Callable[[Work, Sequence[Any]], Iterator[Any]]
    attempts: int = ATTEMPTS


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
    from joblib import cpu_count
    from joblib.externals.loky.process_executor import BrokenProcessPool

    found = workers or cpu_count()
    yield Engine(
        Backend(found, (BrokenProcessPool,), partial(_by_joblib, found, backend="loky", return_as="generator"))
    )


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
        # The scheduler gives work out again by itself, and says so when that was in vain.
        yield Engine(Backend(found, (KilledWorker,), partial(_by_dask, client), attempts=1))


@contextmanager
def _ray(workers: int, address: str) -> Iterator[Map]:
    """Ray: the cluster at the address, else one on this machine."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, WorkerCrashedError
        from ray.util.joblib import register_ray
    except ImportError as error:
        raise EngineError("the engine ray needs an extra: pip install 'evalkit[ray]'") from error
    from joblib import parallel_config

    register_ray()
    ours = not ray.is_initialized()
    if ours:
        where = {"address": address} if address else {"num_cpus": workers or os.cpu_count(), "include_dashboard": False}
        ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
    try:
        lost = (RayActorError, WorkerCrashedError, NodeDiedError, OutOfMemoryError)
        with parallel_config(backend="ray"):
            found = workers or int(ray.cluster_resources()["CPU"])
            yield Engine(Backend(found, lost, partial(_by_joblib, found)))
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
    """`map` over joblib: in order, with a bounded number of batches under way."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def __call__(self, work: Work, items: Iterable[Any]) -> Iterator[Any]:
        """The results in the order of the items, as they come."""
        rest = iter(items)
        while window := list(islice(rest, AHEAD * self.backend.workers)):
            yield from self._whole(work, window)

    def _whole(self, work: Work, window: Sequence[Any]) -> Iterator[Any]:
        """The results of a window; what was lost with a worker is asked for again."""
        done = 0
        for attempt in range(1, self.backend.attempts + 1):
            try:
                for result in self.backend.run(work, window[done:]):
                    done += 1
                    yield result
                return
            except self.backend.lost as error:
                if attempt == self.backend.attempts:
                    said = str(error).strip().partition("\n")[0][:200] or type(error).__name__
                    raise EngineError(
                        "workers of the engine died again and again over the same work, perhaps for want of memory; "
                        f"nothing was written ({said})"
                    ) from error


def _by_joblib(workers: int, work: Work, window: Sequence[Any], **how: Any) -> Iterator[Any]:
    """A window's results by joblib; on a cluster the backend is the one of the block that the engine was opened in."""
    from joblib import Parallel, delayed

    return iter(Parallel(n_jobs=workers, batch_size=1, **how)(delayed(work)(item) for item in window))


def _by_dask(client: Any, work: Work, window: Sequence[Any]) -> Iterator[Any]:
    """A window's results by Dask's own client: joblib's way to it waits for ever for work whose workers all died."""
    futures = client.map(work, window, pure=False)
    try:
        for future in futures:
            yield future.result()
    finally:
        client.cancel(futures)
