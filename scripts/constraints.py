"""Takes the environment it runs in, gives constraints.txt: the versions of what evalkit, its extras and its tests need.

    .venv/bin/python scripts/constraints.py > constraints.txt

Local version labels (`+cpu`) are left out, so that any build of that version satisfies the constraint.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
HEAD = "# The versions evalkit was tested with (Python 3.11, Linux); `make` installs these."


def key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(roots: Iterable[str]) -> dict[str, str]:
    """Every installed distribution that the requirements lead to, with its version."""
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [Requirement(root) for root in roots]
    while waiting:
        wanted = waiting.pop()
        try:
            distribution = metadata.distribution(wanted.name)
        except metadata.PackageNotFoundError:
            print(f"not installed: {wanted.name}", file=sys.stderr)
            continue
        if key(wanted.name) != "ablation-evalkit":
            found[key(wanted.name)] = distribution.version.split("+")[0]
        for extra in {"", *wanted.extras} - {extra for name, extra in seen if name == key(wanted.name)}:
            seen.add((key(wanted.name), extra))
            for text in distribution.requires or ():
                need = Requirement(text)
                if need.marker is None or need.marker.evaluate({"extra": extra}):
                    waiting.append(need)
    return found


def main() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = settings["project"]
    extras = [name for names in project["optional-dependencies"].values() for name in names]
    grouped = [name for names in settings["dependency-groups"].values() for name in names]
    roots = [*project["dependencies"], *extras, *grouped, "hatchling"]
    print(HEAD)
    for name, version in sorted(closure(roots).items()):
        print(f"{name}=={version}")


if __name__ == "__main__":
    main()
