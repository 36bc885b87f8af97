"""How far a model's confidence can be believed: its calls against what the price did until the next question.

A call is a valid decision that says long or short. It was right when the price moved its way from the last
close known at the question (with ticks the mid, else the last trade) to that at the next question about the
same instrument, for the last one to the end of the data; a price that did not move is no right call. Costs,
stops and targets play no part: the forecast is judged here, the trading in the metrics.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from framework.market import Market, View
from framework.records import DIRECTIONS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
BINS = 10  # of equal width, 0..1
Z95 = 1.959963984540054  # standard normal quantile at 97.5 %
NAN = float("nan")


def prices_at(market: Market, k: int, times: ArrayLike) -> Floats:
    """Return the last known price of instrument `k` at ascending times (ns); NaN before the first."""
    at = np.asarray(times, dtype=np.int64)
    if market.has_ticks(k):
        view = View(market, market.start)
        return np.array([view.at(ts).price(k) for ts in at.tolist()], dtype=np.float64)
    bars = market.match_bars(k)
    row = np.searchsorted(bars["close_ts"], at, side="right") - 1
    known = np.append(bars["close"], NAN)  # row -1: nothing was known
    return np.asarray(known[row], dtype=np.float64)


def calls(decisions: pl.DataFrame, market: Market) -> pl.DataFrame:
    """Return the calls of a decisions table (`Result.decisions`) in its order.

    Columns: ts, instrument, confidence, move (until the next question, as a fraction, positive in the call's
    favour), right, in_sample.
    """
    parts = []
    for k, one in enumerate(market.instruments):
        rows = decisions.filter(pl.col("instrument") == one.id)
        if not rows.height:
            continue
        times = np.unique(rows["ts"].to_numpy())
        shown = prices_at(market, k, np.append(times, max(market.stop, int(times[-1]))))
        if market.stop <= times[-1]:
            shown[-1] = NAN  # nothing comes after the last question
        at = np.searchsorted(times, rows["ts"].to_numpy())
        side = rows["direction"].replace_strict(DIRECTIONS, default=0.0, return_dtype=pl.Float64).to_numpy()
        move = side * (shown[at + 1] / shown[at] - 1.0)
        found = rows.select("ts", "instrument", "confidence", "in_sample").with_columns(
            move=pl.Series(move, dtype=pl.Float64), right=pl.Series(move > 0.0)
        )
        is_call = (rows["status"] == "ok") & pl.Series((side != 0.0) & np.isfinite(move))
        parts.append(found.filter(is_call))
    if not parts:
        return NO_CALLS
    return pl.concat(parts).sort("ts", maintain_order=True).select(NO_CALLS.columns)


NO_CALLS = pl.DataFrame(
    schema={"ts": pl.Int64, "instrument": pl.String, "confidence": pl.Float64, "move": pl.Float64,
            "right": pl.Boolean, "in_sample": pl.Boolean}
)  # fmt: skip


def brier(confidence: ArrayLike, right: ArrayLike) -> float:
    """Mean of (confidence - outcome)², outcome 1 for a right call (Brier 1950); 0 best, NaN without calls."""
    miss = np.asarray(confidence, dtype=np.float64) - np.asarray(right, dtype=np.float64)
    return float(np.mean(miss * miss)) if miss.size else NAN


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of n independent draws (Wilson 1927)."""
    if n < 1:
        return NAN, NAN
    middle = (share + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * np.sqrt(share * (1 - share) / n + Z95**2 / (4 * n * n))
    return float(middle - half), float(middle + half)


def judged(confidence: ArrayLike, right: ArrayLike) -> dict[str, Any]:
    """Return how well stated confidence meets the share of right calls.

    Returns
    -------
    dict
        n; right (share) and confidence (mean); brier; constant (Brier score of always stating that share);
        skill = 1 - brier / constant, above 0 only where the confidence tells more than that one number; gap =
        mean |confidence - share right| over the bins, weighted by calls (expected calibration error); bins,
        one [low, high, calls, mean confidence, share right, its 95 % interval] for each tenth with calls.
    """
    said = np.asarray(confidence, dtype=np.float64)
    came = np.asarray(right, dtype=np.float64)
    share, score = float(came.mean()) if came.size else NAN, brier(said, came)
    constant = share * (1.0 - share)
    place = np.minimum(np.floor(said * BINS + 1e-9).astype(np.int64), BINS - 1)
    bins = []
    for b in np.unique(place).tolist():
        here = place == b
        n, mean, part = int(here.sum()), float(said[here].mean()), float(came[here].mean())
        bins.append([b / BINS, (b + 1) / BINS, n, mean, part, *wilson(part, n)])
    gap = sum(row[2] * abs(row[3] - row[4]) for row in bins) / said.size if said.size else NAN
    return {
        "n": said.size, "right": share, "confidence": float(said.mean()) if said.size else NAN,
        "brier": score, "constant": constant, "skill": 1.0 - score / constant if constant > 0.0 else NAN,
        "gap": gap, "bins": bins,
    }  # fmt: skip


def calibration(found: pl.DataFrame, boundary: int | None) -> dict[str, dict[str, Any]]:
    """Return `judged` of all calls, and of those asked before and from `boundary` (ns; None = never) on.

    A side without calls is empty.
    """
    late = found["ts"] >= boundary if boundary is not None else pl.repeat(False, found.height, eager=True)
    parts = {"all": found, "before": found.filter(~late), "after": found.filter(late)}
    return {
        name: judged(part["confidence"], part["right"]) if part.height else {} for name, part in parts.items()
    }


__all__ = ["brier", "calibration", "calls", "judged", "prices_at", "wilson"]
