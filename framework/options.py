"""What a run costs, how long things take, and how orders fill: the named choices of a backtest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.errors import ConfigError, near
from framework.instruments import Instrument
from framework.records import INTRABAR_NAMES, MARGIN_NAMES, POWER, QUEUE_NAMES, TRIGGER_NAMES
from framework.times import format_interval, parse_duration, parse_time

DEFAULT_FEE = 0.001  # where no venue fee is known
LATENCY_ROW = np.dtype([("ts", "i8"), ("order", "i8"), ("response", "i8")])
Table = NDArray[Any]


def fraction(name: str, value: Any, low: float = -1.0, high: float = 1.0) -> float:
    """Return a finite fraction inside [low, high]."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise ConfigError(f"{name} is a fraction like 0.0005 (5 bps), not {value!r}")
    number = float(value)
    if not math.isfinite(number) or not low <= number <= high:
        raise ConfigError(
            f"{name} must lie in {low:g}..{high:g} (a fraction: 0.0005 is 5 bps), not {value!r}"
        )
    return number


@dataclass(frozen=True)
class Costs:
    """Fees and price concessions, all fractions; `maker` and `taker` override the Instrument's fees.

    slippage : paid per side by market, stop and close fills.
    entry_spread : paid on fills that open, on top (a compatibility option).
    impact : square-root market impact: impact x sqrt(quantity / bar volume), None = none.
    """

    maker: float | None = None
    taker: float | None = None
    slippage: float = 5e-4
    entry_spread: float = 0.0
    impact: float | None = None

    def __post_init__(self) -> None:
        for name in ("maker", "taker"):
            if getattr(self, name) is not None:
                fraction(f"Costs({name})", getattr(self, name), -0.1, 0.5)
        fraction("Costs(slippage)", self.slippage, 0.0, 0.5)
        fraction("Costs(entry_spread)", self.entry_spread, 0.0, 0.5)
        if self.impact is not None:
            fraction("Costs(impact)", self.impact, 0.0, 10.0)

    def fees(self, one: Instrument) -> tuple[float, float]:
        """Return (maker, taker) for an instrument."""
        maker = self.maker if self.maker is not None else one.maker if one.maker is not None else DEFAULT_FEE
        taker = self.taker if self.taker is not None else one.taker if one.taker is not None else DEFAULT_FEE
        return float(maker), float(taker)


@dataclass(frozen=True)
class Latency:
    """How long bars, orders and answers travel.

    feed : from a bar's close to the strategy; None = at once (what the data says).
    order, response : a length of time ("20ms"), or `table`.
    table : rows (ts, order_ns, response_ns), in force from ts on; a frame or a sequence of triples.
    interpolate : between two rows of a table latencies lie on a line.
    venues : venue id to Latency, for venues that differ.
    """

    feed: str | int | None = None
    order: str | int = "20ms"
    response: str | int = "20ms"
    table: Any = None
    venues: Mapping[str, Latency] | None = None
    interpolate: bool = False

    def __post_init__(self) -> None:
        for name in ("feed", "order", "response"):
            value = getattr(self, name)
            if value is not None:
                parse_duration(value)
        self.rows("")
        for venue, other in (self.venues or {}).items():
            if other.feed is not None or other.venues:
                raise ConfigError(
                    f"Latency(venues): {venue!r} has a feed or venues of its own; bars of all venues travel "
                    "alike, say Latency(feed=...) once"
                )

    @classmethod
    def of_feed(cls, market: Any, instrument: int = 0, order: float = 1.0, response: float = 1.0) -> Latency:
        """Return latencies like those of the feed: its median of each second times `order` and `response`.

        What is recorded is how long the venue's messages took to arrive here; that orders take as long, or a
        multiple, is an assumption, and a better one than a constant where the venue was slow at times.
        """
        rows = market.trades.get(instrument)
        if instrument in market.books:
            rows = market.books[instrument].messages[:-1]
        if rows is None or not len(rows):
            raise ConfigError("Latency.of_feed: the instrument has no trades and no book; give a table")
        second = rows["local_ts"] // 1_000_000_000
        first = np.flatnonzero(np.append(True, second[1:] != second[:-1]))
        took = np.split(rows["local_ts"] - rows["ts"], first[1:])
        medians = [int(np.median(part)) for part in took]
        stamps = rows["local_ts"][first].tolist()
        table = [(t, round(m * order), round(m * response)) for t, m in zip(stamps, medians, strict=True)]
        return cls(table=table, interpolate=True)

    @property
    def feed_ns(self) -> int:
        """Feed latency in ns."""
        return 0 if self.feed is None else parse_duration(self.feed)

    def rows(self, venue: str) -> Table:
        """Return the latency table of a venue, at least one row."""
        if self.venues and venue in self.venues:
            return self.venues[venue].rows("")
        if self.table is None:
            return np.array(
                [(0, parse_duration(self.order), parse_duration(self.response))], dtype=LATENCY_ROW
            )
        triples = self.table.rows() if hasattr(self.table, "rows") else self.table
        triples = triples.itertuples(index=False) if hasattr(triples, "itertuples") else triples
        rows = [(parse_time(a), parse_duration(b), parse_duration(c)) for a, b, c in triples]
        if not rows:
            raise ConfigError("Latency(table) has no row; give (ts, order_ns, response_ns) rows")
        made = np.array(rows, dtype=LATENCY_ROW)
        if (np.diff(made["ts"]) <= 0).any():
            row = int(np.argmax(np.diff(made["ts"]) <= 0)) + 2
            raise ConfigError(f"Latency(table) row {row}: ts must rise from row to row")
        return made


