"""Faults: kills, full and read-only disks, broken caches, others at work in the same place; `make faults` runs them.

Whatever happens, there is a clear error or a correct result: a run folder loads as a whole or is not there, and the
next run works. The runs are real processes; at the end a table says what was tried how often and what came of it.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from evalkit.errors import InputError
from evalkit.storage.runs import load_run

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="needs signals and limits of POSIX")]
KILLS = 50
PARTS = ("gate", "attention", "contrastive loss", "λ weight", "encoder depth", "dropout", "positional embedding")
OUTCOMES: dict[str, Counter[str]] = {}
# A process that has everything loaded and forks a run for each line it reads, so that a kill meets work, not imports.
WARM = """
import json, os, sys
import evalkit.cli.score, evalkit.scoring.pipeline, evalkit.scoring.run_writer, evalkit.storage.runs
import evalkit.scoring.executors, evalkit.report.console, evalkit.report.run_page
import scipy.optimize, scipy.special, rapidfuzz.process
from evalkit.cli import main
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        os.setpgrp()
        sys.argv = json.loads(line)
        sys.stdout = sys.stderr = open(os.devnull, "w")
        try:
            main()
        except SystemExit as end:
            os._exit(end.code or 0)
        except BaseException:
            os._exit(1)
        os._exit(0)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


def note(fault: str, outcome: str) -> None:
    OUTCOMES.setdefault(fault, Counter())[outcome] += 1


@pytest.fixture(scope="module", autouse=True)
def message(request: pytest.FixtureRequest) -> Iterator[None]:
    """The table, whatever is captured."""
    yield
    lines = [f"{'fault':<52} {'tried':>5}  outcomes"]
    for fault, seen in OUTCOMES.items():
        what = ", ".join(f"{times} {outcome}" for outcome, times in sorted(seen.items()))
        lines.append(f"{fault:<52} {seen.total():>5}  {what}")
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("\n\n" + "\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty papers and three planners, one of whom plans well."""
    top, rng = tmp_path_factory.mktemp("project"), random.Random(0)
    for number in range(40):
        listed = [{"name": part, "ablated_part": part, "action": "REMOVE"} for part in rng.sample(PARTS, 4)]
        (top / "gold").mkdir(exist_ok=True)
        (top / "gold" / f"p{number}.json").write_text(json.dumps(listed), encoding="utf-8")
        for planner, size in (("good", 4), ("half", 2), ("bad", 0)):
            other = [{"name": f"x{i}", "ablated_part": f"warmup {i}", "action": "ADD"} for i in range(3)]
            (top / "plans" / planner).mkdir(parents=True, exist_ok=True)
            content = json.dumps(listed[:size] + other)
            (top / "plans" / planner / f"p{number}.json").write_text(content, encoding="utf-8")
    return top


def argv(project: Path, out: Path, *more: str) -> list[str]:
    pred, gold = str(project / "plans"), str(project / "gold")
    return [
        "evalkit", "score", "--pred", pred, "--gold", gold, "--out", str(out), "--matcher", "lexical",
        "--resamples", "199", *more,
    ]  # fmt: skip


def run(command: list[str], **how: object) -> subprocess.CompletedProcess[str]:
    """A run in a fresh process."""
    program = "from evalkit.cli import main; main()"
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-c", program, *command[1:]], capture_output=True, text=True, check=False, **how
    )


def tables(folder: Path) -> dict[str, bytes]:
    """What a run says: every file of its folder, but of run.json only what pins the numbers."""
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    meta = json.loads(found.pop("run.json"))
    return found | {"signature": json.dumps(meta["signature"]).encode(), "totals": json.dumps(meta["totals"]).encode()}


