"""Prepare a release, or say whether a tag can be released: all files name one version.

python scripts/release.py close 1.2.3     write the version into every file; CHANGELOG.md's Unreleased section and the
                                          entries in changes/ become a dated section, and the entries' files go
python scripts/release.py v1.2.3          say what stands against releasing this tag
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UNRELEASED = "## [Unreleased]"
KINDS = ("added", "changed", "fixed", "removed")
# Where a version stands: the file, and the expression that finds it.
PLACES = (
    ("pyproject.toml", r'^(version = ")(.+)(")$'),
    ("CITATION.cff", r"^(version: )(\S+)()$"),
    ("conda/recipe.yaml", r'^(  version: ")(.+)(")$'),
)


def problems(tag: str, root: Path = ROOT) -> list[str]:
    """Return what stands against releasing a tag."""
    version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    heads = re.findall(r"^## (.+)$", (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    found = []
    if tag != f"v{version}":
        found.append(f"the tag is {tag}, pyproject.toml has {version}")
    for name, pattern in PLACES[1:]:
        own = re.search(pattern, (root / name).read_text(encoding="utf-8"), re.MULTILINE)
        if own is None or own[2] != version:
            found.append(f"{name} has {own[2] if own else 'no version'}, pyproject.toml {version}")
    if not any(re.match(rf"{re.escape(version)} - \d{{4}}-\d\d-\d\d$", head) for head in heads):
        found.append(f"CHANGELOG.md has no section '## {version} - YEAR-MONTH-DAY'")
    return found + [f"{path.name} in changes/ is in no section" for path, _, _ in entries(root)]


def entries(root: Path = ROOT) -> Iterator[tuple[Path, str, str]]:
    """Yield the entries in changes/ by name: the file, its kind, and the entry as a line of a list."""
    for path in sorted((root / "changes").glob("*")):
        _, kind, *rest = [*path.name.split("."), "", ""]
        text = path.read_text(encoding="utf-8").strip()
        if kind not in KINDS or rest[0] != "md" or not text or text.startswith("- "):
            sys.exit(f"{path}: expected NAME.KIND.md, KIND one of {', '.join(KINDS)}, with a text that is no list")
        yield path, kind, "- " + "\n  ".join(line.strip() for line in text.splitlines()) + "\n"


def with_entries(section: str, new: list[tuple[str, str]]) -> str:
    """Return a section of the changelog with further entries at the end of their kinds."""
    parts = re.split(r"^### (\w+)\n", section, flags=re.MULTILINE)
    found = {name.lower(): body.strip("\n") for name, body in zip(parts[1::2], parts[2::2], strict=True)}
    for kind, text in new:
        found[kind] = f"{found.get(kind, '')}\n{text}".strip("\n")
    order = [kind for kind in (*KINDS, *found) if kind in found]
    kinds = [f"### {kind.capitalize()}\n\n{found[kind]}\n" for kind in dict.fromkeys(order)]
    return "\n" + "\n".join(filter(None, [parts[0].strip(), *kinds])) + "\n"


def close(version: str, day: str, root: Path = ROOT) -> None:
    """Make a dated section of all that is unreleased, and write the version into every file."""
    if not re.fullmatch(r"\d+\.\d+\.\d+\w*", version):
        sys.exit(f"{version}: expected a version as in 1.2.3")
    path, new = root / "CHANGELOG.md", list(entries(root))
    before, sign, rest = path.read_text(encoding="utf-8").partition(f"{UNRELEASED}\n")
    if not sign:
        sys.exit(f"{path}: no section '{UNRELEASED}'")
    section, mark, after = rest.partition("\n## ")
    section = with_entries(section, [(kind, text) for _, kind, text in new])
    text = f"{before}{UNRELEASED}\n\n## {version} - {day}\n{section}{mark}{after}"
    path.write_text(re.sub(r"\n{3,}", "\n\n", text), encoding="utf-8")
    for name, pattern in PLACES:
        own = (root / name).read_text(encoding="utf-8")
        own = re.sub(pattern, rf"\g<1>{version}\g<3>", own, count=1, flags=re.MULTILINE)
        (root / name).write_text(own, encoding="utf-8")
    for file, _, _ in new:
        file.unlink()


def main(words: list[str]) -> int:
    """Do what the words say; return the exit code."""
    if len(words) == 2 and words[0] == "close":
        close(words[1], datetime.now(UTC).date().isoformat())
        return 0
    against = problems(words[0]) if len(words) == 1 else [(__doc__ or "").strip()]
    print("\n".join(against) or f"{words[0]} can be released")
    return 1 if against else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
