"""The rows of a day of the store: one file, opened once, looked at whole, then read."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from io import BufferedReader
from typing import TYPE_CHECKING

from framework.data.rows import GROUP
from framework.data.store_parts import Part, damaged, old_path
from framework.errors import DataError
from framework.times import SECOND

if TYPE_CHECKING:
    import polars as pl

    from framework.data.store import Store


def part_frames(store: Store, part: Part, columns: Sequence[str] | None) -> Iterator[pl.DataFrame]:
    """See `Store.frames`."""
    import polars as pl

    with open_part(store, part) as file:
        scan = pl.scan_parquet(file)  # the open file: whatever takes its name meanwhile
        if columns is not None:
            scan = scan.select(list(columns))
        for at in range(0, part.rows, GROUP):
            try:
                yield scan.slice(at, GROUP).collect()
            except (pl.exceptions.PolarsError, OSError) as error:
                raise damaged(part, f"cannot be read ({str(error).splitlines()[0]})") from None


def open_part(store: Store, part: Part) -> BufferedReader:
    """Open the rows a manifest tells of: under their name, or kept as old by a writer that did not end."""
    wrong = ""
    for path in (part.path, old_path(part.path)):
        try:
            file = open(path, "rb")  # noqa: SIM115 - the caller closes it
        except FileNotFoundError:
            wrong = wrong or "is missing"
            continue
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}); check the file") from None
        what = differs(store, part, file)
        if not what:
            return file
        file.close()
        wrong = wrong or what
    now = store.part(part.venue, part.kind, part.symbol, part.day)
    if now is None or now.file_sha256 != part.file_sha256:
        raise DataError(f"{part.path}: {part} was replaced or removed meanwhile; ask the store for it again")
    raise damaged(part, wrong)


def differs(store: Store, part: Part, file: BufferedReader) -> str:
    """Say in what an open file differs from what the manifest says; it is hashed once a change."""
    stat = os.fstat(file.fileno())
    key = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    if stat.st_size != part.bytes:
        return f"has {stat.st_size} bytes instead of {part.bytes}"
    if key not in store.known:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        if found == part.file_sha256 and time.time_ns() - stat.st_ctime_ns > SECOND:
            store.known[key] = found  # a younger file could change again within one tick of its clock
    else:
        found = store.known[key]
    return "" if found == part.file_sha256 else "is not as it was written (its sha256 differs)"


__all__ = ["open_part", "part_frames"]
