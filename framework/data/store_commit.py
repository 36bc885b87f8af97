"""How a day becomes part of a store: everything is written beside its place, then renamed in an order that
leaves the old day or the new one, wherever the writer dies.

A replacement goes: the old rows get a second name (`.old`), the new rows take the first, the new manifest
takes the old one's place (from here on it is the new day), `.old` goes. The manifest tells the sha256 of its
rows, so that a reader knows which of the two files it means, and the next writer puts the old rows back.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.data.pack import Label
from framework.data.rebuild import DayPack, replay_path
from framework.data.rows import GROUP, ContentHash, dtypes, hashed
from framework.data.store_files import (
    alone,
    day_name,
    file_hash,
    locked,
    make_folder,
    remove,
    sync_folder,
    unwritable,
)
from framework.data.store_parts import Key, Part, manifest_text, old_path, read_json
from framework.times import MICROSECOND

if TYPE_CHECKING:
    import polars as pl

    from framework.data.store import Store

WRITERS = ".writers"  # shared by those who write one day, held alone by one who writes many at once


@dataclass(frozen=True)
class Facts:
    """What is known of rows once they were all seen."""

    span: tuple[int, int]  # ns; arrival of the first and last row
    steps: tuple[float, float] = (0.0, 0.0)
    sha: str = ""
    counts: dict[str, int] | None = None


@dataclass(frozen=True)
class Staged:
    """A day that lies whole in a folder of its own."""

    folder: Path
    part: Part

    @property
    def rows(self) -> Path:
        """The Parquet file."""
        return self.folder / "rows"

    @property
    def manifest(self) -> Path:
        """The manifest."""
        return self.folder / "manifest"

    @property
    def pack(self) -> Path:
        """The engine's form; not there for every kind."""
        return self.folder / "pack"


def day_path(store: Store, key: Key) -> Path:
    """Return where the rows of a day lie."""
    venue, kind, symbol, day = key
    return store.place(venue, kind, symbol) / f"{day_name(day)}.parquet"


@contextlib.contextmanager
def writer(store: Store, place: Path, everything: bool = False) -> Iterator[None]:
    """Be the only writer of a symbol's folder; what a killed one left half done is undone."""
    together = contextlib.nullcontext() if everything else locked(store.folder / WRITERS, shared=True)
    with together, alone(place):
        try:
            for old in place.glob("*.old"):
                put_back(old)
        except OSError as error:
            raise unwritable(place, error) from None
        yield


def put_back(old: Path) -> None:
    """Let rows that were kept as old be those of their day again where the manifest means them."""
    path = old.with_suffix(".parquet")
    manifest = old.with_suffix(".json")
    wanted = read_json(manifest).get("file_sha256") if manifest.exists() else None
    if wanted and file_hash(old) == wanted and not (path.exists() and file_hash(path) == wanted):
        os.replace(old, path)
    else:
        old.unlink()


def stage(
    store: Store,
    key: Key,
    folder: Path,
    frames: Iterable[pl.DataFrame],
    source: str,
    facts: Callable[[], Facts],
    remarks: tuple[str, ...] = (),
) -> Staged:
    """Write rows and manifest into a folder; `facts` is asked when every row was taken."""
    content = ContentHash(key[1])
    rows = folder / "rows"
    write_parquet(rows, hashed(frames, content), key[1])
    told = facts()
    part = Part(
        *key, day_path(store, key), content.rows, *told.span, *told.steps, source, told.sha, file_hash(rows),
        content.hexdigest(), rows.stat().st_size, remarks, told.counts or {},
    )  # fmt: skip
    staged = Staged(folder, part)
    staged.manifest.write_text(manifest_text(part), encoding="utf-8")
    for path in (rows, staged.manifest):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
    return staged


def stage_pack(staged: Staged, pack: DayPack, top: int) -> None:
    """Write the engine's form of a day that was read from a file; `top` in us."""
    part = staged.part
    label = Label(
        part.venue, part.kind, part.symbol, part.day, part.tick_size, part.lot_size, part.content_sha256, {},
        top * MICROSECOND,
    )  # fmt: skip
    ends = {name: getattr(part, name) // MICROSECOND for name in ("first", "last")}
    pack.save(staged.pack, label, {**part.counts, "rows": part.rows, **ends})


def commit(store: Store, staged: Staged) -> Part:
    """Let a staged day be there, in place of one that is."""
    part = staged.part
    path, old = part.path, old_path(part.path)
    replay = replay_path(part)
    if staged.pack.exists():
        make_folder(replay.parent)
    try:
        if path.with_suffix(".json").exists():
            keep(path, old)
        for made in store.made_from(part):
            made.unlink(missing_ok=True)
        os.replace(staged.rows, path)
        sync_folder(path.parent)
        os.replace(staged.manifest, path.with_suffix(".json"))
        if staged.pack.exists():
            os.replace(staged.pack, replay)
        sync_folder(path.parent)
        old.unlink(missing_ok=True)
    except OSError as error:
        if old.exists():
            put_back(old)
        raise unwritable(path, error) from None
    return part


def keep(path: Path, old: Path) -> None:
    """Give rows a second name; where a file can have only one, this one."""
    old.unlink(missing_ok=True)
    try:
        os.link(path, old)
    except FileNotFoundError:
        return
    except OSError:
        os.replace(path, old)
    sync_folder(path.parent)


def remove_part(store: Store, part: Part) -> None:
    """Remove a day with everything made from it, the manifest first."""
    with writer(store, part.path.parent):
        try:
            for path in (part.path.with_suffix(".json"), part.path, *store.made_from(part)):
                remove(path)
        except OSError as error:
            raise unwritable(part.path, error) from None


def write_parquet(path: Path, frames: Iterator[pl.DataFrame], kind: str) -> None:
    """Write frames as one Parquet file, while they come: memory does not grow with them."""
    import polars as pl
    from polars.io.plugins import register_io_source

    failed: list[BaseException] = []

    def source(with_columns: Any, predicate: Any, n_rows: Any, batch_size: Any) -> Iterator[pl.DataFrame]:
        try:
            yield from frames
        except BaseException as error:
            failed.append(error)
            raise

    try:
        register_io_source(source, schema=dtypes(kind)).sink_parquet(
            path, compression="zstd", compression_level=1, statistics=True, row_group_size=GROUP,
        )  # fmt: skip
    except (pl.exceptions.PolarsError, OSError) as error:
        if failed:
            raise failed[0] from None
        if isinstance(error, OSError):
            raise
        raise OSError(0, str(error).splitlines()[0]) from None


__all__ = [
    "WRITERS", "Facts", "Staged", "commit", "day_path", "remove_part", "stage", "stage_pack", "write_parquet",
    "writer",
]  # fmt: skip
