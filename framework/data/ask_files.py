"""Books and last trades as of a moment, from csv files or the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from framework.data.bars import Trades
from framework.data.bars_days import Day, Days, FileDays
from framework.data.books import Builder, Viewer
from framework.data.careful import Finer, Grid, Place
from framework.data.reader import Reader
from framework.data.rows import TAKER_SIDES
from framework.data.schema import BOOK_KINDS, TickFile
from framework.data.streams import WINDOW
from framework.data.tardis_csv import describe, first_row, with_grids
from framework.errors import DataError
from framework.instruments import Instrument
from framework.market_book import BookCursor, Snapshot
from framework.market_ticks import Book
from framework.times import DAY, format_time

if TYPE_CHECKING:
    import polars as pl

Rows = NDArray[Any]
SIDES = np.array(TAKER_SIDES)  # by 0, +1, -1


def date_of(ts: int) -> str:
    """Return the date of a time."""
    return format_time(ts)[:10]


def last_days(days: Sequence[Day], at: int, what: str) -> list[Day]:
    """Return the day of a time and the days without a gap before it, oldest first; refuse when it lacks."""
    day = at // DAY * DAY
    unnamed = [one for one in days if one.day is None]
    if unnamed:
        return list(days)
    by_day = {one.day: one for one in days}
    if day not in by_day:
        raise DataError(f"{what}: there is no file of {date_of(day)}; get that day, or ask for another time")
    found: list[Day] = []
    while day in by_day:
        found.insert(0, by_day[day])
        day -= DAY
    return found


def last_trades(days: Days, at: int, n: int) -> pl.DataFrame:
    """Return the last `n` trades that had arrived by `at`."""
    every = last_days(days.days, at, f"{days.id} trades")
    count, spare = 1, 2 * n + 2 * WINDOW
    while True:
        rows, more = tail(days, every[-count:], at, spare)
        kept = np.flatnonzero(~repeated(rows["id"], rows["named"]) & (rows["amount"] > 0.0))[-n:]
        if (not more and count == len(every)) or (len(kept) == n and is_certain(rows["named"], int(kept[0]))):
            return trade_frame(rows[kept])
        if more:
            spare *= 4
        else:
            count += 1


def is_certain(named: Rows, first: int) -> bool:
    """Say whether all rows are there in which the ids from row `first` on are looked for."""
    return not named[first:].any() or int(named[:first].sum()) >= WINDOW


TAIL = np.dtype(
    [("ts", "i8"), ("local_ts", "i8"), ("price", "f8"), ("amount", "f8"), ("side", "i1"), ("id", "i8"),
     ("named", "?")]
)  # fmt: skip


def tail(days: Days, chosen: Sequence[Day], at: int, spare: int) -> tuple[Rows, bool]:
    """Return the last rows that had arrived by `at`, at least `spare` if there are; True = there are more."""
    while True:
        kept: list[Rows] = []
        dropped = False

        def take(day: Day, trades: Trades, kept: list[Rows] = kept) -> bool:
            nonlocal dropped
            end = int(np.searchsorted(trades.local_ts, at, side="right"))
            rows = np.empty(end, TAIL)
            for name, column in zip(Trades._fields, trades, strict=True):
                rows[name] = column[:end]
            kept.append(rows)
            while len(kept) > 1 and sum(map(len, kept[1:])) >= spare:
                dropped = len(kept.pop(0)) > 0 or dropped
            return end == len(trades.local_ts)

        try:
            days.read(chosen, take)
            return np.concatenate([np.empty(0, TAIL), *kept]), dropped
        except Finer as finer:
            days.refine(finer)


def repeated(ids: Rows, named: Rows) -> Rows:
    """Return which rows have the id of one of the 500 rows with an id before them."""
    result = np.zeros(len(ids), dtype=bool)
    places = np.flatnonzero(named)
    order = np.argsort(ids[places], kind="stable")  # equal ids stay in file order
    one = ids[places][order]
    near = (one[1:] == one[:-1]) & (order[1:] - order[:-1] <= WINDOW)
    result[places[order[1:][near]]] = True
    return result


def trade_frame(rows: Rows) -> pl.DataFrame:
    """Return trades as raw rows."""
    import polars as pl

    columns = {
        name: pl.Series(name, np.ascontiguousarray(rows[field]) // 1000).cast(pl.Datetime("us", "UTC"))
        for name, field in (("timestamp", "ts"), ("local_timestamp", "local_ts"))
    }
    side = pl.Series("side", SIDES[rows["side"]].tolist(), pl.Enum(TAKER_SIDES))
    numbers = [pl.Series(name, np.ascontiguousarray(rows[name])) for name in ("price", "amount")]
    return pl.DataFrame([*columns.values(), side, *numbers])


def book_of(days: Days, at: int, levels: int) -> Snapshot:
    """Return the book of the messages that had arrived by `at`."""
    found = days.of_kinds(BOOK_KINDS)
    kind = next((kind for kind in BOOK_KINDS if found.get(kind)), None)
    if kind is None:
        raise DataError(f"{days.id} book: there is no file of {', '.join(BOOK_KINDS)}; give or import one")
    every = last_days(found[kind], at, f"{days.id} {kind}")
    view = None
    for count in (1, 2):  # a day has the book of the day before until its own first message
        what, book = (until if isinstance(days, FileDays) else stored)(kind, every[-count:], days, at)
        view = BookCursor(book, what).view(at) if book is not None and len(book) else None
        if view is not None and view.local_ts >= 0:
            return view.snapshot(levels)
    raise DataError(
        f"{days.id} book: none was known at {format_time(at)}; ask for a later time, or get the day before"
    )


def stored(kind: str, chosen: Sequence[Day], days: Any, at: int) -> tuple[Instrument, Book | None]:
    """Return the book of stored days up to `at`."""
    from framework.data.loading_stock import common_step
    from framework.data.rebuild import BLOCK, Feed

    parts = [day.source for day in chosen if day.source.rows]
    if not parts:
        return Instrument(days.id), None
    tick, lot = (common_step([getattr(p, name) for p in parts], name) for name in ("tick_size", "lot_size"))
    feed = Feed(kind, tick, lot, str(parts[-1].path))
    levels = kind == BOOK_KINDS[0]
    maker = Builder(feed.changes) if levels else Viewer(feed.moments, feed.cells, feed.width)
    for part in parts:
        maker.begin_file()
        for frame in days.store.frames(part):
            local = frame["local_timestamp"].to_physical().to_numpy()
            end = int(np.searchsorted(local, at // 1000, side="right"))
            for first in range(0, end, BLOCK):
                maker.take(feed.fill(frame[first : min(first + BLOCK, end)]))
            if end < len(frame):
                break
    return Instrument(days.id, tick_size=tick, lot_size=lot), maker.book(kind)


def until(kind: str, chosen: Sequence[Day], days: Days, at: int) -> tuple[Instrument, Book | None]:
    """Return the book of files up to `at`."""
    given: dict[str, Grid] = {}
    held = [day.source for day in chosen if first_row(day.source) is not None]
    if not held:
        return Instrument(days.id), None
    while True:
        what, grids = describe(days.id, {kind: held}, None)
        grids |= given
        what = with_grids(what, grids)
        reader = Reader(kind, what, grids["tick_size"], grids["lot_size"], None)
        maker = maker_of(kind, reader)
        try:
            read_until(reader, held, Upto(reader, maker, at))
        except Finer as finer:
            given[finer.name] = finer.grid
            continue
        return what, maker.book(kind)


def read_until(reader: Reader, files: Sequence[TickFile], taker: Upto) -> None:
    """Read files until the taker has enough."""
    for file in files:
        for _ in reader.blocks_of(file, taker):
            if taker.has_enough:
                return


def maker_of(kind: str, reader: Reader) -> Builder | Viewer:
    """Return what makes a book of the rows of a reader."""
    if kind == BOOK_KINDS[0]:
        return Builder(reader.feed.changes)
    return Viewer(reader.feed.moments, reader.feed.cells, int(reader.state["width"][0]))


class Upto:
    """Passes on the rows that had arrived by a moment."""

    def __init__(self, reader: Reader, maker: Builder | Viewer, at: int) -> None:
        self.maker, self.at, self.has_enough = maker, at, False
        changes = isinstance(maker, Builder)
        self.local: Rows = (reader.feed.changes if changes else reader.feed.moments)["local_ts"]
        self.begin_file: Callable[[], None] = maker.begin_file

    def end_file(self, place: Place) -> None:
        """Tell the maker."""
        self.maker.end_file(place)

    def take(self, count: int) -> None:
        """Pass on those of the first `count` rows of the block."""
        end = int(np.searchsorted(self.local[:count], self.at, side="right"))
        if end and not self.has_enough:
            self.maker.take(end)
        self.has_enough |= end < count
