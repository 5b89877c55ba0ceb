"""Freeze everything a user sees: run the command as a user does, and compare what it writes with what is kept in git.

    .venv/bin/python scripts/goldens.py                # compare; exit code 1 and a diff where anything differs
    .venv/bin/python scripts/goldens.py --update       # write the goldens anew, for a change that is meant
    .venv/bin/python scripts/goldens.py --keep DIR     # also keep what was produced, as it was produced
    .venv/bin/python scripts/goldens.py --without-model  # only the sample, and nothing that vectors have a say in

Two collections of commands run, each in a folder of its own with relative paths and a cache of its own. `sample` is
the bundled sample with the inputs below tests/goldens/inputs: its texts are kept in full below tests/goldens/sample,
and what is large or binary as a hash in tests/goldens/digests.json. `trajectories` is the published plans of
../shared, where they exist: no plan's text may be committed, so only hashes are, in tests/goldens/trajectories.json,
and the leaderboards, which hold numbers. What was produced last lies in .goldens/ for a diff by hand.

What may differ between two machines or two days is taken out before anything is compared, and no more than that:

- `versions` in run.json and in what `--json` prints: Python and other people's packages
- the time in `provenance` of the same, on pages, and in logs for Inspect and their names
- the hashes of script and style in a page's policy; script and style themselves are code, and left out of pages
- the size of the cache on disk, as `evalkit cache` prints it
- the place of the work folder, should a path be absolute
- standard error of a terminal, where bars tell rates and times; that of a pipe is compared

Numbers are compared to the last digit. They were made with the versions in constraints.txt on one thread each; another
processor may round the last digit of a vector differently, which is then a difference of machines and not of code. So
CI compares with --without-model; a developer compares everything, after a run that was green before the change.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GOLDENS = ROOT / "tests" / "goldens"
SHARED = ROOT.parent / "shared" / "data"
PRODUCED = ROOT / ".goldens"
WORKERS = 2
LARGEST_TEXT = 40_000
MOST_LINES, MOST_FILES, WIDEST = 40, 25, 240
TEXTS = (".txt", ".csv", ".json", ".jsonl", ".md", ".xml", ".html", ".tex", ".yaml", ".yml", ".log")

Files = dict[str, bytes]
Stage = Sequence["Step"]

NORMALISED: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r'("versions": ?)\{\s*"python"[^{}]*\}'), r'\1"<versions>"'),
    (re.compile(r'("provenance": ?\{\s*"time": ?)"[^"]*"'), r'\1"<time>"'),
    (re.compile(r"(<dt>time</dt><dd><bdi>)[^<]*"), r"\1<time>"),
    (re.compile(r'("(?:created|started_at|completed_at)": ")[^"]*'), r"\1<time>"),
    (re.compile(r"&#39;sha256-[A-Za-z0-9+/=]+&#39;"), "&#39;<hash>&#39;"),
    (re.compile(r"((?:rows|judges|left), )\d+\.\d MiB"), r"\1<size> MiB"),
)


@dataclass(frozen=True)
class Step:
    """One call of evalkit: the name its output is kept under, its arguments, and what is around it.

    With `columns` it prints on a terminal of that width, else into a pipe.
    """

    name: str
    arguments: tuple[str, ...]
    columns: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)


def step(name: str, command: str, *more: str, **environment: str) -> Step:
    """A step from a line as one would type it, with arguments that hold spaces behind it."""
    return Step(name, (*command.split(), *more), environment=environment)


def wide(*steps: Step) -> list[Step]:
    """Each step on a narrow, a middling and a wide terminal; a % in its arguments becomes the width."""
    return [
        Step(f"{one.name}.{columns}", tuple(each.replace("%", str(columns)) for each in one.arguments), columns)
        for one in steps
        for columns in (80, 100, 140)
    ]


# ---------------------------------------------------------------- running


def environment(work: Path, one: Step) -> dict[str, str]:
    """The surroundings of a call: nothing of this shell's but its PATH, one thread, no colour, a home of its own."""
    home = str(work / "home")
    fixed = {
        "PATH": os.environ.get("PATH", ""), "HOME": home, "XDG_CACHE_HOME": f"{home}/cache", "PYTHONPATH": str(ROOT),
        "COLUMNS": str(one.columns or 80), "LINES": "25", "NO_COLOR": "1", "TERM": "dumb", "TZ": "UTC",
        "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1", "PYTHONHASHSEED": "0", "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
    }  # fmt: skip
    terminal = {"FORCE_COLOR": "1"} if one.columns else {}  # this is how rich is told that a pipe is a terminal
    return fixed | terminal | dict(one.environment)


