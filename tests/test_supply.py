"""Input from outside: no code is run, no connection opened unasked, no path made from a name."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import entry, few, gold, plan
from packaging.specifiers import SpecifierSet
from test_house import tree as parsed

from evalkit.cli import group
from evalkit.errors import EvalkitError, ModelError, SettingsError
from evalkit.matching.embeddings import BACKENDS, ContextualEncoder, find_encoder, find_encoder_here
from evalkit.report.exports import EXPORTERS
from evalkit.scoring.load import convert
from evalkit.scoring.pipeline import score_run
from evalkit.settings import JudgeSettings, Settings
from evalkit.storage.files import write_texts
from evalkit.storage.runs import load_run
from evalkit.types import Plan

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# What builds objects or runs code from data.
UNSAFE = {
    "pickle", "dill", "cloudpickle", "marshal", "shelve", "jsonpickle", "eval()", "exec()", "compile()", "system",
    "popen", "unsafe_load", "full_load", "load_all", "FullLoader", "UnsafeLoader", "allow_pickle", "subprocess",
}  # fmt: skip
MAY_PICKLE = {
    "scoring/pair.py": "plans that this process spooled to a nameless temporary file",
    "scoring/executors.py": "work and results on their way between the processes of one run",
}
MAY_RUN = {"storage/provenance.py": "git, asked for a commit in a way that starts no program of the repository's"}
# Which modules may use the network, and what for.
NETWORK = {
    "socket", "http", "urllib", "requests", "httpx", "aiohttp", "anthropic", "openai", "huggingface_hub", "mlflow",
    "trackio", "uvicorn", "wandb",
}  # fmt: skip
MAY_CONNECT = {
    "matching/embeddings/contextual.py": "a model hub, when a model is not on this machine, without --offline",
    "scoring/executors.py": "the Ray cluster at an address that was named",
    "storage/hub.py": "the hub that an address hf://... names, without --offline",
    "judges/llm": "the server of a judge that was named",
    "local_server.py": "the browser of the person who labels or looks at runs, on 127.0.0.1",
    "report/trackers.py": "the tracker that was named",
    "settings.py": "parses addresses and opens none",
    "report/escaping.py": "writes data into an address of the page itself",
}


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / "evalkit").rglob("*.py")):
        yield path.relative_to(ROOT / "evalkit").as_posix(), parsed(path)


def names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield every name that is imported, called or passed as a keyword, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0], node.lineno
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield f"{node.func.id}()", node.lineno
            elif isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) != "re":
                yield node.func.attr, node.lineno
            yield from ((keyword.arg, node.lineno) for keyword in node.keywords if keyword.arg)


def test_data_never_becomes_code() -> None:
    uses = [
        f"{path}:{line} {name}"
        for path, tree in trees()
        for name, line in names(tree)
        if name in UNSAFE
        and not (name == "pickle" and path in MAY_PICKLE)
        and not (name == "subprocess" and path in MAY_RUN)
    ]
    assert not uses, "\n".join(uses)


def test_yaml_and_weights_are_read_as_data() -> None:
    """YAML as events of the safe loader, weights from safetensors, and never code that came with a model."""
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("yaml.load", "torch.load", "np.load"):
                pytest.fail(f"{path}:{node.lineno} {ast.unparse(node)}")
            if isinstance(node, ast.keyword) and node.arg in ("trust_remote_code", "use_safetensors"):
                assert ast.unparse(node.value) == str(node.arg == "use_safetensors"), path
    source = (ROOT / "evalkit" / "matching" / "embeddings" / "contextual.py").read_text(encoding="utf-8")
    assert "trust_remote_code=False" in source
    assert '"use_safetensors": True' in source
    assert '"*.json", "*.txt", "*.safetensors"' in source


def test_only_these_modules_use_the_network() -> None:
    uses = [
        f"{path}:{line} {name}"
        for path, tree in trees()
        for name, line in names(tree)
        if name in NETWORK and not any(path == place or path.startswith(f"{place}/") for place in MAY_CONNECT)
    ]
    assert not uses, "\n".join(uses)


NO_CONNECTION = """
import socket, sys
def refuse(*args, **names):
    raise SystemExit(f"a connection was opened: {args[1:]}")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
from evalkit.cli import main
main()
"""


@pytest.mark.parametrize("matcher", ["lexical", pytest.param("hybrid", marks=pytest.mark.slow)])
@pytest.mark.parametrize("more", [[], pytest.param(["--offline"], marks=pytest.mark.slow)])
def test_scoring_opens_no_connection(tmp_path: Path, matcher: str, more: list[str]) -> None:
    for folder in ("plans/p", "gold"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "x.json").write_text('[{"name": "A", "ablated_part": "gate", "action": "REMOVE"}]')
    words = ["score", "--pred", "plans", "--gold", "gold", "--out", "run", "--resamples", "9", "--cache", "cache"]
    command = [sys.executable, "-c", NO_CONNECTION, *words, "--matcher", matcher, *more]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "run" / "run.json").is_file()


def test_offline_refuses_a_missing_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub is not asked at all."""
    hub = pytest.importorskip("huggingface_hub")
    asked = []

    def download(name: str, *, local_files_only: bool = False, **rest: object) -> str:
        asked.append(local_files_only)
        raise OSError("not in the cache")

    monkeypatch.setattr(hub, "snapshot_download", download)
    with pytest.raises(ModelError, match=r"^nobody/nothing: not on this machine, and --offline fetches none; install"):
        find_encoder_here("nobody/nothing")
    assert asked == [True]
    with pytest.raises(ModelError, match="cannot be had"):
        find_encoder("nobody/nothing")
    assert asked == [True, True, False]


