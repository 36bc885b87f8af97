"""Bars of a range of time from day files or the store, and `candles`, the tutorial's call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from framework.data.bars import BarMaker, Bars, Size, Trades, check_empty, parse_size
from framework.data.bars_days import Day, Days, source_of
from framework.data.bars_sources import covered
from framework.data.careful import Finer
from framework.data.reader import SILENCE
from framework.errors import ConfigError
from framework.records import NEVER
from framework.times import DAY, MILLISECOND, MINUTE, add_interval, floor_time, format_time, parse_time

if TYPE_CHECKING:
    import polars as pl

LATE = 10 * MINUTE  # a trade of a bar is looked for in what arrived up to so long after its end


def candles(
    venue: str,
    symbol: str,
    start: Any,
    stop: Any,
    interval: str | int = "1m",
    *,
    store: Any = None,
    files: Any = None,
    empty: str = "omit",
) -> pl.DataFrame:
    """Return the candles of [start, stop), built from recorded trades.

    Parameters
    ----------
    venue, symbol : str
        Tardis' exchange id, and a symbol in any usual spelling (`BTC-USDT`, `btcusdt`, `BTCUSDT`).
    start, stop : date, str, datetime or ns
        Bars that open in [start, stop); dates are UTC midnights.
    interval : str or int
        `"1s" ... "1m" "5m" "15m" "1h" "4h" "1d" "1w" "1mo"`; UTC, weeks begin on Monday.
    store : Store, str or Path, optional
        Where trades are stored; by default the user's own store.
    files : folder, list of paths or dict, optional
        Tardis csv files in place of the store, as for `from_tardis`.
    empty : {"omit", "fill"}
        Bars without a trade are left out, or flat (the close before, volume 0) where files cover them.

    Returns
    -------
    polars.DataFrame
        open_ts, close_ts (exclusive), open, high, low, close, volume, buy_volume, sell_volume, trades, vwap,
        first_ts, last_ts (of its first and last trade), complete. A trade belongs to the bar of its exchange
        time, also one that arrived in the next day's file; a repeated id counts once. `complete` is False
        where trades may lack: a day without a file, a file that begins late or ends early, or no file of the
        next day for the last ten minutes of a day. `day_bars` says why, in words.

    Examples
    --------
    >>> candles("binance", "BTC-USDT", "2024-08-08", "2024-08-09", "5m", files="data/")  # doctest: +SKIP
    """
    size = parse_size(interval)
    if not size.interval:
        raise ConfigError(f"interval: {interval!r} is no time; write it like 5m, or call day_bars")
    return day_bars(venue, symbol, start, stop, size, store=store, files=files, empty=empty).frame()


def day_bars(
    venue: str,
    symbol: str,
    start: Any,
    stop: Any,
    size: str | int | Size,
    *,
    store: Any = None,
    files: Any = None,
    empty: str = "omit",
    until: Any = None,
) -> Bars:
    """Return the bars of [start, stop) and what was seen in their trades; see `candles`.

    Bars of trades, volume or money begin with the first trade from `start` on. `until`: only rows that had
    arrived by then; a bar of time must be over by then to be complete.
    """
    check_empty(empty)
    size = parse_size(size)
    if empty == "fill" and not size.interval:
        raise ConfigError(f'empty: bars of {size} are never empty; leave empty="fill" out')
    first, last = time_range(start, stop)
    days = source_of(venue, symbol, store, files)
    return candles_of(days, size, first, last, NEVER if until is None else parse_time(until), empty)


def candles_of(days: Days, size: Size, start: int, stop: int, until: int, empty: str) -> Bars:
    """Return the bars of [start, stop) in ns; see `day_bars`."""
    return RangeBars(days, size, start, stop, until).bars(empty)


def time_range(start: Any, stop: Any) -> tuple[int, int]:
    """Return [start, stop) in ns; refuse an empty one."""
    first, last = parse_time(start), parse_time(stop)
    if first >= last:
        raise ConfigError(
            f"stop: {format_time(last)} is not after start {format_time(first)}; stop is exclusive, so one "
            "day is start and the day after it"
        )
    return first, last


class RangeBars:
    """One pass over the days of a range."""

    def __init__(self, days: Days, size: Size, start: int, stop: int, until: int) -> None:
        self.days, self.size, self.start, self.stop, self.until = days, size, start, stop, until
        self.end = stop  # of the last bar that opens in the range
        if size.interval:
            last = floor_time(np.array([stop - 1]), size.interval)
            self.end = max(stop, int(add_interval(last, size.interval)[0]))
        self.limit = min(until, self.end + LATE)  # last arrival that is looked at
        first, final = start // DAY * DAY, self.limit // DAY * DAY
        self.chosen = [day for day in days.days if day.day is None or first <= day.day <= final]

    def bars(self, empty: str) -> Bars:
        """Return the bars of the range."""
        while True:
            self.maker = BarMaker(self.size, f"{self.days.id} trades")
            self.seen: dict[str, list[int]] = {}  # of a day: first and last arrival, 1 = cut off at the limit
            try:
                self.days.read(self.chosen, self.take)
                break
            except Finer as finer:
                self.days.refine(finer)
        made = self.maker.done()
        remarks = (*made.remarks, *self.missing_lines(), *self.short_lines(), *self.clock_lines())
        made = replace(made, remarks=remarks)
        if not self.size.interval:
            return made
        spans = self.spans()
        made = replace(made, complete=self.whole(made, spans))
        return (made.filled(spans) if empty == "fill" else made).between(self.start, self.stop)

    def take(self, day: Day, trades: Trades) -> bool:
        """Add the trades of a day; False when what follows is not wanted."""
        arrival = trades.local_ts
        count = int(np.searchsorted(arrival, self.limit, side="right"))
        seen = self.seen.setdefault(day.name, [])
        if count:
            seen[:] = [seen[0] if seen else int(arrival[0]), int(arrival[count - 1]), 0]
        if count < len(arrival):
            seen[:] = [*(seen or (self.limit, self.limit, 0))[:2], 1]
            trades = Trades(*(column[:count] for column in trades))
        if not self.size.interval:
            inside = (trades.ts >= self.start) & (trades.ts < self.stop)
            trades = Trades(*(column[inside] for column in trades))
        self.maker.add(trades)
        return count == len(arrival)

    def spans(self) -> list[tuple[int, int]]:
        """Return what is covered, [start, stop) of each run of days."""
        spans: list[tuple[int, int]] = []
        ended = None
        for day in self.chosen:
            first, last, cut = self.seen.get(day.name) or (day.day, None, 0)
            if first is None:
                continue
            if day.day is None:
                spans.append((first, int(last or first) + 1))
                continue
            end = day.day + DAY
            stop = end if last is None or end - last <= SILENCE else last + 1
            stop = self.limit + 1 if cut else stop
            if ended == day.day and spans:
                spans[-1] = (spans[-1][0], stop)
            else:
                spans.append((day.day if first - day.day <= SILENCE else first, stop))
            ended = end
        return spans

    def whole(self, bars: Bars, spans: Sequence[tuple[int, int]]) -> Any:
        """Return which bars have all their trades: covered, over by `until`, with time for late arrivals."""
        result = np.zeros(len(bars), dtype=bool)
        for span in spans:
            result |= covered(bars, span).complete
        close = bars.rows["close_ts"]
        result &= close <= self.until
        have = {day.day for day in self.chosen}
        for day in {d for d in have if d is not None and d + DAY not in have}:
            result &= ~((close > day + DAY - LATE) & (bars.rows["open_ts"] < day + DAY))
        return result

    def missing_lines(self) -> list[str]:
        """Return lines for the days without a file, and for the late arrivals these may hold."""
        have = {day.day for day in self.chosen}
        if None in have:
            return []
        first, last = self.start // DAY * DAY, (min(self.stop - 1, self.until)) // DAY * DAY
        lines = [
            f"trades: there is no file of {date_of(d)}"
            for d in range(first, last + DAY, DAY)
            if d not in have
        ]
        late = last + DAY
        if late <= self.limit and late not in have and last in have:
            lines.append(
                f"trades: there is no file of {date_of(late)}: trades of {date_of(last)} that arrived after "
                "midnight are not in the bars"
            )
        return lines

    def short_lines(self) -> list[str]:
        """Return lines for the days whose rows begin late or end early."""
        lines = []
        for day in self.chosen:
            first, last, cut = self.seen.get(day.name) or (0, 0, 1)
            if day.day is None or not first or first > self.stop:
                continue
            begins, ends = first - day.day > SILENCE, not cut and day.day + DAY - last > SILENCE
            if begins or ends:
                a, b = format_time(first)[11:], format_time(last)[11:]
                lines.append(f"trades: {day.name} has rows from {a}{f' to {b}' if ends else ''} only")
        return lines

    def clock_lines(self) -> list[str]:
        """Return a line when exchange times lie after their arrival: the day before may hold trades too."""
        ahead = self.maker.counts()["ahead"]
        day = self.start // DAY * DAY
        if ahead <= 0 or self.start - day > ahead:
            return []
        return [
            f"trades: exchange times lie up to {ahead / MILLISECOND:g} ms after their arrival; trades of the "
            f"first moments of {date_of(day)} may stand in the file of {date_of(day - DAY)}, that is not read"
        ]


def date_of(ts: int) -> str:
    """Return the date of a time."""
    return format_time(ts)[:10]
