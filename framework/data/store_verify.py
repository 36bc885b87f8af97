"""Days of the store as csv again, and a look at every byte."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.data.pack import Damaged as DamagedPack
from framework.data.pack import Pack
from framework.data.rebuild import PACKED, replay_path
from framework.data.rows import ContentHash
from framework.data.schema import COLUMNS
from framework.data.store_files import file_hash, new_name, settle, unwritable
from framework.data.store_parts import Part, damaged, day_of_name, old_path, read_part
from framework.errors import DataError

if TYPE_CHECKING:
    from framework.data.store import Store


def write_csv(store: Store, part: Part, path: Path) -> int:
    """Write a day as Tardis csv; see `Store.write_csv`."""
    import polars as pl

    make: Any = partial(gzip.open, compresslevel=6) if path.name.endswith(".gz") else open
    new = new_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with make(new, "wb") as out:
            if part.rows:
                out.write(",".join(COLUMNS[part.kind]).encode() + b"\n")
            for frame in store.frames(part):
                names = [pl.lit(part.venue).alias("exchange"), pl.lit(part.symbol).alias("symbol")]
                times = [
                    pl.col(n).to_physical() for n, t in frame.schema.items() if isinstance(t, pl.Datetime)
                ]
                frame.with_columns(times).select(*names, *frame.columns).write_csv(out, include_header=False)
        settle(new, path)
    except OSError as error:
        raise unwritable(path, error) from None
    finally:
        new.unlink(missing_ok=True)
    return part.rows


def verify(store: Store, parts: Iterable[Part] | None) -> list[str]:
    """Look at every file of a store; see `Store.verify`."""
    wrong: list[str] = []
    store.known.clear()
    every = whole(store, wrong) if parts is None else list(parts)
    for part in every:
        try:
            content = ContentHash(part.kind)
            for frame in store.frames(part):
                content.add(frame)
            if (content.rows, content.hexdigest()) != (part.rows, part.content_sha256):
                wrong.append(str(damaged(part, "holds other values than its manifest says")))
            if part.kind in PACKED and replay_path(part).exists():
                Pack(replay_path(part)).check()
        except DamagedPack as error:
            wrong.append(f"{error.path}: {error.what}; it is made anew when it is needed")
        except DataError as error:
            wrong.append(str(error))
    return wrong


def whole(store: Store, wrong: list[str]) -> list[Part]:
    """Return every part of a store, and tell of rows without a manifest and manifests that cannot be read."""
    found = []
    for folder in store.folders(None, None, None):
        for path in sorted(folder.glob("*.json")):
            day = day_of_name(path.stem)
            try:
                found += [read_part(path, day)] if day is not None else []
            except DataError as error:
                wrong.append(str(error))
        there = {path.stem for path in folder.glob("*.json")}
        wrong += [
            f"{path}: has no manifest: an import that was cut off; import it again, or remove it"
            for path in sorted(folder.glob("*.parquet"))
            if path.stem not in there
        ]
        wrong += [
            f"{part.path}: a replacement was cut off, {old_path(part.path).name} holds; import again"
            for part in found
            if part.path.parent == folder and old_path(part.path).exists()
            if not part.path.exists() or file_hash(part.path) != part.file_sha256
        ]
    return found


__all__ = ["verify", "write_csv"]
