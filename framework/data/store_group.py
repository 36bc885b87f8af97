"""Files of many symbols (PERPETUALS ...) into the store: all of their symbols, or none."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from framework.data.blocks import blocks
from framework.data.schema import TickFile
from framework.data.store_commit import WRITERS, Staged, commit, day_path, writer
from framework.data.store_files import alone, locked, staging
from framework.data.store_import import Added, add_file, key_of, reading_of, stage_file, standing
from framework.errors import ConfigError, DataError

if TYPE_CHECKING:
    from framework.data.store import Store

ROWS = 100_000  # that are kept until they are written to the files of their symbols


def add_group(store: Store, file: TickFile, replace: bool, instrument: Any) -> list[Added]:
    """Split a file by its symbol column, and put each part into the store under the file's name."""
    assert file.instrument is not None
    if instrument is not None:
        raise ConfigError(f"instrument: {file.path} holds many symbols; import it without")
    place = store.folder / "_group"
    with alone(place), staging(file.path, place) as folder:
        split = Split(file.path, folder)
        if not split.paths:
            return [add_file(store, file, replace, None)]  # a day without a row of any symbol
        ready: list[Staged | Added] = []
        for symbol, path in sorted(split.paths.items()):
            one = TickFile(path, file.kind, file.day, (file.instrument[0], symbol.decode("latin-1")))
            try:
                ready.append(stage_one(store, one, file, split.sha, replace))
            except DataError as error:
                raise split.told(error, symbol) from None
        return commit_all(store, ready, file, split.sha, replace)


def stage_one(store: Store, one: TickFile, whole: TickFile, sha: str, replace: bool) -> Staged | Added:
    """Read the rows of one symbol; nothing of them is in the store afterwards."""
    reading = reading_of(one, None)
    key = key_of(reading)
    if (found := standing(store, key, whole, lambda: sha, replace)) is not None:
        return found
    folder = one.path.with_suffix("")
    folder.mkdir(0o700)
    staged = stage_file(store, key, folder, reading, whole.path.name, sha)
    one.path.unlink()
    return staged


def commit_all(
    store: Store, ready: list[Staged | Added], file: TickFile, sha: str, replace: bool
) -> list[Added]:
    """Let the days of all symbols be there; no other writer is at work meanwhile."""
    added = []
    with ExitStack() as held:
        held.enter_context(locked(store.folder / WRITERS))
        keys = [(p.venue, p.kind, p.symbol, p.day) for p in (one.part for one in ready)]
        now = [standing(store, key, file, lambda: sha, replace) for key in keys]
        for key, one, found in zip(keys, ready, now, strict=True):
            if found is not None or isinstance(one, Added):
                added.append(found or one)
                continue
            with writer(store, day_path(store, key).parent, everything=True):
                how = "replaced" if store.part(*key) else "added"
                added.append(Added(commit(store, one), how))
    return [one for one in added if isinstance(one, Added)]


class Split:
    """The rows of each symbol as a csv of their own, and where in the file each row stood."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.path, self.folder = path, folder
        self.paths: dict[bytes, Path] = {}
        self.kept: dict[bytes, tuple[list[bytes], list[int]]] = {}
        digest = hashlib.sha256()
        lines = text_lines(path, digest)
        self.header = next(lines, b"")
        for row, line in enumerate(lines, 1):
            symbol = line.split(b",", 2)[1] if line.count(b",") > 1 else b""
            texts, rows = self.kept.setdefault(symbol, ([], []))
            texts.append(line)
            rows.append(row)
            if row % ROWS == 0:
                self.flush()
        self.flush()
        self.sha = digest.hexdigest()

    def flush(self) -> None:
        """Append the kept rows to their files."""
        for symbol, (lines, rows) in self.kept.items():
            if symbol not in self.paths:
                self.paths[symbol] = self.folder / f"{len(self.paths)}.csv"
                self.paths[symbol].write_bytes(self.header + b"\n")
            with open(self.paths[symbol], "ab") as out:
                out.write(b"\n".join(lines) + b"\n")
            with open(self.paths[symbol].with_suffix(".places"), "ab") as out:
                np.array(rows, "<i8").tofile(out)
        self.kept.clear()

    def told(self, error: DataError, symbol: bytes) -> DataError:
        """Return an error of a symbol's file as one of the whole file, with the row's number there."""
        path = self.paths[symbol]
        places = np.fromfile(path.with_suffix(".places"), "<i8")

        def row(match: re.Match[str]) -> str:
            return f"row {places[int(match[1]) - 1]}" if 0 < int(match[1]) <= len(places) else match[0]

        words = str(error)
        if str(path) in words:
            words = re.sub(r"\brow (\d+)", row, words.replace(str(path), str(self.path)), count=1)
        return DataError(words)


def text_lines(path: Path, digest: Any) -> Iterator[bytes]:
    """Yield the lines of a plain or gzip file without their ends; the last one must have an end."""
    rest = b""
    for block in blocks(path, digest):
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
    if rest:
        raise DataError(f"{path}: its last line has no end: the file is cut off; download it again")


__all__ = ["add_group"]
