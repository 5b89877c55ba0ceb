"""What evalkit costs: makes a corpus, runs each job, prints medians beside a notebook's way of doing it and the floor.

    python scripts/bench.py                       # 1,400 plans of 362 papers; the cold runs take minutes
    python scripts/bench.py --plans 140 --papers 36 --repeats 3
    python scripts/bench.py --large 100000        # also: that many plans, different ones and copies, engines, growth

Every job is a process of its own: wall time, CPU time of it and its children, and the peak of its memory. CPU time is
the figure to compare on a machine that others use too. The notebook version is the job as one would first write it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import bench_corpus

HEAVY = ("torch", "sentence_transformers", "transformers", "sklearn", "scipy", "pandas", "pyarrow")
EVALKIT = (sys.executable, "-m", "evalkit")
HERE = (sys.executable, __file__)


@dataclass(frozen=True)
class Cost:
    """What one run of a job took: seconds of wall and CPU time, peak MiB, and what it printed."""

    wall: float
    cpu: float
    peak: float
    answer: str = ""


def run(*command: object) -> Cost:
    """One process, waited for; a failure ends the benchmark with what it said."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen([str(word) for word in command], stdout=out, stderr=err)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        out.seek(0), err.seek(0)
        answer = out.read().decode()
        if status:
            sys.exit(f"{command} failed:\n{answer}\n{err.read().decode()}")
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, answer)


def median(costs: Sequence[Cost]) -> Cost:
    """The median of each figure."""
    return Cost(*(statistics.median(getattr(cost, name) for cost in costs) for name in ("wall", "cpu", "peak")))


def show(name: str, costs: Sequence[Cost], beside: dict[str, Cost] | None = None) -> Cost:
    """Print a job's medians, and how many times as long the others take."""
    cost = median(costs)
    message = [
        f"{other}: {it.wall / cost.wall:.2f}x wall, {it.cpu / cost.cpu:.2f}x CPU"
        for other, it in (beside or {}).items()
    ]
    print(
        f"{name:<34} {cost.wall:8.2f} s wall {cost.cpu:8.2f} s CPU {cost.peak:7.0f} MiB   {'; '.join(message)}",
        flush=True,
    )
    return cost


# -- the same job in a notebook, and the floors; each is run as a process: bench.py --job NAME TOP


def notebook(top: Path) -> None:
    """Per plan: read it, encode both lists, fuzzy and cosine, assignment, F1; then the mean of each planner."""
    import numpy as np
    from rapidfuzz import fuzz
    from scipy.optimize import linear_sum_assignment
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(model_folder())
    gold = {path.stem: json.loads(path.read_text())["ablations"] for path in (top / "gold").glob("*.json")}
    scores: dict[str, list[float]] = {}
    for path in sorted((top / "plans").rglob("*.md")):
        lines = path.read_text().splitlines()
        ours = [line.split(": ", 1)[1] for line in lines if line.startswith("- **Ablated Part**")]
        theirs = [item["ablated_part"] for item in gold[path.stem]]
        a, b = model.encode(theirs, normalize_embeddings=True), model.encode(ours, normalize_embeddings=True)
        fuzzy = np.array([[fuzz.token_set_ratio(x, y) / 100 for y in ours] for x in theirs])
        alike = (fuzzy + a @ b.T) / 2
        rows, columns = linear_sum_assignment(alike, maximize=True)
        hits = sum(alike[r, c] > 0.7 for r, c in zip(rows, columns, strict=True))
        scores.setdefault(str(path.parent), []).append(2 * hits / (len(theirs) + len(ours)))
    print({planner: sum(found) / len(found) for planner, found in scores.items()})


def encode(top: Path) -> None:
    """The floor of a cold run: all unique texts that the matcher needs, encoded at once by the library itself."""
    from sentence_transformers import SentenceTransformer

    texts = json.loads((top / "texts.json").read_text())
    SentenceTransformer(model_folder()).encode(texts, normalize_embeddings=True)


def read(top: Path) -> None:
    """The floor of a warm run: every file opened and read."""
    print(sum(len(path.read_bytes()) for folder in ("gold", "plans") for path in (top / folder).rglob("*.*")))


