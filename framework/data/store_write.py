"""How days come into a store and out of it: import, rows from elsewhere, csv, a look at every byte."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.data.blocks import blocks
from framework.data.careful import decimals
from framework.data.pack import Damaged as DamagedPack
from framework.data.pack import Label, Pack
from framework.data.rebuild import PACKED, DayPack, repack, replay_path
from framework.data.rows import GROUP, ContentHash, Reading, dtypes, hashed
from framework.data.schema import COLUMNS, TickFile, as_list, check_path, described, from_folder
from framework.data.store import Part, damaged, day_of_name, manifest_text
from framework.data.store_files import (
    alone,
    day_name,
    file_hash,
    make_folder,
    new_name,
    settle,
    unwritable,
    write_text,
)
from framework.errors import ConfigError, DataError
from framework.instruments import Instrument
from framework.times import DAY, MICROSECOND, format_time

if TYPE_CHECKING:
    import polars as pl

    from framework.data.store import Store

GROUPED = ("PERPETUALS", "FUTURES", "OPTIONS", "SPOT")  # names of files that hold many symbols
Key = tuple[str, str, str, int]  # venue, kind, symbol, day


@dataclass(frozen=True)
class Added:
    """What became of one file: its part, and "added", "same" (it was there) or "replaced"."""

    part: Part
    how: str


# --- import -----------------------------------------------------------------------------------
def add_csv(store: Store, files: Any, replace: bool, instrument: Instrument | str | None) -> list[Added]:
    """See `Store.add_csv`."""
    store.prepare()
    found: list[TickFile] = []
    for path in as_list(files):
        if isinstance(path, str | Path) and Path(path).is_dir():
            found += files_below(Path(path))
        else:
            found.append(described(check_path(path)))
    added = []
    for file in found:
        if file.instrument is not None and file.instrument[1] in GROUPED:
            added += add_group(store, file, replace)
        else:
            added.append(add_file(store, file, replace, instrument))
    return added


def files_below(folder: Path) -> list[TickFile]:
    """Return the tick files below a folder, of any instrument."""
    names = sorted(p for p in folder.rglob("*") if p.name.endswith((".csv", ".csv.gz")) and p.is_file())
    found = []
    for path in names:
        try:
            found.append(described(path))
        except ConfigError:
            continue
    if not found:
        from_folder(folder, None, None)  # says what names look like
    return found


def add_file(
    store: Store,
    file: TickFile,
    replace: bool,
    instrument: Instrument | str | None,
    source: str | None = None,
) -> Added:
    """Put one file of one symbol into the store."""
    sha = file_hash(file.path)
    name = source or file.path.name
    packed = file.kind in PACKED
    reading = Reading(
        file, instrument, beside=(lambda reader: DayPack(file.kind, reader.feed)) if packed else None
    )
    key = key_of(reading)
    before = store.part(*key)
    if before is not None:
        if before.source_sha256 == sha:
            return Added(before, "same")
        if not replace:
            raise DataError(
                f"{file.path}: {before} is in the store from another file ({before.source}); say --replace "
                "to take this one instead"
            )
    return Added(Writing(store, key, name, sha).run(reading), "replaced" if before else "added")


def key_of(reading: Reading) -> Key:
    """Return where a file belongs: by its first row, or where it has none by its name."""
    file = reading.file
    if reading.what is not None:
        venue, symbol = reading.what.venue, reading.what.symbol.upper()
    elif file.instrument is not None:
        venue, symbol = file.instrument
    else:
        raise DataError(f"{file.path}: holds no row, and its name no instrument; name it as Tardis does")
    if file.day is not None:
        return venue, file.kind, symbol, file.day
    if reading.what is None:
        raise DataError(f"{file.path}: holds no row, and its name no day; name it as Tardis does")
    reading.day = first_day(file)
    return venue, file.kind, symbol, reading.day


def first_day(file: TickFile) -> int:
    """Return the day of the first row of a file whose name tells none."""
    from framework.data.tardis_csv import first_row

    row = first_row(file)
    assert row is not None
    place, cells = row
    if not (cells[3].isdigit() and len(cells[3]) == 16):
        raise place.cell_error("local_timestamp", cells[3], "is no time of 16 digits in us; mend the row")
    return int(cells[3]) * MICROSECOND // DAY * DAY


class Writing:
    """One day on its way into the store."""

    def __init__(self, store: Store, key: Key, source: str, sha: str, remarks: tuple[str, ...] = ()) -> None:
        self.store, self.key, self.source, self.sha, self.remarks = store, key, source, sha, remarks
        venue, kind, symbol, day = key
        self.path = store.place(venue, kind, symbol) / f"{day_name(day)}.parquet"
        self.content = ContentHash(kind)

    def run(self, reading: Reading) -> Part:
        """Store the rows of a reading."""
        with alone(self.path.parent):
            new = self.rows(reading.frames())
            what = reading.what
            has_steps = what is not None and self.key[1] in PACKED
            steps = (what.tick_size, what.lot_size) if has_steps else (0.0, 0.0)
            counts = {name: v for name, v in vars(reading.counts).items() if isinstance(v, int)}
            top = int(reading.top) * MICROSECOND
            part = self.part(new, (reading.first, reading.last), steps, counts)
            return self.commit(new, part, reading.taker if isinstance(reading.taker, DayPack) else None, top)

    def rows(self, frames: Iterable[pl.DataFrame]) -> Path:
        """Write the Parquet file under a name of its own."""
        new = new_name(self.path)
        try:
            write_parquet(new, hashed(frames, self.content), self.key[1])
        except BaseException as error:
            new.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise unwritable(self.path, error) from None
            raise
        return new

    def part(
        self, new: Path, span: tuple[int, int], steps: tuple[float, float], counts: dict[str, int]
    ) -> Part:
        """Return what the manifest will say."""
        venue, kind, symbol, day = self.key
        return Part(
            venue, kind, symbol, day, self.path, self.content.rows, *span, *steps, self.source, self.sha,
            file_hash(new), self.content.hexdigest(), new.stat().st_size, self.remarks, counts,
        )  # fmt: skip

    def commit(self, new: Path, part: Part, pack: DayPack | None, top: int) -> Part:
        """Let the day be there: rows, then the engine's form, then the manifest."""
        manifest = self.path.with_suffix(".json")
        try:
            manifest.unlink(missing_ok=True)
            settle(new, self.path)
            for made in self.store.made_from(part):
                made.unlink(missing_ok=True)
            if pack is not None and part.rows:
                label = Label(
                    part.venue, part.kind, part.symbol, part.day, part.tick_size, part.lot_size,
                    part.content_sha256, {}, top,
                )  # fmt: skip
                make_folder(replay_path(part).parent)
                ends = {name: getattr(part, name) // MICROSECOND for name in ("first", "last")}
                pack.save(replay_path(part), label, {**part.counts, "rows": part.rows, **ends})
        except OSError as error:
            new.unlink(missing_ok=True)
            raise unwritable(self.path, error) from None
        write_text(manifest, manifest_text(part))
        return part


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


# --- many symbols in one file -----------------------------------------------------------------
def add_group(store: Store, file: TickFile, replace: bool) -> list[Added]:
    """Split a file by its symbol column, and put each part into the store under the file's name."""
    assert file.instrument is not None
    with tempfile.TemporaryDirectory(dir=store.folder, prefix=".new-") as folder:
        added = []
        for symbol, path in split(file, Path(folder)).items():
            one = TickFile(path, file.kind, file.day, (file.instrument[0], symbol))
            try:
                added.append(add_file(store, one, replace, None, f"{file.path.name}, {symbol}"))
            except DataError as error:
                words = str(error).replace(str(path), f"{file.path} (rows of {symbol})")
                raise DataError(words) from None
        return added


def split(file: TickFile, folder: Path) -> dict[str, Path]:
    """Write the rows of each symbol to a csv of its own; return them by symbol."""
    lines = text_lines(file.path)
    header = next(lines, b"")
    paths: dict[bytes, Path] = {}
    kept: dict[bytes, list[bytes]] = {}
    for count, line in enumerate(lines, 1):
        symbol = line.split(b",", 2)[1] if line.count(b",") > 1 else b""
        kept.setdefault(symbol, []).append(line)
        if count % 100_000 == 0:
            flush(kept, paths, folder, header)
    flush(kept, paths, folder, header)
    return {symbol.decode("latin-1"): path for symbol, path in sorted(paths.items())}


def flush(kept: dict[bytes, list[bytes]], paths: dict[bytes, Path], folder: Path, header: bytes) -> None:
    """Append the kept lines to their files."""
    for symbol, lines in kept.items():
        if symbol not in paths:
            paths[symbol] = folder / f"{len(paths)}.csv"
            paths[symbol].write_bytes(header + b"\n")
        with open(paths[symbol], "ab") as out:
            out.write(b"\n".join(lines) + b"\n")
    kept.clear()


def text_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a plain or gzip file without their ends; the last one must have an end."""
    rest = b""
    for block in blocks(path):
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
    if rest:
        raise DataError(f"{path}: its last line has no end: the file is cut off; download it again")


# --- rows from elsewhere ----------------------------------------------------------------------
def add_frame(
    store: Store,
    key: Key,
    frames: Iterable[pl.DataFrame],
    source: str,
    replace: bool,
    remarks: tuple[str, ...],
    instrument: Instrument | None,
) -> Part:
    """See `Store.add_frame`."""
    store.prepare()
    venue, kind, symbol, day = key
    if day % DAY:
        raise ConfigError(f"day: {format_time(day)} is no UTC midnight; give a date such as 2023-04-05")
    before = store.part(venue, kind, symbol, day)
    if before is not None and not replace:
        raise DataError(f"{before.path}: {before} is there from {before.source}; say replace=True")
    look = Look(key)
    writing = Writing(store, key, source, "", remarks)
    with alone(writing.path.parent):
        new = writing.rows(look.checked(frames))
        steps = look.steps(instrument) if kind in PACKED else (0.0, 0.0)
        part = writing.part(new, (look.first, look.last), steps, {})
        part = writing.commit(new, part, None, 0)
    if part.rows and kind in PACKED:
        repack(store, part)
    return part


class Look:
    """What is seen of frames on their way: order, day, and the decimals of prices and amounts."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.first = self.last = -1
        self.rows = 0
        self.scales = {"price": 0, "amount": 0}

    def checked(self, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Yield the frames with the types of the store; refuse rows of another day or out of order."""
        wanted = dtypes(self.key[1])
        for frame in frames:
            if list(frame.columns) != list(wanted):
                missing = [name for name in wanted if name not in frame.columns]
                what = f"lacks {missing[0]}" if missing else f"has other columns than {', '.join(wanted)}"
                raise DataError(f"{' '.join(self.key[:3])}: the frame {what}")
            one = frame.cast(wanted)
            if len(one):
                self.times(one)
                self.decimals(one)
                yield one
            self.rows += len(one)

    def times(self, frame: pl.DataFrame) -> None:
        """Check the arrivals."""
        local = frame["local_timestamp"].to_physical().to_numpy()
        low, high = self.key[3], self.key[3] + DAY
        bad = (local[1:] < local[:-1]).nonzero()[0]
        row = int(bad[0]) + 1 if len(bad) else 0
        if len(bad) or local[0] * MICROSECOND < self.last:
            raise DataError(f"{' '.join(self.key[:3])}: row {self.rows + row + 1}: local_timestamp goes back")
        if local[0] * MICROSECOND < low or local[-1] * MICROSECOND >= high:
            raise DataError(f"{' '.join(self.key[:3])}: a row lies outside {day_name(low)}; give one UTC day")
        self.first = int(local[0]) * MICROSECOND if self.first < 0 else self.first
        self.last = int(local[-1]) * MICROSECOND

    def decimals(self, frame: pl.DataFrame) -> None:
        """Note how many decimals prices and amounts have."""
        for name in frame.columns:
            scale = "price" if name.endswith("price") else "amount" if name.endswith("amount") else None
            if scale is None or self.key[1] == "derivative_ticker":
                continue
            for value in frame[name].drop_nulls().unique().to_list():
                self.scales[scale] = max(self.scales[scale], decimals(Decimal(repr(value))))

    def steps(self, instrument: Instrument | None) -> tuple[float, float]:
        """Return tick and lot size: the instrument's, else the powers of ten that hold every value."""
        tick, lot = (float(Decimal(1).scaleb(-self.scales[name])) for name in ("price", "amount"))
        if instrument is None:
            return tick, lot
        return instrument.tick_size or tick, instrument.lot_size or lot


# --- out again, and a look at everything ------------------------------------------------------
def write_csv(store: Store, part: Part, path: Path) -> int:
    """Write a day as Tardis csv; see `Store.write_csv`."""
    import polars as pl

    make = gzip.open if path.name.endswith(".gz") else open
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
        new.unlink(missing_ok=True)
        raise unwritable(path, error) from None
    return part.rows


def verify(store: Store, parts: Iterable[Part] | None) -> list[str]:
    """Look at every file of a store; see `Store.verify`."""
    wrong = []
    every = whole(store, wrong) if parts is None else list(parts)
    for part in every:
        store.known.pop(part.path, None)
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
                found += [store.read_part(path, day)] if day is not None else []
            except DataError as error:
                wrong.append(str(error))
        there = {path.stem for path in folder.glob("*.json")}
        wrong += [
            f"{path}: has no manifest: an import that was cut off; import it again, or remove it"
            for path in sorted(folder.glob("*.parquet"))
            if path.stem not in there
        ]
    return found


__all__ = ["Added", "add_csv", "add_frame", "verify", "write_csv"]
