"""Coverage-guided fuzzing of everything that reads what others wrote: takes a number of seconds, gives a table.

    .venv/bin/python scripts/fuzz.py --seconds 120 [--targets json yaml] [--corpus .fuzz]
    .venv/bin/python scripts/fuzz.py --count 100000 [--first 0]  # runs, baselines and labels, without coverage

Every target runs in its own process for its share of the time. An exception that is not documented, a hang, or memory
without bound ends in exit code 1 and leaves the input in CORPUS/found; an input that was mended belongs into
tests/data/fuzz, where the tests read it. The corpus is kept, so that each run begins where the last one ended.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SLOWEST = 60  # seconds of wall time that one input of LONGEST bytes may take, on a machine that is busy
LARGEST = 2048  # MiB
LONGEST = 4096  # bytes; long inputs are the business of tests/test_fuzz_bounds.py
TOKENS = (
    '{"name": "', '"ablated_part": "', '"action": "REMOVE"', '"replacement": [', '"metrics": [', '"ablations": [',
    '"paper": "', '"choices": [{"message": {"content": "', "<discussion>", "</discussion>", "<predictions>",
    "</predictions>", "```json\n", "\n```\n", "## Ablation Plan\n", "### ", "- **Ablated Part**: ", "- **Action**: ",
    "- **Replacement**:\n", "- **Metrics**: ", "# a/b/c\n", "## Reasoning Trace\n", "name: ", "ablated_part: ",
    "- name: ", "&a ", "*a", "<<: *a", "---\n", "!!python/name:os.system ", "\\u00e9", "\\ud800", "\\beta", "/*", "//",
    "&lt;", "&#10;", "<div>", "<!-- sample: 1 -->", "\u201c", "\xce\xb4", "name_in_paper", "name_in_plan", "labels",
    "appears_in_review", "[[rule]]\n", "[judge]\n", "PAR1", "ARROW1", "\x1b[31m",
)  # fmt: skip


def parsing(name: str | None) -> Callable[[bytes], None]:
    """Reads documents in one format, or in whichever they seem to be in; the first byte says whether they are gold."""
    from evalkit.formats import CODES, parse_document
    from evalkit.types import Document

    def target(data: bytes) -> None:
        document = Document("plan", text_of(data[1:]), "team/model", "paper")
        plans = parse_document(document, gold=data[:1] >= b"\x80", format_name=name)
        assert plans
        assert all(finding.code in CODES for plan in plans for finding in plan.diagnostics)
        assert all(entry.name and entry.part for plan in plans for entry in plan.ablations)

    return target


def round_trip() -> Callable[[bytes], None]:
    """Writes whatever was read in every format and reads it again."""
    from evalkit.formats import FORMATS, parse_document, write_plans
    from evalkit.types import Document, Plan

    def answer(plans: tuple[Plan, ...]) -> list[object]:
        return [(plan.paper, plan.planner, plan.ablations, plan.trace, plan.sample) for plan in plans]

    def target(data: bytes) -> None:
        plans = parse_document(Document("plan", text_of(data[1:]), "team/model", "paper"))
        if len({(plan.paper, plan.planner, plan.sample) for plan in plans}) == len(plans):
            for name in (name for name, format_ in FORMATS.items() if format_.write):
                assert answer(parse_document(Document("plan", write_plans(plans, name)))) == answer(plans), name

    return target


def keeping() -> Callable[[bytes], None]:
    """Reads a document, keeps what it says, and takes it from there; the first byte says what its path names."""
    from evalkit.formats import parse_document
    from evalkit.scoring.load import parse_documents
    from evalkit.storage.cache import Store, decode_plans
    from evalkit.types import Document

    store = Store(Path(tempfile.mkdtemp(prefix="evalkit-fuzz-"), "kept.sqlite"))

    def target(data: bytes) -> None:
        bits = data[0] if data else 0
        document = Document("plan", text_of(data[1:]), "team/model" if bits & 1 else None, "paper" if bits & 2 else "")
        strict, gold = bool(bits & 4), bool(bits & 8)
        fresh = parse_document(document, strict=strict, gold=gold)
        for _ in range(2):
            (content,) = parse_documents([document], store, strict=strict, gold=gold)
            found = decode_plans(content, document.path, document.planner, document.paper)
            assert repr(found) == repr(fresh)

    return target


def in_file(name: str, read: Callable[[str], object]) -> Callable[[bytes], None]:
    """Reads a file; a user's mistake is told as one."""
    from evalkit.errors import EvalkitError

    place = Path(tempfile.mkdtemp(prefix="evalkit-fuzz-"), name)

    def target(data: bytes) -> None:
        place.write_bytes(data[1:])
        with suppress(EvalkitError):
            read(str(place))

    return target


