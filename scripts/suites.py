"""Read the inputs of public suites of JSON, YAML and broken JSON, and print how far evalkit agrees with them.

    .venv/bin/python scripts/suites.py FOLDER [--show 5]

FOLDER holds clones of any of JSONTestSuite (nst), yaml-test-suite (yaml), json_repair (mangiucugna) and jsonrepair
(josdejong), under these names. The standard library's `json` and PyYAML are the reference for what is valid, the
suites' own tests for what is broken. A document is "the same" when evalkit reads the same values, scalars as text;
"told" when it reads others and reports it; "silent" when it reads others without a word, which --show explains.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from evalkit.formats import parse_document
from evalkit.formats import yaml as our_yaml
from evalkit.formats.json import read_values
from evalkit.formats.tree import Node
from evalkit.storage.discovery import documents
from evalkit.types import Document

NOTHING = object()  # the reference reads nothing
Case = tuple[str, str, Any]  # name, text, what the reference reads
# What the YAML suite writes in place of characters that cannot be seen.
MARKS = {"␣": " ", "»": "\t", "—": "", "↵": "", "∎\n": "", "←": "\r", "⇔": "\ufeff"}
SCALARS = {True: "true", False: "false", None: None}
NULLS = ("", "~", "null", "Null", "NULL")


def plain(node: Node) -> Any:
    """Return a node as lists, dictionaries and texts."""
    if isinstance(node.value, dict):
        return {key: plain(value) for key, value in node.value.items()}
    return [plain(item) for item in node.value] if isinstance(node.value, tuple) else node.value


def as_text(tree: Any) -> Any:
    """Return what the standard library read with its scalars as text."""
    if isinstance(tree, dict):
        return {key: as_text(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [as_text(item) for item in tree]
    return tree if isinstance(tree, str) else SCALARS[tree]


def of_json(text: str) -> Any:
    """Return what the standard library reads; halves of characters are left to be compared as what they become."""
    try:
        tree = as_text(json.loads(text, parse_int=str, parse_float=str, parse_constant=str))
    except (ValueError, RecursionError):
        return NOTHING
    return json.loads(
        json.dumps(tree, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )


def json_suite(folder: Path) -> Iterator[Case]:
    for path in sorted(folder.glob("test_*/*.json")):
        for document in documents(path, planners=False):
            if isinstance(document, Document):
                text = document.text
                yield path.name, text, of_json(text)


def yaml_suite(folder: Path) -> Iterator[Case]:
    for path in sorted(folder.glob("src/*.yaml")):
        for number, case in enumerate(yaml.safe_load(path.read_text(encoding="utf-8"))):
            if "yaml" in case:
                text = case["yaml"]
                for mark, character in MARKS.items():
                    text = text.replace(mark, character)
                yield f"{path.stem}-{number}", text, of_yaml(text)


def of_yaml(text: str) -> Any:
    """Return the documents that PyYAML reads, scalars as text."""
    try:
        return list(yaml.load_all(text, Loader=yaml.BaseLoader))
    except (yaml.YAMLError, RecursionError, TypeError):
        return NOTHING


def json_repair_suite(folder: Path) -> Iterator[Case]:
    """Yield the inputs and outputs of `repair_json(...) == ...` in json_repair's tests."""
    for path in sorted(folder.glob("tests/test_*.py")):
        for compared in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(compared, ast.Compare) or not isinstance(compared.left, ast.Call):
                continue
            call = compared.left
            options = {keyword.arg for keyword in call.keywords} - {"return_objects", "ensure_ascii"}
            if getattr(call.func, "id", "") == "repair_json" and len(call.args) == 1 and not options:
                try:
                    text, result = (ast.literal_eval(one) for one in (call.args[0], compared.comparators[0]))
                except ValueError:
                    continue
                made = of_json(result if isinstance(result, str) else json.dumps(result))
                yield f"{path.name}:{compared.lineno}", text, made


_JS = r"('(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\")"
_REPAIRED = re.compile(rf"jsonrepair\(\s*{_JS}\s*\)\s*\)\s*\.toBe\(\s*{_JS}\s*\)|assertRepair\(\s*{_JS}\s*\)")