@pytest.fixture(scope="module")
def expected(project: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What an undisturbed run says."""
    out = tmp_path_factory.mktemp("expected") / "run"
    done = run(argv(project, out, "--no-cache"))
    assert done.returncode == 0, done.stderr
    return tables(out)


def clear_error(done: subprocess.CompletedProcess[str]) -> bool:
    """One line that says what is wrong, with the exit code of a user's error, and no traceback."""
    answer = [line for line in done.stderr.splitlines() if line.startswith("evalkit: error: ")]
    return done.returncode == 2 and len(answer) == 1 and "Traceback" not in done.stderr


class Warm:
    """The process that forks runs."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WARM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

        self.running = False

    def start(self, command: list[str]) -> int:
        """Begin a run; gives its process."""
        if self.running:  # a test failed in the middle
            self.end()
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        self.running = True
        pid = int(self.process.stdout.readline())
        assert pid > 1
        return pid

    def end(self) -> int:
        """How the run ended."""
        assert self.process.stdout
        self.running = False
        return int(self.process.stdout.readline())

    def run(self, command: list[str]) -> int:
        """A run from beginning to end."""
        self.start(command)
        return self.end()


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    process = Warm()
    yield process
    assert process.process.stdin
    process.process.stdin.close()
    process.process.wait(timeout=60)


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_killed_at_any_moment(project: Path, expected: dict[str, bytes], warm: Warm, tmp_path: Path) -> None:
    """Fifty kills, half of them while an older run is replaced, all with one cache: nothing half done is ever seen."""
    rng, cache, out = random.Random(7), tmp_path / "cache", tmp_path / "runs" / "run"
    command = argv(project, out, "--force", "--cache", str(cache))
    assert warm.run(command) == 0
    started = time.perf_counter()
    assert warm.run(command) == 0
    lasts, killed = time.perf_counter() - started, 0
    for number in range(500):
        replacing = number % 2 == 1
        if not replacing:
            shutil.rmtree(out, ignore_errors=True)
        elif not out.exists():
            assert warm.run(command) == 0
        pid = warm.start(command)
        time.sleep(rng.uniform(0, lasts))
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        ended = warm.end()
        fault = "killed while replacing a run" if replacing else "killed"
        if out.exists():
            assert tables(out) == expected
            assert len(load_run(out).papers) == 120
        elif replacing:
            assert any("~" in name for name in hidden(out.parent))
        else:
            with pytest.raises(InputError):
                load_run(out)
        if ended == -signal.SIGKILL:
            killed += 1
            note(fault, "whole run in place" if out.exists() else "no run")
        if number % 10 == 9:
            started = time.perf_counter()
            assert warm.run(command) == 0
            lasts = time.perf_counter() - started
            assert tables(out) == expected
            assert not hidden(out.parent)
            note("the next run after kills", "right, nothing left behind")
        if killed == KILLS:
            break
    assert killed == KILLS


def test_two_runs_into_one_folder_at_once(project: Path, expected: dict[str, bytes], tmp_path: Path) -> None:
    """One of them is told that the other was faster."""
    for number in range(3):
        out = tmp_path / f"run-{number}"
        command = [sys.executable, "-c", "from evalkit.cli import main; main()", *argv(project, out, "--no-cache")[1:]]
        both = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in "ab"]
        answer = [process.communicate()[1] for process in both]
        assert sorted(process.returncode for process in both) == [0, 2]
        assert "exists already" in "".join(answer)
        assert tables(out) == expected
        assert not hidden(tmp_path)
        note("two runs into one folder at once", "one is written, the other told")


@contextmanager
def small_disk(place: Path, size: str, *, read_only: bool = False) -> Iterator[Path]:
    """A disk of its own; skips where none may be mounted."""
    place.mkdir()
    options = f"size={size}{',ro' * read_only}"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.skipif(not shutil.which("mount"), reason="there is no mount")
@pytest.mark.parametrize("size", ["4k", "16k", "64k", "128k"])
def test_a_full_disk(project: Path, expected: dict[str, bytes], tmp_path: Path, size: str) -> None:
    with small_disk(tmp_path / "disk", size) as disk:
        done = run(argv(project, disk / "run", "--no-cache"))
        if done.returncode == 0:
            assert tables(disk / "run") == expected
            note("a full disk for the run", "right")
        else:
            assert clear_error(done), done.stderr
            assert "no space left" in done.stderr
            assert not list(disk.iterdir())
            note("a full disk for the run", "clear error, nothing left behind")


@pytest.mark.skipif(not shutil.which("mount"), reason="there is no mount")
@pytest.mark.parametrize("size", ["4k", "64k"])
@pytest.mark.parametrize("what", ["cache", "temporary files"])
def test_a_full_disk_beside_the_run(
    project: Path, expected: dict[str, bytes], tmp_path: Path, size: str, what: str
) -> None:
    """A cache that cannot grow costs time and no result; a run that cannot put plans aside says so."""
    with small_disk(tmp_path / "disk", size) as disk:
        if what == "cache":
            done = run(argv(project, tmp_path / "run", "--cache", str(disk / "cache")))
        else:
            done = run(argv(project, tmp_path / "run", "--no-cache"), env={**os.environ, "TMPDIR": str(disk)})
    right = done.returncode == 0 and tables(tmp_path / "run") == expected
    assert right or (what != "cache" and clear_error(done)), done.stderr
    note(f"a full disk for the {what}", "right" if right else "clear error")


@pytest.mark.parametrize("most", [1_000, 10_000, 30_000, 100_000])
def test_files_that_may_not_grow(project: Path, expected: dict[str, bytes], tmp_path: Path, most: int) -> None:
    """What a quota does: every file ends at a limit, those of the cache too."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    done = run(argv(project, tmp_path / "run", "--cache", str(tmp_path / "cache")), preexec_fn=limit)
    if done.returncode == 0:
        assert tables(tmp_path / "run") == expected
    else:
        assert clear_error(done), done.stderr
        assert not (tmp_path / "run").exists()
    note("files that may not grow", "right" if done.returncode == 0 else "clear error")
    assert not hidden(tmp_path)


@pytest.mark.skipif(not shutil.which("mount"), reason="there is no mount")
def test_a_read_only_disk(project: Path, expected: dict[str, bytes], tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m", read_only=True) as disk:
        done = run(argv(project, disk / "run", "--no-cache"))
        assert clear_error(done), done.stderr
        assert "read-only file system" in done.stderr
        note("read-only output", "clear error")
        done = run(argv(project, tmp_path / "run", "--cache", str(disk / "cache")))
        assert done.returncode == 0, done.stderr
        assert tables(tmp_path / "run") == expected
        note("read-only cache", "right")


def test_an_output_that_is_a_link(project: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    for more in ([], ["--force"]):
        done = run(argv(project, tmp_path / "run", "--no-cache", *more))
        assert clear_error(done), done.stderr
        note("output that is a link elsewhere", "clear error, nothing written there")
    assert not list((tmp_path / "elsewhere").iterdir())


def unprivileged() -> list[str]:
    """What takes from root the right to read everything."""
    if os.geteuid():
        return []
    if not shutil.which("setpriv"):
        pytest.skip("root may read everything, and there is no setpriv")
    rights = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"]


def test_files_that_may_not_be_read(project: Path, tmp_path: Path) -> None:
    """A plan that may not be read is an empty plan, and told; a folder of plans that may not be entered is an error."""
    mine = tmp_path / "mine"
    shutil.copytree(project, mine)
    (mine / "plans" / "good" / "p0.json").chmod(0)
    (mine / "plans" / "bad").chmod(0)
    os.mkfifo(mine / "plans" / "half" / "pipe.md")
    program = [*unprivileged(), sys.executable, "-c", "from evalkit.cli import main; main()"]

    def score(out: str) -> subprocess.CompletedProcess[str]:
        command = [*program, *argv(mine, tmp_path / out, "--no-cache")[1:]]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    done = score("run")
    assert done.returncode == 0, done.stderr
    found = load_run(tmp_path / "run")
    message = found.diagnostics[found.diagnostics["code"] == "unreadable"]["path"].map(lambda path: Path(path).name)
    assert sorted(message) == ["bad", "p0.json", "pipe.md"]
    first = found.papers[(found.papers["planner"] == "good") & (found.papers["paper"] == "p0")].iloc[0]
    assert (first["status"], first["match_recall"]) == ("unreadable", 0)
    note("plans that may not be read", "told, and counted as unreadable")
    (mine / "gold").chmod(0)
    done = score("other")
    assert clear_error(done), done.stderr
    note("gold that may not be read", "clear error")
    (mine / "gold").chmod(0o700)
    (mine / "plans" / "bad").chmod(0o700)


BACK = (
    "import time; real = time.time; time.time = lambda: real() - 10**8; time.strftime = lambda *a: '2001-01-01-000000'"
)


def test_a_clock_that_was_set_back(project: Path, tmp_path: Path) -> None:
    """Files from the future, a cache from the future, the same second twice: names do not collide, numbers stay."""
    mine = tmp_path / "mine"
    shutil.copytree(project, mine)
    assert run(argv(mine, tmp_path / "before", "--no-cache")).returncode == 0
    for path in mine.rglob("*.json"):
        os.utime(path, (2**32, 2**32))
    command = argv(mine, Path("x"), "--cache", str(tmp_path / "cache"))
    at = command.index("--out")
    command = [*command[:at], *command[at + 2 :]]
    for _ in range(3):
        program = [sys.executable, "-c", f"{BACK}\nfrom evalkit.cli import main; main()", *command[1:]]
        done = subprocess.run(program, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    runs = sorted((tmp_path / "runs").iterdir())
    assert [path.name for path in runs] == ["2001-01-01-000000", "2001-01-01-000000-1", "2001-01-01-000000-2"]
    for path in runs:
        assert tables(path) == tables(tmp_path / "before")
        note("a clock that was set back", "right")


def _truncated(path: Path, rng: random.Random) -> None:
    os.truncate(path, rng.randrange(path.stat().st_size))


def _noisy(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(200):
        content[rng.randrange(len(content))] = rng.randrange(256)
    path.write_bytes(content)


def _noise(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.randbytes(path.stat().st_size))


def _zeros(path: Path, rng: random.Random) -> None:
    start = rng.randrange(path.stat().st_size)
    content = path.read_bytes()
    path.write_bytes(content[:start] + bytes(len(content) - start))


def _empty(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"")


def _folder(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.mkdir()


HARM: dict[str, tuple[int, Callable[[Path, random.Random], None]]] = {
    "cut short": (5, _truncated),
    "with bytes changed": (5, _noisy),
    "of noise": (2, _noise),
    "with its end zeroed": (3, _zeros),
    "emptied": (1, _empty),
    "that became a folder": (1, _folder),
}


@pytest.mark.parametrize("harm", HARM)
def test_a_cache_that_was_harmed(
    project: Path, expected: dict[str, bytes], warm: Warm, tmp_path: Path, harm: str
) -> None:
    """It is made again or done without; the numbers are those of a run without a cache, twice over."""
    times, spoil = HARM[harm]
    rng, cache = random.Random(3), tmp_path / "cache"
    assert warm.run(argv(project, tmp_path / "run", "--cache", str(cache))) == 0
    kept = [path for path in cache.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm"))]
    assert kept
    for _ in range(times):
        for path in kept:
            if path.is_file():
                spoil(path, rng)
        for _ in "ab":
            assert warm.run(argv(project, tmp_path / "run", "--force", "--cache", str(cache))) == 0
            assert tables(tmp_path / "run") == expected
        note(f"a cache {harm}", "right")


def test_interrupted_by_the_user(project: Path, warm: Warm, tmp_path: Path) -> None:
    """Ctrl-C leaves nothing behind."""
    rng = random.Random(5)
    for _ in range(5):
        pid = warm.start(argv(project, tmp_path / "run", "--no-cache"))
        time.sleep(rng.uniform(0.05, 0.3))
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
        ended = warm.end()
        assert not hidden(tmp_path)
        note("interrupted by the user", "finished" if ended == 0 else "stopped, nothing left behind")
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
