"""The journal of a live run: each answer one JSON line, on the disk before an order can follow from it.

A line cut off by a crash was never acknowledged and is dropped when the journal is opened again. What is in
it makes a cassette: `write_cassette(path, read_journal(journal))` replays the live day as a backtest.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from framework.errors import DataError
from framework.llm.record import Record, canonical, check

try:
    import fcntl
except ImportError:  # Windows: one writer at a time is the user's care
    fcntl = None  # type: ignore[assignment]


class Journal:
    """Appends records to a file, each once.

    Raises
    ------
    DataError
        The file cannot be written, or holds something else than records.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._broken(error) from None
        try:
            self._lock()
            whole, cut = _split(self.path.read_bytes())
            if cut:
                os.ftruncate(self._file, len(whole))
            self._keys = {record["key"] for record in _records(whole, self.path)}
        except OSError as error:
            self.close()
            raise self._broken(error) from None
        except DataError:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"Journal({str(self.path)!r}, records={len(self._keys)})"

    def append(self, record: Record) -> None:
        """Write a record and flush it to the disk; one that is there already is not written again.

        Raises
        ------
        DataError
            The disk is full, or gone: nothing of the record stays in the file.
        """
        if record["key"] in self._keys:
            return
        line = (canonical(record) + "\n").encode("ascii")
        size = os.fstat(self._file).st_size
        try:
            if os.write(self._file, line) != len(line):
                raise OSError(28, "no space left on device")
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, size)
            raise self._broken(error) from None
        self._keys.add(record["key"])

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _lock(self) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"{self.path}: another run writes this journal; give each its own") from None

    def _broken(self, error: OSError) -> DataError:
        return DataError(f"{self.path}: the journal cannot be written ({error.strerror}); free space")


def read_journal(path: str | os.PathLike[str]) -> list[Record]:
    """Return the records of a journal in the order they came; a last line that was cut off is left out.

    Raises
    ------
    DataError
        The file cannot be read, or a line is not a whole record; names file and line.
    """
    source = Path(path)
    try:
        data = source.read_bytes()
    except OSError as error:
        raise DataError(f"{source}: {error.strerror}; give the path of a journal") from None
    return _records(_split(data)[0], source)


def _split(data: bytes) -> tuple[bytes, bytes]:
    """Return whole lines and what is left of one that was cut off."""
    end = data.rfind(b"\n") + 1
    return data[:end], data[end:]


def _records(data: bytes, source: Path) -> list[Record]:
    found = []
    for number, line in enumerate(data.splitlines(), 1):
        where = f"{source}, line {number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            raise DataError(f"{where}: not JSON; this is not a journal") from None
        check(record, where)
        found.append(record)
    return found
