"""Engines: the same bytes wherever the work is done and however many do it, with a worker killed in the middle too."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from conftest import entry, gold, plan

from evalkit.errors import EngineError, InputError, ModelError
from evalkit.formats import write_plans
from evalkit.matching.embeddings import MINILM, CachedEncoder, find_encoder_here
from evalkit.scoring import executors, processes
from evalkit.scoring.executors import ENGINES, Executor, open_executor
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.storage.cache import Store, environment
from evalkit.storage.files import sample_project, write_texts
from evalkit.storage.runs import TABLES
from evalkit.types import Plan

LEXICAL = Settings(matcher="lexical", resamples=99)
PARTS = (
    "gate",
    "temporal attention",
    "spatial attention",
    "contrastive loss",
    "warmup steps",
    "encoder depth",
    "dropout",
)
CLUSTERS = [
    pytest.param(name, marks=pytest.mark.clusters) if name in ("dask", "ray") else name
    for name in ENGINES
    if name not in ("local", "auto")
]


def corpus(papers: int = 60, planners: int = 4) -> tuple[list[Plan], list[Plan]]:
    """Gold and plans that differ from each other, by arithmetic."""
    pick = [entry(PARTS[at % 7], "REPLACE", [f"{at}", PARTS[at % 5]], ["accuracy"]) for at in range(35)]
    golds = [gold(*pick[at % 7 : at % 7 + 3], paper=f"p{at:03}") for at in range(papers)]
    plans = [
        plan(*pick[(at * who) % 30 : (at * who) % 30 + 4], paper=f"p{at:03}", planner=f"planner-{who}")
        for who in range(planners)
        for at in range(papers)
    ]
    return golds, plans


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.csv"))}


def written(folder: Path, where: Any) -> dict[str, str]:
    """The hashes of a run's tables when its work is done by that engine."""
    golds, plans = corpus()
    score_run(plans, golds, LEXICAL, executor=where, out=folder)
    return hashes(folder)


class Deadly:
    """Work that kills the process it is done in, once: the first to get there leaves a flag."""

    def __init__(self, work: Callable[[Any], Any], flag: Path, times: int = 1) -> None:
        self.work, self.flag, self.times = work, flag, times

    def __call__(self, items: Any) -> Any:
        for time in range(self.times):
            try:
                self.flag.with_name(f"{self.flag.name}-{time}").touch(exist_ok=False)
            except FileExistsError:
                continue
            os.kill(os.getpid(), signal.SIGKILL)
        return self.work(items)


