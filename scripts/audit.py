"""Known weaknesses of the tested versions, without a network: takes OSV's export for PyPI, gives what applies.

    curl -O https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip    # wherever there is a network
    .venv/bin/python scripts/audit.py all.zip [constraints.txt]

The export is a zip with one advisory a file, in the schema of https://ossf.github.io/osv-schema. Exit code 1 when an
advisory applies, 0 when none does. `pip-audit -r constraints.txt --no-deps` asks the same over the network.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).resolve().parent.parent


def key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(text: str) -> dict[str, Version]:
    """The versions that a constraints file names."""
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    pairs = (line.split("==") for line in lines if "==" in line)
    return {key(name): Version(version) for name, version in pairs}


def advisories(path: Path) -> Iterator[Mapping[str, Any]]:
    """Every advisory of the export that was not withdrawn."""
    with zipfile.ZipFile(path) as export:
        for name in export.namelist():
            if name.endswith(".json"):
                advisory = json.loads(export.read(name))
                if not advisory.get("withdrawn"):
                    yield advisory


def applies(affected: Mapping[str, Any], version: Version) -> bool:
    """Whether a version is listed, or lies in a range from `introduced` to `fixed` or `last_affected`."""
    if any(_version(text) == version for text in affected.get("versions", ())):
        return True
    ranges = (item for item in affected.get("ranges", ()) if item.get("type") == "ECOSYSTEM")
    return any(_inside(item.get("events", ()), version) for item in ranges)


def _inside(events: list[Mapping[str, str]], version: Version) -> bool:
    """Walk a range's events in the order of versions; the last one at or before this version decides."""
    inside = False
    for event in sorted(events, key=lambda event: _version(next(iter(event.values()))) or Version("0")):
        kind, text = next(iter(event.items()))
        at = _version(text) or Version("0")
        if kind == "introduced" and version >= at:
            inside = True
        elif (kind == "fixed" and version >= at) or (kind == "last_affected" and version > at):
            inside = False
    return inside


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def findings(path: Path, versions: Mapping[str, Version]) -> Iterator[str]:
    for advisory in advisories(path):
        for affected in advisory.get("affected", ()):
            package = affected.get("package", {})
            name = key(package.get("name", ""))
            if package.get("ecosystem") == "PyPI" and name in versions and applies(affected, versions[name]):
                answer = advisory.get("summary") or advisory.get("details", "").partition("\n")[0]
                yield f"{name}=={versions[name]}: {advisory['id']}: {answer}"


def main() -> int:
    options = argparse.ArgumentParser(description="Which known weaknesses apply to the tested versions.")
    options.add_argument("export", type=Path, help="OSV's all.zip for PyPI")
    options.add_argument("constraints", type=Path, nargs="?", default=ROOT / "constraints.txt")
    chosen = options.parse_args()
    versions = pinned(chosen.constraints.read_text(encoding="utf-8"))
    found = sorted(set(findings(chosen.export, versions)))
    print("\n".join(found) or f"none of the advisories applies to the {len(versions)} versions")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
