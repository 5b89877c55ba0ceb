"""Measure the structure of evalkit: sizes, the longest chain of imports, and what a plan passes on its way to a run.

.venv/bin/python scripts/measure_structure.py [FOLDER]

FOLDER is a checkout, this one by default. What a plan passes is counted under a tracer while `evalkit score` scores the
bundled sample by the lexical matcher: modules with a function that runs, and record types (dataclasses and named
tuples) that are made. What only runs while modules are imported does not count.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import sys
import tempfile
from functools import cache
from pathlib import Path
from types import FrameType

ROOT = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent).resolve()
PACKAGE = ROOT / "evalkit"


def main() -> None:
    """Print the figures."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in trees)
    functions = [
        node.end_lineno - node.lineno + 1
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None
    ]
    chain = longest_chain(trees)
    print(f"{len(trees)} modules, {lines} lines, {lines / len(trees):.0f} a module")
    print(f"{len(functions)} functions, {sum(functions) / len(functions):.1f} lines each on average")
    print(f"longest chain of imports: {len(chain)} modules: {' -> '.join(chain)}")
    modules, records = traced()
    print(f"a plan passes {len(modules)} modules: {' '.join(sorted(modules))}")
    print(f"and {len(records)} record types: {' '.join(sorted(records))}")


def module_name(path: Path) -> str:
    """Return the dotted name of a file of the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def longest_chain(trees: dict[Path, ast.Module]) -> list[str]:
    """Return the longest chain of modules that import each other when they are loaded."""
    names = {module_name(path) for path in trees}
    imports: dict[str, set[str]] = {}
    for path, tree in trees.items():
        wanted = imports.setdefault(module_name(path), set())
        for node in tree.body:  # imports inside functions and under TYPE_CHECKING load nothing here
            if isinstance(node, ast.ImportFrom) and node.module:
                own = {f"{node.module}.{alias.name}" for alias in node.names} & names
                wanted |= own or ({node.module} & names)

    @cache
    def below(name: str) -> tuple[str, ...]:
        return (name, *max((below(other) for other in imports[name] - {name}), key=len, default=()))

    return list(max((below(name) for name in names), key=len))


def traced() -> tuple[set[str], set[str]]:
    """Return the modules that run and the record types that are made while the sample is scored."""
    sys.path.insert(0, str(ROOT))
    import evalkit.cli

    modules: set[str] = set()
    records: set[str] = set()

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event != "call" or importing(frame):
            return
        if frame.f_code.co_filename.startswith(str(PACKAGE)):
            modules.add(module_name(Path(frame.f_code.co_filename)))
        owner = frame.f_locals.get("self" if frame.f_code.co_name == "__init__" else "_cls")
        kind = owner if isinstance(owner, type) else type(owner)
        if kind.__module__.startswith("evalkit") and (dataclasses.is_dataclass(kind) or issubclass(kind, tuple)):
            records.add(f"{kind.__module__}.{kind.__name__}".removeprefix("evalkit."))

    with tempfile.TemporaryDirectory() as folder:
        options = ["--matcher", "lexical", "--out", f"{folder}/run", "--cache", f"{folder}/cache"]
        sys.argv = ["evalkit", "score", "--pred", f"{PACKAGE}/sample/plans", "--gold", f"{ROOT}/references", *options]
        # A file, as evalkit writes to the descriptor below a stream.
        with Path(folder, "printed").open("w", encoding="utf-8") as printed, contextlib.redirect_stdout(printed):
            sys.setprofile(profile)
            try:
                evalkit.cli.main()
            except SystemExit as end:
                if end.code:
                    raise
            finally:
                sys.setprofile(None)
    return modules, records


def importing(frame: FrameType | None) -> bool:
    """Return whether a module of evalkit is being imported."""
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_code.co_filename.startswith(str(PACKAGE)):
            return True
        frame = frame.f_back
    return False


if __name__ == "__main__":
    main()