def deadly(where: Any, flag: Path, times: int = 1) -> Any:
    """An engine whose second batch of work kills its worker."""

    def killing(work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        return where(Deadly(work, flag, times), items)

    return killing


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers find this module."""
    here = str(Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")])))


def test_results_keep_the_order_of_the_work() -> None:
    with open_executor("processes", 2) as where:
        assert list(where(abs, range(-300, 0))) == list(range(300, 0, -1))


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_same_bytes_whatever_the_engine(name: str, tmp_path: Path) -> None:
    expected = written(tmp_path / "local", map)
    for workers in (1, 2):
        with open_executor(name, workers) as where:
            assert written(tmp_path / f"{name}-{workers}", where) == expected


def heavy(item: int) -> tuple[int, int]:
    sleep(0.12)  # more than HEAVY
    return item, os.getpid()


def light(item: int) -> tuple[int, int]:
    return item, os.getpid()


def test_auto_leaves_long_work_to_processes() -> None:
    with open_executor("auto", 2) as where:
        results = list(where(heavy, range(60)))
        again = list(where(light, range(9)))
        short = list(where(light, range(2)))
    here = os.getpid()
    assert [item for item, _ in results] == list(range(60))
    processes = [process for _, process in results]
    assert processes[0] == here
    assert processes[-1] != here
    assert here not in processes[processes.index(processes[-1]) :], "once handed over, all of it is"
    assert [item for item, _ in again] == list(range(9))
    assert here not in {process for _, process in again}, "they run already"
    assert short == [(0, here), (1, here)]


def test_auto_keeps_short_work_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "Pool", no_encoder)
    with open_executor("auto", 2) as where:
        assert list(where(light, range(500))) == [(item, os.getpid()) for item in range(500)]


def test_auto_starts_nothing_for_a_few_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "Pool", no_encoder)
    with open_executor("auto", 2) as where:
        assert [item for item, _ in where(heavy, range(executors.FEW))] == [0, 1, 2]


def test_auto_adds_up_short_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "HEAVY", 60.0)
    monkeypatch.setattr(executors, "LONG", 0.0)
    with open_executor("auto", 2) as where:
        assert len({process for _, process in where(heavy, range(60))}) > 1


def test_auto_on_one_processor_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "Pool", no_encoder)
    with open_executor("auto", 1) as where:
        assert {process for _, process in where(heavy, range(3))} == {os.getpid()}


@pytest.mark.parametrize("error", [BlockingIOError("no more processes"), RuntimeError("can't start new thread")])
def test_auto_does_without_processes_that_cannot_start(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(pool: object) -> None:
        raise error

    monkeypatch.setattr(processes.Pool, "start", refused)
    with open_executor("auto", 2) as where:
        assert list(where(heavy, range(6))) == [(item, os.getpid()) for item in range(6)]
    with pytest.raises(type(error)), open_executor("processes", 2):
        pass


def test_nothing_in_the_current_folder_is_run(tmp_path: Path) -> None:
    """A folder of somebody else's plans may hold modules named like those that processes load when they start."""
    golds, plans = corpus(4, 2)
    for name, some in (("gold.jsonl", golds), ("plans.jsonl", plans)):
        (tmp_path / name).write_text(write_plans(some, "jsonl"))
    for name in ("joblib", "queue", "secrets", "select", "evalkit"):
        (tmp_path / f"{name}.py").write_text(f"open('run-{name}', 'w').close()\n")
    words = ["score", "--pred", "plans.jsonl", "--gold", "gold.jsonl", "--matcher", "lexical", "--engine", "processes",
             "--workers", "2", "--no-cache", "--out", "run"]  # fmt: skip
    place = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    done = subprocess.run([sys.executable, "-P", "-m", "evalkit", *words], cwd=tmp_path, env=place,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "leaderboard.csv").exists()
    assert list(tmp_path.glob("run-*")) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell of POSIX")
def test_processes_are_done_without_where_standard_error_is_closed(tmp_path: Path) -> None:
    program = (
        "import os, sys; from evalkit.scoring.executors import open_executor\n"
        "assert sys.stderr is None\n"
        "with open_executor('processes', 2) as where: print(*where(abs, [-1, -2]))"
    )
    words = ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, program]
    done = subprocess.run(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1 2\n")


def first_byte(item: bytes) -> int:
    sleep(0.2)
    return item[0]


def test_a_full_pipe_does_not_hold_up_a_stop() -> None:
    with open_executor("processes", 2) as where:
        results = where(first_byte, (b"x" * 2_000_000 for _ in range(40)))
        assert next(results) == ord("x")
        feeders = [thread for thread in threading.enumerate() if thread.name == "QueueFeederThread"]
    assert feeders
    assert not any(thread.is_alive() for thread in feeders)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_processes_go_with_one_that_was_killed(tmp_path: Path) -> None:
    program = (
        "import os, signal; from evalkit.scoring.executors import open_executor; import test_engines\n"
        "with open_executor('processes', 2) as where:\n"
        "    there = set()\n"
        "    while len(there) < 2: there |= {process for _, process in where(test_engines.heavy, range(4))}\n"
        "    print('both', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    started = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, process_group=0, stdout=subprocess.PIPE)
    # Standard output is at its end only when all who inherited it are gone.
    assert started.communicate(timeout=60)[0] == b"both\n"
    assert started.returncode == -signal.SIGKILL


def test_auto_starts_few_processes_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joblib.effective_n_jobs", lambda wanted: 64 if wanted == -1 else wanted)
    for wanted, most, count in ((0, executors.MOST_UNASKED, 4), (0, 256, 64), (7, executors.MOST_UNASKED, 7)):
        made: list[int] = []

        class Made:
            def __init__(self, workers: int, made: list[int] = made) -> None:
                made.append(workers)

            def start(self) -> None:
                """Do nothing."""

            close = start

        monkeypatch.setattr(processes, "Pool", Made)
        with processes.started_pool(wanted, most):
            assert made == [count]


def test_auto_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.scoring.pipeline.BATCH", 7)
    handed, whole = [], processes.Pool.submit
    monkeypatch.setattr(processes.Pool, "submit", lambda self, *call: handed.append(call) or whole(self, *call))
    with open_executor("auto", 2) as where:
        assert len(list(where(heavy, range(60)))) == 60
        started = len(handed)
        assert written(tmp_path / "auto", where) == written(tmp_path / "local", map)
    assert len(handed) > started > 0


def test_a_worker_without_a_library_is_refused() -> None:
    there = {name: text for name, text in environment().items() if name != "scipy"}
    with pytest.raises(EngineError, match=r"scipy absent \(here"):
        executors._value(pickle.dumps((there, pickle.dumps(1))))


@pytest.mark.clusters
@pytest.mark.parametrize(("kind", "what"), [("code", "evalkit's code"), ("library", r"rapidfuzz 0\.0\.1 \(here [1-9]")])
def test_one_worker_of_a_cluster_that_differs_is_refused(kind: str, what: str, tmp_path: Path) -> None:
    """A Dask cluster of one worker as this process is, and one that finds something else: a changed line of the
    matcher, or the name of another version of a library."""
    from distributed import LocalCluster

    other = tmp_path / "other"
    if kind == "code":
        source = Path(executors.__file__).parent.parent
        shutil.copytree(source, other / "evalkit", ignore=shutil.ignore_patterns("__pycache__"))
        with (other / "evalkit" / "matching" / "assign.py").open("a") as stream:
            stream.write("\n# another line\n")
    else:
        (folder := other / "rapidfuzz-0.0.1.dist-info").mkdir(parents=True)
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: rapidfuzz\nVersion: 0.0.1\n")
    found = os.environ | {"PYTHONPATH": os.pathsep.join((str(other), os.environ["PYTHONPATH"]))}
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        words = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address, "--nthreads", "1",
                 "--no-dashboard", "--local-directory", str(tmp_path)]  # fmt: skip
        with subprocess.Popen(words, env=found, cwd=tmp_path, stderr=subprocess.DEVNULL) as worker:
            try:
                while len(cluster.scheduler_info["workers"]) < 2:
                    sleep(0.1)
                refused = pytest.raises(EngineError, match=what)
                with refused, open_executor("dask", 0, cluster.scheduler_address) as where:
                    list(where(abs, range(200)))
            finally:
                worker.terminate()


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_same_bytes_after_a_worker_was_killed(name: str, tmp_path: Path) -> None:
    expected = written(tmp_path / "local", map)
    with open_executor(name, 2) as where:
        assert written(tmp_path / name, deadly(where, tmp_path / "flag")) == expected
    assert (tmp_path / "flag-0").exists(), "no worker was killed"


@pytest.mark.slow
@pytest.mark.parametrize("name", CLUSTERS)
def test_work_that_always_kills_is_one_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="workers of the engine died"), open_executor(name, 2) as where:
        written(tmp_path / name, deadly(where, tmp_path / "flag", times=200))
    assert not (tmp_path / name).exists()
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("flag")] == []


