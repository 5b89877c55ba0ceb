"""Write configs/schemas from the code: .venv/bin/python scripts/schemas.py (or `make schemas`)."""

from __future__ import annotations

import json
from pathlib import Path

from evalkit.report.schemas import SCHEMAS, make_schema

FOLDER = Path(__file__).resolve().parent.parent / "configs" / "schemas"


def main() -> None:
    """Write every schema, and remove what is none any more."""
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.json"):
        path.unlink()
    for name in SCHEMAS:
        text = json.dumps(make_schema(name), indent=1, ensure_ascii=False)
        (FOLDER / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
