"""Plans and gold of the Hugging Face hub, asked by its own client, of a server on this machine that answers like it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fake_hub import Hub, git_hash, hub_serving

import evalkit
from evalkit import comparison
from evalkit.cli import group
from evalkit.errors import InputError
from evalkit.scoring.load import convert, read_plans
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.storage import hub as hub_module
from evalkit.storage.cache import CACHE_FILE, Store
from evalkit.storage.discovery import LARGEST
from evalkit.storage.hub import Address, parse_address
from evalkit.storage.runs import Signature, load_run

QUICK = Settings(matcher="lexical", resamples=0)
OFFLINE = Settings(matcher="lexical", resamples=0, offline=True)
FIRST, SECOND = "a1" * 20, "b2" * 20


def listed(*parts: str) -> bytes:
    return json.dumps([{"name": f"No {part}", "ablated_part": part, "action": "REMOVE"} for part in parts]).encode()


def parquet(planner: str, paper: str, *parts: str) -> bytes:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [{"planner": planner, "paper": paper, "name": f"No {part}", "ablated_part": part, "action": "REMOVE"}
            for part in parts]  # fmt: skip
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


GOLD = {
    "README.md": b"---\nconfigs:\n- config_name: easy\n  data_files: 'papers/x.json'\n- config_name: both\n"
    b"  data_files:\n  - split: test\n    path: ['papers/x.json', 'papers/y.*']\n---\n# Gold\n",
    ".gitattributes": b"*.json text\n",
    "papers/x.json": listed("encoder", "gate"),
    "papers/y.json": listed("loss"),
}
PLANS = {
    "lab/good/x.md": b"## Ablation 1: No encoder\n- Ablated part: encoder\n- Action: REMOVE\n",
    "lab/good/y.json": listed("loss"),
    "poor/x.json": listed("colour"),
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub with gold and plans, which this process asks without a token."""
    client = pytest.importorskip("huggingface_hub.constants")
    with hub_serving() as server:
        monkeypatch.setattr(client, "ENDPOINT", server.url)
        monkeypatch.setattr(client, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr(client, "HF_HUB_OFFLINE", False)  # it is read once, maybe while another test sets it
        monkeypatch.setattr(client, "AGENT_HARNESSES_PATH", str(tmp_path.parent / "harnesses"), raising=False)
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        server.put("lab/gold", FIRST, GOLD)
        server.put("lab/plans", FIRST, PLANS)
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with_files = Store(tmp_path / "cache" / CACHE_FILE)
    yield with_files
    with_files.close()


def folder(top: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(data)
    return top


def kept(tmp_path: Path) -> set[str]:
    """Return all that lies below a folder."""
    return {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}


def test_a_data_set_scores_as_its_files_do(hub: Hub, store: Store, tmp_path: Path) -> None:
    gold, plans = folder(tmp_path / "gold", GOLD), folder(tmp_path / "plans", PLANS)
    here = score_run(plans, gold, QUICK)
    there = score_run("hf://datasets/lab/plans", "hf://datasets/lab/gold@main", QUICK, cache=store)
    assert there.leaderboard.equals(here.leaderboard)
    assert there.papers.equals(here.papers)
    assert set(there.plans["path"]) == {f"hf://datasets/lab/plans@{FIRST}/{name}" for name in PLANS} | {""}
    # Two gold papers: one of two entries and the only plan entry, then 1 of 1: (2/3 + 1) / 2.
    board = there.leaderboard.set_index("planner")
    assert board.loc["lab/good", "match_f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert sorted(board.index) == ["lab/good", "poor"]


def test_a_run_holds_the_commits(hub: Hub, store: Store, tmp_path: Path) -> None:
    made = {"time": "2026-01-31T12:00:00Z"}
    pred, gold = "hf://datasets/lab/plans", "hf://datasets/lab/gold@main"
    score_run(pred, gold, QUICK, cache=store, out=tmp_path / "run", made=made)
    run = load_run(tmp_path / "run")
    signature = json.loads((tmp_path / "run" / "run.json").read_text())["signature"]
    assert signature["gold_from"] == run.signature.gold_from == f"hf://datasets/lab/gold@{FIRST}"
    assert signature["plans_from"] == f"hf://datasets/lab/plans@{FIRST}"
    assert f"|gold_from:hf://datasets/lab/gold@{FIRST}|" in str(run.signature)
    assert run.meta["provenance"]["inputs"]["plans"]["path"] == f"hf://datasets/lab/plans@{FIRST}"
    # A branch was named for gold; for the plans nothing was.
    assert [text for text in run.meta["warnings"] if "hf://" in text] == [
        f"hf://datasets/lab/plans names no revision, and may change: hf://datasets/lab/plans@{FIRST} was taken"
    ]


def test_signatures_without_the_hub_stay_what_they_were() -> None:
    old = Signature("0.1.0", "s", "hybrid", "c", "m", "one-to-one", "0.5/0.5", "zero", "all", "0", "g", "p")
    assert not {"gold_from", "plans_from"} & {*old.table}
    assert "from" not in str(old)


def test_a_commit_is_fetched_once(hub: Hub, store: Store) -> None:
    pinned = [f"hf://datasets/lab/{name}@{FIRST}" for name in ("plans", "gold")]
    first = score_run(*pinned, QUICK, cache=store)
    assert sum("/resolve/" in path for path in hub.asked) == len(PLANS) + 2
    assert not any(path.endswith((".gitattributes", "README.md")) for path in hub.asked)
    hub.asked.clear()
    again = score_run(*pinned, OFFLINE, cache=store)
    assert hub.asked == []
    assert again.leaderboard.equals(first.leaderboard)


@pytest.mark.parametrize(
    ("pred", "said"),
    [
        ("hf://datasets/lab/plans", "--offline reads only a commit that is on this machine"),
        ("hf://datasets/lab/plans@main", "--offline reads only a commit that is on this machine"),
        (f"hf://datasets/lab/plans@{FIRST}", "is not on this machine, and --offline fetches nothing"),
    ],
)
def test_offline_refuses_what_is_not_here(hub: Hub, store: Store, tmp_path: Path, pred: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        score_run(pred, folder(tmp_path / "gold", GOLD), OFFLINE, cache=store)
    assert hub.asked == []


def test_the_cache_tells_of_data_sets_and_forgets_them(hub: Hub, store: Store, tmp_path: Path) -> None:
    read_plans(f"hf://datasets/lab/gold@{FIRST}", gold=True, cache=store)
    told = CliRunner().invoke(group, ["cache", "info", "--json", "--cache", str(tmp_path / "cache")])
    files = sum(path.stat().st_size for path in (tmp_path / "cache" / "hub").rglob("*") if path.is_file())
    assert json.loads(told.output)["hub"] == {"path": str(tmp_path / "cache" / "hub"), "bytes": files}
    assert files > len(GOLD["papers/x.json"] + GOLD["papers/y.json"])
    cleared = CliRunner().invoke(group, ["cache", "clear", "--cache", str(tmp_path / "cache")])
    assert "MiB forgotten" in cleared.output
    assert not (tmp_path / "cache" / "hub").exists()


def test_a_branch_moves_and_a_commit_does_not(hub: Hub, store: Store, tmp_path: Path) -> None:
    plans = folder(tmp_path / "plans", PLANS)
    score_run(plans, "hf://datasets/lab/gold@main", QUICK, cache=store)
    hub.put("lab/gold", SECOND, {"x.json": listed("encoder")})
    new = score_run(plans, "hf://datasets/lab/gold@main", QUICK, cache=store)
    old = score_run(plans, f"hf://datasets/lab/gold@{FIRST}", QUICK, cache=store)
    assert (new.signature.gold_from[-40:], old.signature.gold_from[-40:]) == (SECOND, FIRST)
    assert (new.meta["totals"]["papers"], old.meta["totals"]["papers"]) == (1, 2)
    hub.put("lab/gold", SECOND, {"x.json": listed("encoder")}, branch="try/this")
    named = read_plans("hf://datasets/lab/gold@try/this", gold=True, cache=store)
    assert [plan.path for plan in named.plans] == [f"hf://datasets/lab/gold@{SECOND}/x.json"]


@pytest.mark.parametrize(
    ("config", "papers"),
    [("papers", ["x", "y"]), ("papers/y.json", ["y"]), ("easy", ["x"]), ("both", ["x", "y"])],
)
def test_a_folder_a_file_and_a_configuration(hub: Hub, store: Store, config: str, papers: list[str]) -> None:
    read = read_plans(f"hf://datasets/lab/gold/{config}@{FIRST}", gold=True, cache=store)
    assert [plan.paper for plan in read.plans] == papers
    assert not any(path.endswith("x.json") for path in hub.asked if "x" not in papers)


def test_a_folder_of_plans_names_planners_below_it(hub: Hub, store: Store) -> None:
    read = read_plans(f"hf://datasets/lab/plans/lab@{FIRST}", cache=store)
    assert {(plan.planner, plan.paper) for plan in read.plans} == {("good", "x"), ("good", "y")}
    assert {plan.path for plan in read.plans} == {
        f"hf://datasets/lab/plans/lab@{FIRST}/good/{name}" for name in ("x.md", "y.json")
    }
    top = read_plans(f"hf://datasets/lab/plans/poor@{FIRST}", cache=store)
    assert [plan.planner for plan in top.plans] == ["poor"]


def test_what_is_not_there_is_told_with_what_is(hub: Hub, store: Store) -> None:
    with pytest.raises(InputError, match=r"nothing is called 'hard' there; there are easy, both, papers$"):
        read_plans("hf://datasets/lab/gold/hard@main", gold=True, cache=store)
    with pytest.raises(InputError, match=r"lab/gold@old: http://127\S+: no revision 'old'$"):
        read_plans("hf://datasets/lab/gold@old", gold=True, cache=store)
    with pytest.raises(InputError, match=r"before the revision: hf://datasets/lab/gold/easy@main$"):
        read_plans("hf://datasets/lab/gold@main/easy", gold=True, cache=store)  # as the hub's own clients write it
    with pytest.raises(InputError, match=r"no such file or folder; of addresses .*: hf://datasets/OWNER/NAME"):
        read_plans("https://huggingface.co/datasets/lab/gold", gold=True, cache=store)
    with pytest.raises(InputError, match=r"lab/nothing: http://127\S+: no such data set there"):
        read_plans("hf://datasets/lab/nothing", gold=True, cache=store)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf://datasets/a/b", Address("a/b")),
        ("hf://datasets/a/b/", Address("a/b")),
        ("hf://datasets/a/b@v1.0", Address("a/b", "", "v1.0")),
        ("hf://datasets/a/b/c/d@refs/pr/1", Address("a/b", "c/d", "refs/pr/1")),
        ("hf://datasets/a", None),
        ("hf://a/b", None),
        ("hf://models/a/b", None),
        ("hf://datasets/../b", None),
        ("hf://datasets/a/b/../c", None),
        ("hf://datasets/a/b@", None),
        ("hf://datasets/a b/c", None),
    ],
)
def test_addresses(text: str, expected: Address | None) -> None:
    if expected is None:
        with pytest.raises(InputError, match=r"expected hf://datasets/OWNER/NAME"):
            parse_address(text)
    else:
        assert parse_address(text) == expected


def test_tables_of_a_data_set_are_read(hub: Hub, store: Store, tmp_path: Path) -> None:
    table = parquet("lab/good", "x", "encoder")
    hub.put("lab/plans", SECOND, {"data/train.parquet": table, "extra.csv": b"a,b"})
    hub.large.add("data/train.parquet")
    run = score_run("hf://datasets/lab/plans@main", folder(tmp_path / "gold", GOLD), QUICK, cache=store)
    assert run.leaderboard["planner"].tolist() == ["lab/good"]
    assert any("elsewhere" in path for path in hub.asked)
    told = run.diagnostics.set_index("code")
    assert "not read, in no known format: 1 .csv (extra.csv)" in told.loc["unread-files", "message"]


ESCAPES = ("../escaped.json", "/escaped.json", "a/../../escaped.json", "a//b.json", "a/./b.json", "..\\escaped.json",
           "C:escaped.json", "a\nb.json", "a\0b.json", "con.json", "x" * 300 + ".json", "")  # fmt: skip


@pytest.mark.parametrize("index", range(len(ESCAPES)))
def test_names_that_lead_elsewhere_refuse_the_whole(hub: Hub, store: Store, tmp_path: Path, index: int) -> None:
    data = listed("gate")
    hub.listed.append({"type": "file", "path": ESCAPES[index], "size": len(data), "oid": git_hash(data)})
    with pytest.raises(InputError, match="which no data set may hold; refused"):
        read_plans(f"hf://datasets/lab/gold@{FIRST}", gold=True, cache=store)
    assert kept(tmp_path) == set()
    assert not any("/resolve/" in path for path in hub.asked)


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "file", "path": 5, "size": 1, "oid": "x"},
        {"type": "file", "path": "z.json", "size": "1", "oid": "x"},
        {"type": "file", "path": "z.json", "size": -1, "oid": "x"},
        {"type": "file", "path": "z.json", "size": True, "oid": "x"},
        {"type": "file", "path": "z.json"},
        "z.json",
        None,
    ],
)
def test_lists_of_another_shape_are_user_errors(hub: Hub, store: Store, entry: Any) -> None:
    hub.listed.append(entry)
    with pytest.raises(InputError, match="lab/gold"):
        read_plans(f"hf://datasets/lab/gold@{FIRST}", gold=True, cache=store)