def call(work: Path, one: Step) -> str:
    """Run one step in the work folder, and give what it printed and its exit code.

    What a terminal shows on standard error is left out: bars are there, with rates and times.
    """
    done = subprocess.run(
        [sys.executable, "-m", "evalkit", *one.arguments],
        cwd=work, env=environment(work, one), capture_output=True, timeout=900, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    answer, warned = (text.decode("utf-8", "backslashreplace") for text in (done.stdout, done.stderr))
    warned = f"--- terminal of {one.columns} columns\n" if one.columns else f"--- stderr\n{warned}"
    return f"$ evalkit {' '.join(one.arguments)}\n{answer}{warned}--- exit {done.returncode}\n"


def outputs(one: Step) -> list[str]:
    """Return the paths that a step is told to write to."""
    options = ("--out", "--dir", "--markdown", "--junit")
    named = [value for option, value in pairwise(one.arguments) if option in options]
    return [*named, *one.environment.values(), *(one.arguments[2:3] if one.arguments[0] == "convert" else ())]


def model_steps(stages: Iterable[Stage]) -> list[Step]:
    """Return the steps that vectors have a say in: those that load the model, and those that read what these wrote."""
    steps: list[Step] = []
    written: list[str] = []
    for one in (one for stage in stages for one in stage):
        words = set(one.arguments)
        scores = words & {"score", "demo", "calibrate", "cache", "--pred-base"} or words >= {"agree", "--labels"}
        loads = scores and not words & {"lexical", "--judgements"}
        if loads or any(word.startswith(tuple(written)) for word in one.arguments):
            steps.append(one)
            written += outputs(one)
    return steps


def of_steps(name: str, steps: Iterable[Step]) -> bool:
    """Return whether one of these steps printed or wrote the file of this name."""
    for one in steps:
        paths = [path.removeprefix("out/").removesuffix(".html") for path in outputs(one)]
        inside = tuple(f"{path}{end}" for path in paths for end in "/.")
        if name == f"console/{one.name}.txt" or name in paths or name.startswith(inside):
            return True
    return False


def run_stages(work: Path, stages: Iterable[Stage], left_out: Sequence[Step] = ()) -> Files:
    """Run the stages one after the other, the steps of each beside each other; give what each step printed."""
    printed: Files = {}
    with ThreadPoolExecutor(WORKERS) as pool:
        for stage in stages:
            stage = [one for one in stage if one not in left_out]
            for one, text in zip(stage, pool.map(lambda each: call(work, each), stage), strict=True):
                if f"console/{one.name}.txt" in printed:
                    raise ValueError(f"two steps are called {one.name}")
                printed[f"console/{one.name}.txt"] = text.encode()
    return printed


def helps(work: Path) -> Files:
    """Print the help of evalkit, of every command that it lists, and of every command that these list."""
    found: Files = {}
    waiting: list[tuple[str, ...]] = [()]
    with ThreadPoolExecutor(WORKERS) as pool:
        while waiting:
            steps = [Step("help", (*names, "--help")) for names in waiting]
            texts = list(pool.map(lambda each: call(work, each), steps))
            found |= {f"help/{'-'.join(('evalkit', *n))}.txt": t.encode() for n, t in zip(waiting, texts, strict=True)}
            waiting = [(*n, name) for n, text in zip(waiting, texts, strict=True) for name in subcommands(text)]
    return found


def subcommands(text: str) -> list[str]:
    """The commands that a help text lists."""
    listed = text.partition("\nCommands:\n")[2].partition("\n---")[0]
    return re.findall(r"^  ([a-z][a-z-]*)\b", listed, flags=re.MULTILINE)


# ---------------------------------------------------------------- what is run: the sample

SCORE = "score --pred plans --gold gold"


def sample_inputs(work: Path) -> None:
    """Lay out the sample's plans and gold, two halves to compare, and the inputs that are kept for this."""
    plans = ROOT / "evalkit" / "sample" / "plans"
    shutil.copytree(plans, work / "plans")
    shutil.copytree(ROOT / "references", work / "gold")
    for half, who in (("half-base", "hasty"), ("half-new", "careful")):
        for path in sorted((plans / "sample-planner" / who).iterdir()):
            place = work / half / "planner" / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes().replace(f"# sample-planner/{who}/".encode(), b"# planner/"))
    shutil.copytree(GOLDENS / "inputs", work / "inputs")
    shutil.copytree(ROOT / "tests" / "data", work / "data")
    (work / "out").mkdir()


