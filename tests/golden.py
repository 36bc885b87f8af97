"""Golden examples: small candle cases with fills worked out by hand from the rules.

Each is run against the naive twin (test_naive.py) and against the engine. Unless said otherwise: one linear
instrument, tick 1, lot 1, one-minute bars written "open high low close [volume]" (volume 100), no fees, no
slippage, no latency, 10,000 of cash. An order decided at t(1), the close of bar 0, meets the open of bar 1.
Numbers are in the comments; `F` is one expected fill.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.naive.model import Case, Options

MINUTE = 60_000_000_000
MS = 1_000_000
START = 1_700_000_400_000_000_000


def t(bar: int, ms: int = 0) -> int:
    """Open of bar number `bar` plus milliseconds; t(1) is also the close of bar 0."""
    return START + bar * MINUTE + ms * MS


@dataclass(frozen=True)
class F:
    """An expected fill; None fields are not checked. Order id, stamp, price, quantity."""

    order: int
    ts: int
    price: float
    qty: float
    maker: bool | None = None
    side: int | None = None
    seen: int | None = None
    bar: int | None = None  # number of the bar whose open is bar_open_ts
    fee: float | None = None


@dataclass
class Golden:
    """A case and what must come out. `orders` maps id to (status, reason)."""

    name: str
    rule: str
    case: Case
    fills: list[F]
    orders: dict[int, tuple[str, str]] = field(default_factory=dict)
    ambiguous: int = 0
    late: int = 0
    equity: list[tuple[int, float]] | None = None
    trades: list[dict[str, Any]] | None = None
    final: dict[str, Any] | None = None
    outcome: str = "done"
    qtys: dict[int, float] = field(default_factory=dict)  # id -> filled_qty
    ends: dict[int, int] = field(default_factory=dict)  # id -> end_ts


GOLDEN: list[Golden] = []


def bars(*rows: str, first: int = 0, step: int = 1) -> list[tuple[Any, ...]]:
    """Bars of `step` minutes from bar number `first` on."""
    out = []
    for n, row in enumerate(rows):
        prices = [float(x) for x in row.split()]
        volume = prices[4] if len(prices) > 4 else 100.0
        start = t(first + n * step)
        out.append((start, start + step * MINUTE, *prices[:4], volume))
    return out


LEVELS = {
    "limit": ("price",),
    "stop": ("trigger",),
    "stop_limit": ("trigger", "price"),
    "trailing": ("trail",),
}


def order(id_: int, at: int, what: str, **more: Any) -> dict[str, Any]:
    """One row: `what` is "buy 2 market", "sell 1 limit 105", "buy 1 stop 105", "close" ..."""
    words = what.split()
    row: dict[str, Any] = {"id": id_, "ts": at, "instrument": 0}
    if len(words) == 1:
        return {**row, "type": words[0], **more}
    row.update(side=words[0], qty=float(words[1]), type=words[2])
    row.update(zip(LEVELS.get(words[2], ()), map(float, words[3:]), strict=True))
    row.update(more)
    if "share" in more:
        row.pop("qty")
    return row


def golden(
    name: str,
    rule: str,
    rows: list[Any],
    orders: list[dict[str, Any]],
    fills: list[F],
    status: dict[int, tuple[str, str]] | None = None,
    *,
    instrument: dict[str, Any] | None = None,
    funding: list[tuple[int, float]] | None = None,
    mark: list[tuple[int, float]] | None = None,
    options: dict[str, Any] | None = None,
    **expected: Any,
) -> None:
    """Add one example of one instrument, or of several when `rows` is a list of bar lists."""
    streams = rows if isinstance(rows[0], list) else [rows]
    row = {"kind": "linear", "tick": 1.0, "lot": 1.0, "min_notional": 0.0, "multiplier": 1.0, "tiers": ()}
    none: list[list[Any]] = [[] for _ in streams[1:]]
    case = Case(
        instruments=[{**row, **(instrument or {})} for _ in streams],
        bars=streams,
        funding=[funding or [], *none],
        mark=[mark or [], *none],
        orders=orders,
        options=Options(**{"maker": 0.0, "taker": 0.0, **(options or {})}),
    )
    GOLDEN.append(Golden(name, rule, case, fills, status or {}, **expected))


DONE, STOPPED, TARGET, TRAILED = ("filled", ""), ("filled", "stop"), ("filled", "target"), ("filled", "trail")
OTHER = ("cancelled", "other order of the group filled")
BY_STRATEGY = ("cancelled", "cancelled by strategy")
FLAT = "100 100 100 100"