def documents(path: str) -> object:
    from evalkit.storage.discovery import documents

    return list(documents(path, planners=True))


def judgements(path: str) -> object:
    from evalkit.judges.recorded import read_judge

    return read_judge(path)


def labels(path: str) -> object:
    from evalkit.storage.label_files import read_labels

    return read_labels([path])


def settings(path: str) -> object:
    from evalkit.comparison.gate_rules import parse_gate
    from evalkit.settings import parse_settings
    from evalkit.storage.files import read_text

    text = read_text(path)
    return parse_gate(text, path) if "rule" in text else parse_settings(text, path)


def loaded(*kinds: str) -> Callable[[bytes], None]:
    """Damages a run, a baseline, a calibration or labels as the bytes say, and lets a command load it."""
    sys.path.insert(0, str(ROOT / "tests"))
    from damaged_runs import project, try_one

    folder = project()
    place = folder.__enter__()
    held.append(folder)

    def target(data: bytes) -> None:
        for kind in kinds:
            try_one(data, kind, place)

    return target


held: list[object] = []  # projects that live as long as the process
TARGETS: dict[str, Callable[[], Callable[[bytes], None]]] = {
    "any": lambda: parsing(None),
    "json": lambda: parsing("json"),
    "yaml": lambda: parsing("yaml"),
    "trajectory": lambda: parsing("trajectory"),
    "reply": lambda: parsing("reply"),
    "round-trip": round_trip,
    "kept": keeping,
    "bytes": lambda: in_file("x.md", documents),
    "parquet": lambda: in_file("x.parquet", documents),
    "judgements": lambda: in_file("x.jsonl", judgements),
    "labels": lambda: in_file("labels.jsonl", labels),
    "settings": lambda: in_file("settings.toml", settings),
    "runs": lambda: loaded("csv"),
    "parquet-runs": lambda: loaded("parquet"),
    "baselines": lambda: loaded("baselines", "calibration.json"),
    "label-files": lambda: loaded("labels.jsonl", "page.jsonl"),
}
# What is damaged by turns: what is quick to load more often.
KINDS = (*["labels.jsonl", "page.jsonl", "baselines"] * 5, *["csv", "calibration.json"] * 2, "parquet")
MEASURED = (
    "evalkit/formats/*",
    "evalkit/text.py",
    "evalkit/judges/recorded/judgement_files.py",
    "evalkit/storage/label_files.py",
)