def sample_runs() -> list[Stage]:
    """Score the sample in every way that has a say in numbers."""
    first = [step("score-hybrid", f"{SCORE} --out out/run/hybrid --report")]
    lexical = {
        "lexical": "", "group": "--alignment group", "top-2": "--top-k 2", "skip": "--missing skip",
        "plain": "--resamples 0", "seed-7": "--seed 7 --resamples 499", "strict": "--strict",
        "against-hasty": "--baseline sample-planner/hasty", "no-cache": "--no-cache",
        "processes": "--engine processes --workers 2", "settings": "--config inputs/settings.toml",
        "labels": "--labels inputs/labels-sample.jsonl", "all-labels": "--labels inputs/labels.jsonl",
        "judge": "--judgements inputs/judges/strict --compat ablationbench",
        "judges": "--judgements inputs/judges/strict --judgements inputs/judges/lenient",
        "compat": "--compat ablationbench", "compat-group": "--compat ablationbench --alignment group",
        "parquet": "--format parquet",
    }  # fmt: skip
    hybrid = {
        "embedding": "--matcher embedding", "hybrid-group": "--alignment group", "hybrid-parquet": "--format parquet",
        "hybrid-labels": "--labels inputs/labels-sample.jsonl", "hybrid-compat": "--compat ablationbench",
    }  # fmt: skip
    scored = [
        *(step(f"score-{name}", f"{SCORE} --matcher lexical --out out/run/{name} {more}")
          for name, more in lexical.items()),
        *(step(f"score-{name}", f"{SCORE} --out out/run/{name} {more}") for name, more in hybrid.items()),
        *wide(step("score-hybrid", f"{SCORE} --out skipped/hybrid-%"),
              step("score-lexical", f"{SCORE} --matcher lexical --out skipped/lexical-%"),
              step("score-labels", f"{SCORE} --matcher lexical --labels inputs/labels-sample.jsonl "
                   "--compat ablationbench --out skipped/labels-%"),
              step("demo", "demo skipped/demo-% --matcher lexical")),
        step("score-lexical-json", f"{SCORE} --matcher lexical --out skipped/json --json"),
        step("score-again", f"{SCORE} --matcher lexical --judgements out/run/hybrid --out out/run/again"),
        step("demo", "demo demo --matcher lexical"),
        step("dry-run", f"{SCORE} --dry-run --judge some-model"),
        step("dry-run-json", f"{SCORE} --matcher lexical --dry-run --judge some-model --judge-all --json"),
    ]  # fmt: skip
    return [first, [*scored, *other_plans()]]


def other_plans() -> list[Step]:
    """Score the halves that are compared later, with and without labels, and plans with much to repair."""
    labelled = "--gold gold --matcher lexical --labels inputs/labels-sample.jsonl --out out/run/labels-half"
    messy = "score --pred inputs/messy --gold gold --matcher lexical --out out/run/messy"
    return [
        step("score-half-base", "score --pred half-base --gold gold --out out/run/half-base"),
        step("score-half-new", "score --pred half-new --gold gold --out out/run/half-new"),
        step("score-labels-half-base", f"score --pred plans/sample-planner/hasty {labelled}-base"),
        step("score-labels-half-new", f"score --pred plans/sample-planner/careful {labelled}-new"),
        step("score-messy", messy),
        step("score-messy-strict", f"{messy}-strict --strict"),
    ]


