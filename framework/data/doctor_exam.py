"""One file, or one part of a store, under the doctor's eyes: its rows go by once, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.data.checks import INFO, WARN, Finding, in_order, verdict_word
from framework.data.doctor_book import BUCKET
from framework.data.doctor_deals import Deals, First, OffBook, Ticker, compare, fill, outliers
from framework.data.doctor_judge import (
    Finder,
    at,
    judge_clocks,
    judge_numbers,
    judge_times,
    refusal,
    silence_limit,
)
from framework.data.doctor_judge_kinds import (
    judge_again,
    judge_changes,
    judge_compared,
    judge_deals,
    judge_off_book,
    judge_ticker,
    judge_top,
)
from framework.data.doctor_watch import BookWatch, Clock, Numbers, TopWatch, flags, numbers, stamps
from framework.data.notes import several
from framework.errors import DataError
from framework.times import DAY, MICROSECOND, format_time

if TYPE_CHECKING:
    import polars as pl

Rows = NDArray[Any]
CURVE = 1_500  # points of a curve in the picture
MINUTE_US = 60_000_000
LONG = 360 * MINUTE_US  # a span whose latency is drawn in steps of ten minutes
TOP_COLUMNS = {
    **dict.fromkeys(("quotes", "book_ticker"), ("bid_price", "ask_price", "bid_amount", "ask_amount")),
    **dict.fromkeys(
        ("book_snapshot_25", "book_snapshot_5"),
        ("bids[0].price", "asks[0].price", "bids[0].amount", "asks[0].amount"),
    ),
}


class Source(NamedTuple):
    """What is to be read: a csv file or a part of a store."""

    label: str  # name of the file
    venue: str
    symbol: str
    kind: str
    day: int | None  # ns
    frames: Callable[[], Iterator[pl.DataFrame]]
    tick: float  # of the venue's rules, 0.0 = not known
    part: Any = None
    path: Path | None = None


@dataclass
class Exam:
    """What was seen in one file.

    Attributes
    ----------
    source : Source
    rows, first, last : int
        Rows, and the first and last local_timestamp in us (0 without rows).
    findings : tuple of Finding
        The worst first.
    latency : (us, quantiles)
        Times of the day, one a minute or (of long spans) ten; 1 %, 50 % and 99 % of the latency then, us.
    silences : list of (start, end)
        Times without a row that are too long for this file, us.
    curve : dict of arrays
        ts (us), bid, ask: the best prices through the day; empty for kinds without.
    """

    source: Source
    incidents: list[tuple[int, int]] = field(default_factory=list)
    rows: int = 0
    refused: Finding | None = None
    findings: tuple[Finding, ...] = ()
    latency: tuple[list[int], list[list[float]]] = ((), ())  # type: ignore[assignment]
    overall: list[float] = field(default_factory=list)
    silences: list[tuple[int, int]] = field(default_factory=list)
    curve: dict[str, Rows] = field(default_factory=dict)
    day: int = 0
    top: TopWatch | None = None
    deals: Deals | None = None
    ticker: Ticker | None = None
    off: OffBook | None = None
    again: First = field(default_factory=First)
    waived: tuple[str, ...] = ()  # codes that a waiver in the store covers
    extra: Finder = field(default_factory=Finder)
    quote_outliers: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        self.begin(self.source.day or 0)

    @property
    def kind(self) -> str:
        """Kind of the rows."""
        return self.source.kind

    @property
    def day_us(self) -> int:
        """Midnight in us."""
        return self.day // MICROSECOND

    @property
    def date(self) -> str:
        """The day as 2024-08-01; ? where no row tells it."""
        return format_time(self.day)[:10] if self.day else "?"

    @property
    def is_deals(self) -> bool:
        """True for trades and liquidations."""
        return self.kind in ("trades", "liquidations")

    @property
    def verdict(self) -> str:
        """refuse, warn or clean."""
        return verdict_word(self.findings)

    @property
    def first(self) -> int:
        """First local_timestamp in us."""
        return self.clock["first"]

    @property
    def last(self) -> int:
        """Last local_timestamp in us."""
        return self.clock["local"]

    def begin(self, day: int) -> None:
        """Prepare the counts; `day` 0 = not known yet."""
        self.day = day
        self.clock = Clock(day // MICROSECOND)
        self.price, self.amount = Numbers(self.source.tick), Numbers()

    def incident_in(self, start: int, end: int) -> bool:
        """True when the venue reported an incident that overlaps a time (us)."""
        return any(a < end and b > start for a, b in self.incidents)

    def read(self, book: Exam | None) -> None:
        """Read all rows; `book` is the day's book, with which deals are compared."""
        try:
            for frame in self.source.frames():
                if len(frame):
                    self.add(frame, book)
        except DataError as error:
            self.refused = refusal(error, self.source.path)
        if self.top is not None:
            self.top.finish()
            fill(self.top)

    def add(self, frame: pl.DataFrame, book: Exam | None) -> None:
        """Look at a chunk."""
        ts, local = stamps(frame, "timestamp"), stamps(frame, "local_timestamp")
        if not self.rows:
            if not self.day:
                self.begin(int(local[0]) * MICROSECOND // DAY * DAY)
            self.prepare(book)
        changes = self.kind == "incremental_book_L2"
        snapshot = flags(frame["is_snapshot"]) if changes else np.zeros(len(ts), np.uint8)
        self.clock.add(ts, local, snapshot)
        if self.kind in TOP_COLUMNS or self.ticker is not None:
            self.again.add(equal_rows(frame), self.rows, local)
        if self.kind in TOP_COLUMNS:
            self.add_top(frame, local)
        elif self.ticker is not None:
            self.ticker.add(frame, local)
        else:
            price, amount = numbers(frame, "price"), numbers(frame, "amount")
            self.price.add(price)
            self.amount.add(amount)
            if isinstance(self.top, BookWatch):
                self.top.add_changes(local, snapshot, flags(frame["side"] == "ask"), price, amount)
            if self.deals is not None:
                self.deals.add(frame, local, price)
            if self.off is not None:
                self.off.add(ts, local, price)
        self.rows += len(ts)

    def prepare(self, book: Exam | None) -> None:
        """Take the counts that this kind needs."""
        if self.kind == "incremental_book_L2":
            self.top = BookWatch(self.day_us)
        elif self.kind in TOP_COLUMNS:
            self.top = TopWatch(self.day_us)
        elif self.kind == "derivative_ticker":
            self.ticker = Ticker()
        else:
            self.deals = Deals()
            usable = self.kind == "trades" and book is not None and book.top is not None
            if usable and book is not None and book.top is not None and book.top.span[1] >= 0:
                self.off = OffBook(book.top)

    def add_top(self, frame: pl.DataFrame, local: Rows) -> None:
        """Look at rows that show best prices."""
        bid, ask, bid_amount, ask_amount = (numbers(frame, name) for name in TOP_COLUMNS[self.kind])
        for values, counted in ((bid, self.price), (ask, self.price), (bid_amount, self.amount)):
            counted.state["row"] = self.rows
            counted.add(values)
        self.amount.state["row"] = self.rows
        self.amount.add(ask_amount)
        assert self.top is not None
        self.top.add(local, bid, ask)
        for prices in (bid, ask):
            alone, _ = outliers(prices[~np.isnan(prices)])
            count, row = self.quote_outliers
            if len(alone):
                at_row = int(np.flatnonzero(~np.isnan(prices))[alone[0]]) + self.rows + 1
                self.quote_outliers = (count + len(alone), min(row or at_row, at_row))

    def against(self, book: Exam) -> None:
        """Compare the best prices with those of the day's book."""
        if self.top is None or book.top is None or min(self.top.span[1], book.top.span[1]) < 0:
            return
        step = max(self.price.step, book.price.step)
        judge_compared(self, book.kind, compare(book.top, self.top, step), step, self.extra)

    def judge(self, book: Exam | None) -> None:
        """Make the findings of this file by itself."""
        to = Finder()
        if self.refused is not None:
            self.findings = (self.refused,)
            return
        if not self.rows:
            told = self.incident_in(self.day_us, self.day_us + DAY // MICROSECOND)
            why = (
                "the venue reported an incident" if told else "the venue was away or the symbol did not trade"
            )
            to.add("empty_day", WARN, 0, 0, -1, f"no row: {why}; a run sees nothing of that day")
            self.findings = in_order(to.found)
            return
        judge_times(self, to)
        judge_clocks(self, to)
        judge_numbers(self, to)
        if self.top is not None:
            judge_top(self, to)
        if self.kind == "incremental_book_L2":
            judge_changes(self, to)
        if self.deals is not None:
            judge_deals(self, self.deals, to)
        if self.off is not None and book is not None:
            judge_off_book(self.off, book.kind, to)
        if self.ticker is not None:
            judge_ticker(self.ticker, to)
        self.judge_quotes(to)
        self.findings = in_order([*to.found, *self.extra.found])
        self.overall = self.clock.quantiles((0.01, 0.5, 0.99))
        step = 10 if self.last - self.first > LONG else 1
        groups, quantiles = self.clock.by_minute((0.01, 0.5, 0.99), step)
        self.latency = [self.day_us + (2 * n + 1) * step * MINUTE_US // 2 for n in groups], quantiles
        limit = silence_limit(self)
        self.silences = [(a, b) for a, b, _ in self.clock.gaps if b - a > limit]

    def judge_quotes(self, to: Finder) -> None:
        """Judge rows given twice, and best prices that stand alone."""
        judge_again(self, self.again, to)
        count, row = self.quote_outliers
        if count:
            to.add(
                "outlier_price",
                WARN,
                count,
                row,
                -1,
                f"{several(count, 'best price')} alone and far from those around; look at the rows",
            )

    def add_findings(self, to: Finder) -> None:
        """Add what only a look at other files shows."""
        self.findings = in_order([*self.findings, *to.found])

    def draw(self) -> None:
        """Keep a curve of the best prices for the picture."""
        if self.top is None or self.top.span[1] < 0:
            return
        start, end = self.top.span
        places = np.unique(np.linspace(start, end, min(CURVE, end - start + 1)).astype(np.int64))
        tops = self.top.tops[places]
        self.curve = {
            "ts": self.day_us + places * BUCKET,
            "bid": tops["bid"].copy(),
            "ask": tops["ask"].copy(),
        }

    def forget(self) -> None:
        """Free what is large: the file was judged."""
        self.top = self.off = self.deals = self.ticker = None
        self.clock.histogram = self.clock.histogram[:0]


def equal_rows(frame: pl.DataFrame) -> Rows:
    """Return the rows that equal the row above in every column, times too."""
    import polars as pl

    same = frame.select(pl.all_horizontal(pl.all().eq_missing(pl.all().shift(1)))).to_series()
    return np.flatnonzero(same.to_numpy()[1:]) + 1


__all__ = ["INFO", "Exam", "Source", "at"]