@dataclass(frozen=True)
class Fills:
    """How orders meet bars, trades and books.

    at : "open" fills a decision at the next bar's open, "close" at the close it was made at.
    intrabar : which of two levels touched by one bar came first: "worst", "best", "open_first".
    exits_from : "entry_bar" or "next_bar": when a bracket's exits begin to work.
    grace : share of the bar's length in which an arriving order still gets its open.
    queue : in a book, what moves a resting limit forward beside trades: "risk_averse" (nothing but a level
        smaller than its queue), "power:N", "log" (cancels are shared by who stands ahead and behind), "front"
        (it stands first), "back" (trades only).
    partial : False fills a touched order whole, at the best price.
    trigger : price that triggers stops on ticks: "trade", "mark" or "quote".
    volume_share : at most this share of a bar's (or, without a book, a trade's) volume fills.
    slip_in_range : slipped prices stay inside the bar. stop_at_level : stops fill without slippage.
    limit_slips : a limit that a bar opens beyond pays slippage, down to its limit.
    stop_first : a stop touched anywhere in a bar comes before its target, even one met at the open.
    """

    at: str = "open"
    intrabar: str = "worst"
    exits_from: str = "entry_bar"
    grace: float = 0.02
    queue: str = "risk_averse"
    partial: bool = True
    volume_share: float | None = None
    slip_in_range: bool = False
    stop_at_level: bool = False
    limit_slips: bool = False
    stop_first: bool = False
    trigger: str = "trade"

    def __post_init__(self) -> None:
        for name, choices in (
            ("at", ("open", "close")),
            ("intrabar", INTRABAR_NAMES),
            ("exits_from", ("entry_bar", "next_bar")),
            ("trigger", TRIGGER_NAMES),
        ):
            value = getattr(self, name)
            if value not in choices:
                raise ConfigError(f"Fills({name}={value!r}): {near(value, choices)}")
        for name in ("partial", "slip_in_range", "stop_at_level", "limit_slips", "stop_first"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise ConfigError(f"Fills({name}={getattr(self, name)!r}): must be True or False")
        queue_model(self.queue)
        fraction("Fills(grace)", self.grace, 0.0, 1.0)
        if (
            self.volume_share is not None
            and fraction("Fills(volume_share)", self.volume_share, 0.0, 1.0) == 0.0
        ):
            raise ConfigError("Fills(volume_share=0) would fill nothing; give None for no cap")

    @classmethod
    def like(cls, tool: str) -> Fills:
        """Return the fill rules of another tool, so that its users can check us order by order."""
        if tool not in PRESETS:
            raise ConfigError(f"Fills.like({tool!r}): {near(tool, PRESETS)}")
        return cls(**PRESETS[tool])


PRESETS: dict[str, dict[str, Any]] = {
    "backtesting.py": {"at": "open", "intrabar": "worst", "exits_from": "entry_bar", "stop_first": True},
    "vectorbt": {"at": "close", "intrabar": "worst", "stop_at_level": True, "stop_first": True},
    "backtrader": {
        "at": "open",
        "intrabar": "worst",
        "exits_from": "next_bar",
        "slip_in_range": True,
        "limit_slips": True,
        "stop_first": True,
    },
    "hftbacktest": {"queue": "risk_averse", "partial": False},
}


def queue_model(text: Any) -> tuple[int, float]:
    """Return the code of a queue model and its power, 1 where it has none."""
    name, colon, power = str(text).partition(":")
    if name == QUEUE_NAMES[POWER]:
        try:
            number = float(power)
        except ValueError:
            number = math.nan
        if not 0.0 < number <= 100.0:
            raise ConfigError(f'Fills(queue={text!r}): say the power, at most 100, like "power:3"')
        return POWER, number
    if colon or name not in QUEUE_NAMES:
        choices = ["power:3" if n == "power" else n for n in QUEUE_NAMES]
        raise ConfigError(f"Fills(queue={text!r}): {near(str(text), choices)}")
    return QUEUE_NAMES.index(name), 1.0


@dataclass(frozen=True)
class Risk:
    """Limits checked before an order fills: its value and the position's value in the settlement currency."""

    max_order_notional: float | None = None
    max_position_notional: float | None = None

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if value is not None and not (
                isinstance(value, (int, float)) and math.isfinite(value) and value > 0
            ):
                raise ConfigError(f"Risk({one.name}) must be a positive amount, not {value!r}")


def engine_options(
    costs: Costs,
    latency: Latency,
    fills: Fills,
    leverage: float,
    margin: str,
    risk: Risk | None,
    strict: bool,
) -> dict[str, float]:
    """Return the choices as the numbers of the engine's clock record."""
    if isinstance(leverage, bool) or not (isinstance(leverage, (int, float)) and 0 < leverage <= 200):
        raise ConfigError(f"leverage must be a number above 0 and at most 200, not {leverage!r}")
    if margin not in MARGIN_NAMES:
        raise ConfigError(f"margin={margin!r}: {near(str(margin), MARGIN_NAMES)}")
    limits = risk or Risk()
    return {
        "at_close": int(fills.at == "close"),
        "intrabar": INTRABAR_NAMES.index(fills.intrabar),
        "next_bar_exits": int(fills.exits_from == "next_bar"),
        "isolated": MARGIN_NAMES.index(margin),
        "slip_in_range": int(fills.slip_in_range),
        "stop_at_level": int(fills.stop_at_level),
        "limit_slips": int(fills.limit_slips),
        "stop_first": int(fills.stop_first),
        "grace": fills.grace,
        "slippage": costs.slippage,
        "entry_spread": costs.entry_spread,
        "impact": costs.impact or 0.0,
        "volume_share": fills.volume_share or 0.0,
        "leverage": float(leverage),
        "feed": latency.feed_ns,
        "interpolate": int(latency.interpolate),
        "strict": int(strict),
        "tight": 1,
        "queue": queue_model(fills.queue)[0],
        "power": queue_model(fills.queue)[1],
        "whole": int(not fills.partial),
        "trigger": TRIGGER_NAMES.index(fills.trigger),
        "max_order_notional": limits.max_order_notional or 0.0,
        "max_position_notional": limits.max_position_notional or 0.0,
    }


def length_words(value: Any) -> str:
    """Return a length of time in words, "20ms"; "0" for none."""
    length = parse_duration(value)
    return format_interval(length) if length else "0"


def option_words(costs: Costs, latency: Latency, fills: Fills) -> dict[str, dict[str, Any]]:
    """Return the choices as plain values for the manifest."""
    return {
        "costs": {f.name: getattr(costs, f.name) for f in fields(costs)},
        "latency": {
            "feed": length_words(latency.feed_ns),
            "order": "table" if latency.table is not None else length_words(latency.order),
            "response": "table" if latency.table is not None else length_words(latency.response),
            "venues": sorted(latency.venues or ()),
            "interpolate": latency.interpolate,
        },
        "fills": {f.name: getattr(fills, f.name) for f in fields(fills)},
    }