def sample_readers() -> Stage:
    """Read the sample's runs with every command that shows, compares or rewrites them."""
    runs = "out/run"
    steps = wide(
        step("compare-halves", f"compare {runs}/half-base {runs}/half-new"),
        step("compare-matchers", f"compare {runs}/lexical {runs}/hybrid --force --metric part_f1_micro --target 0.1"),
        step("compare-corrected", f"compare {runs}/labels-half-base {runs}/labels-half-new --corrected "
             "--map sample-planner/hasty=sample-planner/careful"),
        step("gate-worse", f"gate {runs}/half-new {runs}/half-base"),
        step("gate-better", f"gate {runs}/half-base {runs}/half-new"),
        step("gate-same", f"gate {runs}/hybrid {runs}/hybrid --strict"),
        step("gate-plan", f"gate --plan {runs}/messy"),
        step("show-swin", f"show {runs}/hybrid --paper swin-transformer"),
        step("show-dit", f"show {runs}/lexical --paper DiT --planner sample-planner/careful"),
        step("show-messy", f"show {runs}/messy --paper t2t-vit"),
        step("validate-plans", "validate plans"),
        step("validate-messy", "validate inputs/messy data/parsing data/fuzz"),
        step("agree-lexical", "agree --matcher lexical --labels inputs/labels.jsonl"),
        step("agree-judges", "agree --judgements inputs/judges/strict --judgements inputs/judges/lenient "
                             "--judgements inputs/labels.jsonl --pred plans --gold gold"),
    )  # fmt: skip
    steps += [
        step("validate-json", "validate inputs/messy data/parsing data/fuzz plans --json"),
        step("validate-strict", "validate plans inputs/messy --strict"),
        step("formats", "formats"),
        step("formats-json", "formats --json"),
        step("validate-gold", "validate gold --gold"),
        step("gate-worse", f"gate {runs}/half-new {runs}/half-base"),
        step("agree-lexical", "agree --matcher lexical --labels inputs/labels.jsonl"),
        step("show-judge", f"show {runs}/judge --paper mezo"),
        step("compare-json", f"compare {runs}/half-base {runs}/half-new --json --markdown out/compare/halves.md"),
        step("compare-matchers-json", f"compare {runs}/lexical {runs}/hybrid --force --json "
             "--markdown out/compare/matchers.md"),
        step("compare-halves", f"compare {runs}/half-base {runs}/half-new"),
        step("show-swin", f"show {runs}/hybrid --paper swin-transformer"),
        step("validate-messy", "validate inputs/messy data/parsing data/fuzz"),
        step("compare-plans", "compare --pred-base half-base --pred-new half-new --gold gold --matcher lexical"),
        step("gate-json", f"gate {runs}/half-new {runs}/half-base --json --junit out/gate/junit.xml "
             "--markdown out/gate/gate.md --annotations", GITHUB_STEP_SUMMARY="out/gate-summary.md"),
        step("gate-own", f"gate {runs}/half-base {runs}/half-new --config inputs/gate.toml --strict --annotations "
             "--junit out/gate/own.xml --markdown out/gate/own.md"),
        step("gate-plan-json", f"gate --plan {runs}/lexical --target 0.1 --json"),
        step("gate-unlike", f"gate {runs}/lexical {runs}/messy --annotations --junit out/gate/unlike.xml "
             "--markdown out/gate/unlike.md"),
        step("compare-rescored", f"compare {runs}/lexical {runs}/lexical --rescore-base plans --no-cache "
             "--correction bh"),
        step("agree-lexical-json", "agree --matcher lexical --labels inputs/labels.jsonl --json"),
        step("agree-hybrid-json", "agree --labels inputs/labels.jsonl --json"),
        step("agree-embedding-json", "agree --matcher embedding --labels inputs/labels.jsonl --json"),
        step("agree-judges-json", "agree --judgements inputs/judges/strict --judgements inputs/judges/lenient "
             "--pred plans --gold gold --json"),
        step("calibrate-hybrid", "calibrate --labels inputs/labels.jsonl "
             "--out out/calibration/hybrid.json", "--note", "a note"),
        step("calibrate-moved", "calibrate --labels inputs/labels.jsonl --base default --even-so "
             "--out out/calibration/moved.json"),
        step("calibrate-refused", "calibrate --matcher lexical --labels inputs/labels.jsonl --base default "
             "--out out/calibration/no.json"),
        step("report-hybrid", f"report {runs}/hybrid --out out/page/hybrid.html"),
        step("report-messy", f"report {runs}/messy --out out/page/messy.html"),
        step("report-labels", f"report {runs}/labels --out out/page/labels.html"),
        step("report-comparison", f"report {runs}/half-base {runs}/half-new --out out/page/comparison.html"),
        step("report-comparison-forced", f"report {runs}/lexical {runs}/hybrid --force --out out/page/matchers.html"),
        step("gold-confirm", "gold confirm inputs/drafts --all"),
        step("score-parquet-shown", f"show {runs}/parquet --paper swin-transformer"),
    ]  # fmt: skip
    return [*steps, *sample_tables(runs), *sample_rewrites(runs), *wrong_input(runs)]


