"""Instrument: what is traded, its price and quantity grids, fees, contract and margin rules."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from framework import symbols
from framework.errors import ConfigError, near
from framework.records import INSTRUMENT_KINDS
from framework.symbols import resolve
from framework.times import format_time, parse_time

__all__ = [
    "Instrument",
    "Tier",
    "floor_lot",
    "grid_inverse",
    "instrument",
    "price_of",
    "resolve",
    "round_price",
]

Tier = tuple[float, float, float]
HOW = ("down", "up", "nearest")


@dataclass(frozen=True, slots=True, init=False)
class Instrument:
    """One tradable thing and the venue's rules for it.

    Parameters
    ----------
    id : str
        `<venue>:<raw symbol>`, such as `binance-futures:BTCUSDT`.
    kind : {"spot", "linear", "inverse"}
        Profit of q from p0 to p1: spot and linear q * m * (p1 - p0) in quote, inverse q * m * (1/p0 - 1/p1)
        in base.
    tick_size, lot_size : float or None
        Steps of price and quantity; None (kept as 0.0) = no grid.
    min_notional : float
        Smallest order value, in the notional's currency.
    multiplier : float
        m: base units (linear) or quote units (inverse) of one contract.
    maker, taker : float or None
        Fees as fractions of notional, negative = rebate; None = not known.
    tiers : tuple of (max_notional, maintenance_rate, maintenance_amount)
        Maintenance margin by position size, ascending; () = none. Binance USD-M: notional * rate - amount.
    settle : str, optional
        Settlement currency; by default the quote (spot, linear) or base (inverse) where the symbol tells it.

    Raises
    ------
    ConfigError
        Any value outside these rules, named.
    """

    id: str
    kind: str
    tick_size: float
    lot_size: float
    min_notional: float
    multiplier: float
    maker: float | None
    taker: float | None
    tiers: tuple[Tier, ...]
    settle: str | None

    def __init__(
        self,
        id: str,
        kind: str = "spot",
        tick_size: float | None = None,
        lot_size: float | None = None,
        min_notional: float = 0.0,
        multiplier: float = 1.0,
        maker: float | None = None,
        taker: float | None = None,
        tiers: Iterable[Iterable[float]] = (),
        settle: str | None = None,
    ) -> None:
        check_id(id)
        if kind not in INSTRUMENT_KINDS:
            raise ConfigError(f"{id}: kind {kind!r} is unknown; {near(str(kind), INSTRUMENT_KINDS)}")
        values = {
            "id": id,
            "kind": kind,
            "tick_size": number(id, "tick_size", tick_size or 0.0, 0.0),
            "lot_size": number(id, "lot_size", lot_size or 0.0, 0.0),
            "min_notional": number(id, "min_notional", min_notional, 0.0),
            "multiplier": number(id, "multiplier", multiplier, 1e-300),
            "maker": None if maker is None else number(id, "maker", maker, -0.1, 0.1),
            "taker": None if taker is None else number(id, "taker", taker, -0.1, 0.1),
            "tiers": check_tiers(id, tiers),
            "settle": settle or derive_settle(id, kind),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def venue(self) -> str:
        """Tardis venue id, the part before the colon."""
        return self.id.partition(":")[0]

    @property
    def symbol(self) -> str:
        """The venue's raw symbol, the part after the colon."""
        return self.id.partition(":")[2]

    @property
    def base(self) -> str | None:
        """Base coin where the symbol tells it."""
        pair = symbols.split_symbol(self.venue, self.symbol)
        return pair[0] if pair else None

    @property
    def quote(self) -> str | None:
        """Quote coin where the symbol tells it."""
        pair = symbols.split_symbol(self.venue, self.symbol)
        return pair[1] if pair else None

    def notional(self, qty: float, price: float) -> float:
        """Value of a quantity at a price: qty * price * m in quote, inverse qty * m / price in base."""
        return qty * self.multiplier / price if self.kind == "inverse" else qty * price * self.multiplier


def check_id(id: str) -> None:
    """Refuse an id that is not `<venue>:<raw symbol>`."""
    venue, colon, raw = id.partition(":") if isinstance(id, str) else ("", "", "")
    if not (venue and colon and raw) or id != id.strip():
        raise ConfigError(f"instrument: {id!r} is no id; write it like binance-futures:BTCUSDT")


