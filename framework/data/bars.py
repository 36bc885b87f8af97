"""Bars of trades: of time, of so many trades, so much volume or so much money; chunk by chunk or in one call.

A trade belongs to the bar of its exchange time, however late it arrived. The bars of tardis-machine and of a
live stream put a late trade into the bar that is open: those differ on purpose.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.arena import register
from framework.data import bars_kernel as kernels
from framework.errors import ConfigError, DataError, near
from framework.instruments import Instrument
from framework.market import Market
from framework.market_columns import shown_time
from framework.market_tick_bars import buckets_between
from framework.records import BAR
from framework.times import (
    DAY,
    MONDAY,
    WEEK,
    add_interval,
    floor_time,
    format_interval,
    months_in,
    parse_interval,
)

if TYPE_CHECKING:
    import polars as pl

Rows = NDArray[Any]

TRADE_BAR = np.dtype(kernels.BAR_FIELDS)
"""One bar. open_ts, close_ts: ns, its interval, close exclusive; of bars not of time the first and the last
exchange time. first_ts, last_ts: exchange time of its first and last trade, -1 without one. Volumes in the
unit of the files; trades of an unknown side count in volume only. vwap: NaN without a trade."""
TIMES = ("open_ts", "close_ts", "first_ts", "last_ts")
UNITS = {"ticks": kernels.TICKS, "vol": kernels.VOLUME, "dollars": kernels.DOLLARS}
EMPTY = ("omit", "fill")
SIZE = re.compile(r"\s*(\d+(?:\.\d+)?(?:e\d+)?)\s*([A-Za-z]+)\s*")
FIRST_ROOM = 1 << 10
WHY = {
    kernels.PRICE: ("price", "is no price above zero; remove or mend the row"),
    kernels.AMOUNT: ("amount", "is no amount; remove or mend the row"),
    kernels.BACK: ("local_timestamp", "is before the row above; sort the rows by local_timestamp, equal ones "
                   "as they stand"),
}  # fmt: skip


class Size(NamedTuple):
    """What makes a bar full: an interval (ns), or a limit of trades, volume or money."""

    kind: int
    interval: int
    limit: float

    def __str__(self) -> str:
        if self.kind == kernels.TIME:
            return format_interval(self.interval)
        unit = next(name for name, kind in UNITS.items() if kind == self.kind)
        return f"{self.limit:.17g}{unit}"


def parse_size(text: str | int | Size) -> Size:
    """Return what makes a bar full.

    Parameters
    ----------
    text : str or int
        A bar interval (`"1s" ... "5m" "1d" "1w" "1mo"`, or ns), a number of trades (`"100ticks"`), of volume
        in the unit of the files (`"2.5vol"`), or of money, price times amount (`"1000000dollars"`).
    """
    if isinstance(text, Size):
        return text
    match = SIZE.fullmatch(text) if isinstance(text, str) else None
    if match is None or len(match[2]) < 3:
        return Size(kernels.TIME, parse_interval(text), 0.0)
    if match[2] not in UNITS:
        raise ConfigError(
            f"bars: {text!r} has an unknown unit; {near(match[2], UNITS)} (a time is written like 5m or 1d)"
        )
    kind, limit = UNITS[match[2]], float(match[1])
    if not limit > 0.0 or (kind == kernels.TICKS and limit != int(limit)):
        raise ConfigError(f"bars: {text!r} is no size; give a number above zero, of ticks a whole one")
    return Size(kind, 0, limit)


class Trades(NamedTuple):
    """Trades in order of arrival, equally long arrays."""

    ts: Rows  # int64 ns, the exchange's own stamp
    local_ts: Rows  # int64 ns, arrival
    price: Rows
    amount: Rows
    side: Rows  # int8 of the taker: +1 bought, -1 sold, 0 unknown
    id: Rows  # int64 that stands for the id
    named: Rows  # uint8, 0 = there is no id


DTYPES: tuple[Any, ...] = (
    kernels.TS,
    kernels.TS,
    kernels.REAL,
    kernels.REAL,
    kernels.SIDE,
    kernels.TS,
    kernels.FLAG,
)


@dataclass(frozen=True, eq=False)
class Bars:
    """Bars and what was seen while they were made.

    Attributes
    ----------
    rows : TRADE_BAR array
    size : Size
    complete : bool array
        False for a bar whose trades may not all have been there.
    remarks : tuple of str
    """

    rows: Rows
    size: Size
    complete: Rows
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def frame(self) -> pl.DataFrame:
        """Return a polars frame: times are Datetime (ns, UTC), null without a trade; and `complete`."""
        import polars as pl

        columns = {
            name: pl.Series(name, np.ascontiguousarray(self.rows[name])) for name in TRADE_BAR.names or ()
        }
        for name in TIMES:
            whole = columns[name]
            columns[name] = whole.set(whole < 0, None).cast(pl.Datetime("ns", "UTC"))
        return pl.DataFrame([*columns.values(), pl.Series("complete", self.complete)])

    def candles(self) -> Rows:
        """Return BAR rows."""
        rows = np.empty(len(self.rows), dtype=BAR)
        for name in BAR.names or ():
            rows[name] = self.rows[name]
        return rows

    def market(self, instrument: Instrument | str, *, name: str | None = None) -> Market:
        """Return the market of bars of time, with these remarks."""
        if self.size.kind != kernels.TIME:
            raise ConfigError(
                f"bars: bars of {self.size} have no interval that a Market could replay; make bars of time, "
                "such as 1m"
            )
        made = Market.from_candles(self.candles(), instrument, self.size.interval, name=name, source="bars")
        id = made.instruments[0].id
        return replace(made, remarks=tuple(f"{id}: {line}" for line in self.remarks))

    def between(self, start: int, stop: int) -> Bars:
        """Return the bars of time that open in [start, stop)."""
        a, b = np.searchsorted(self.rows["open_ts"], [start, stop])
        return replace(self, rows=self.rows[a:b], complete=self.complete[a:b])

    def filled(self, spans: Iterable[tuple[int, int]] = ()) -> Bars:
        """Return bars of time with flat ones (the close before, volume 0) where a bucket had no trade.

        Without `spans` from the first bar to the last, else up to the end of each span [start, stop) in ns,
        and never between two of them: what no file covers is not known to be empty.
        """
        rows = self.rows
        if not len(rows):
            return self
        parts = list(spans) or [(int(rows["open_ts"][0]), int(rows["close_ts"][-1]))]
        follow = np.append(rows["open_ts"][1:], rows["close_ts"][-1])
        for start, stop in parts:
            last = int(np.searchsorted(rows["open_ts"], stop)) - 1
            end = floor_time(np.array([stop]), self.size.interval)[0]
            if last >= 0 and rows["open_ts"][last] >= start:
                follow[last] = max(end, rows["close_ts"][last])
        count = buckets_between(rows["open_ts"], follow, self.size.interval)
        return replace(self, rows=repeated_flat(rows, count, self.size.interval),
                       complete=np.repeat(self.complete, count))  # fmt: skip


def repeated_flat(rows: Rows, count: Rows, interval: int) -> Rows:
    """Return each row followed by count - 1 flat ones."""
    made = np.repeat(rows, count)
    place = np.arange(len(made)) - np.repeat(np.cumsum(count) - count, count)
    flat = np.flatnonzero(place)
    if len(flat):
        made["open_ts"][flat] = add_interval(made["open_ts"][flat], interval, place[flat])
        made["close_ts"][flat] = add_interval(made["open_ts"][flat], interval)
        for name in ("open", "high", "low"):
            made[name][flat] = made["close"][flat]
        for name in ("volume", "buy_volume", "sell_volume", "trades"):
            made[name][flat] = 0
        made["vwap"][flat] = np.nan
        made["first_ts"][flat] = made["last_ts"][flat] = -1
    return made


@dataclass
class BarMaker:
    """Bars in the making: give it trades chunk by chunk, in order of arrival.

    It holds the bars (about 150 bytes each) and the last 500 ids, nothing of the trades.

    Parameters
    ----------
    size : str, int or Size
        See `parse_size`.
    source : str
        What errors call the trades.
    """

    size: Any
    source: str = "trades"
    first: int = field(default=0, init=False)  # ns; arrival of the first trade

    def __post_init__(self) -> None:
        self.size = parse_size(self.size)
        size = self.size
        self.state = np.zeros(1, kernels.STATE)
        self.bars = np.zeros(FIRST_ROOM, kernels.WORK)
        self.heads, self.ring = np.zeros(kernels.HEADS, np.int64), np.zeros(kernels.RINGS, kernels.RING)
        self.kernel = kernels.bucket_trades if size.kind == kernels.TIME else kernels.count_trades
        fixed = 0 if months_in(size.interval) else size.interval
        for name, value in {
            "kind": size.kind, "interval": fixed, "anchor": MONDAY if fixed and fixed % WEEK == 0 else 0,
            "room": FIRST_ROOM, "scale": 1.0, "limit": size.limit, "ahead": -DAY,
        }.items():  # fmt: skip
            self.state[name] = value

    def span(self) -> tuple[int, int]:
        """Return the arrival of the first trade and the ns after that of the last; (0, 0) without one."""
        return (self.first, int(self.state["local"][0]) + 1) if self.state["rows"][0] else (0, 0)

    def counts(self) -> dict[str, int]:
        """Return rows, repeated, zero (left out), late (of an earlier bar than the newest), ahead (ns)."""
        return {name: int(self.state[name][0]) for name in ("rows", "repeated", "zero", "late", "ahead")}

    def add(self, trades: Trades) -> None:
        """Add trades.

        Raises
        ------
        DataError
            A row that cannot be used: its number in all that was added (1 = first), column, value, fix.
        """
        arrays = [np.ascontiguousarray(a, dtype=d) for a, d in zip(trades, DTYPES, strict=True)]
        c = self.state[0]
        if not c["rows"] and len(arrays[1]):
            self.first = int(arrays[1][0])
        c["next"], c["count"] = 0, len(arrays[0])
        before = int(c["rows"])
        while (code := self.run(arrays)) != kernels.DONE:
            i = int(c["next"])
            if code == kernels.FULL:
                self.bars.resize(2 * len(self.bars), refcheck=False)
                c["room"] = len(self.bars)
            elif code == kernels.BUCKET:
                c["low"] = floor_time(arrays[0][i : i + 1], self.size.interval)[0]
                c["high"] = add_interval(np.array([c["low"]]), self.size.interval)[0]
            else:
                name, words = WHY[code]
                column = {"price": arrays[2], "amount": arrays[3]}.get(name)
                value = shown_time(int(arrays[1][i])) if column is None else column[i]
                raise DataError(f"{self.source}: row {before + i + 1}: {name} = {value}: {words}")

    def run(self, arrays: list[Rows]) -> int:
        """Call the kernel on the rest of a chunk."""
        block = kernels.Block._make((self.state, *arrays, self.heads, self.ring, self.bars))
        addresses = np.array([a.ctypes.data for a in block], dtype=np.int64)
        address, held = register(addresses.ctypes.data, block)
        code = int(self.kernel(address))
        del held
        return code

    def done(self, *, unfinished: bool = True) -> Bars:
        """Return the bars so far; more trades may follow.

        `unfinished=False` leaves out the last bar of trades, volume or money when it is not full.
        """
        c = self.state[0]
        end = int(c["size"]) - int(c["going"] != 0 and not unfinished)
        work = self.bars[:end]
        rows = np.empty(end, TRADE_BAR)
        for name in set(TRADE_BAR.names or ()) & set(work.dtype.names or ()):
            rows[name] = work[name]
        sides = [work[name] + work[f"{name}_rest"] for name in ("buy", "sell")]
        rests = work["buy_rest"] + work["sell_rest"] + work["other_rest"]
        volume = work["buy"] + work["sell"] + work["other"] + rests
        rows["vwap"] = (work["value"] + work["value_rest"]) / volume
        for name, total in zip(("volume", "buy_volume", "sell_volume"), (volume, *sides), strict=True):
            rows[name] = on_grid(total, float(c["scale"]))
        complete = np.ones(end, dtype=bool)
        if c["going"] and end == int(c["size"]):
            complete[-1:] = False
        return Bars(rows, self.size, complete, tuple(self.remarks()))

    def remarks(self) -> list[str]:
        """Return what was seen in the trades, a line each."""
        counts, lines = self.counts(), []
        for name, words in (
            ("repeated", "{} with a repeated id left out"),
            ("zero", "{} of amount 0 left out"),
            ("late", "{} of an earlier bar than the newest, put into their own"),
        ):
            if counts[name]:
                lines.append(f"bars of {self.size}: " + words.format(rows_words(counts[name])))
        return lines


def rows_words(count: int) -> str:
    """Return a count of trades in words."""
    return "1 trade" if count == 1 else f"{count} trades"


def on_grid(total: Rows, scale: float) -> Rows:
    """Return sums of amounts as the decimals they stand for; the kernel's rule for arrays."""
    if scale == 0.0 or not len(total):
        return total
    return np.where(total * scale >= 9e15, total, np.floor(total * scale + 0.5) / scale)


def check_empty(empty: str) -> None:
    """Refuse an unknown word for what becomes of buckets without a trade."""
    if empty not in EMPTY:
        raise ConfigError(f"empty: unknown {empty!r}; {near(str(empty), EMPTY)}")