def sample_tables(runs: str) -> list[Step]:
    """Tables in every format, and charts as files."""
    steps = []
    for form in ("markdown", "latex", "csv", "html", "json"):
        steps.append(step(f"table-{form}", f"table {runs}/hybrid --format {form}"))
    for form in ("latex", "html"):
        steps.append(step(f"table-whole-{form}", f"table {runs}/hybrid --format {form} --standalone"))
    steps.append(step("table-two", f"table {runs}/hybrid {runs}/lexical --no-intervals"))
    steps.append(step("table-columns", f"table {runs}/messy --columns match_f1,match_f1_micro,coverage,part_recall"))
    steps.append(step("table-parquet", f"table {runs}/hybrid-parquet {runs}/labels"))
    kinds = ("planners", "papers", "probabilities")  # a page has all of them
    steps += [step(f"plot-{kind}", f"plot {runs}/hybrid {kind} --out out/plot/{kind}.svg") for kind in kinds]
    return steps


def sample_rewrites(runs: str) -> list[Step]:
    """Exports to every tool, conversions to every format, and a baseline."""
    tools = ("ablationbench-plans", "ablationbench-judge", "inspect", "metrics-json")
    steps = [step(f"export-{tool}", f"export {runs}/hybrid --to {tool} --out out/export/{tool}") for tool in tools]
    steps += [
        step(f"export-messy-{tool}", f"export {runs}/messy --to {tool} --out out/export-messy/{tool}")
        for tool in tools[:2]
    ]
    for form in ("json", "jsonl", "yaml", "trajectory"):
        steps.append(step(f"convert-{form}", f"convert plans out/convert/{form} --to {form}"))
    steps.append(step("convert-messy", "convert inputs/messy out/convert-messy --to yaml"))
    steps.append(step("convert-gold", "convert gold out/convert-gold --to jsonl --gold"))
    steps.append(step("baseline-set", f"baseline set {runs}/half-base --name main --dir out/baselines"))
    return steps


def wrong_input(runs: str) -> list[Step]:
    """What each kind of mistake says, and the exit code it ends in."""
    wrong = {
        "nowhere": "score --pred nowhere --gold gold --out x",
        "exists": f"{SCORE} --matcher lexical --out {runs}/hybrid",
        "matcher": f"{SCORE} --matcher magic --out x",
        "config": f"{SCORE} --config inputs/typo.toml --out x",
        "top-k": f"{SCORE} --top-k 0 --out x",
        "no-gold": "score --pred plans",
        "gold": "score --pred plans --gold inputs/typo.toml --matcher lexical --out x",
        "paper": f"show {runs}/hybrid --paper swim-transformer",
        "planner": f"show {runs}/hybrid --paper dit --planner nobody",
        "unlike": f"compare {runs}/lexical {runs}/hybrid",
        "map": f"compare {runs}/half-base {runs}/half-new --map planner",
        "metric": f"compare {runs}/half-base {runs}/half-new --metric match_f2",
        "column": f"table {runs}/hybrid --columns match_f2",
        "ending": f"plot {runs}/hybrid planners --out x.bmp",
        "no-run": "table gold",
        "labels": "agree --labels inputs/typo.toml --matcher lexical",
        "usage": "agree",
        "format": "convert plans x --to reply",
        "baseline": "baseline show nothing --dir out/none",
        "calibration": f"{SCORE} --matcher lexical --calibration inputs/typo.toml --out x",
        "dry-run": f"{SCORE} --dry-run --out x",
        "command": "scroe",
        "size": "cache prune --max-size huge --cache kept",
    }
    return [step(f"wrong-{name}", command) for name, command in wrong.items()]