def scorer(top: Path) -> None:
    """Plans a second of a Scorer, reading left out: each plan for the first time and again, one by one; then others for
    the first time and again, by `score_many`."""
    from evalkit.scoring.load import read_plans
    from evalkit.scoring.scorer import Scorer

    gold = {plan.paper: plan for plan in read_plans(top / "gold", gold=True).plans}
    *plans, last = read_plans(top / "plans").plans
    work = [(plan, gold[plan.paper]) for plan in plans]
    one, half = Scorer(cache=top / "cache"), min(400, len(work) // 2)
    one.score(last, gold[last.paper])
    for _ in range(2):
        start = time.process_time()
        for plan, reference in work[:half]:
            one.score(plan, reference)
        print(half / (time.process_time() - start))
    others = work[half : 2 * half]
    for _ in range(2):
        start = time.process_time()
        print(sum(1 for _ in one.score_many(others)) / (time.process_time() - start))


def first(top: Path) -> None:
    """One plan read and scored, from the start of the process."""
    from evalkit.scoring.load import read_plans
    from evalkit.scoring.scorer import Scorer

    (plan,) = read_plans(changed_plan(top)).plans
    (gold,) = read_plans(top / "gold" / f"{plan.paper}.json", gold=True).plans
    print(Scorer(cache=None).score(plan, gold).score.counts.match_gold)


def stages(top: Path) -> None:
    """CPU seconds of the stages of one run in which all is new, as JSON; what is inside another stage is taken off."""
    import contextlib
    import io

    from evalkit.cli import main as evalkit
    from evalkit.scoring import matcher, pipeline, rows, run_writer

    spent, inside, failed = {"start-up": time.process_time()}, [0.0], None

    def clock(owner: Any, name: str, stage: str) -> None:
        timed = getattr(owner, name)

        def call(*given: Any, **named: Any) -> Any:
            begin = time.process_time()
            inside.append(0.0)
            try:
                return timed(*given, **named)
            finally:
                taken = time.process_time() - begin
                spent[stage] = spent.get(stage, 0.0) + taken - inside.pop()
                inside[-1] += taken

        setattr(owner, name, call)

    clock(pipeline, "load", "reading")
    clock(matcher.Matcher, "vectors", "vectors")
    clock(matcher, "batch_features", "features")
    clock(matcher, "align", "alignment")
    clock(matcher, "score_paper", "counts")
    clock(matcher, "explain", "reasons")
    clock(matcher.Matcher, "score", "other scoring")
    clock(pipeline, "batch_result", "rows")
    clock(rows, "rows_csv", "CSV of rows")
    clock(run_writer, "with_uncertainty", "statistics")
    clock(run_writer.RunWriter, "finish", "other tables")
    where = ["--pred", f"{top}/plans", "--gold", f"{top}/gold", "--out", f"{top}/run", "--cache", f"{top}/cache"]
    sys.argv = ["evalkit", "score", *where, "--force", "--engine", "local"]
    out, errors = io.TextIOWrapper(io.BytesIO()), io.TextIOWrapper(io.BytesIO())
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            evalkit()
        except SystemExit as end:
            failed = end.code
    if failed:
        sys.exit(errors.buffer.getvalue().decode())
    spent["all else"] = time.process_time() - sum(spent.values())
    print(json.dumps(spent))


def changed_plan(top: Path) -> Path:
    """The plan that is changed."""
    return next((top / "plans").rglob("*.md"))


def texts(top: Path) -> None:
    """Writes down the unique texts of the corpus."""
    from evalkit.scoring.load import read_plans
    from evalkit.scoring.matcher import texts_of

    plans = [*read_plans(top / "gold", gold=True).plans, *read_plans(top / "plans").plans]
    (top / "texts.json").write_text(json.dumps(texts_of((plan, plan) for plan in plans)))


JOBS: dict[str, Callable[[Path], None]] = {
    "notebook": notebook,
    "encode": encode,
    "read": read,
    "scorer": scorer,
    "texts": texts,
    "first": first,
    "stages": stages,
}


def model_folder() -> str:
    """Where the model of evalkit lies."""
    from evalkit.matching.embeddings import MINILM, ContextualEncoder

    return str(ContextualEncoder.find(MINILM).folder)


# -- the jobs


def score(top: Path, *options: object) -> Cost:
    """One `evalkit score` of the corpus, into a folder that is replaced."""
    where = ("--pred", top / "plans", "--gold", top / "gold", "--out", top / "run", "--force", "--cache", top / "cache")
    return run(*EVALKIT, "score", *where, *options)


def fresh(folder: Path) -> None:
    """A folder that does not exist."""
    shutil.rmtree(folder, ignore_errors=True)


def small_jobs(top: Path, repeats: int) -> None:
    """Start-up, reading, and what loads what."""
    show("evalkit --help", [run(*EVALKIT, "--help") for _ in range(repeats)])
    bare = show("python, nothing imported", [run(sys.executable, "-c", "pass") for _ in range(repeats)])
    loaded = show("import evalkit", [run(sys.executable, "-c", "import evalkit") for _ in range(repeats)])
    print(f"  import evalkit itself: {(loaded.wall - bare.wall) * 1000:.0f} ms")
    timed = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "evalkit", "score", "--pred", top / "plans", "--gold", top / "gold",
         "--out", top / "run", "--force", "--cache", top / "cache"], capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip
    found = [name for name in HEAVY if f"| {name}\n" in timed]
    print(f"  warm score by -X importtime: {timed.count('import time:')} modules, of the heavy ones {found or 'none'}")


