"""Tardis csv files of one instrument to a Market of ticks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from framework import symbols
from framework.data.blocks import blocks
from framework.data.books import Builder, Viewer
from framework.data.careful import LONGEST, Finer, Grid, Place
from framework.data.notes import book_lines, deal_lines, stream_lines
from framework.data.reader import Reader
from framework.data.schema import BOOK_KINDS, QUOTE_KINDS, TickFile, check_header, gather, parse_day
from framework.data.streams import Both, Deals, Quotes
from framework.data.ticker import Ticker
from framework.errors import ConfigError, DataError
from framework.instruments import Instrument
from framework.instruments import instrument as known_instrument
from framework.market import Market
from framework.times import MICROSECOND, format_time

Rows = NDArray[Any]
Files = dict[str, list[TickFile]]
ORDER = ("derivative_ticker", "liquidations", "trades", *reversed(BOOK_KINDS))  # small files first


def from_tardis(
    files: Mapping[str, Any] | Sequence[str | Path] | str | Path,
    instrument: Instrument | str | None = None,
    day: Any = None,
) -> Market:
    """Return the market of one instrument's Tardis csv files.

    Parameters
    ----------
    files : dict of kind to path or paths, list of paths, or folder
        csv or csv.gz, day files in time order. In a list or folder the kind is read from the name
        (`binance-futures_trades_2023-04-05_BTCUSDT.csv.gz`) or the folders
        (`binance-futures/trades/2023/04/05/BTCUSDT.csv.gz`). Kinds: incremental_book_L2, book_snapshot_25,
        book_snapshot_5, trades, quotes, book_ticker, derivative_ticker, liquidations.
    instrument : Instrument or str, optional
        By default the exchange and symbol of the files with the built-in rules of their day. A tick_size or
        lot_size that is None is read off the decimals of the files.
    day : date or str, optional
        The UTC day every local_timestamp must lie in; by default the day in each file's name.

    Returns
    -------
    Market
        trades, books (of the best book kind given), quotes, liquidations; of derivative_ticker mark prices,
        funding and features. What was left out, changed or doubtful is in `remarks`, a line each.

    Raises
    ------
    DataError
        Rows or files that cannot be trusted: file, row (1 = first below the header), column, value, fix.
    ConfigError
        An argument, kind or file name that is wrong.

    Examples
    --------
    >>> market = from_tardis("data/", "binance-futures:BTCUSDT", day="2023-04-05")  # doctest: +SKIP
    """
    start = parse_day(day)
    wanted = instrument.id if isinstance(instrument, Instrument) else instrument
    found, others = gather(files, wanted, start)
    what, given = describe(instrument, found, start)
    remarks = [f"{what.id}: not read, no tick files by their names: {', '.join(others)}"] if others else []
    while True:
        try:
            return Loading(what, given, found, start).market(remarks)
        except Finer as finer:
            given = {**given, finer.name: finer.grid}


def describe(
    instrument: Instrument | str | None, files: Files, day: int | None
) -> tuple[Instrument, dict[str, Grid]]:
    """Return the instrument, and the grids of its prices and amounts: fixed ones, or where to start from."""
    if isinstance(instrument, Instrument):
        return instrument, grids(instrument, True, True)
    every = [file for kind in files.values() for file in kind]
    first = next((row for row in map(first_row, every) if row is not None), None)
    if first is None:
        raise DataError(f"{every[0].path}: none of the {len(every)} files holds a row; give a day with data")
    place, cells = first
    if instrument is None:
        instrument = f"{cells[0]}:{cells[1]}"
        if not all(cells[:2]) or not instrument.isascii() or not instrument.isprintable():
            raise place.cell_error("exchange, symbol", instrument, "name no instrument; mend the row")
    moment = min((file.day for file in every if file.day is not None), default=day)
    if moment is None:
        moment = int(cells[3]) * MICROSECOND if cells[3].isdigit() and len(cells[3]) == 16 else 0
    what = known_instrument(instrument, as_of=moment)
    rules = symbols.RULES.get(what.id, ())
    return what, grids(what, bool(rules) and rules[0].since <= format_time(moment), False)


def first_row(file: TickFile) -> tuple[Place, list[str]] | None:
    """Return the first cells of the first row of a file, None where there is none."""
    start = b""
    for block in blocks(file.path):
        start += block
        if start.count(b"\n") > 1 or len(start) > 2 * LONGEST:
            break
    header, _, rest = start.partition(b"\n")
    if start:
        check_header(header[: LONGEST // 16], file.kind, file.path)
    line = rest.partition(b"\n")[0]
    cells = [cell.decode("latin-1") for cell in line[:LONGEST].split(b",")]
    place = Place(file.path, file.kind, "", "", row=1)
    return (place, [*cells, "", "", ""]) if line else None


def grids(what: Instrument, ticks_hold: bool, lots_hold: bool) -> dict[str, Grid]:
    """Return the grids of an instrument by the parameter's name; what does not hold may become finer.

    Built-in lots never hold: a lot binds new orders, and books show amounts that are older or summed up.
    """
    return {
        "tick_size": Grid.of(what.tick_size, "tick_size", ticks_hold),
        "lot_size": Grid.of(what.lot_size, "lot_size", lots_hold),
    }


class Loading:
    """One pass over all files with given grids."""

    def __init__(self, what: Instrument, given: dict[str, Grid], files: Files, day: int | None) -> None:
        self.files, self.day = files, day
        self.remarks: list[str] = []
        self.price, self.amount = given["tick_size"], given["lot_size"]
        self.what = with_grids(what, given)
        self.remarks += grid_lines(what, self.what)
        self.parts: dict[str, Any] = {}
        self.rows = 0

    def market(self, remarks: Sequence[str]) -> Market:
        """Read every kind and return the market."""
        chosen = self.chosen()
        for kind in chosen:
            self.read(kind)
        if not self.rows:
            files = [file for kind in self.files.values() for file in kind]
            raise DataError(
                f"{files[0].path}: none of the {len(files)} files holds a row; give a day with data"
            )
        name = f"{self.what.id} ticks"
        return Market((self.what,), **self.parts, name=name, remarks=(*remarks, *self.remarks))

    def chosen(self) -> list[str]:
        """Return the kinds that are read, in the order of reading; the others are told."""
        books = [kind for kind in BOOK_KINDS if kind in self.files]
        quotes = [kind for kind in QUOTE_KINDS if kind in self.files]
        self.book, self.quote = (books or [""])[0], (quotes or [""])[0]
        unused = [kind for kind in books if kind not in (self.book, self.quote)]
        for kind in unused:
            better = self.quote if kind in QUOTE_KINDS else self.book
            self.remarks.append(f"{self.what.id} {kind}: not read, {better} is used instead")
        return [kind for kind in ORDER if kind in self.files and kind not in unused]

    def read(self, kind: str) -> None:
        """Read the files of one kind into parts of the market."""
        reader = Reader(kind, self.what, self.price, self.amount, self.day)
        label = f"{self.what.id} {kind}"
        if kind in ("trades", "liquidations"):
            deals = Deals(reader.feed.deals)
            self.take(reader, label, deals)
            rows, counts = deals.finished()
            self.parts[kind] = {0: rows} if len(rows) else {}
            self.remarks += deal_lines(label, counts)
        elif kind == "derivative_ticker":
            self.read_ticker(reader, label)
        else:
            self.read_book(kind, reader, label)

    def take(self, reader: Reader, label: str, taker: Any) -> None:
        """Read the files of a reader."""
        files = self.files[reader.kind]
        counts = reader.read(files, taker)
        self.rows += counts.rows
        every = [file for kind in self.files.values() for file in kind]
        self.remarks += stream_lines(label, files, every, counts)

    def read_ticker(self, reader: Reader, label: str) -> None:
        """Read mark prices, funding and features."""
        ticker = Ticker(reader.feed.moments, reader.feed.reals)
        self.take(reader, label, ticker)
        marks, funding = ticker.marks(), ticker.funding()
        if len(funding) and self.what.kind == "spot":
            raise ConfigError(
                f"{label}: {self.what.id} is taken for spot and pays no funding; give an Instrument with "
                'kind="linear" or "inverse"'
            )
        self.parts["mark"] = {0: marks} if len(marks) else {}
        self.parts["funding"] = {0: funding} if len(funding) else {}
        self.parts["features"] = ticker.features(self.what.id)

    def read_book(self, kind: str, reader: Reader, label: str) -> None:
        """Read the book, the quotes, or both from one stream."""
        feed = reader.feed
        takers: list[Any] = []
        maker: Builder | Viewer | None = None
        if kind == self.book:
            width = int(reader.state["width"][0])
            levels = kind == BOOK_KINDS[0]
            maker = Builder(feed.changes) if levels else Viewer(feed.moments, feed.cells, width)
            takers.append(maker)
        quotes = Quotes(feed.moments, feed.cells, self.what.tick_size, self.what.lot_size)
        if kind == self.quote:
            takers.append(quotes)
        self.take(reader, label, Both(*takers))
        if maker is not None:
            book = maker.book(kind)
            self.parts["books"] = {0: book} if len(book) else {}
            self.remarks += book_lines(label, maker.counts())
        if kind == self.quote:
            rows = quotes.rows.done()
            self.parts["quotes"] = {0: rows} if len(rows) else {}


def with_grids(what: Instrument, given: Mapping[str, Grid]) -> Instrument:
    """Return the instrument with the grids its files are read with."""
    return replace(what, tick_size=given["tick_size"].step, lot_size=given["lot_size"].step)


def grid_lines(before: Instrument, after: Instrument) -> list[str]:
    """Return a line for each grid that comes from the files."""
    lines = []
    for name in ("tick_size", "lot_size"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            why = f": they are finer than the built-in {old:g}" if old else ""
            lines.append(f"{after.id}: {name} {new:g} is read off the decimals of the files{why}")
    return lines