def sample_last() -> list[Stage]:
    """What needs a baseline, a calibration or confirmed gold, and then a cache of its own from filled to cleared."""
    baseline = "out/baselines/main.json"
    return [
        [
            *wide(step("baseline-show", "baseline show --dir out/baselines"),
                  step("compare-baseline", f"compare {baseline} out/run/half-new"),
                  step("gate-baseline", f"gate {baseline} out/run/half-new")),
            step("baseline-show-json", "baseline show --dir out/baselines --json"),
            step("baseline-list-json", "baseline list --dir out/baselines --json"),
            step("score-own", f"{SCORE} --calibration out/calibration/hybrid.json --out out/run/own"),
            step("score-confirmed", "score --pred plans --gold inputs/drafts --matcher lexical "
                 "--out out/run/confirmed"),
            step("score-parquet-again", f"{SCORE} --matcher lexical --judgements out/run/parquet "
                 "--out skipped/again"),
            step("validate-converted", "validate out/convert"),
        ],
        [step("cache-1-filled", f"{SCORE} --out skipped/kept --cache kept")],
        [step("cache-2-info", "cache info --cache kept")],
        [step("cache-3-prune", "cache prune --max-size 50K --cache kept")],
        [step("cache-4-clear", "cache clear --cache kept")],
        [step("cache-5-info", "cache info --cache kept")],
    ]  # fmt: skip


def sample_stages() -> list[Stage]:
    """Everything that is run on the sample."""
    return [*sample_runs(), sample_readers(), *sample_last()]


def produce_sample(work: Path, left_out: Sequence[Step] = ()) -> Files:
    """Everything that the sample's commands print and write."""
    sample_inputs(work)
    printed = helps(work) | run_stages(work, sample_stages(), left_out)
    for place in ("demo", "inputs/drafts"):
        shutil.copytree(work / place, work / "out" / place)
    return printed | written(work)


# ---------------------------------------------------------------- what is run: the published plans


def trajectory_inputs(work: Path) -> None:
    """Lay out the published plans by links: nothing of them is copied."""
    for name in ("trajectories", "alignment"):
        (work / name).symlink_to(SHARED / name, target_is_directory=True)
    (work / "more-gold").symlink_to(SHARED / "gold", target_is_directory=True)
    shutil.copytree(ROOT / "references", work / "gold")
    (work / "out").mkdir()


def trajectory_stages() -> list[Stage]:
    """Score the published plans, then read the runs."""
    score, runs = "score --pred trajectories --gold gold", "out/run"
    half = "score --pred trajectories/lm-planner/{0} --gold gold --matcher lexical --out out/run/{0}"
    labels = "--labels alignment/references.jsonl"
    scores = [
        step("score-hybrid", f"{score} --out {runs}/hybrid"),
        step("score-lexical", f"{score} --matcher lexical --out {runs}/lexical"),
        step("score-more", f"score --pred trajectories --gold more-gold --out {runs}/more "
             "--alignment group --top-k 5"),
        *(step(f"score-{name}", half.format(name)) for name in ("gpt-4o", "o3-mini")),
        step("score-labels", f"{score} --matcher lexical {labels} --compat ablationbench --out {runs}/labels"),
    ]  # fmt: skip
    again = [
        *wide(step("score-hybrid", f"{score} --out skipped/hybrid-%"),
              step("compare-matchers", f"compare {runs}/lexical {runs}/hybrid --force"),
              step("compare-planners", f"compare {runs}/gpt-4o {runs}/o3-mini "
                   "--map lm-planner/gpt-4o=lm-planner/o3-mini"),
              step("gate-planners", f"gate {runs}/gpt-4o {runs}/o3-mini --map lm-planner/gpt-4o=lm-planner/o3-mini"),
              step("show", f"show {runs}/hybrid --paper swin-transformer")),
        step("compare-matchers", f"compare {runs}/lexical {runs}/hybrid --force"),
        step("compare-json", f"compare {runs}/lexical {runs}/hybrid --force --json --markdown out/compare.md"),
        step("gate-json", f"gate {runs}/lexical {runs}/hybrid --force --json --junit out/junit.xml "
             "--markdown out/gate.md"),
        step("report", f"report {runs}/hybrid --out out/page/hybrid.html"),
        step("report-comparison", f"report {runs}/lexical {runs}/hybrid --force --out out/page/comparison.html"),
        *(step(f"table-{form}", f"table {runs}/hybrid {runs}/lexical "
             f"--format {form}") for form in ("markdown", "latex", "csv")),
        step("validate-json", "validate trajectories --json"),
        step("convert", "convert trajectories out/convert --to jsonl"),
        step("export", f"export {runs}/hybrid --to metrics-json --out out/export"),
        step("agree-json", f"agree {labels} --json"),
        step("calibrate", f"calibrate --matcher lexical {labels} --out out/calibration.json"),
    ]  # fmt: skip
    return [scores, again]