def text_of(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def seeds() -> Iterator[bytes]:
    """Whole documents to begin with, each with the byte before it that the targets take off."""
    places = ("tests/data/parsing/*", "tests/data/fuzz/*", "evalkit/sample/plans/**/simsiam.md", "configs/*.toml")
    for pattern in places:
        for path in sorted(ROOT.glob(pattern)):
            yield b"\0" + path.read_bytes()[:LONGEST]
    yield b'\0{"name_in_paper": "A", "name_in_plan": ["B", null]}\n{"name_in_plan": "B", "appears_in_review": true}\n'
    entry = b'{"name": "A", "ablated_part": "p", "action": "REPLACE", "replacement": ["x"], "metrics": ["m"]}'
    yield b'\0{"paper": "x", "gold": [%b], "plan": [%b], "match": [[0, 0]], "same_part": [[0, 0]]}' % (entry, entry)


def child(name: str, flags: list[str]) -> None:
    """One target under libFuzzer; ends the process."""
    import atheris

    with atheris.instrument_imports(include=["evalkit"], enable_loader_override=False):
        target = TARGETS[name]()
    atheris.Setup([sys.argv[0], *flags], target)
    atheris.Fuzz()


def fuzz(name: str, seconds: int, corpus: Path) -> tuple[int, str, str, bool]:
    """Run one target: inputs tried, edges covered, what was said, and whether all went well."""
    own, found, words = corpus / name, corpus / "found", corpus / "tokens"
    own.mkdir(parents=True, exist_ok=True)
    found.mkdir(exist_ok=True)
    spelt = ("".join(f"\\x{byte:02x}" for byte in token.encode()) for token in TOKENS)
    words.write_text("".join(f'"{token}"\n' for token in spelt))
    for number, seed in enumerate(seeds()):
        (own / f"seed-{number}").write_bytes(seed)
    flags = [
        f"-max_total_time={seconds}", f"-timeout={SLOWEST}", f"-rss_limit_mb={LARGEST}", f"-max_len={LONGEST}",
        f"-dict={words}", f"-artifact_prefix={found}/{name}-", "-print_final_stats=1", "-seed=1", str(own),
    ]  # fmt: skip
    command = [sys.executable, __file__, "--child", name, *flags]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    tried = re.findall(r"stat::number_of_executed_units:\s*(\d+)", done.stdout) or re.findall(r"#(\d+)\t", done.stdout)
    edges = re.findall(r"cov: (\d+)", done.stdout)
    return int(tried[-1]) if tried else 0, edges[-1] if edges else "-", done.stdout, done.returncode == 0


def covered(corpus: Path) -> str:
    """The lines of the readers that the corpus reaches."""
    import coverage

    measure = coverage.Coverage(include=[str(ROOT / place) for place in MEASURED], data_file=None, branch=True)
    measure.start()
    for name in TARGETS:
        target = TARGETS[name]()
        for path in sorted((corpus / name).glob("*")):
            target(path.read_bytes())
    measure.stop()
    import io

    out = io.StringIO()
    measure.report(file=out, skip_covered=False)
    return out.getvalue()


def main() -> int:
    options = argparse.ArgumentParser(description="Fuzz the readers for a number of seconds.")
    options.add_argument("--seconds", type=int, default=120, help="in total, over all targets")
    options.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    options.add_argument("--corpus", type=Path, default=ROOT / ".fuzz")
    options.add_argument("--count", type=int, help="damage so many runs, baselines and labels by chance instead")
    options.add_argument("--first", type=int, default=0, help="the seed of the first of them")
    options.add_argument("--coverage", action="store_true", help="print the lines that the corpus reaches, too")
    chosen = options.parse_args()
    if chosen.count:
        return damaged(chosen.first, chosen.count)
    try:
        import atheris  # noqa: F401
    except ImportError:
        print("fuzzing needs atheris: pip install --group fuzz (it comes for Linux and macOS)", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="evalkit-fuzz-") as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = folder  # what targets put aside goes with it
        return message(chosen)


def damaged(first: int, count: int) -> int:
    """Let commands load what is damaged by so many seeds; print how many of each kind, and every one that failed."""
    sys.path.insert(0, str(ROOT / "tests"))
    from damaged_runs import project, try_one

    tried, failed, dots = Counter[str](), 0, max(1, count // 50)
    with project() as place:
        for seed in range(first, first + count):
            kind = KINDS[seed % len(KINDS)]
            started = time.process_time()
            try:
                try_one(seed, kind, place)
            except Exception:
                failed += 1
                print(f"seed {seed}, {kind}:\n{traceback.format_exc()}", flush=True)
            if (took := time.process_time() - started) > SLOWEST:
                failed += 1
                print(f"seed {seed}, {kind}: {took:.0f} s", flush=True)
            tried[kind] += 1
            if (seed + 1 - first) % dots == 0:
                print(f"{seed + 1 - first} tried, {failed} failed: {dict(tried)}", flush=True)
    return 1 if failed else 0


def message(chosen: argparse.Namespace) -> int:
    """Fuzz what was chosen, with a row for each target; gives the exit code."""
    share, failed = max(1, chosen.seconds // len(chosen.targets)), []
    print(f"{'target':<12} {'seconds':>7} {'inputs':>9} {'edges':>6}")
    for name in chosen.targets:
        tried, edges, answer, well = fuzz(name, share, chosen.corpus)
        print(f"{name:<12} {share:>7} {tried:>9} {edges:>6}{'' if well else '  FAILED'}", flush=True)
        if not well:
            failed.append(name)
            print("\n".join(answer.splitlines()[-60:]))
    if chosen.coverage:
        print(covered(chosen.corpus))
    if failed:
        print(f"inputs that failed are in {chosen.corpus / 'found'}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3:])
    sys.exit(main())
