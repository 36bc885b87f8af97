"""View: what is known of a market at one moment. Nothing later can be asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from framework.errors import ConfigError, near
from framework.records import NEVER
from framework.times import parse_interval

if TYPE_CHECKING:
    from framework.instruments import Instrument
    from framework.market import Market

Rows = NDArray[Any]


class Cursor:
    """How many rows of one stream are known, and while since <= now < until stay so."""

    __slots__ = ("count", "delay", "rows", "since", "size", "times", "until")

    def __init__(self, rows: Rows, field: str, delay: int) -> None:
        self.rows = rows
        # a memoryview hands out Python ints, faster than numpy scalars, without a copy
        buffer: Any = rows[field] if len(rows) else b""
        self.times = memoryview(buffer)
        self.size = len(rows)
        self.delay = delay
        self.count = 0
        self.since, self.until = -NEVER, self.time_of(0)

    def time_of(self, row: int) -> int:
        """Return when a row becomes known; NEVER after the last."""
        return self.times[row] + self.delay if row < self.size else NEVER

    def move(self, now: int) -> int:
        """Return the number of rows known at `now`; one row forward is one look, else a search."""
        if now >= self.until:
            count = self.count + 1
            following = self.times[count] + self.delay if count < self.size else NEVER
            if following > now:
                self.count, self.since, self.until = count, self.until, following
                return count
        elif now >= self.since:
            return self.count
        count = (
            int(np.searchsorted(np.asarray(self.times), now - self.delay, side="right")) if self.size else 0
        )
        self.count, self.until = count, self.time_of(count)
        self.since = self.time_of(count - 1) if count else -NEVER
        return count


class View:
    """The market as known at `now`.

    Parameters
    ----------
    market : Market
    now : int
        ns UTC. A bar is known from close_ts + feed_ns on, a feature or signal from its own time on.
    feed_ns : int
        Delay of the feed in ns.
    interval : int or str, optional
        What `bars` returns when no interval is asked for; default the finest of the instrument.
    """

    __slots__ = ("_cursors", "_feed", "_interval", "_market", "_now")

    def __init__(self, market: Market, now: int, feed_ns: int = 0, interval: int | str | None = None) -> None:
        self._market = market
        self._now = int(now)
        self._feed = int(feed_ns)
        self._interval = None if interval is None else parse_interval(interval)
        self._cursors: dict[Any, Cursor] = {}

    @property
    def now(self) -> int:
        """The moment of this view, ns UTC."""
        return self._now

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """The market's instruments; their place is the `instrument` number of every method."""
        return self._market.instruments

    def at(self, now: int) -> View:
        """Move to another moment and return self; the driver of a run calls it, forward steps are cheap."""
        self._now = now
        return self

    def bars(self, n: int, interval: int | str | None = None, instrument: int = 0) -> Rows:
        """Return the last `n` closed bars, oldest first: a read-only BAR slice, fewer at the beginning.

        An `interval` that was not loaded is built from the finest bars; each bar is seen at its close only.
        """
        cursor = self._cursors.get((instrument, interval))
        if cursor is None:
            cursor = self._open_bars(instrument, interval)
        now = self._now
        count = cursor.count if cursor.since <= now < cursor.until else cursor.move(now)
        if n <= 0:
            raise ConfigError(f"bars: n is {n}; ask for at least one bar")
        return cursor.rows[count - n if count > n else 0 : count]

    def price(self, instrument: int = 0) -> float:
        """Return the close of the last known bar of the finest stream; NaN before the first."""
        cursor = self._cursors.get(("price", instrument))
        if cursor is None:
            self._check(instrument)
            cursor = self._keep(
                ("price", instrument), self._market.match_bars(instrument), "close_ts", self._feed
            )
        count = cursor.move(self._now)
        return float(cursor.rows["close"][count - 1]) if count else float("nan")

    def feature(self, name: str) -> float:
        """Return the last value of a feature stream that could be known; NaN before the first."""
        cursor = self._cursors.get(("feature", name))
        if cursor is None:
            if name not in self._market.features:
                raise ConfigError(
                    f"feature: there is no {name!r} in this market; {near(name, self._market.features)}"
                )
            cursor = self._keep(("feature", name), self._market.features[name][1], "ts", 0)
        count = cursor.move(self._now)
        return float(cursor.rows["value"][count - 1]) if count else float("nan")

    def funding(self, n: int, instrument: int = 0) -> Rows:
        """Return the last `n` known FUNDING rows, oldest first."""
        return self._last(n, "funding", instrument)

    def mark(self, instrument: int = 0) -> float:
        """Return the last known mark price; NaN before the first or without a mark stream."""
        rows = self._last(1, "mark", instrument)
        return float(rows["price"][0]) if len(rows) else float("nan")

    def signals(self, n: int) -> Rows:
        """Return the last `n` SIGNAL rows that have arrived, oldest first."""
        cursor = self._cursors.get("signals")
        if cursor is None:
            cursor = self._keep("signals", self._market.signals, "arrival_ts", 0)
        count = cursor.move(self._now)
        return cursor.rows[max(count - n, 0) : count]

    def _last(self, n: int, stream: str, instrument: int) -> Rows:
        cursor = self._cursors.get((stream, instrument))
        if cursor is None:
            self._check(instrument)
            rows = getattr(self._market, stream).get(instrument)
            if rows is None:
                rows = self._market.empty(stream)
            cursor = self._keep((stream, instrument), rows, "ts", self._feed)
        count = cursor.move(self._now)
        return cursor.rows[max(count - n, 0) : count]

    def _open_bars(self, instrument: int, interval: int | str | None) -> Cursor:
        self._check(instrument)
        choices = self._market.intervals(instrument)
        wanted = self._interval if interval is None else parse_interval(interval)
        if wanted is None:
            wanted = choices[0] if choices else 0
        if not choices:
            raise ConfigError(f"bars: {self.instruments[instrument].id} has no bars in this market")
        # as the engine does for on_bar: what was not loaded is built from the finest bars
        market = self._market if wanted in choices else self._market.resample(wanted, instrument)
        return self._keep((instrument, interval), market.bars[instrument, wanted], "close_ts", self._feed)

    def _keep(self, key: Any, rows: Rows, field: str, delay: int) -> Cursor:
        cursor = self._cursors[key] = Cursor(rows, field, delay)
        cursor.move(self._now)
        return cursor

    def _check(self, instrument: int) -> None:
        count = len(self.instruments)
        if isinstance(instrument, bool) or not 0 <= instrument < count:
            ids = ", ".join(f"{k} = {i.id}" for k, i in enumerate(self.instruments))
            raise ConfigError(f"instrument: {instrument} is none of this market's; choose {ids}")