@pytest.mark.parametrize("commit", ["../../escaped", "main", "A1" * 20, "", 5, None])
def test_a_commit_that_is_none_is_refused(hub: Hub, store: Store, tmp_path: Path, commit: Any) -> None:
    hub.put("lab/gold", commit, GOLD)
    with pytest.raises(InputError, match=r"expected a commit from http"):
        read_plans("hf://datasets/lab/gold", gold=True, cache=store)
    assert kept(tmp_path) == set()


@pytest.mark.parametrize("sent", [b"[]", b"x" * 10_000_000, b""])
def test_content_that_is_not_the_commits_is_refused(hub: Hub, store: Store, tmp_path: Path, sent: bytes) -> None:
    for path in ("papers/x.json", "papers/y.json"):
        hub.sent[path] = sent
    hub.large.add("papers/x.json")
    for config in ("x.json", "y.json"):
        with pytest.raises(InputError, match=f"papers/{config}: what came is not what this commit holds"):
            read_plans(f"hf://datasets/lab/gold/papers/{config}@{FIRST}", gold=True, cache=store)
    assert kept(tmp_path) == set()


def test_what_is_too_large_is_an_unreadable_plan_and_is_not_fetched(hub: Hub, store: Store, tmp_path: Path) -> None:
    size = 5 * LARGEST
    hub.listed.append({"type": "file", "path": "poor/y.json", "size": size, "oid": "0" * 40})
    run = score_run(f"hf://datasets/lab/plans@{FIRST}", folder(tmp_path / "gold", GOLD), QUICK, cache=store)
    assert run.leaderboard.set_index("planner")["unreadable_plans"].to_dict() == {"lab/good": 0, "poor": 1}
    told = run.diagnostics.set_index("code").loc["too-large"]
    assert told["path"] == f"hf://datasets/lab/plans@{FIRST}/poor/y.json"
    assert told["message"] == "expected a document of at most 16 MiB, found 80 MiB"
    assert not any("poor/y.json" in path for path in hub.asked)


