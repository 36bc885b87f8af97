"""Market: everything a backtest replays, one array per stream and instrument, immutable and in time order."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from framework import market_bars, market_cover, market_parts, market_streams, market_tick_bars, market_ticks
from framework.errors import ConfigError, DataError, near
from framework.instruments import Instrument
from framework.market_bars import Gap
from framework.market_parts import FIRST, LAST, TIES, gap_words, kept, nothing
from framework.market_source import Tape, in_memory, need_memory, taped_fields
from framework.market_ticks import Book
from framework.market_view import View
from framework.times import format_time, parse_interval, parse_time

if TYPE_CHECKING:
    from framework.market_reel import Reel

__all__ = ["TIES", "Gap", "Market", "View"]

Rows = NDArray[Any]
Key = tuple[int, int]

GAPS = ("report", "refuse")


@dataclass(frozen=True, eq=False, repr=False)
class Market:
    """Streams of one or more instruments; build it with `from_candles`, extend it with `with_...`, `+`,
    `resample`.

    Attributes
    ----------
    instruments : tuple of Instrument
        Their place is the instrument number everywhere.
    bars : dict of (instrument, interval in ns) to BAR array
        Bars of n calendar months have the interval n * `times.MONTH`.
    funding, mark : dict of instrument to FUNDING, MARK array
    features : dict of name to (instrument or -1, FEATURE array)
    signals : SIGNAL array
        Sorted by arrival_ts, equal arrivals in file order.
    trades, liquidations, quotes, books : dict of instrument to TRADE, TRADE, QUOTE array, Book
    name : str
    remarks : tuple of str
        What its makers say of the data (SYNTHETIC, partial bars); `notes` adds what is seen in it.
    derived : frozenset of (instrument, interval)
        Bars made by `resample`; orders never match on them.
    spans : dict of ("funding" or "mark", instrument) to Span
        What a stream covered before it was sliced.
    tapes : tuple of Tape
        Tick streams that are read piece by piece instead of being in trades, books, quotes, liquidations.
    reel : Reel, optional
        What fills this market's arrays in a run.
    """

    instruments: tuple[Instrument, ...]
    bars: dict[Key, Rows] = field(default_factory=dict)
    funding: dict[int, Rows] = field(default_factory=dict)
    mark: dict[int, Rows] = field(default_factory=dict)
    features: dict[str, tuple[int, Rows]] = field(default_factory=dict)
    signals: Rows = field(default_factory=lambda: nothing("signal"))
    trades: dict[int, Rows] = field(default_factory=dict)
    books: dict[int, Book] = field(default_factory=dict)
    quotes: dict[int, Rows] = field(default_factory=dict)
    liquidations: dict[int, Rows] = field(default_factory=dict)
    name: str = "market"
    remarks: tuple[str, ...] = ()
    derived: frozenset[Key] = frozenset()
    spans: dict[tuple[str, int], market_cover.Span] = field(default_factory=dict)
    tapes: tuple[Tape, ...] = ()
    reel: Reel | None = None

    @staticmethod
    def from_candles(
        frame: Any,
        instrument: Instrument | str,
        interval: str | int | None = None,
        stamp: str | None = None,
        *,
        time: str | None = None,
        unit: str | None = None,
        gaps: str = "report",
        name: str | None = None,
        source: str | None = None,
    ) -> Market:
        """Return a market of one instrument's bars.

        Parameters
        ----------
        frame : polars or pandas frame, dict of arrays, or BAR array
            Columns open, high, low, close, volume, and a time column (or pandas DatetimeIndex), or open_ts
            and close_ts.
        instrument : Instrument or str
            An id takes the built-in rules of its venue.
        interval : str or int
            `"1m" ... "1h" "1d" "1w" "1mo"`, or ns; not needed with open_ts and close_ts.
        stamp : {"open", "close"}
            Which end of the bar the time column is; unknown is refused.
        time, unit : str, optional
            Time column, and the unit (s, ms, us, ns) of integer times where its name does not end in it.
        gaps : {"report", "refuse"}
            Missing bars are counted in `notes`, or refused.
        name, source : str, optional
            Name of the market; what errors call the table (default the name, else "frame").

        Raises
        ------
        DataError
            Rows that cannot be trusted: source, row (1 = first data row), field, value, fix.
        ConfigError
            An option that is missing, unknown or contradicts the columns.
        """
        if gaps not in GAPS:
            raise ConfigError(f"gaps: unknown {gaps!r}; {near(str(gaps), GAPS)}")
        source = source or name or "frame"
        what = market_parts.as_instrument(instrument)
        rows, length = market_bars.build_bars(frame, interval, stamp, time, unit, source)
        gap = market_bars.count_gaps(rows, 0, length)
        if gap is not None and gaps == "refuse":
            raise DataError(f'{source}: {gap_words(gap, what)}; fill the gaps, or say gaps="report"')
        return Market((what,), {(0, length): rows}, name=name or what.id)

    @staticmethod
    def join(*markets: Market) -> Market:
        """Return one market of several; pieces of one stream are put together, overlaps refused."""
        return Market(**market_parts.joined_fields(markets))

    def __add__(self, other: Market) -> Market:
        if not isinstance(other, Market):
            return NotImplemented
        return Market.join(self, other)

    def __repr__(self) -> str:
        ids = ", ".join(i.id for i in self.instruments)
        return f"<Market {self.name}: {ids}, {format_time(self.start)} .. {format_time(self.stop)}>"

    def number(self, instrument: int | str | None) -> int:
        """Return the place of an instrument given by number, id or symbol; None only where there is one."""
        return market_parts.instrument_number(self.instruments, instrument)

    def empty(self, layout: str) -> Rows:
        """Return no rows of a layout: "bar", "funding", "mark", "feature" or "signal"."""
        return nothing(layout)

    def with_funding(
        self,
        frame: Any,
        instrument: int | str | None = None,
        time: str | None = None,
        rate: str | None = None,
        unit: str | None = None,
        source: str = "funding",
    ) -> Market:
        """Return the market with recorded funding rates (fractions); stamps are floored to the second."""
        rates = market_streams.build_funding(frame, time, rate, unit, source)
        return market_cover.with_funding(self, self.number(instrument), rates, source)

    def with_mark(
        self,
        frame: Any,
        instrument: int | str | None = None,
        time: str | None = None,
        price: str | None = None,
        unit: str | None = None,
        source: str = "mark",
    ) -> Market:
        """Return the market with mark prices; of mark candles stamped by their open, the open."""
        prices = market_streams.build_mark(frame, time, price, unit, source)
        return market_cover.with_mark(self, self.number(instrument), prices, source)

    def with_features(
        self, frame: Any, available: str = "ts", instrument: int | str | None = None, unit: str | None = None
    ) -> Market:
        """Return the market with a feature stream for each column but `available`, when it could be known.

        Without an instrument a feature belongs to the whole market (-1). A name that is there already is
        refused.
        """
        k = -1 if instrument is None else self.number(instrument)
        streams = market_streams.build_features(frame, available, unit, "features")
        return replace(self, features=market_parts.more_features(self, k, streams))

    def with_signals(self, frame: Any, unit: str | None = None) -> Market:
        """Return the market with these signals instead of any; see `market_streams.build_signals`."""
        ids = [i.id for i in self.instruments]
        return replace(self, signals=market_streams.build_signals(frame, ids, unit, "signals"))

    def slice(self, start: Any = None, stop: Any = None) -> Market:
        """Return the part of the market in [start, stop), as views: bars that open and close inside it.

        Events are those with start <= time < stop, ticks by arrival; of each feature the last value before
        `start` stays known. A book cut in the middle begins with one message of all levels known there.

        Raises
        ------
        DataError
            Nothing that can be traded lies in the range; the market's real range is given.
        """
        need_memory(self, "slice")
        first = FIRST if start is None else parse_time(start)
        last = LAST if stop is None else parse_time(stop)
        bars = {
            key: market_parts.rows_between(rows, "open_ts", "close_ts", first, last)
            for key, rows in self.bars.items()
        }
        streams = market_parts.sliced_streams(self, first, last)
        part = replace(self, bars=bars, spans=market_cover.spans(self), **streams)
        if not market_parts.has_rows(part):
            raise market_parts.refuse_empty(self, max(first, 0), last if stop is not None else self.stop)
        return part

    def split(self, at: Any) -> tuple[Market, Market]:
        """Return the market before and from `at`: a time, or a float fraction of the bars of instrument 0,
        where there are ticks of the time from start to stop.
        """
        if isinstance(at, float):
            at = market_parts.cut_at(self, at)
        return self.slice(None, at), self.slice(at, None)

    def resample(self, interval: str | int, instrument: int | str | None = None) -> Market:
        """Return the market with bars of a higher interval, built from the finest loaded bars of each
        instrument.

        Each is seen at its close only. The last bar is left out unless the data reaches its end; bars that
        lack finer ones (gaps, a start inside the first) stay and are counted in `notes`. Streams that exist
        already stay as they are; bars of trades need no resampling (`shown_bars`, `as_candles`).
        """
        chosen = range(len(self.instruments)) if instrument is None else (self.number(instrument),)
        return replace(self, **market_parts.resampled(self, parse_interval(interval), chosen))

    def has_ticks(self, k: int) -> bool:
        """True when orders on instrument `k` meet its trades or its book; its bars are then only shown."""
        return market_ticks.has_ticks(self, k)

    @property
    def is_ticks(self) -> bool:
        """True when any instrument has ticks."""
        return any(self.has_ticks(k) for k in range(len(self.instruments)))

    @property
    def is_streamed(self) -> bool:
        """True when tick streams are read piece by piece and never in memory as a whole."""
        return bool(self.tapes)

    def loaded(self) -> Market:
        """Return the market with all its rows in memory."""
        return in_memory(self) if self.tapes else self

    def as_tapes(self, rows: int = 1 << 20) -> Market:
        """Return the market with its tick streams in pieces of about `rows` rows: replayed piece by piece."""
        need_memory(self, "as_tapes")
        return replace(self, **taped_fields(self, rows))

    def as_candles(self, interval: str | int = "1m") -> Market:
        """Return the market with bars of its trades in place of every instrument's ticks.

        Built by the exchange's own stamps from all trades of the bucket; without a trade flat with volume 0.
        A first and last bucket that the ticks do not cover are left out, with a remark.
        """
        need_memory(self, "as_candles")
        return replace(self, **market_tick_bars.candle_fields(self, parse_interval(interval)))

    def as_trades(self) -> Market:
        """Return the market without its books and quotes: orders meet trades only."""
        need_memory(self, "as_trades")
        return replace(self, **market_tick_bars.trade_fields(self))

    @cached_property
    def _shown(self) -> dict[tuple[int, int], market_tick_bars.Shown]:
        return {}

    def shown_bars(self, k: int, interval: str | int) -> market_tick_bars.Shown:
        """Return (BAR rows, times at which each can be seen) of an instrument; made once.

        Loaded bars are seen at their close, and so are longer ones made of them. Without loaded bars they
        are built from the trades: seen when the first trade of a later bar arrives, from the trades that had
        arrived; a bar without a trade is flat with volume 0, the unfinished last one is never shown.
        """
        key = (k, parse_interval(interval))
        return kept(self._shown, key, lambda: market_tick_bars.shown_bars(self, *key))

    @cached_property
    def _range(self) -> tuple[int, int]:
        return market_ticks.traded_range(self)

    @property
    def start(self) -> int:
        """First moment of what can be traded, ns: open of a bar, arrival of a tick; 0 for an empty market."""
        return self._range[0]

    @property
    def stop(self) -> int:
        """Close of the last bar, or the ns after the arrival of the last tick."""
        return self._range[1]

    def intervals(self, k: int) -> tuple[int, ...]:
        """Return the bar intervals of an instrument in ns, finest first."""
        return tuple(sorted(i for j, i in self.bars if j == k))

    def loaded_intervals(self, k: int) -> tuple[int, ...]:
        """Return the intervals of an instrument that were loaded, not resampled, finest first."""
        return tuple(i for i in self.intervals(k) if (k, i) not in self.derived)

    @cached_property
    def gaps(self) -> tuple[Gap, ...]:
        """What is missing between the bars of each loaded stream."""
        return market_parts.gaps_of(self)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a reader of a result must know of the data, one line each."""
        lines = list(self.remarks)
        lines += [gap_words(gap, self.instruments[gap.instrument]) for gap in self.gaps]
        lines += market_cover.stream_notes(self) + market_cover.tick_notes(self)
        lines += market_cover.end_notes(self)
        return tuple(dict.fromkeys(lines))

    @cached_property
    def _composites(self) -> dict[int, Rows]:
        return {}

    def match_bars(self, k: int) -> Rows:
        """Return the bars orders match on: the finest, and coarser ones where no finer ones cover."""
        streams = [self.bars[k, i] for i in self.loaded_intervals(k)]
        return kept(self._composites, k, lambda: market_bars.compose(streams or [nothing("bar")]))

    @cached_property
    def _joined(self) -> dict[int | None, market_parts.Joined]:
        return {}

    def joined(self, interval: int | None = None) -> market_parts.Joined:
        """Return the bars of every instrument end to end, as a run reads them; made once, shared by all runs.

        `interval` in ns is what `on_bar` is shown, None the finest that was loaded. An instrument with ticks
        has no row here: see `shown_bars`.
        """
        return kept(self._joined, interval, lambda: market_parts.join_bars(self, interval))

    def content_hash(self) -> str:
        """Return sha256 (hex) of all rows in a fixed layout; feature names are part of it, others not."""
        return self._hash

    @cached_property
    def _hash(self) -> str:
        return market_parts.content_digest(self)
