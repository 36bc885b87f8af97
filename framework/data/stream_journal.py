"""What a recording has received and the store does not have yet, on disk so that nothing is lost.

    STORE/_live/<exchange>/<session>/lock                a recording that runs holds it
                                     000001.ndjson       messages of the segment being filled, as they came
                                     000001.json         of a filled one: its day, gaps and counts
                                     rows/<kind>/<symbol>/<YYYY-MM-DD>/000001.parquet

A message is written before anything else is done with it, so a killed program loses none; every second the
disk is told to keep them. A segment is of one day. Its rows are written, then its facts, then its messages
removed: whoever finds messages makes the rows again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from framework.data.store_files import (
    make_folder,
    settle,
    symbol_folder,
    symbol_of,
    sync_folder,
    unwritable,
    write_text,
)
from framework.data.stream_rows import Rows, frame_of
from framework.errors import DataError
from framework.times import format_time, parse_time

if TYPE_CHECKING:
    import polars as pl

    from framework.data.store import Part

FOLDER = "_live"
SYNC = 1.0  # s


class Key(NamedTuple):
    """Rows of one kind, instrument and day."""

    kind: str
    symbol: str
    day: int  # ns

    def folder(self, base: Path) -> Path:
        """Return where its pieces lie."""
        return base / "rows" / self.kind / symbol_folder(self.symbol) / format_time(self.day)[:10]


class Journal:
    """The folder of one session; only one program has it."""

    def __init__(self, folder: Path, lock: IO[bytes]) -> None:
        self.folder = folder
        self._lock = lock
        numbers = [int(path.stem) for path in folder.glob("*.*json")]
        self.number = max(numbers, default=0)
        self._file: IO[bytes] | None = None
        self._synced = 0.0

    @classmethod
    def new(cls, store: Path, exchange: str) -> Journal:
        """Begin a session."""
        name = f"{time.time_ns():020d}-{os.getpid()}"
        folder = store / FOLDER / exchange / name
        make_folder(folder)
        with told_errors(folder):
            journal = cls.taken(folder)
        assert journal is not None
        return journal

    @classmethod
    def taken(cls, folder: Path) -> Journal | None:
        """Take over a session, None where its recording runs."""
        lock = (folder / "lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            return None
        return cls(folder, lock)

    def write(self, text: str) -> None:
        """Keep a message."""
        try:
            if self._file is None:
                self.number += 1
                self._file = (self.folder / f"{self.number:06d}.ndjson").open("ab", buffering=0)
                sync_folder(self.folder)
            self._file.write(text.encode() + b"\n")
            now = time.monotonic()
            if now - self._synced > SYNC:
                self._synced = now
                os.fdatasync(self._file.fileno())
        except OSError as error:
            raise unwritable(self.folder, error) from None

    def settle(self, rows: dict[Key, Rows], facts: dict[str, Any]) -> None:
        """End the segment: its rows and facts are written, its messages removed."""
        with told_errors(self.folder):
            self._settle(rows, facts)

    def _settle(self, rows: dict[Key, Rows], facts: dict[str, Any]) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            with file:
                os.fdatasync(file.fileno())
        for key, some in rows.items():
            folder = key.folder(self.folder)
            folder.mkdir(parents=True, exist_ok=True)
            target = folder / f"{self.number:06d}.parquet"
            made = target.with_suffix(".new")
            frame_of(key.kind, some).write_parquet(made, compression="zstd", compression_level=1)
            settle(made, target)
        write_text(self.folder / f"{self.number:06d}.json", json.dumps(facts))
        (self.folder / f"{self.number:06d}.ndjson").unlink(missing_ok=True)

    def left(self) -> list[int]:
        """Return the numbers of segments whose rows are not made yet."""
        return sorted(int(path.stem) for path in self.folder.glob("*.ndjson"))

    def texts(self, number: int) -> Iterator[str]:
        """Yield the messages of a segment; the last may be cut (power that failed) and is left out."""
        with (self.folder / f"{number:06d}.ndjson").open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line[:-1].decode("utf-8", "replace")

    def facts(self, before: int | None = None) -> list[dict[str, Any]]:
        """Return the facts of all segments (with a lower number) in order."""
        paths = sorted(self.folder.glob("*.json"))
        return [json.loads(path.read_text()) for path in paths if before is None or int(path.stem) < before]

    def found(self) -> list[Key]:
        """Return what there are rows of, in order of days."""
        folders = [path for path in (self.folder / "rows").glob("*/*/*") if any(path.glob("*.parquet"))]
        found = [Key(path.parts[-3], symbol_of(path.parts[-2]), parse_time(path.name)) for path in folders]
        return sorted(found, key=lambda key: (key.day, key.kind, key.symbol))

    def pieces(self, key: Key) -> list[Path]:
        """Return the files of rows in order."""
        return sorted(key.folder(self.folder).glob("*.parquet"))

    def frames(self, key: Key) -> Iterator[pl.DataFrame]:
        """Yield the rows, piece by piece."""
        import polars as pl

        for path in self.pieces(key):
            try:
                yield pl.read_parquet(path)
            except (OSError, pl.exceptions.PolarsError) as error:
                raise DataError(f"{path}: cannot be read ({error}); remove it to go on without") from None

    def keep_old(self, key: Key, part: Part) -> None:
        """Keep the rows a day has already before these: the store replaces a day in several steps."""
        target = key.folder(self.folder) / f"{0:06d}.parquet"
        if not target.exists():
            write_text(target.with_suffix(".json"), json.dumps({"remarks": part.remarks, "last": part.last}))
            with told_errors(self.folder):
                os.link(part.path, target)
                sync_folder(target.parent)

    def old(self, key: Key) -> dict[str, Any] | None:
        """Return what is known of the rows kept by `keep_old`."""
        path = key.folder(self.folder) / f"{0:06d}.json"
        has_rows = path.with_suffix(".parquet").exists()
        found: dict[str, Any] | None = json.loads(path.read_text()) if has_rows else None
        return found

    def forget(self, key: Key) -> None:
        """Remove rows that the store has."""
        shutil.rmtree(key.folder(self.folder), ignore_errors=True)

    def close(self) -> None:
        """Let go; remove the folder where nothing is left in it."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if not self.left() and not self.found():
            shutil.rmtree(self.folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                self.folder.parent.rmdir()
        self._lock.close()


@contextlib.contextmanager
def told_errors(folder: Path) -> Iterator[None]:
    """Say what an error of the disk means; what was received is finished by the next recording."""
    try:
        yield
    except OSError as error:
        raise unwritable(folder, error) from None


def sessions(store: Path) -> list[Path]:
    """Return the folders of all sessions, the oldest first."""
    return sorted(path.parent for path in (store / FOLDER).glob("*/*/lock"))