def test_there_are_bounds(hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "MOST_FILES", 3)
    with pytest.raises(InputError, match="expected at most 3 files"):
        read_plans(f"hf://datasets/lab/gold@{FIRST}", gold=True, cache=store)
    monkeypatch.setattr(hub_module, "MOST_FILES", 4)
    monkeypatch.setattr(hub_module, "MOST_BYTES", 100)
    with pytest.raises(InputError, match="GiB of documents"):
        read_plans(f"hf://datasets/lab/gold@{FIRST}", gold=True, cache=store)


def test_a_link_in_a_data_set_is_a_text(hub: Hub, store: Store, tmp_path: Path) -> None:
    """git keeps a link as a file that holds its target, and so it comes; none is made here."""
    (tmp_path / "secret.json").write_bytes(listed("gate"))
    hub.put("lab/gold", SECOND, {**GOLD, "papers/z.json": str(tmp_path / "secret.json").encode()})
    read = read_plans("hf://datasets/lab/gold@main", gold=True, cache=store)
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))
    assert [(plan.paper, len(plan.ablations)) for plan in read.plans] == [("x", 2), ("y", 1), ("z", 0)]


def test_a_damaged_list_is_fetched_again(hub: Hub, store: Store, tmp_path: Path) -> None:
    source = f"hf://datasets/lab/gold@{FIRST}"
    read_plans(source, gold=True, cache=store)
    (listing,) = tmp_path.rglob("listing.json")
    for text in ("{", "[]", '{"files": 1, "others": {}}'):
        listing.write_text(text)
        assert len(read_plans(source, gold=True, cache=store).plans) == 2