def number(id: str, name: str, value: Any, low: float, high: float = math.inf) -> float:
    """Return a finite float of at least `low` and at most `high`, or name the parameter that is not."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise ConfigError(f"{id}: {name} is {value!r}; give a number")
    result = float(value)
    if not math.isfinite(result) or not low <= result <= high:
        top = "" if high == math.inf else f" and not above {high:g}"
        raise ConfigError(f"{id}: {name} is {result:g}; it must be finite, not below {low:g}{top}")
    return result


def check_tiers(id: str, tiers: Iterable[Iterable[float]]) -> tuple[Tier, ...]:
    """Return the tiers as floats; sizes must ascend and rates lie in [0, 1)."""
    rows: list[Tier] = []
    for i, row in enumerate(tiers, start=1):
        cells = tuple(row)
        if len(cells) != 3:
            raise ConfigError(f"{id}: tier {i} has {len(cells)} values; give (max_notional, rate, amount)")
        top = math.inf if cells[0] == math.inf else number(id, f"tier {i} max_notional", cells[0], 0.0)
        rate = number(id, f"tier {i} maintenance_rate", cells[1], 0.0, 1.0)
        amount = number(id, f"tier {i} maintenance_amount", cells[2], 0.0)
        if rows and top <= rows[-1][0]:
            raise ConfigError(f"{id}: tier {i} is not above the tier before it; sort them by max_notional")
        rows.append((top, rate, amount))
    return tuple(rows)


def derive_settle(id: str, kind: str) -> str | None:
    """Return the currency a position settles in: quote for spot and linear, base for inverse."""
    venue, _, raw = id.partition(":")
    pair = symbols.split_symbol(venue, raw)
    return None if pair is None else pair[0] if kind == "inverse" else pair[1]


def instrument(id: str, as_of: Any = None) -> Instrument:
    """Return an Instrument with the built-in rules and fees of its venue, where they are known.

    Parameters
    ----------
    id : str
        `<venue>:<raw symbol>`; what the table does not know gets no grid and no fees, the kind is read off
        the symbol.
    as_of : date, str or ns, optional
        The rules in force then; the oldest known row before its date, the newest without a date.
    """
    check_id(id)
    venue, _, raw = id.partition(":")
    maker, taker = symbols.FEES.get(venue, (None, None))
    kind = symbols.kind_of(venue, raw)
    rows = symbols.RULES.get(id, ())
    if not rows:
        return Instrument(id, kind, maker=maker, taker=taker)
    moment = rows[-1].since if as_of is None else format_time(parse_time(as_of))
    row = next((r for r in reversed(rows) if r.since <= moment), rows[0])
    return Instrument(id, kind, row.tick, row.lot, row.min_notional, row.multiplier, maker, taker)


def grid_inverse(step: float) -> float:
    """Return round(1/step) when 1/step is whole, else 0.0; grid values are then k / inverse.

    Whole means to the last digits of a float: 3e-9 lies within 1e-9 of 1/333333333 and is not that step.
    """
    if step <= 0.0:
        return 0.0
    inverse = float(round(1.0 / step))
    return inverse if inverse >= 1.0 and abs(step * inverse - 1.0) <= 1e-15 else 0.0


def price_of(k: Any, step: float) -> Any:
    """Return grid value k: k / round(1/step) when 1/step is whole, else k * step.

    k * 0.1 misses the decimal that stands in a venue's file for many k; k / 10 does not.
    """
    inverse = grid_inverse(step)
    return k / inverse if inverse else k * step


def round_price(x: Any, tick: float, how: str = "nearest") -> Any:
    """Return a price on the tick grid.

    Parameters
    ----------
    x : float or array of float
        Prices in quote units; NaN stays NaN.
    tick : float
        Step; 0.0 = no grid, `x` comes back as it is.
    how : {"down", "up", "nearest"}
        Buy limits go down and sell limits up (the passive side), triggers and stops to the nearest. A value
        within 1e-9 of a step counts as on it.
    """
    if how not in HOW:
        raise ConfigError(f"how: unknown {how!r}; {near(str(how), HOW)}")
    if tick <= 0.0:
        return x
    steps = np.asarray(x, dtype=np.float64) / tick
    # a whole number of ticks may come out a few units in the last place off, which above 8 million ticks
    # exceeds 1e-9
    slack = np.maximum(1e-9, np.abs(steps) * 4.5e-16)
    if how == "nearest":
        k = np.floor(steps + 0.5)
    else:
        k = np.floor(steps + slack) if how == "down" else np.ceil(steps - slack)
    result = price_of(k, tick)
    return result if np.ndim(x) else float(result)


def floor_lot(qty: Any, lot: float) -> Any:
    """Return the largest quantity on the lot grid not above `qty` (within 1e-9 of a lot)."""
    return round_price(qty, lot, "down")