def main_jobs(top: Path, repeats: int, cold: int) -> Cost:
    """All plans new, nothing changed, one plan changed, lexical; the notebook and the floors beside them.

    Returns what all plans new took in one process.
    """
    from evalkit.matching.embeddings import MINILM

    run(*HERE, "--job", "texts", top)
    print(f"  unique texts: {len(json.loads((top / 'texts.json').read_text()))}")
    bare = show("floor: MiniLM, bare encode", [run(*HERE, "--job", "encode", top) for _ in range(cold)])
    book = show("notebook version", [run(*HERE, "--job", "notebook", top) for _ in range(cold)])
    floor = show("floor: reading the files", [run(*HERE, "--job", "read", top) for _ in range(repeats)])
    new = []
    for name, times, options in (
        ("all plans new, one process", repeats, ("--engine", "local")),
        ("all plans new", repeats, ()),
        ("all plans new, MiniLM", cold, ("--model", MINILM)),
    ):
        costs = []
        for _ in range(times):
            fresh(top / "cache")
            costs.append(score(top, *options))
        new.append(show(name, costs, {"notebook": book, "bare encode": bare}))
    by_stage = []
    for _ in range(repeats):
        fresh(top / "cache")
        by_stage.append(json.loads(run(*HERE, "--job", "stages", top).answer))
    for stage in by_stage[0]:
        name = "floor: features alone" if stage == "features" else stage
        print(f"  {name:<32} {statistics.median(one[stage] for one in by_stage):8.2f} s CPU")
    score(top)
    warm = show("nothing changed", [score(top) for _ in range(repeats)], {"notebook": book, "reading": floor})
    show("  without statistics", [score(top, "--resamples", 0) for _ in range(repeats)])
    show("one plan changed", one_changed(top, repeats), {"nothing changed": warm})
    score(top, "--model", MINILM)
    show("one plan changed, MiniLM", one_changed(top, repeats, "--model", MINILM), {"nothing changed": warm})
    show("first plan scored", [run(*HERE, "--job", "first", top) for _ in range(repeats)])
    show("lexical only, nothing kept", [score(top, "--matcher", "lexical", "--no-cache") for _ in range(repeats)])
    rates = [[float(rate) for rate in run(*HERE, "--job", "scorer", top).answer.split()] for _ in range(repeats)]
    unseen, again, many, many_again = (statistics.median(some) for some in zip(*rates, strict=True))
    print(
        f"Scorer, 5 x 5, plans a second of CPU time on one core: {unseen:.0f} never seen and {again:.0f} seen, one by "
        f"one; {many:.0f} and {many_again:.0f} by score_many"
    )
    script = Path(__file__).with_name("bench_bootstrap.py")
    show("bootstrap, 5 planners", [run(sys.executable, script, "--papers", 362) for _ in range(repeats)])
    return new[0]


def one_changed(top: Path, repeats: int, *options: object) -> list[Cost]:
    """Score again and again, after the same plan was changed in another way each time."""
    path = changed_plan(top)
    whole, costs = path.read_text(), []
    for at in range(repeats):
        path.write_text(whole.replace("- **Ablated Part**: ", f"- **Ablated Part**: revised {at}x "))
        costs.append(score(top, *options))
    path.write_text(whole)
    return costs


def install() -> None:
    """Build a wheel and install it without extras in a fresh environment: megabytes, by package, and seconds."""
    with tempfile.TemporaryDirectory(prefix="evalkit-install-") as folder:
        top, here = Path(folder), Path(__file__).parents[1]
        try:
            subprocess.run((sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", top), cwd=here, check=True,
                           capture_output=True)  # fmt: skip
            subprocess.run((sys.executable, "-m", "venv", top / "env"), check=True, capture_output=True)
            before, start = megabytes(top / "env"), time.perf_counter()
            subprocess.run((top / "env/bin/python", "-m", "pip", "install", "-q", *top.glob("*.whl")), check=True,
                           capture_output=True)  # fmt: skip
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"base install: not measured ({error})")
            return
        taken, packages = time.perf_counter() - start, next((top / "env").rglob("site-packages"))
        sizes = {path.name: megabytes(path) for path in packages.iterdir() if path.is_dir()}
        largest = sorted(sizes, key=lambda name: -sizes[name])[:6]
        shares = ", ".join(f"{name} {sizes[name]:.0f}" for name in largest)
        print(f"base install: {megabytes(top / 'env') - before:.0f} MB in {taken:.0f} s ({shares})")


