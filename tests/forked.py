"""The command as a process of its own, without loading its libraries anew each time.

A process that has loaded them waits; each command runs in a fork of it, with its own folder, environment and streams,
and ends as any process does. What is about starting Python, or sends signals, starts a process itself.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

SERVER = """
import gc, io, json, os, sys
import jinja2, pandas
import evalkit.cli, evalkit.comparison, evalkit.labels, evalkit.report.console, evalkit.scoring.pipeline
gc.freeze()

def be(job):
    nothing = os.open(os.devnull, os.O_RDONLY)
    streams = [os.open(job[name], os.O_WRONLY) for name in ("stdout", "stderr")]
    for place, opened in enumerate((nothing, *streams)):
        os.dup2(opened, place)
        os.close(opened)
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    sys.path[1:1] = job["path"]
    sys.argv = ["evalkit", *job["words"]]
    sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False))
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(io.BufferedWriter(io.FileIO(place, "w", closefd=False)), "utf-8", errors, line_buffering=lines)
        for place, errors, lines in ((1, "strict", False), (2, "backslashreplace", True))
    )

for line in sys.stdin:
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        be(json.loads(line))
        break
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
else:
    sys.exit()
evalkit.cli.main()
"""


@cache
def _server() -> subprocess.Popen[str]:
    root = str(Path(__file__).resolve().parent.parent)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}
    command = [sys.executable, "-c", SERVER]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    atexit.register(server.communicate)  # it ends with its input
    return server


def evalkit_command(
    words: Sequence[str],
    cwd: Path,
    env: Mapping[str, str] | None = None,
    path: Sequence[str] = (),
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run `evalkit` with these words, in this environment if one is given; `path` has folders to import from."""
    around = dict(os.environ if env is None else env)
    if not hasattr(os, "fork"):
        around["PYTHONPATH"] = os.pathsep.join((*path, str(Path(__file__).resolve().parent.parent)))
        command = [sys.executable, "-m", "evalkit", *words]
        return subprocess.run(command, cwd=cwd, env=around, capture_output=True, text=True, timeout=timeout)
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.TemporaryDirectory() as folder:
        streams = {name: str(Path(folder, name)) for name in ("stdout", "stderr")}
        for stream in streams.values():
            Path(stream).touch()
        job = {"words": list(words), "cwd": str(cwd), "env": around, "path": list(path), **streams}
        limit = threading.Timer(timeout, server.kill)
        limit.start()
        try:
            server.stdin.write(json.dumps(job) + "\n")
            server.stdin.flush()
            code = int(server.stdout.readline())
        finally:
            limit.cancel()
        out, err = (Path(stream).read_bytes().decode("utf-8").replace("\r\n", "\n") for stream in streams.values())
    return subprocess.CompletedProcess(list(words), code, out, err)