def produce_trajectories(work: Path, left_out: Sequence[Step] = ()) -> Files:
    """Everything that the commands print and write of the published plans; the many converted files as one."""
    trajectory_inputs(work)
    found = run_stages(work, trajectory_stages()) | written(work)
    converted = {name: found.pop(name) for name in list(found) if name.startswith("convert/")}
    sums = "".join(f"{digest(content)}  {name}\n" for name, content in sorted(converted.items()))
    return found | {"convert.sums.txt": sums.encode()}


# ---------------------------------------------------------------- what came of it


def written(work: Path) -> Files:
    """The files that the steps wrote; of a page what it says, its data and its drawings, each for itself."""
    found: Files = {}
    for path in sorted((work / "out").rglob("*")):
        name = re.sub(r"\d{4}-\d\d-\d\dT[\d-]{8}\+00-00", "time", path.relative_to(work / "out").as_posix())
        if path.is_file() and path.suffix == ".html":
            found |= page(name, path.read_text(encoding="utf-8"))
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


def page(name: str, text: str) -> Files:
    """The parts of a page: embedded data, drawings, and the rest without script and style."""
    data = r'<script type="application/json" id="([^"]*)">(.*?)</script>'
    embedded = {key: json.loads(answer) for key, answer in re.findall(data, text, flags=re.DOTALL)}
    drawings = re.findall(r"<svg\b.*?</svg>", text, flags=re.DOTALL)
    body = re.sub(data, r'<script id="\1"/>', text, flags=re.DOTALL)
    body = re.sub(r"<(script|style)>.*?</\1>", r"<\1/>", body, flags=re.DOTALL)
    body = re.sub(r"<svg\b.*?</svg>", "<svg/>", body, flags=re.DOTALL)
    dumped = json.dumps(embedded, ensure_ascii=False, indent=1)
    parts = {"body.html": body, "data.json": dumped, "drawings.svg": "\n".join(drawings)}
    return {f"{name.removesuffix('.html')}.{end}": part.encode() for end, part in parts.items()}


def normalised(content: bytes, work: Path) -> bytes:
    """The content without what may differ between machines and days; what is no text stays as it is."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return content
    for place in (str(work.resolve()), str(work)):
        text = text.replace(place, "<work>")
    for pattern, instead in NORMALISED:
        text = pattern.sub(instead, text)
    return text.encode()


def digest(content: bytes) -> str:
    """The hash that stands for a content."""
    return hashlib.sha256(content).hexdigest()


def texts_of_sample(name: str, content: bytes) -> bool:
    """Which of the sample's files are kept in full: small texts, and of each run its numbers."""
    if not name.endswith(TEXTS) or len(content) > LARGEST_TEXT or b"\0" in content:
        return False
    run = re.match(r"(?:demo/)?run/([^/]+)/(.*)", name)
    return run is None or run[2] in ("leaderboard.csv", "run.json", "papers.csv") or run[1] in ("hybrid", "messy")


def texts_of_trajectories(name: str, content: bytes) -> bool:
    """Which of the published plans' files are kept in full: leaderboards, which hold no plan's text."""
    return name.startswith("run/") and name.endswith("/leaderboard.csv")


@dataclass(frozen=True)
class Collection:
    """Commands that are run together: how they are run, which of their files are kept in full, and where hashes are."""

    name: str
    produce: Callable[[Path, Sequence[Step]], Files]
    in_full: Callable[[str, bytes], bool]
    digests: Path

    @property
    def folder(self) -> Path:
        """Where the files are that are kept in full."""
        return GOLDENS / self.name


COLLECTIONS = (
    Collection("sample", produce_sample, texts_of_sample, GOLDENS / "digests.json"),
    Collection("trajectories", produce_trajectories, texts_of_trajectories, GOLDENS / "trajectories.json"),
)


def produce(collection: Collection, keep: Path | None, left_out: Sequence[Step]) -> Files:
    """Run a collection in a folder that goes afterwards; what came of it, normalised. Keep it as it was, too."""
    with tempfile.TemporaryDirectory(prefix="goldens-") as place:
        work = Path(place)
        (work / "home").mkdir()
        raw = collection.produce(work, left_out)
        found = {name: normalised(content, work) for name, content in sorted(raw.items())}
    if keep:
        lay_down(keep / collection.name, raw)
    lay_down(PRODUCED / collection.name, found)
    return found


