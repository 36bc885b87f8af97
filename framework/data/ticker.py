"""derivative_ticker: mark prices, funding at its boundaries, and every column as a feature."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.data.books import Grow
from framework.data.careful import Place
from framework.data.schema import COLUMNS
from framework.records import FEATURE, FUNDING, MARK
from framework.times import MICROSECOND, SECOND

Rows = NDArray[Any]
NAMES = COLUMNS["derivative_ticker"][4:]
FEATURES = ("predicted_funding_rate", "open_interest", "last_price", "index_price", "mark_price")
VALUE = np.dtype([("ts", "i8"), ("local_ts", "i8"), ("value", "f8")])


class Ticker:
    """Rows of derivative_ticker, kept where a value changes."""

    def __init__(self, moments: Rows, reals: Rows) -> None:
        self.moments, self.reals = moments, reals
        self.values = {name: Grow(VALUE) for name in FEATURES}
        self.last = dict.fromkeys(FEATURES, np.nan)
        self.rates: dict[int, float] = {}
        self.now = 0  # effective exchange time of the last row

    def begin_file(self) -> None:
        """Nothing: values stay known across midnight."""

    def end_file(self, place: Place) -> None:
        """Nothing."""

    def take(self, count: int) -> None:
        """Keep what the first `count` rows of the block change."""
        cells = self.reals[: count * len(NAMES)].reshape(-1, len(NAMES))
        rows = self.moments[:count]
        for name in FEATURES:
            values, last = cells[:, NAMES.index(name)], self.last[name]
            self.last[name] = keep_changes(self.values[name], rows, values, last)
        self.keep_rates(rows["ts"], cells[:, 0], cells[:, 1])
        self.now = int(rows["ts"][-1])

    def keep_rates(self, ts: Rows, boundaries: Rows, rates: Rows) -> None:
        """Keep for each boundary (floored to the second) the last rate reported for it until it has passed.

        The rate that is paid comes with the first row of the boundary's second, some ms after it.
        """
        there = ~(np.isnan(boundaries) | np.isnan(rates))
        at = boundaries[there].astype(np.int64) * MICROSECOND // SECOND * SECOND
        in_time = ts[there] < at + SECOND
        for boundary in np.unique(at[in_time]).tolist():
            self.rates[boundary] = float(rates[there][in_time & (at == boundary)][-1])

    def marks(self) -> Rows:
        """Return MARK rows; of several prices at one exchange time the last."""
        rows = self.values["mark_price"].rows[: self.values["mark_price"].count]
        last = np.ones(len(rows), bool)
        last[:-1] = rows["ts"][1:] != rows["ts"][:-1]
        made = np.empty(int(last.sum()), MARK)
        made["ts"], made["price"] = rows["ts"][last], rows["value"][last]
        return frozen(made)

    def funding(self) -> Rows:
        """Return FUNDING rows of the boundaries that have passed."""
        passed = sorted(pair for pair in self.rates.items() if pair[0] <= self.now)
        return frozen(np.array(passed, dtype=FUNDING))

    def features(self, id: str) -> dict[str, tuple[int, Rows]]:
        """Return the FEATURE stream of each column that has values, by the time of arrival."""
        made = {}
        for name, grow in self.values.items():
            rows = grow.rows[: grow.count]
            if len(rows):
                kept = np.empty(len(rows), FEATURE)
                kept["ts"], kept["value"] = rows["local_ts"], rows["value"]
                made[f"{name}:{id}"] = (0, frozen(kept))
        return made


def keep_changes(grow: Grow, rows: Rows, values: Rows, last: float) -> float:
    """Append the rows whose value differs from the value before it; return the last value."""
    there = np.flatnonzero(~np.isnan(values))
    if not len(there):
        return last
    found = values[there]
    new = found != np.concatenate(([last], found[:-1]))
    made = np.empty(int(new.sum()), VALUE)
    for name in ("ts", "local_ts"):
        made[name] = rows[name][there][new]
    made["value"] = found[new]
    grow.add(made)
    return float(found[-1])


def frozen(rows: Rows) -> Rows:
    """Return the rows, read-only."""
    rows.setflags(write=False)
    return rows
