"""What a run on ticks says of its execution: metrics by name, and the curves its page draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from framework import tick_metrics
from framework.engine.touch import RESTING
from framework.records import INVERSE, LIMIT, PENDING, R_CANCEL
from framework.tick_metrics import HORIZONS, SECOND, Quotes, mean, t_value

if TYPE_CHECKING:
    from framework.outcome import Outcome

Rows = NDArray[Any]
Floats = NDArray[np.float64]
NAN = float("nan")
ROLES = {"maker": 1, "taker": 0}


def execution(outcome: Outcome) -> dict[str, float]:
    """Return the execution metrics of a finished run on ticks, named as in `framework.report.compare`.

    What belongs to one instrument (quotes, inventory) has its id behind the name, `inventory_mean:<id>`, for
    all but the first, as the positions of the equity table do.
    """
    found = order_metrics(outcome) | move_metrics(outcome)
    for k, name in enumerate(outcome.ids):
        one = quote_metrics(outcome, k) | inventory_metrics(outcome, k)
        found |= {key if k == 0 else f"{key}:{name}": value for key, value in one.items()}
    return found


def order_metrics(outcome: Outcome) -> dict[str, float]:
    """Return what became of the orders that reached the exchange."""
    o, f = outcome.order_rows, outcome.fill_rows
    there = o[o["status"] != PENDING]
    asked = np.where(there["qty"] > 0.0, there["qty"], there["asked_qty"])  # as the venue's grid left it
    units = np.array([unit_value(outcome, k) for k in range(len(outcome.ids))])
    traded = outcome.values(f["instrument"], f["qty"], f["price"])
    waits = tick_metrics.queue_waits(
        there["id"], there["arrival_ts"], f["order_id"], f["ts"], f["maker"]
    )
    middle, most = np.percentile(waits / SECOND, [50, 90]).tolist() if len(waits) else (NAN, NAN)
    return {
        "fill_rate": tick_metrics.fill_rate(asked, there["filled"], units[there["instrument"]]),
        "orders_with_fill": mean((there["n_fills"] > 0).astype(np.float64)),
        "maker_share": tick_metrics.share(traded[f["maker"] == 1], traded),
        "queue_wait_median": middle,
        "queue_wait_p90": most,
        "cancels_per_fill": tick_metrics.share(there["reason"] == R_CANCEL, np.ones(len(f))),
    }  # fmt: skip


def unit_value(outcome: Outcome, k: int) -> float:
    """Return the value of one unit of an instrument at its last price; 1 where there is only one."""
    if len(outcome.ids) == 1:
        return 1.0
    fills = outcome.fill_rows["price"][outcome.fill_rows["instrument"] == k]
    shown = tick_metrics.prices(outcome.tables.market, k).mid if outcome.tables.market.has_ticks(k) else fills
    known = shown[np.isfinite(shown)]
    price = known[-1:] if len(known) else np.array([NAN])
    return float(outcome.values(np.array([k]), np.array([1.0]), price)[0])


def moves(outcome: Outcome) -> dict[str, list[Rows]]:
    """Return [1 for a maker's, move in bps, move in money] of every fill on ticks, by horizon."""
    parts: dict[str, list[tuple[Rows, Floats, Floats]]] = {name: [] for name in HORIZONS}
    for k in range(len(outcome.ids)):
        f = outcome.fill_rows[outcome.fill_rows["instrument"] == k]
        if not outcome.tables.market.has_ticks(k):
            continue
        rule = outcome.sim.rules[k]
        shown = tick_metrics.prices(outcome.tables.market, k)
        contract = float(rule["multiplier"]), bool(rule["kind"] == INVERSE)
        for name, after in HORIZONS.items():
            move = tick_metrics.mid_moves(shown, f["ts"], f["side"], f["qty"], after, *contract)
            parts[name].append((f["maker"], *move))
    return {
        name: [np.concatenate(column) for column in zip(*rows, strict=True)] for name, rows in parts.items()
    }


def move_metrics(outcome: Outcome) -> dict[str, float]:
    """Return how the mid moved after the fills of makers and of takers: mean bps, its t-value, mean money."""
    found: dict[str, float] = {}
    at = moves(outcome)
    for role, code in ROLES.items():
        for name, (maker, bps, money) in at.items():
            mine = maker == code
            found[f"move_{name}_{role}_bps"] = mean(bps[mine])
            found[f"move_{name}_{role}_t"] = t_value(bps[mine])
            found[f"move_{name}_{role}_money"] = mean(money[mine])
    return found


def own_quotes(outcome: Outcome, k: int) -> Quotes:
    """Return the best own bid and ask of an instrument over time: limits from their arrival to their end.

    An amended order counts from when it took its last place, at its price then.
    """
    o = outcome.order_rows
    mine = o[(o["instrument"] == k) & (o["kind"] == LIMIT) & (o["status"] != PENDING)]
    rows = np.zeros(len(mine), RESTING)
    rows["begin"] = np.maximum(mine["arrival_ts"], mine["since"])
    rows["side"], rows["price"] = mine["side"], mine["price"]
    rows["end"] = np.minimum(mine["end_ts"], outcome.tables.market.stop)
    return tick_metrics.quotes(rows)


def quote_metrics(outcome: Outcome, k: int) -> dict[str, float]:
    """Return the strategy's spread while both its sides rest, and the market's, weighted by time."""
    market = outcome.tables.market
    shown, own = tick_metrics.prices(market, k), own_quotes(outcome, k)
    tick = market.instruments[k].tick_size or NAN
    both = np.isfinite(own.bid + own.ask)
    found = {
        "quoted_time": tick_metrics.share_of_time(own.ts, both, market.start, market.stop, at_first=False)
    }
    for name, (ts, bid, ask) in {"quoted": own, "market": shown[:1] + shown[2:4]}.items():
        for unit, values in (("ticks", (ask - bid) / tick), ("bps", tick_metrics.spread_bps(bid, ask))):
            found[f"{name}_spread_{unit}"] = tick_metrics.step_mean(ts, values, market.start, market.stop)
    return found


def inventory_metrics(outcome: Outcome, k: int) -> dict[str, float]:
    """Return the position over the run, weighted by time at the exchange."""
    market = outcome.tables.market
    f = outcome.fill_rows[outcome.fill_rows["instrument"] == k]
    held = np.cumsum(f["side"] * f["qty"])
    held[np.abs(held) <= 1e-9 * np.maximum.accumulate(np.abs(held))] = 0.0  # float residue
    ts = np.concatenate(([market.start], f["ts"]))
    position = np.concatenate(([0.0], held))
    return {
        "inventory_mean": tick_metrics.step_mean(ts, position, market.start, market.stop),
        "inventory_max": float(np.max(np.abs(position))),
        "flat_time": tick_metrics.step_mean(ts, (position == 0.0) * 1.0, market.start, market.stop),
    }


def curves(outcome: Outcome, k: int, points: int) -> pl.DataFrame:
    """Return mid (or last trade), market spread and own spread of an instrument at `points` even times.

    Columns ts, close, instrument, spread, quoted: the spreads are means over the time since the row before,
    NaN where there was none. Rows before the first price are left out.
    """
    market = outcome.tables.market
    start, stop = market.start, market.stop
    edges = np.unique(np.linspace(0, stop - start, points + 1).astype(np.int64)) + start
    shown, own = tick_metrics.prices(market, k), own_quotes(outcome, k)
    frame = pl.DataFrame(
        {
            "ts": edges[1:], "close": tick_metrics.sample(shown.ts, shown.mid, edges[1:], stop),
            "instrument": pl.repeat(outcome.ids[k], len(edges) - 1, dtype=pl.String, eager=True),
            "spread": tick_metrics.step_means(shown.ts, shown.ask - shown.bid, edges),
            "quoted": tick_metrics.step_means(own.ts, own.ask - own.bid, edges),
        }
    )  # fmt: skip
    return frame.filter(pl.col("close").is_finite())


__all__ = ["curves", "execution"]