def jsonrepair_suite(folder: Path) -> Iterator[Case]:
    """Yield the inputs and outputs of `expect(jsonrepair(...)).toBe(...)` in jsonrepair's tests."""
    path = folder / "src" / "index.test.ts"
    content = path.read_text(encoding="utf-8")
    for match in _REPAIRED.finditer(content):
        try:
            text, result = (ast.literal_eval(one.replace("\\/", "/")) for one in
                            ((match[1], match[2]) if match[1] else (match[3], match[3])))  # fmt: skip
        except (ValueError, SyntaxError):
            continue
        text = text.encode("utf-16", "surrogatepass").decode("utf-16")
        yield f"{path.name}:{content.count(chr(10), 0, match.start()) + 1}", text, of_json(result)


SUITES: dict[str, tuple[Callable[[Path], Iterator[Case]], bool]] = {
    "JSONTestSuite": (json_suite, False),
    "yaml-test-suite": (yaml_suite, True),
    "json_repair": (json_repair_suite, False),
    "jsonrepair": (jsonrepair_suite, False),
}


_NUMBER = re.compile(r"[+-]?[\d.]+(?:[eE][+-]?\d+)?")
_SCALARS = re.compile(r"\s*[\[(][^{]*[\])]\s*\Z")


def ours(text: str, is_yaml: bool) -> tuple[Any, set[str]]:
    """Return what evalkit reads, and the codes of what it reports."""
    reports: set[str] = set()
    read = our_yaml.read_values if is_yaml else read_values
    text, holder = text.replace("\r\n", "\n"), []
    if not is_yaml and _SCALARS.match(text):  # a list without entries is no data of a plan, unless an object holds it
        text, holder = f'{{"": {text}}}', [""]
    found = [plain(node) for node in read(text, lambda code, *_: reports.add(code))]
    whole = found if is_yaml or len(found) != 1 else found[0]
    return (whole[""] if holder and isinstance(whole, dict) else whole), reports


def same(found: Any, wanted: Any) -> bool:
    """Are two trees equal, where every spelling of nothing is nothing?"""
    if isinstance(found, dict) and isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(same(found[key], wanted[key]) for key in found)
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(found, str) and isinstance(wanted, str):
        return found.casefold() == wanted.casefold() or (_NUMBER.fullmatch(found) is not None and number(wanted, found))
    return found == wanted or (found is None and wanted in NULLS)


def number(one: str, other: str) -> bool:
    """Are these two texts one number?"""
    try:
        return float(one) == float(other)
    except ValueError:
        return False


def verdict(text: str, wanted: Any, is_yaml: bool) -> tuple[str, Any, set[str]]:
    """Hold what evalkit reads against the reference; a document as a whole is read as well, so that nothing raises."""
    parse_document(Document("x", text, "planner", "paper"))
    found, reports = ours(text, is_yaml)
    if wanted is NOTHING:
        return ("refused: told" if reports or not found else "refused: silent"), found, reports
    if not is_yaml and not isinstance(wanted, dict | list):
        return "no list or object", found, reports
    return "same" if same(found, wanted) else "other: told" if reports else "other: silent", found, reports


def main() -> None:
    options = argparse.ArgumentParser(description="Print how far evalkit agrees with public suites.")
    options.add_argument("folder", type=Path, help="holds clones of the suites")
    options.add_argument(
        "--show", type=int, default=0, help="print so many documents of each kind that are not the same"
    )
    chosen = options.parse_args()
    for name, (cases, is_yaml) in SUITES.items():
        if not (chosen.folder / name).is_dir():
            print(f"{name}: not there")
            continue
        counts = Counter[str]()
        for case, text, wanted in cases(chosen.folder / name):
            kind, found, reports = verdict(text, wanted, is_yaml)
            counts[kind] += 1
            if kind != "same" and counts[kind] <= chosen.show:
                expected = "nothing" if wanted is NOTHING else repr(wanted)[:300]
                print(f"  {kind}: {case}: {text[:300]!r}\n    {expected}\n    {found!r:.300}\n    {sorted(reports)}")
        print(f"{name}: {sum(counts.values())} documents: {dict(sorted(counts.items()))}")


if __name__ == "__main__":
    main()