# With the real model, over the bundled sample.


class Sample:
    """The sample project, scored by one process with nothing kept, and a cache that knows the vectors of its texts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_texts(sample_project(folder))
        with closing(Store(folder / "known" / "vectors.sqlite", pytest.fail)) as store:
            # Under other settings: the vectors are known then, and the decisions are still to be made.
            self.score(folder / "group", map, store, Settings(model=MINILM, alignment="group", resamples=99))
        self.expected = self.score(folder / "local", map, None)[0]

    def score(
        self, out: Path, where: Any, store: Store | None, settings: Settings | None = None
    ) -> tuple[dict[str, str], set[str]]:
        """The hashes of a run's tables, and which kinds of work it took."""
        work = set()

        def shown(what: str, done: int, total: int) -> None:
            work.add(what)

        plans, lists, settings = (
            self.folder / "plans",
            self.folder / "gold",
            settings or Settings(model=MINILM, resamples=99),
        )
        score_run(plans, lists, settings, progress=shown, executor=where, cache=store, out=out)
        return hashes(out), work


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    try:
        find_encoder_here(MINILM)
    except ModelError as error:
        pytest.skip(str(error))
    return Sample(tmp_path_factory.mktemp("sample"))


@pytest.mark.clusters
@pytest.mark.parametrize("name", ENGINES)
def test_the_real_model_gives_the_same_bytes_everywhere(
    name: str, sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evalkit.scoring.pipeline.BATCH", 3)  # the sample is small: cut so that every worker gets some
    monkeypatch.setattr("evalkit.scoring.pipeline.TEXT_BATCH", 100)
    shutil.copytree(sample.folder / "known", tmp_path / "warm")
    with open_executor(name, 0 if name == "local" else 2) as where:
        for cache, work in (("cold", {"Embedding texts", "Scoring plans"}), ("warm", {"Scoring plans"})):
            with closing(Store(tmp_path / cache / "vectors.sqlite", pytest.fail)) as store:
                assert sample.score(tmp_path / cache / "run", where, store) == (sample.expected, work), cache
    assert len(sample.expected) == len(TABLES)


def wrong(items: Any) -> Any:
    raise InputError("calibration.json: no such file")


def test_a_user_error_in_a_worker_stays_one() -> None:
    with pytest.raises(InputError, match="no such file"), open_executor("processes", 2) as where:
        list(where(wrong, range(3)))


def test_an_address_is_for_clusters_only() -> None:
    with pytest.raises(EngineError, match="only dask and ray"), open_executor("processes", 2, "tcp://somewhere:8786"):
        pass


def no_encoder(name: str) -> Any:
    raise AssertionError("nobody asked for a model")


def test_a_process_loads_a_model_once(tmp_path: Path) -> None:
    sent = pickle.dumps(CachedEncoder("model", Store(tmp_path / "vectors.sqlite"), no_encoder))
    assert pickle.loads(sent) is pickle.loads(sent)


# How work is handed out, with workers that are made up.


class Gone(Exception):
    """A worker is not there any more."""


class Desk:
    """Does work when it is waited for; the pieces in `deadly` are lost so many times first."""

    def __init__(self, deadly: dict[int, int] | None = None) -> None:
        self.deadly, self.handed, self.cancelled = deadly or {}, [], 0

    def submit(self, work: bytes, item: bytes) -> Callable[[], bytes]:
        self.handed.append(pickle.loads(item))
        return lambda: self.wait(work, item)

    def wait(self, work: bytes, item: bytes) -> bytes:
        if self.deadly.get(pickle.loads(item), 0):
            self.deadly[pickle.loads(item)] -= 1
            raise Gone
        return executors._run(work, item)

    def cancel(self) -> None:
        self.cancelled += 1


def map_of(desk: Desk, *, shared_fate: bool = False, workers: int = 1) -> Executor:
    return Executor(workers, (Gone,), desk.submit, desk.cancel, shared_fate=shared_fate)


def test_pending_work_is_bounded() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for at in range(1000):
            taken.append(at)
            yield at

    results = map_of(Desk(), workers=2)(str, items())
    assert next(results) == "0"
    assert len(taken) == 2 * executors.AHEAD
    assert [next(results) for _ in range(10)] == [str(at) for at in range(1, 11)]
    assert len(taken) == 2 * executors.AHEAD + 10


@pytest.mark.parametrize(("shared_fate", "again"), [(False, [1]), (True, [1, 2, 3])])
def test_work_lost_with_a_worker_is_submitted_again(shared_fate: bool, again: list[int]) -> None:
    desk = Desk({1: 1})
    assert list(map_of(desk, shared_fate=shared_fate)(str, range(4))) == ["0", "1", "2", "3"]
    assert desk.handed == [0, 1, 2, 3, *again]
    assert desk.cancelled == int(shared_fate)


def test_work_may_be_lost_twice_but_not_thrice() -> None:
    assert list(map_of(Desk(dict.fromkeys(range(5), 2)))(str, range(5))) == list("01234")
    results = map_of(Desk({3: 3}))(str, range(5))
    assert [next(results) for _ in range(3)] == list("012")
    with pytest.raises(EngineError, match=r"again and again .* \(Gone\)"):
        next(results)


def test_work_that_nobody_waits_for_is_cancelled() -> None:
    desk = Desk()
    results = map_of(desk)(str, range(9))
    next(results)
    results.close()
    assert desk.cancelled == 1
    list(map_of(desk)(str, range(9)))
    assert desk.cancelled == 1, "all of it came back"


def test_a_worker_unpickles_its_work_once() -> None:
    work = pickle.dumps(partial(together, seen=[]))
    results = [executors._value(executors._run(work, pickle.dumps(at))) for at in range(3)]
    assert results == [[0], [0, 1], [0, 1, 2]]


def together(item: int, seen: list[int]) -> list[int]:
    seen.append(item)
    return seen


def test_a_function_of_a_notebook_reaches_a_worker() -> None:
    with open_executor("processes", 2) as where:
        assert list(where(lambda item: item + 1, range(3))) == [1, 2, 3]


def test_an_executor_goes_on_after_an_abandoned_run() -> None:
    with open_executor("processes", 2) as where:
        results = where(abs, range(-300, 0))
        assert next(results) == 300
        results.close()
        assert list(where(abs, [-1, -2])) == [1, 2]


HELD: list[bytes] = []


def holding(item: int) -> int:
    """Work after which a worker has 400 MB more than before, as after loading a model."""
    import os
    import time

    HELD.extend([os.urandom(1) * 400_000_000] * (not HELD))
    time.sleep(0.6)
    return os.getpid()


@pytest.mark.slow
def test_a_worker_that_loads_a_model_is_kept(recwarn: pytest.WarningsRecorder) -> None:
    """Joblib takes the growth for a leak and would have it loaded again, with a warning."""
    with open_executor("processes", 2) as run:
        assert len(set(run(holding, range(12)))) == 2
    assert not [warning for warning in recwarn if "worker stopped" in str(warning.message)]


def test_a_worker_loads_neither_pandas_nor_a_model() -> None:
    """Its start is what a run waits for."""
    program = (
        "import sys; from evalkit.scoring import processes; processes._preload(0); "
        "print([m for m in ('pandas', 'torch', 'sentence_transformers', 'joblib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_papers_are_the_same_however_many_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are written when a planner is done, and a planner may end in the middle of a batch."""
    expected = written(tmp_path / "whole", map)
    monkeypatch.setattr("evalkit.scoring.pipeline.BATCH", 7)
    for held in (1, 50, 100):
        monkeypatch.setattr("evalkit.scoring.run_writer.FLUSH_AT", held)
        assert written(tmp_path / f"held-{held}", map) == expected


def alive(group: int) -> list[str]:
    """The processes of a group that have not ended."""
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            name, _, rest = place.read_text().rpartition(") ")
            state, _, leader = rest.split()[:3]
            found += [f"{name}) {state}"] if int(leader) == group and state not in "ZX" else []
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("wait", [*(pytest.param(wait, marks=pytest.mark.slow) for wait in (0.0, 0.1, 1.5)), 0.4])
@pytest.mark.parametrize("how", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_no_process_remains_of_a_command_that_was_ended(how: str, wait: float, tmp_path: Path) -> None:
    """Sent to the first process alone, while it starts the others and while they work."""
    program = (
        "import signal, time; from evalkit import cli; from evalkit.scoring import pipeline, processes\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # whoever runs the tests may ignore these
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
        "opened = processes.Pool.start\n"
        "processes.Pool.start = lambda pool: (print('open', flush=True), opened(pool))\n"
        "pipeline.score_run = lambda *_, executor, **__: list(executor(time.sleep, [60] * 4))\n"
        "cli.main()"
    )
    words = ["score", "--pred", "p", "--gold", "g", "--engine", "processes", "--workers", "2", "--no-cache"]
    started = subprocess.Popen(
        [sys.executable, "-c", program, *words], cwd=tmp_path, text=True, process_group=0,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert started.stdout is not None
    assert started.stdout.readline() == "open\n"
    sleep(wait)
    started.send_signal(getattr(signal, how))
    _, wrong = started.communicate(timeout=30)
    assert wrong == "evalkit: error: stopped; nothing is left half-written, and what was kept is kept\n"
    assert started.returncode == {"SIGTERM": 143, "SIGHUP": 129, "SIGINT": 130}[how]
    for _ in range(100):
        if not (left := alive(started.pid)):
            break
        sleep(0.1)
    assert left == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals of POSIX")
def test_a_hangup_that_is_ignored_stays_so() -> None:
    program = (
        "import signal; from evalkit import cli; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from evalkit.cli import formats\n"
        "formats.command.callback = lambda as_json: (signal.raise_signal(signal.SIGHUP), print('done'))\n"
        "cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", program, "formats"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


@contextmanager
def listening(greeting: bytes) -> Iterator[int]:
    """A port where something else listens: it says this to whoever comes, and nothing more."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(5)
        held = []

        def serve() -> None:
            with suppress(OSError):
                while True:
                    held.append(server.accept()[0])
                    held[-1].sendall(greeting)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        for one in held:
            one.close()


ADDRESSES = (
    "nonsense", "x y", "tcp://127.0.0.1:1", "tls://127.0.0.1:1", "http://127.0.0.1:8786", "127.0.0.1:99999",
    "tcp://[::1", "inproc://x", "tcp://nohost.invalid:8786", "tcp://127.0.0.1:SILENT", "tcp://127.0.0.1:SSH",
)  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_wrong_address_of_a_cluster_is_one_error(
    address: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "ANSWER", 0.5)
    with listening(b"") as silent, listening(b"SSH-2.0-OpenSSH_9.2\r\n" * 9) as ssh:
        place = address.replace("SILENT", str(silent)).replace("SSH", str(ssh))
        with pytest.raises(EngineError) as error, open_executor("dask", 1, place):
            pass
    message = str(error.value)
    assert message.startswith(f"--address {place}: no Dask scheduler answers there (")
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "address",
    [
        "nonsense",
        "x y",
        "127.0.0.1:1",
        "127.0.0.1:99999",
        "[::1]:1",
        "nohost.invalid:1",
        "127.0.0.1:SILENT",
        "127.0.0.1:SSH",
    ],
)
def test_a_wrong_address_of_a_ray_cluster_is_one_error(
    address: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "ANSWER", 0.5)
    with listening(b"") as silent, listening(b"SSH-2.0-OpenSSH_9.2\r\n" * 9) as ssh:
        place = address.replace("SILENT", str(silent)).replace("SSH", str(ssh))
        with pytest.raises(EngineError) as error, open_executor("ray", 1, place):
            pass
    message = str(error.value)
    assert message.startswith(f"--address {place}: no Ray cluster answers there (")
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")


@pytest.mark.clusters
def test_a_running_ray_cluster_is_reached_by_its_address() -> None:
    ray = pytest.importorskip("ray")
    program = (
        "import sys\nfrom evalkit.scoring.executors import open_executor\n"
        "with open_executor('ray', 1, sys.argv[1]) as where: print(list(where(abs, [-1, 2, -3])))"
    )
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        address = ray.get_runtime_context().gcs_address
        done = subprocess.run([sys.executable, "-c", program, address], capture_output=True, text=True, timeout=120)
    finally:
        ray.shutdown()
    assert done.stdout == "[1, 2, 3]\n", done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals of POSIX")
def test_ctrl_c_while_processes_start_is_not_lost() -> None:
    program = (
        "import os, signal, time\nfrom joblib.externals.loky.process_executor import ProcessPoolExecutor\n"
        "from evalkit.scoring.executors import open_executor\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "submit = ProcessPoolExecutor.submit\n"
        "def interrupted(pool, *words):\n    os.kill(os.getpid(), signal.SIGINT)\n    return submit(pool, *words)\n"
        "ProcessPoolExecutor.submit = interrupted\n"
        "try:\n    with open_executor('processes', 2) as where: list(where(time.sleep, [60] * 4))\n"
        "except KeyboardInterrupt: print('stopped')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert (done.stdout, done.stderr) == ("stopped\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals of POSIX")
@pytest.mark.parametrize("wait", [0.0, 0.3, 1.0])
def test_ctrl_c_stops_the_first_process_only(wait: float) -> None:
    """A terminal sends it to all of them, also while they are still loading."""
    program = (
        "import signal, time\nfrom evalkit.scoring.executors import open_executor\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # whoever runs the tests may ignore it
        "try:\n    with open_executor('processes', 2) as where:\n"
        "        print('open', flush=True); list(where(time.sleep, [60] * 4))\n"
        "except KeyboardInterrupt: print('stopped')"
    )
    started = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "open\n"
    sleep(wait)
    os.killpg(started.pid, signal.SIGINT)
    answer, wrong = started.communicate(timeout=30)
    assert (answer, wrong) == ("stopped\n", "")
