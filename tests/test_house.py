"""The package keeps its shape: imports go one way, starting loads little, dependencies are declared."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module, metadata
from pathlib import Path

import click
import pytest

from evalkit.errors import DISTRIBUTION

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "evalkit"

# Package or ground module -> layer. Imports go to a lower layer, or stay inside one package.
LAYERS = {
    name: layer
    for layer, names in enumerate(
        (
            ("errors",),
            ("types", "plugins"),
            ("text", "settings", "local_server"),
            ("formats", "metrics", "stats"),
            ("storage",),
            ("matching",),
            ("judges",),
            ("scoring",),
            ("comparison", "labels"),
            ("report",),
            ("cli",),
            ("__init__",),
            ("__main__", "pytest_plugin", "inspect_scorer"),
        )
    )
    for name in names
}

# Only storage opens files; each exception says why.
MAY_OPEN_FILES: dict[str, str] = {
    "storage/discovery.py": "reads every document below a folder",
    "storage/files.py": "reads and writes files, whole or not at all",
    "storage/folders.py": "a run's folder is written whole or not at all",
    "storage/tables.py": "pyarrow writes a Parquet file itself",
    "storage/cache.py": "the cache is one SQLite file",
    "judges/llm/reply_cache.py": "cached replies are in one SQLite file",
}
OPENING_CALLS = {"read_text", "read_bytes", "write_text", "write_bytes", "fdopen", "NamedTemporaryFile", "mkstemp"}
OPENING_MODULES = {"shutil", "tempfile", "sqlite3"}

HEAVY = ("torch", "sentence_transformers", "transformers", "pandas", "sklearn")
# What sentence-transformers installs: a pin of torch here would keep people from choosing its build.
INDIRECT = {"torch", "transformers", "huggingface-hub"}
# Import name -> distribution, where they differ.
DISTRIBUTIONS = {
    "inspect_ai": "inspect-ai", "mlflow": "mlflow-skinny", "yaml": "pyyaml", "sklearn": "scikit-learn",
    "vl_convert": "vl-convert-python",
}  # fmt: skip


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def short(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def part_of(path: Path) -> str:
    """Return the package that a file is in, or its own name."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported_names(path: Path) -> Iterator[tuple[str, int]]:
    """Yield every dotted name that a module imports, also inside functions and under TYPE_CHECKING, with its line."""
    package = ("evalkit", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            start = ".".join((*base, *filter(None, [node.module])))
            yield from ((f"{start}.{alias.name}", node.lineno) for alias in node.names)


def parts_imported(path: Path) -> Iterator[tuple[str, int]]:
    for name, line in imported_names(path):
        parts = name.split(".")
        if parts[0] == "evalkit":
            # `from evalkit import score` imports the top layer.
            yield (parts[1] if len(parts) > 1 and parts[1] in LAYERS else "__init__"), line


@pytest.mark.parametrize("path", modules(), ids=short)
def test_imports_go_one_way(path: Path) -> None:
    part = part_of(path)
    upward = [
        f"{short(path)}:{line} {part} (layer {LAYERS[part]}) imports {other} (layer {LAYERS[other]})"
        for other, line in parts_imported(path)
        # Modules of one package may import each other.
        if other != part and LAYERS[other] >= LAYERS[part]
    ]
    assert not upward, "\n".join(upward)


@pytest.mark.parametrize("path", modules(), ids=short)
def test_every_module_has_a_docstring(path: Path) -> None:
    assert ast.get_docstring(tree(path)), f"{short(path)} has no docstring"


def openings(path: Path) -> Iterator[str]:
    """Yield the places where a module opens a file, or imports a module that does."""
    for name, line in imported_names(path):
        if name.split(".")[0] in OPENING_MODULES:
            yield f"{short(path)}:{line} imports {name}"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            # A parser's own `self.read_text` reads from memory.
            own = isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "self"
            if name == "open" or (isinstance(node.func, ast.Attribute) and not own and name in OPENING_CALLS):
                yield f"{short(path)}:{node.lineno} calls {name}()"


@pytest.mark.parametrize("path", [path for path in modules() if short(path) not in MAY_OPEN_FILES], ids=short)
def test_only_storage_opens_files(path: Path) -> None:
    opened = list(openings(path))
    assert not opened, "use storage/files.py instead:\n" + "\n".join(opened)


def public_functions() -> Iterator[tuple[str, object]]:
    """Yield the functions and methods of the interface, and its classes that are no records."""
    import evalkit

    for name in evalkit.__all__:
        item = getattr(evalkit, name)
        if inspect.isfunction(item):
            yield name, item
        elif inspect.isclass(item):
            yield from ((f"{name}.{own}", value) for own, value in vars(item).items()
                        if inspect.isfunction(value) and not own.startswith("_"))  # fmt: skip
    yield from (("Reward", evalkit.Reward), ("Scorer", evalkit.Scorer))


def test_every_parameter_of_the_interface_is_explained() -> None:
    """A line `name: what it is` in the docstring of each, as `help()` shows it."""
    unexplained = [
        f"{name}({parameter})"
        for name, item in public_functions()
        for parameter in inspect.signature(item).parameters  # type: ignore[arg-type]
        if parameter != "self" and not re.search(rf"^{parameter}: \S", inspect.getdoc(item) or "", re.MULTILINE)
    ]
    assert not unexplained


def test_public_names_are_those_of_all() -> None:
    import evalkit

    imported = [
        alias.asname or alias.name
        for node in ast.walk(tree(PACKAGE / "__init__.py"))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("evalkit.")
        for alias in node.names
    ]
    assert sorted(imported) == sorted(evalkit.__all__), "what type checkers see is not what __all__ says"
    assert all(getattr(evalkit, name) is not None for name in evalkit.__all__)
    assert sorted(dir(evalkit)) == sorted(evalkit.__all__)
    assert len(evalkit.__all__) <= 20, "the public namespace has about a dozen names"


def loaded_after(code: str) -> set[str]:
    """Return the heavy modules that a fresh interpreter has loaded after running `code`."""
    report = f"\nimport sys\nprint('LOADED', *[m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(result.stdout.rsplit("LOADED", 1)[1].split())


HELP = """
import sys
from evalkit.cli import main
sys.argv = ["evalkit", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""


STARTS = {"import evalkit": "import evalkit", "evalkit --help": HELP, "pytest": "import evalkit.pytest_plugin"}


@pytest.mark.parametrize("code", STARTS.values(), ids=STARTS)
def test_starting_loads_nothing_heavy(code: str) -> None:
    assert loaded_after(code) == set()


def commands(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(("evalkit", *words)), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None, f"{name} is listed but cannot be loaded"
            yield from commands(child, (*words, name))


def test_every_command_and_option_has_help() -> None:
    from evalkit.cli import group

    silent = []
    for name, command in commands(group):
        if not command.help or not (command.callback is None or command.callback.__doc__):
            silent.append(name)
        silent += [
            f"{name} {option.opts[0]}"
            for option in command.params
            if isinstance(option, click.Option) and not option.help
        ]
    assert not silent, f"without help: {', '.join(silent)}"


def test_every_command_is_in_the_readme() -> None:
    from evalkit.cli import group

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    absent = [name for name, command in commands(group) if not isinstance(command, click.Group) and name not in readme]
    assert not absent, f"README.md does not mention: {', '.join(absent)}"


def test_every_format_has_a_fixture() -> None:
    formats = import_module("evalkit.formats").FORMATS
    names = list(formats) if isinstance(formats, Mapping) else [entry.name for entry in formats]
    assert names
    missing = [name for name in names if not list((ROOT / "tests" / "data").rglob(f"{name}*"))]
    assert not missing, f"no <name>* below tests/data for: {', '.join(missing)}"


def distribution(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", name, maxsplit=1)[0]).lower()


def test_dependencies_are_declared_and_used() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    core = {distribution(name) for name in project["dependencies"]}
    extras = {distribution(name) for names in project["optional-dependencies"].values() for name in names}
    imported = {
        distribution(DISTRIBUTIONS.get(top, top))
        for path in modules()
        for top in {name.split(".")[0] for name, _ in imported_names(path)}
        if top not in sys.stdlib_module_names and top != "evalkit"
    }
    declared = core | extras | INDIRECT
    assert imported <= declared, f"imported, not declared: {sorted(imported - declared)}"
    assert core <= imported, f"declared, never imported: {sorted(core - imported)}"


def test_the_distribution_is_named_by_one_constant() -> None:
    """Whoever types an install command from here gets this project, and not the one called evalkit on the index."""
    assert tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"] == DISTRIBUTION
    texts = [
        *modules(),
        ROOT / "README.md",
        ROOT / "pyproject.toml",
        *(path for path in (ROOT / "docs").rglob("*.*") if "_build" not in path.parts),
    ]
    wrong = [
        path.name
        for path in texts
        if re.search(r"(?<![\w-])evalkit\[|install [\"']?evalkit\b", path.read_text(encoding="utf-8"))
    ]
    assert not wrong
    copies = [short(path) for path in modules() if f'"{DISTRIBUTION}"' in path.read_text(encoding="utf-8")]
    assert copies == ["errors.py"]


def test_version_is_written_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert metadata.version(DISTRIBUTION) == project["version"], "installed before the version changed: run make again"
    copies = [short(path) for path in modules() if f'"{project["version"]}"' in path.read_text(encoding="utf-8")]
    assert not copies, "use importlib.metadata instead"


@pytest.mark.slow
def test_the_structure_is_measured_without_noise() -> None:
    """Scoring under the tracer prints nothing of its own, and says so where it fails."""
    done = subprocess.run(
        [sys.executable, "scripts/measure_structure.py"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stderr == ""
    assert [line.split()[0] for line in done.stdout.splitlines()[-2:]] == ["a", "and"]
