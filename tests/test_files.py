"""Files: what is found, what the path says, what cannot be read, and that a file is written whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import InputError, OutputError
from evalkit.storage import discovery, files
from evalkit.storage.files import Spool
from evalkit.storage.runs import load_run
from evalkit.types import Diagnostic, Document


def write(path: Path, content: str | bytes = "text") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def found(root: Path, *, planners: bool = True) -> list[tuple[str | None, str | None]]:
    items = discovery.documents(root, planners=planners)
    return [(item.planner, item.paper) for item in items if isinstance(item, Document)]


@pytest.mark.parametrize(
    ("path", "planner", "paper"),
    [
        ("gpt/paper.md", "gpt", "paper"),
        ("lab/gpt/v2/paper.jsonl", "lab/gpt/v2", "paper"),
        ("paper.txt", "top", "paper"),
        ("gpt/paper.json.log", "gpt", "paper"),
        ("gpt/v1.5-paper.yaml", "gpt", "v1.5-paper"),
    ],
)
def test_planner_and_paper_come_from_the_path(tmp_path: Path, path: str, planner: str, paper: str) -> None:
    write(tmp_path / "top" / path)
    assert found(tmp_path / "top") == [(planner, paper)]


def test_gold_has_no_planner(tmp_path: Path) -> None:
    write(tmp_path / "a" / "paper.json")
    assert found(tmp_path, planners=False) == [(None, "paper")]


def test_hidden_files_and_readmes_are_no_documents(tmp_path: Path) -> None:
    for name in (".hidden.md", "README.md", "readme.txt", "data.csv", ".git/x.md", "a/paper.md"):
        write(tmp_path / name)
    assert found(tmp_path) == [("a", "paper")]


def test_one_file_is_a_source_too(tmp_path: Path) -> None:
    assert found(write(tmp_path / "gpt" / "paper.md")) == [("gpt", "paper")]


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"PK\x03\x04\x00\x00", "not-text"), (b"caf\xe9", "encoding"), ("é".encode("utf-16"), "encoding")],
)
def test_bytes_that_are_not_utf8_are_told(tmp_path: Path, content: bytes, code: str) -> None:
    write(tmp_path / "a" / "bad.md", content)
    write(tmp_path / "a" / "good.md")
    items = list(discovery.documents(tmp_path, planners=True))
    assert [item.code for item in items if isinstance(item, Diagnostic)] == [code]
    assert any(isinstance(item, Document) and item.paper == "good" for item in items)


def test_windows_text_is_read_all_the_same(tmp_path: Path) -> None:
    write(tmp_path / "a" / "p.md", b"caf\xe9")
    assert (
        next(item.text for item in discovery.documents(tmp_path, planners=True) if isinstance(item, Document)) == "café"
    )


def test_a_huge_file_is_left_out_and_named(tmp_path: Path) -> None:
    huge = write(tmp_path / "a" / "huge.md")
    os.truncate(huge, 50 * 2**20)
    write(tmp_path / "a" / "small.md")
    items = list(discovery.documents(tmp_path, planners=True))
    assert [(item.code, item.path) for item in items if isinstance(item, Diagnostic)] == [("too-large", str(huge))]
    assert found(tmp_path) == [("a", "small")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission_is_told_and_loses_nothing_else(tmp_path: Path) -> None:
    write(tmp_path / "a" / "shut.md").chmod(0)
    write(tmp_path / "a" / "open.md")
    items = list(discovery.documents(tmp_path, planners=True))
    assert [item.code for item in items if isinstance(item, Diagnostic)] == ["unreadable"]


def test_what_the_system_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a" / "shut.md")
    write(tmp_path / "a" / "open.md")

    def refuse(path: str, *how: Any, **more: Any) -> Any:
        if path.endswith("shut.md"):
            raise PermissionError(13, "Permission denied")
        return Path(path).open(*how, **more)

    monkeypatch.setattr(discovery, "open", refuse, raising=False)
    items = list(discovery.documents(tmp_path, planners=True))
    expected = [item.message for item in items if isinstance(item, Diagnostic)]
    assert expected == ["expected a readable file, found: permission denied"]
    assert found(tmp_path) == [("a", "open")]


def test_a_dangling_link_is_told(tmp_path: Path) -> None:
    (tmp_path / "gone.md").symlink_to(tmp_path / "nowhere")
    items = list(discovery.documents(tmp_path, planners=True))
    assert [item.code for item in items if isinstance(item, Diagnostic)] == ["unreadable"]


def test_a_link_out_of_the_folder_is_told_and_refused_when_strict(tmp_path: Path) -> None:
    plans, elsewhere = tmp_path / "plans", tmp_path / "elsewhere"
    write(plans / "a" / "own.md")
    write(elsewhere / "other.md")
    (plans / "a" / "inside.md").symlink_to("own.md")
    (plans / "a" / "outside.md").symlink_to(elsewhere / "other.md")
    (plans / "a" / "hop.md").symlink_to("outside.md")
    (tmp_path / "beside").symlink_to(plans)  # the folder that is named may be a link itself
    for root in (plans, tmp_path / "beside"):
        for strict, severity in ((False, "warning"), (True, "error")):
            items = list(discovery.documents(root, planners=True, strict=strict))
            told = [item for item in items if isinstance(item, Diagnostic)]
            assert [(item.severity, item.code, Path(item.path).name) for item in told] == [
                (severity, "link-outside", "hop.md"), (severity, "link-outside", "outside.md")
            ]  # fmt: skip
            papers = [item.paper for item in items if isinstance(item, Document)]
            assert papers == (["inside", "own"] if strict else ["hop", "inside", "outside", "own"])
    (read,) = discovery.documents(plans / "a" / "outside.md", planners=True, strict=True)
    assert isinstance(read, Document)  # a file that is named is meant


def test_a_link_to_a_folder_is_told_and_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "plans" / "a" / "own.md")
    write(tmp_path / "elsewhere" / "other.md")
    (tmp_path / "plans" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "plans" / "a" / "loop").symlink_to(tmp_path / "plans")
    for strict, severity in ((False, "warning"), (True, "error")):
        items = list(discovery.documents(tmp_path / "plans", planners=True, strict=strict))
        told = [(item.severity, item.code, Path(item.path).name) for item in items if isinstance(item, Diagnostic)]
        assert told == [(severity, "link-folder", "b"), (severity, "link-folder", "loop")]
        assert [item.paper for item in items if isinstance(item, Document)] == ["own"]
    (tmp_path / "plans" / "a" / "own.md").unlink()
    with pytest.raises(InputError, match=r"holds no documents.*found a link to one; not followed"):
        list(discovery.documents(tmp_path / "plans", planners=True))


def test_what_would_never_end_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe that nobody writes to, and a device, are told and passed over."""
    os.mkfifo(tmp_path / "pipe.md")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    items = list(discovery.documents(tmp_path, planners=True))
    assert [item.message for item in items if isinstance(item, Diagnostic)] == [
        "expected a file, found something else"
    ] * 2
    assert len(items) == 2