def test_other_commands_read_addresses(hub: Hub, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    convert(f"hf://datasets/lab/plans@{FIRST}", str(tmp_path / "out"), "jsonl")
    assert kept(tmp_path / "out") == {"lab/good/x.jsonl", "lab/good/y.jsonl", "poor/x.jsonl"}
    refused = CliRunner().invoke(group, ["watch", "hf://datasets/lab/plans", "--gold", str(tmp_path / "out")])
    assert "watch looks at files of this machine" in str(refused.exception)


def test_gold_of_the_hub_is_gold_of_a_folder_with_the_same_content(hub: Hub, store: Store, tmp_path: Path) -> None:
    plans, gold = folder(tmp_path / "plans", PLANS), folder(tmp_path / "gold", GOLD)
    here, there = (score_run(plans, side, QUICK, cache=store) for side in (gold, "hf://datasets/lab/gold@main"))
    assert here.signature != there.signature
    assert here.signature.differences(there.signature) == {}
    comparison.compare(here, there)  # which refuses what is not comparable
    there.save(tmp_path / "there")
    text = comparison.baseline_text(comparison.read_snapshot(tmp_path / "there"), "main")
    (tmp_path / "base.json").write_text(text)
    assert comparison.read_snapshot(tmp_path / "base.json").signature == there.signature


def cli(hub: Hub, tmp_path: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does, who may be logged in."""
    around = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "XDG_CACHE_HOME": str(tmp_path / "own"), **more}
    return subprocess.run(
        [sys.executable, "-m", "evalkit", *words, "--matcher", "lexical", "--resamples", "0"],
        env={**os.environ, **around}, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_token_goes_to_the_hub_and_nowhere_else(hub: Hub, tmp_path: Path) -> None:
    hub.private.add("lab/gold")
    hub.large.add("papers/y.json")
    plans = str(folder(tmp_path / "plans", PLANS))
    words = ["score", "--pred", plans, "--gold", "hf://datasets/lab/gold", "--out", "run"]
    refused = cli(hub, tmp_path, *words, HF_TOKEN="hf_wrong")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "or none that you may read" in refused.stderr
    assert "hf_wrong" not in refused.stderr
    done = cli(hub, tmp_path, *words, HF_TOKEN="hf_right")
    assert done.returncode == 0, done.stderr
    assert ("hub", "Bearer hf_right") in hub.tokens
    assert [token for server, token in hub.tokens if server == "elsewhere"] == [""]
    held = b"".join((tmp_path / name).read_bytes() for name in kept(tmp_path) if not name.startswith("plans/"))
    assert FIRST.encode() in held
    assert b"hf_right" not in held
    assert "hf_right" not in done.stdout + done.stderr
    assert f"hf://datasets/lab/gold@{FIRST} was taken" in " ".join((done.stdout + done.stderr).split())
    offline = cli(hub, tmp_path, *words, "--offline", "--force")
    assert (offline.returncode, "--offline" in offline.stderr) == (2, True)


def test_without_the_client_its_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"^hf://datasets/a/b: needs huggingface_hub: .*\[hub\]'$"):
        read_plans("hf://datasets/a/b")


def test_a_hub_that_does_not_answer_is_a_user_error(hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"^hf://datasets/lab/gold: http://127\.0\.0\.1:9: cannot be had: "):
        evalkit.score("hf://datasets/lab/gold", "hf://datasets/lab/gold", QUICK, cache=None)


def test_hashes_are_gits() -> None:
    """`printf hello | git hash-object --stdin` prints this."""
    assert git_hash(b"hello") == "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0"
    assert hub_module._File("x", 5, git_hash(b"hello"), "").is_content(b"hello")
    assert hub_module._File("x", 5, "", hashlib.sha256(b"hello").hexdigest()).is_content(b"hello")
