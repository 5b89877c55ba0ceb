"""Guard standard output and error: any encoding, a reader that leaves, a full disk, a closed stream."""

from __future__ import annotations

import codecs
import errno
import io
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from select import select
from typing import Any

import click

from evalkit.errors import OutputError
from evalkit.storage.files import error_reason, occupy

ESCAPED = "evalkit-escaped"


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Return characters that an encoding does not have as JSON escapes, so that JSON stays JSON."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error(ESCAPED, _escaped)


class Guarded(io.RawIOBase):
    """A stream whose reader may leave (`| head`): what it no longer reads is dropped, and exit codes stay.

    Anything else that cannot be written raises one OutputError, which `failure` keeps; the rest is dropped.
    """

    def __init__(self, raw: Any, name: str) -> None:
        self._raw, self._name = raw, name
        self.failure: OutputError | None = None
        self._left = False

    def writable(self) -> bool:
        """Return that this can be written to."""
        return True

    def isatty(self) -> bool:
        """Return whether this is a terminal."""
        return self._raw is not None and bool(self._raw.isatty())

    def fileno(self) -> int:
        """Return the descriptor of the stream itself."""
        return int(io.RawIOBase().fileno() if self._raw is None else self._raw.fileno())

    def write(self, data: Any) -> int:
        """Write bytes, or say once why they cannot be written."""
        if self._left or self.failure:
            return len(data)
        try:
            if self._raw is None:
                raise OSError(errno.EBADF, "it is closed")
            while (written := self._raw.write(data)) is None:  # a pipe that does not wait by itself, and is full
                select([], [self._raw], [])
            return int(written)
        except BrokenPipeError:
            self._left = True
        except OSError as error:
            self.failure = OutputError(f"{self._name}: cannot be written: {error_reason(error)}")
            raise self.failure from error
        return len(data)


# Where a CI system reads a command in what a program prints: `::` that begins a line, `##[` and the like anywhere.
_COMMANDS = re.compile(r"(?<![^\r\n])([^\S\r\n]*:)(?=:)|#(?=#[a-z]*\[)")


class Stream(io.TextIOWrapper):
    """Text over a guarded stream; without `buffer`, round which click would write past it.

    No text that is printed becomes a workflow command: a space breaks what would be one, but in `workflow_commands`.
    """

    buffer = None  # type: ignore[assignment]

    def __init__(self, stream: Any, name: str) -> None:
        self._below = stream  # it would close what lies below it when it goes
        binary = getattr(stream, "buffer", None)
        self.guard = Guarded(getattr(binary, "raw", binary), name)
        encoding = getattr(stream, "encoding", None) or "utf-8"
        self.trusted, self._line = False, ""  # `_line`: what stands on the line so far, while it may become a command
        super().__init__(io.BufferedWriter(self.guard), encoding, ESCAPED, line_buffering=self.guard.isatty())

    def write(self, text: str) -> int:
        """Write text, with commands to a CI system broken."""
        whole = self._line + text
        shown = whole if self.trusted else _COMMANDS.sub(r"\g<0> ", whole)
        super().write(shown[len(self._line) :])
        last = re.split(r"[\r\n]", whole)[-1]
        self._line = last if last.strip() in ("", ":") else "x"
        return len(text)


def workflow_commands(text: str) -> None:
    """Print workflow commands of our own on standard error."""
    stream = sys.stderr
    if not isinstance(stream, Stream):
        click.echo(text, err=True)
        return
    stream.trusted = True
    try:
        click.echo(text, err=True)
    finally:
        stream.trusted = False


@contextmanager
def guarded() -> Iterator[None]:
    """Put guarded streams in the places of standard output and error; what is closed stays so, for other files too."""
    occupy()
    before = sys.stdin, sys.stdout, sys.stderr
    sys.stdin = sys.stdin or io.StringIO()
    sys.stdout = Stream(sys.stdout, "standard output")
    if sys.stderr is not None:  # closed on purpose: there is nowhere to print errors
        sys.stderr = Stream(sys.stderr, "standard error")
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = before


def failure() -> OutputError | None:
    """Write what is still held back; return why something could not be written."""
    failures = []
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Stream):
            with suppress(OutputError):
                stream.flush()
            failures.append(stream.guard.failure)
    return next(filter(None, failures), None)