def test_the_word_before_the_colon_chooses_the_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(ContextualEncoder):
        pass

    (tmp_path / "model.safetensors").write_bytes(b"weights")
    monkeypatch.setitem(BACKENDS, "other", Other)
    digest = hashlib.sha256(b"weights").hexdigest()[:12]
    own, usual = find_encoder_here(f"other:{tmp_path}"), find_encoder_here(str(tmp_path))
    assert (type(own), own.folder, own.fingerprint) == (Other, tmp_path, f"other:{tmp_path.name}@{digest}")
    assert (type(usual), usual.folder, usual.fingerprint) == (ContextualEncoder, tmp_path, f"{tmp_path.name}@{digest}")
    with pytest.raises(ModelError, match=r": no model\.safetensors; install"):
        find_encoder_here(f"other:{tmp_path.parent}")


def test_offline_option_reaches_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    calls = []

    def download(name: str, **how: object) -> str:
        calls.append(how)
        raise OSError("no")

    monkeypatch.setattr(hub, "snapshot_download", download)
    for side in ("plans", "gold"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "x.json").write_text('[{"name": "A", "ablated_part": "gate"}]')
    words = [
        "score",
        "--pred",
        str(tmp_path / "plans"),
        "--gold",
        str(tmp_path / "gold"),
        "--out",
        str(tmp_path / "run"),
        "--no-cache",
    ]
    result = CliRunner().invoke(group, [*words, "--model", "nobody/nothing", "--offline"])
    assert isinstance(result.exception, EvalkitError)
    assert "--offline fetches none" in str(result.exception)
    assert [call["local_files_only"] for call in calls] == [True]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("https://api.openai.com/v1", False),
        ("http://10.0.0.3:8000/v1", False),
        ("http://localhost.example.org/v1", False),
        ("http://127.0.0.1:8000/v1", True),
        ("http://localhost/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://127.8.8.8/v1", True),
        ("http://127.0.0.1.example.org/v1", False),
        ("http://10.0.0.1", False),
    ],
)
def test_offline_refuses_a_judge_elsewhere(url: str, here: bool) -> None:
    judge = JudgeSettings(models=("m",), url=url)
    if here:
        assert Settings(offline=True, judge=judge).offline
    else:
        with pytest.raises(SettingsError, match="is on the network"):
            Settings(offline=True, judge=judge)
    assert Settings(offline=True, judge=replace(judge, models=())).digest == Settings().digest


ESCAPES = (
    "../../escaped", "/escaped", "..", ".", "a/../../../escaped", "C:\\escaped", "..\\..\\escaped", "~/escaped",
    "a\0b", "x" * 3000, "CON", "-rf", "$(touch escaped)", "a\nb", " ", "é" * 200, "%2e%2e%2fescaped",
)  # fmt: skip


def everything_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize("index", few(range(len(ESCAPES)), every=3))
def test_names_never_leave_the_output_folder(tmp_path: Path, index: int) -> None:
    """A run and every export stay in their folder whatever papers and planners are called."""
    name = ESCAPES[index]
    plans = [plan(entry("gate"), paper=name, planner=name), plan(entry("gate"), paper="x", planner="p", sample=name)]
    work = tmp_path / "deep" / "deeper" / "work"
    work.mkdir(parents=True)
    run = score_run(plans, [gold(entry("gate"), paper=name), gold(entry("gate"), paper="x")], QUICK)
    run.save(work / "run")
    assert {path for path in everything_below(work) if "/" in path} == {
        f"run/{file}" for file in ("run.json", *(f"{table}.csv" for table in TABLES))
    }
    loaded = load_run(work / "run")
    for kind, export in EXPORTERS.items():
        out = work / kind
        for path in export(loaded):
            place = Path(out, *path.split("/"))
            assert place.resolve().is_relative_to(out.resolve()), (kind, path)
            assert all(len(part.encode()) < 256 for part in place.parts)
            assert "\0" not in path
        write_texts({Path(out, *path.split("/")): text for path, text in export(loaded).items()})
    assert {path.split("/")[0] for path in everything_below(tmp_path)} == {"deep"}
    assert {path.split("/")[0] for path in everything_below(work)} <= {"run", *EXPORTERS}
    assert everything_below(tmp_path / "deep") - {"deeper"} == {
        f"deeper/{path}" for path in everything_below(tmp_path / "deep" / "deeper")
    }