def megabytes(folder: Path) -> float:
    """Return the size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6


def hashes(folder: Path) -> str:
    """What stands for all tables of a run."""
    found = hashlib.sha256()
    for path in sorted(folder.glob("*.csv")):
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


def growth(top: Path, plans: int, papers: int) -> None:
    """The same corpus under more planners' names: warm cost, and its slope on a log scale."""
    points = []
    for copies in (1, 4, 16):
        other = top / f"x{copies}"
        bench_corpus.write(other, papers, plans, copies=copies)
        score_at(other, top, "--resamples", 0)  # every plan names its planner: these texts are new, if not their parts
        cost = score_at(other, top, "--resamples", 0)
        points.append((copies, cost))
        show(f"warm, {copies}x", [cost])
        shutil.rmtree(other)
    for (one, a), (two, b) in pairwise(points):
        slope = math.log(b.cpu / a.cpu) / math.log(two / one)
        print(f"  slope from {one}x to {two}x: {slope:.2f} (CPU), memory {b.peak / a.peak:.2f}x")


def score_at(corpus: Path, top: Path, *options: object) -> Cost:
    """A warm score of another corpus of the same texts."""
    where = ("--pred", corpus / "plans", "--gold", corpus / "gold", "--out", corpus / "run", "--force")
    return run(*EVALKIT, "score", *where, "--cache", top / "cache", *options)


def large(top: Path, plans: int, papers: int, wanted: int) -> Iterator[None]:
    """So many plans at once, by each engine; the bytes must be the same. Plans name their planner, so the first run
    reads texts that are new; what they say is known, and so are their vectors and what was decided."""
    other = top / "large"
    bench_corpus.write(other, papers, plans, copies=-(-wanted // plans))
    print(f"  {sum(1 for _ in (other / 'plans').rglob('*.md'))} plans")
    for name in ("processes, new texts", "local", "processes", "dask", "ray"):
        engine = name.partition(",")[0]
        how = ("--resamples", 0, "--engine", engine, "--workers", 0 if engine == "local" else 2)
        times = 3 if name in ("local", "processes") else 1  # they are held against each other
        show(f"{wanted} plans, {name}", [score_at(other, top, *how) for _ in range(times)])
        print(f"  tables: {hashes(other / 'run')}")
        yield
    shutil.rmtree(other)


def different(top: Path, papers: int, wanted: int, small: Cost) -> None:
    """So many plans that all say something else, nothing kept, in one process and in two; the bytes must be the same.

    `small` is what the corpus itself took, all new.
    """
    other = top / "different"
    bench_corpus.write(other, papers, wanted, seed=1)
    costs, found = {}, set()
    for engine, workers in (("local", 0), ("processes", 2)):
        fresh(top / "cache")
        cost = score_at(other, top, "--resamples", 0, "--engine", engine, "--workers", workers)
        costs[engine] = show(f"{wanted} different, {engine}", [cost])
        found.add(hashes(other / "run"))
    print(
        f"  processes: {costs['local'].wall / costs['processes'].wall:.2f}x as fast; tables: {' '.join(sorted(found))}"
    )
    plans = sum(1 for _ in (top / "plans").rglob("*.md"))
    slope = math.log(costs["local"].cpu / small.cpu) / math.log(wanted / plans)
    print(f"  slope from {plans} plans: {slope:.2f} (CPU), memory {costs['local'].peak / small.peak:.2f}x")
    shutil.rmtree(other)


def main() -> None:
    """Every job in one run."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--plans", type=int, default=1400)
    options.add_argument("--papers", type=int, default=362)
    options.add_argument("--repeats", type=int, default=5, help="of the quick jobs")
    options.add_argument("--cold", type=int, default=1, help="repeats of the jobs that encode everything")
    options.add_argument("--large", type=int, default=0, metavar="N", help="also score N plans, by every engine")
    options.add_argument("--job", choices=sorted(JOBS), help=argparse.SUPPRESS)
    options.add_argument("top", nargs="?", type=Path, help=argparse.SUPPRESS)
    wanted = options.parse_args()
    if wanted.job:
        JOBS[wanted.job](wanted.top)
        return
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory(prefix="evalkit-bench-") as folder:
        top = Path(folder) / "corpus"
        bench_corpus.write(top, wanted.papers, wanted.plans)
        print(
            f"{wanted.plans} plans of five entries, {wanted.papers} papers; "
            f"medians of {wanted.repeats} ({wanted.cold} cold)"
        )
        new = main_jobs(top, wanted.repeats, wanted.cold)
        small_jobs(top, wanted.repeats)
        growth(top, wanted.plans, wanted.papers)
        install()
        if wanted.large:
            different(top, wanted.papers, wanted.large, new)
            for _ in large(top, wanted.plans, wanted.papers, wanted.large):
                pass


if __name__ == "__main__":
    main()
