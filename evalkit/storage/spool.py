"""Keep bytes on disk for the length of a run, in a file without a name."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from evalkit.errors import OutputError
from evalkit.storage.files import error_reason

Place = tuple[int, int]  # offset and length


class Spool:
    """A temporary file of byte strings; the operating system removes it when the process ends."""

    def __init__(self) -> None:
        with _temporary_file_errors():
            self._file = tempfile.TemporaryFile(prefix="evalkit-")  # noqa: SIM115 - it lives as long as the spool
        self._lock = threading.Lock()
        self._end = 0

    def put(self, content: bytes) -> Place:
        """Append bytes and return their place."""
        with self._lock, _temporary_file_errors():
            place = (self._end, len(content))
            self._file.seek(self._end)
            self._file.write(content)
            self._end += len(content)
        return place

    def get(self, place: Place) -> bytes:
        """Return the bytes at a place."""
        with self._lock, _temporary_file_errors():
            self._file.seek(place[0])
            return self._file.read(place[1])


@contextmanager
def _temporary_file_errors() -> Iterator[None]:
    """Turn a refusal of the operating system into an error that names the way out."""
    try:
        yield
    except OSError as error:
        folder = f"{tempfile.gettempdir()}: " if tempfile.tempdir else ""
        message = (
            f"{folder}temporary files cannot be written: {error_reason(error)}; TMPDIR names another folder for them"
        )
        raise OutputError(message) from error