@pytest.mark.parametrize(("given", "hint"), [
    ("plnas", "; did you mean '{}/plans'?"), ("plans/modle/x", "; did you mean '{}/plans/model'?"), ("zzz", ""),
    ("nowhere/plans", ""), ("dangling", ""), ("plans/model/a.json/x", ""),
    ("plans/model/a.jso", "; did you mean '{}/plans/model/a.json'?"),
])  # fmt: skip
def test_the_nearest_name_to_a_mistyped_path_is_told(given: str, hint: str, tmp_path: Path) -> None:
    (tmp_path / "plans" / "model").mkdir(parents=True)
    (tmp_path / "plans" / "model" / "a.json").write_text("[]")
    (tmp_path / "dangling").symlink_to("nothing")
    with pytest.raises(InputError) as caught:
        list(discovery.documents(tmp_path / given, planners=True))
    assert str(caught.value) == f"{tmp_path / given}: no such file or folder{hint.format(tmp_path)}"


def test_a_name_that_is_too_long_is_an_error_of_the_user(tmp_path: Path) -> None:
    place = tmp_path / ("x" * 300)
    for read in (lambda: list(discovery.documents(place, planners=True)), lambda: load_run(place)):
        with pytest.raises(InputError, match=r"x: file name too long"):
            read()


def test_no_folder_and_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="plans: no such file or folder"):
        list(discovery.documents(tmp_path / "plans", planners=True))
    with pytest.raises(InputError, match="holds no documents"):
        list(discovery.documents(tmp_path, planners=True))


def test_a_folder_where_a_file_belongs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a directory"):
        files.read_text(tmp_path)


def test_a_text_is_written_whole_or_not(tmp_path: Path) -> None:
    place = write(tmp_path / "out.txt", "old")
    files.write_text(place, "new \ud800")  # half of a pair, as the name of a file may hold it
    assert place.read_text() == "new \\ud800"
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]


def test_a_pipe_is_written_to_and_a_link_stays(tmp_path: Path) -> None:
    """As root a pipe or a device would have been replaced by a file: /dev/stdout, /dev/null."""
    pipe, link, made = tmp_path / "pipe", tmp_path / "link", tmp_path / "made"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    files.write_bytes(pipe, b"x")
    assert os.read(reader, 9) == b"x"
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    os.close(reader)
    (tmp_path / "deep").mkdir()
    link.symlink_to("deep/file")
    for content in (b"y", b"z"):  # the file is not there yet, and then is
        files.write_bytes(link, content)
        assert link.is_symlink()
        assert (tmp_path / "deep" / "file").read_bytes() == content
    made.symlink_to("deep")
    with pytest.raises(OutputError, match=r"made: cannot be written: is a directory"):
        files.write_bytes(made, b"x")


def test_a_spool_gives_back_what_was_put(tmp_path: Path) -> None:
    spool = Spool()
    places = [spool.put(content) for content in (b"one", b"", b"three")]
    assert [spool.get(place) for place in reversed(places)] == [b"three", b"", b"one"]


def test_a_spool_without_room_says_so() -> None:
    """/dev/full refuses what is written to it, at the latest when it is read back."""
    spool = Spool()
    spool._file.close()
    spool._file = Path("/dev/full").open("r+b", buffering=0)  # noqa: SIM115
    with pytest.raises(OutputError, match="temporary files cannot be written: no space left on device; TMPDIR names"):
        spool.put(b"plan")