def lay_down(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder that holds nothing else afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


# ---------------------------------------------------------------- keeping and comparing


def parted(collection: Collection, found: Files) -> tuple[Files, dict[str, str]]:
    """What is kept in full, and the hashes of the rest."""
    full = {name: content for name, content in found.items() if collection.in_full(name, content)}
    return full, {name: digest(content) for name, content in found.items() if name not in full}


def update(collection: Collection, found: Files) -> None:
    """Write the goldens of a collection anew."""
    full, digests = parted(collection, found)
    lay_down(collection.folder, full)
    collection.digests.write_text(json.dumps(digests, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    size = sum(map(len, full.values()))
    print(f"{collection.name}: {len(full)} files in full ({size:,} bytes), {len(digests)} hashes written")


def kept(collection: Collection) -> tuple[Files, dict[str, str]]:
    """The goldens of a collection as they lie in git."""
    paths = [path for path in sorted(collection.folder.rglob("*")) if path.is_file()]
    full = {path.relative_to(collection.folder).as_posix(): path.read_bytes() for path in paths}
    digests = json.loads(collection.digests.read_text(encoding="utf-8")) if collection.digests.exists() else {}
    return full, digests


def differences(collection: Collection, found: Files, left_out: Sequence[Step]) -> Iterator[list[str]]:
    """What differs, one list of lines a file: files that are missing or new, diffs, and hashes that changed."""
    full, digests = kept(collection)
    for name in sorted(full.keys() | digests.keys() | found.keys()):
        title = f"{collection.name}/{name}"
        if name not in found and of_steps(name, left_out):
            continue
        if name not in found:
            yield [f"missing: {title}"]
        elif name not in full and name not in digests:
            yield [f"new: {title}"]
        elif name in full and full[name] != found[name]:
            yield [f"differs: {title}", *diff(full[name], found[name])]
        elif name not in full and digests[name] != digest(found[name]):
            yield [f"differs: {title} (only its hash is kept; this one is {PRODUCED.name}/{title})"]


def diff(old: bytes, new: bytes) -> list[str]:
    """A unified diff that can be read: long lines are broken at commas, and what is too much is counted."""
    sides = [readable(content.decode("utf-8", "replace")) for content in (old, new)]
    lines = list(difflib.unified_diff(*sides, "golden", "now", n=1, lineterm=""))
    shown = [line if len(line) <= WIDEST else f"{line[:WIDEST]} …" for line in lines[:MOST_LINES]]
    return shown + ([f"… and {len(lines) - MOST_LINES} more lines"] if len(lines) > MOST_LINES else [])


def readable(text: str) -> list[str]:
    """The lines of a text, the long ones broken after commas."""
    broken = (re.sub(r",(?=\S| \S)", ",\n", line) if len(line) > WIDEST else line for line in text.split("\n"))
    return "\n".join(broken).split("\n")


def compare(collection: Collection, found: Files, left_out: Sequence[Step]) -> bool:
    """Print what differs; whether nothing does."""
    found_differences = list(differences(collection, found, left_out))
    for at, lines in enumerate(found_differences):
        print("\n".join(lines if at < MOST_FILES else lines[:1]), end="\n\n" if at < MOST_FILES else "\n")
    same = len(found) - sum(not lines[0].startswith("missing") for lines in found_differences)
    print(f"{collection.name}: {same} of {len(found)} files are as they were, {len(found_differences)} differences")
    return not found_differences


def options() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(description="Compare everything a user sees with what is kept in git.")
    parser.add_argument("--update", action="store_true", help="write the goldens anew")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="also keep what was produced, as it was produced")
    parser.add_argument("--only", choices=[each.name for each in COLLECTIONS], help="only this collection")
    parser.add_argument("--without-model", action="store_true", help="only what vectors have no say in, of the sample")
    return parser.parse_args()


def main() -> int:
    """Run every collection that can be run here; 1 when anything differs."""
    chosen, same = options(), True
    left_out = model_steps(sample_stages()) if chosen.without_model else []
    for collection in COLLECTIONS:
        if chosen.only not in (None, collection.name) or (chosen.without_model and collection.name != "sample"):
            continue
        if collection.name == "trajectories" and not (SHARED / "trajectories").is_dir():
            print("trajectories: passed over, the published plans are not here (../shared/data)")
            continue
        began = time.monotonic()
        found = produce(collection, chosen.keep, left_out)
        print(f"{collection.name}: {time.monotonic() - began:.0f} s")
        if chosen.update:
            update(collection, found)
        else:
            same = compare(collection, found, left_out) and same
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
