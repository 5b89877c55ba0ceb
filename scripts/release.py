"""Say whether a tag can be released: it, pyproject.toml, CITATION.cff and CHANGELOG.md name one version.

python scripts/release.py v1.2.3
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def problems(tag: str, root: Path = ROOT) -> list[str]:
    """Return what stands against releasing a tag."""
    version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    cited = re.search(r"^version: (\S+)$", (root / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    heads = re.findall(r"^## (.+)$", (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    found = []
    if tag != f"v{version}":
        found.append(f"the tag is {tag}, pyproject.toml has {version}")
    if cited is None or cited[1] != version:
        found.append(f"CITATION.cff has {cited[1] if cited else 'no version'}, pyproject.toml {version}")
    if not any(re.match(rf"{re.escape(version)} - \d{{4}}-\d\d-\d\d$", head) for head in heads):
        found.append(f"CHANGELOG.md has no section '## {version} - YEAR-MONTH-DAY'")
    return found


if __name__ == "__main__":
    against = problems(sys.argv[1])
    print("\n".join(against) or f"{sys.argv[1]} can be released")
    sys.exit(1 if against else 0)