QUICK = Settings(matcher="lexical", resamples=0)
TABLES = ("leaderboard", "papers", "pairs", "plans", "diagnostics")


@pytest.mark.parametrize("name", ["/", "../../", "..", "//x", "é" * 300, "a\0b", " "])
def test_draft_files_have_harmless_names(name: str) -> None:
    from evalkit.cli.gold import _file_name

    called = _file_name(name)
    assert called
    assert not {"/", "\0"} & set(called)
    assert called.strip(".")
    assert len(called.encode()) < 250


def test_convert_writes_below_its_target(tmp_path: Path) -> None:
    """Files are named after files, never after what a document calls its paper."""
    (tmp_path / "in").mkdir()
    content = {"paper": "../../escaped", "planner": "/escaped", "ablations": [{"name": "A", "ablated_part": "p"}]}
    (tmp_path / "in" / "x.json").write_text(json.dumps(content))
    convert(str(tmp_path / "in"), str(tmp_path / "out"), "trajectory")
    assert everything_below(tmp_path) == {"in", "in/x.json", "out", "out/x.md"}


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    """Only plans below the named folder are read."""
    (tmp_path / "plans" / "p").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    for place in ("plans/p", "secret"):
        (tmp_path / place / "x.json").write_text('[{"name": "A", "ablated_part": "gate"}]')
    (tmp_path / "plans" / "q").symlink_to(tmp_path / "secret")
    run = score_run(tmp_path / "plans", [Plan("x", None, (entry("gate"),))], QUICK)
    assert run.leaderboard["planner"].tolist() == ["p"]


def requirements() -> list[str]:
    extras = PROJECT["project"]["optional-dependencies"].values()
    groups = PROJECT["dependency-groups"].values()
    return [name for names in ([PROJECT["project"]["dependencies"]], extras, groups) for part in names for name in part]


def test_upper_bounds_have_a_known_reason() -> None:
    known: dict[str, str] = {}
    bounded = [name for name in requirements() if "<" in name.split(";")[0] or "==" in name.split(";")[0]]
    assert [name for name in bounded if re.split(r"[\[<>=!~; ]", name)[0] not in known] == []


def test_requirements_have_bounds_and_tested_versions() -> None:
    tested = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    for name in requirements():
        if name.startswith("ablation-evalkit["):
            continue
        assert ">=" in name, name
        plain = re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", name)[0]).lower()
        assert plain in tested, f"{plain}: run scripts/constraints.py"


def test_the_tested_versions_install_on_every_python() -> None:
    """Debian's Python 3.11 is 3.11.2: a library that wants a later one is pinned to a version that does not."""
    tested = [line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    wanted = {name: distribution.metadata.get("Requires-Python") for name in tested
              for distribution in metadata.distributions(name=name)}  # fmt: skip
    assert len(wanted) > 0.9 * len(tested)
    assert [name for name, versions in wanted.items() if not SpecifierSet(versions or "").contains("3.11.0")] == []


def advisory(name: str, package: str, **affected: object) -> dict[str, object]:
    return {"id": name, "summary": "bad", "affected": [{"package": {"name": package, "ecosystem": "PyPI"}, **affected}]}


def span(**events: str) -> list[dict[str, object]]:
    return [{"type": "ECOSYSTEM", "events": [{kind: version} for kind, version in events.items()]}]


ADVISORIES = [
    advisory("listed", "Some_Thing", versions=["1.1", "1.2.0"]),
    advisory("open range", "some-thing", ranges=span(introduced="0")),
    advisory("fixed later", "some.thing", ranges=span(introduced="1.0", fixed="1.3")),
    advisory("fixed before", "some-thing", ranges=span(introduced="1.0", fixed="1.2")),
    advisory("up to this one", "some-thing", ranges=span(introduced="1.0", last_affected="1.2")),
    advisory("up to an older one", "some-thing", ranges=span(introduced="1.0", last_affected="1.1")),
    advisory("begins later", "some-thing", ranges=span(introduced="2.0")),
    advisory("another package", "other", versions=["1.2"]),
    {**advisory("withdrawn", "some-thing", versions=["1.2"]), "withdrawn": "2024-01-01T00:00:00Z"},
]


def test_the_audit_needs_no_network(tmp_path: Path) -> None:
    """Of nine advisories four apply to version 1.2: listed, open, fixed later, and up to this one."""
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as export:
        for number, item in enumerate(ADVISORIES):
            export.writestr(f"{number}.json", json.dumps(item))
    (tmp_path / "pins.txt").write_text("# tested\nsome-thing==1.2\nclean==3.0\n")
    command = [
        sys.executable,
        str(ROOT / "scripts" / "audit.py"),
        str(tmp_path / "all.zip"),
        str(tmp_path / "pins.txt"),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    reported = [line.split(": ")[1] for line in result.stdout.splitlines()]
    assert (result.returncode, sorted(reported)) == (1, ["fixed later", "listed", "open range", "up to this one"])
    (tmp_path / "pins.txt").write_text("clean==3.0\n")
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "none of the advisories applies to the 1 versions\n")
