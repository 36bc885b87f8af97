"""What the doctor counts while the rows of a file go by: a few arrays of fixed size, whatever the file's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from framework.arena import register
from framework.data import build, doctor_book, doctor_rows
from framework.data.doctor_rows import BINS, FINE, MINUTES, MOST_GAPS, PLACES, SLOTS
from framework.data.doctor_rows import TOP as TOP_BIN
from framework.times import MICROSECOND, SECOND

if TYPE_CHECKING:
    import polars as pl

Rows = NDArray[Any]
SILENCE = 60 * SECOND // MICROSECOND  # us without a row that are worth a line
FIRST_TABLE = 1 << 14  # levels
RARE = 0.001  # a share below this is an exception, above it a habit


def run(kernel: Callable[[int], int], arrays: Sequence[Rows]) -> int:
    """Call a kernel with arrays of its arena."""
    addresses = np.array([array.ctypes.data for array in arrays], dtype=np.int64)
    address, held = register(addresses.ctypes.data, arrays)
    code = kernel(address)
    del held
    return code


def stamps(frame: pl.DataFrame, name: str) -> Rows:
    """Return a column of times in us."""
    return np.ascontiguousarray(frame[name].to_physical().to_numpy())


def numbers(frame: pl.DataFrame, name: str) -> Rows:
    """Return a column of floats, NaN where it is empty."""
    return np.ascontiguousarray(frame[name].fill_null(float("nan")).to_numpy())


def flags(column: pl.Series) -> Rows:
    """Return a Boolean column as bytes."""
    import polars as pl

    return np.ascontiguousarray(column.cast(pl.UInt8).to_numpy())


class Clock:
    """Rows in time: silences, both clocks, latency.

    Parameters
    ----------
    day : int
        Its midnight in us.
    """

    def __init__(self, day: int) -> None:
        self.state = np.zeros(1, doctor_rows.STATE)
        self.state["day"], self.state["limit"] = day, SILENCE
        self.state["least"], self.state["most"] = doctor_rows.FAR, -doctor_rows.FAR
        self.slots = np.zeros(SLOTS, np.int64)
        self.histogram = np.zeros(MINUTES * BINS, np.int32)
        self.least = np.full(MINUTES, doctor_rows.FAR, np.int64)
        self.silences = np.zeros(MOST_GAPS, doctor_rows.GAP)

    def __getitem__(self, name: str) -> int:
        return int(self.state[0][name])

    def add(self, ts: Rows, local: Rows, snapshot: Rows) -> None:
        """Look at the times of more rows."""
        self.state["count"] = len(ts)
        kept = (self.state, ts, local, snapshot, self.slots, self.histogram, self.least, self.silences)
        run(doctor_rows.watch_moments, doctor_rows.Moments(*kept))

    @property
    def gaps(self) -> list[tuple[int, int, int]]:
        """The silences of more than a minute: start, end (us), row behind."""
        return [(int(g["start"]), int(g["end"]), int(g["row"])) for g in self.silences[: self["gaps"]]]

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """Return quantiles of the latency in us (to about 9 %)."""
        return spread(self.histogram.reshape(MINUTES, BINS).sum(axis=0, dtype=np.int64), shares)

    def by_minute(self, shares: Sequence[float], step: int = 1) -> tuple[list[int], list[list[float]]]:
        """Return the minutes, in groups of `step`, with rows, and the quantiles of the latency in each."""
        table = self.histogram.reshape(MINUTES // step, step, BINS).sum(axis=1, dtype=np.int64)
        total = np.cumsum(table, axis=1)
        minutes = np.flatnonzero(total[:, -1])
        total = total[minutes]
        places = [(total < np.maximum(share * total[:, -1:], 1)).sum(axis=1) for share in shares]
        values = np.array([middle(step - TOP_BIN) for step in range(BINS)])
        return minutes.tolist(), values[np.stack(places, axis=1)].tolist() if len(minutes) else []

    def drift(self) -> float:
        """Return by how much the least latency of some minutes moves in the day, us.

        The least latency is free of queues: what moves it is a clock. It is that of 1, 10 or 60 minutes, so
        that 20 of them have 50 rows; the 5 % at both ends do not count.
        """
        rows = self.histogram.reshape(MINUTES, BINS).sum(axis=1, dtype=np.int64)
        for step in (1, 10, 60):
            enough = rows.reshape(-1, step).sum(axis=1) >= 50
            least = np.sort(self.least.reshape(-1, step).min(axis=1)[enough])
            if len(least) >= 20:
                cut = max(len(least) // 20, 1)
                return float(least[-1 - cut] - least[cut])
        return 0.0


def spread(counts: Rows, shares: Sequence[float]) -> list[float]:
    """Return quantiles from the counts of bins."""
    total = np.cumsum(counts)
    if not len(total) or total[-1] == 0:
        return [float("nan")] * len(shares)
    places = [int(np.searchsorted(total, max(share * total[-1], 1))) for share in shares]
    return [middle(place - TOP_BIN) for place in places]


def middle(step: int) -> float:
    """Return the latency in the middle of a bin, us."""
    size = abs(step)
    value = 0.0 if size == 0 else 2.0 ** ((size - 0.5) / FINE) - 1.0
    return value if step >= 0 else -value


class Numbers:
    """Prices or amounts: how many decimals they need, zeros, and what lies off a grid.

    Parameters
    ----------
    step : float
        The grid the venue's rules name; 0.0 = not known: what most values lie on.
    """

    def __init__(self, step: float = 0.0) -> None:
        self.state = np.zeros(1, doctor_rows.DECIMALS)
        self.state["step"] = step
        self.places = np.zeros(PLACES, doctor_rows.PLACE)

    def __getitem__(self, name: str) -> int:
        return int(self.state[0][name])

    def add(self, values: Rows) -> None:
        """Look at more values."""
        self.state["count"] = len(values)
        run(doctor_rows.watch_numbers, doctor_rows.Numbers(self.state, values, self.places))

    @property
    def step(self) -> float:
        """The grid: the one that was given, else the largest that all but one value in 1,000 lie on."""
        given = float(self.state["step"][0])
        return given or self.usual()[0]

    def usual(self) -> tuple[float, int, int]:
        """Return the grid most values lie on, how many do not, and the first row of those."""
        counts = self.places["count"]
        total = int(counts.sum())
        if not total:
            return 0.0, 0, 0
        left = total - np.cumsum(counts)
        d = int(np.argmax(left <= RARE * total))
        off = self.places[d + 1 :]
        rows = off["row"][off["count"] > 0].tolist()
        there = self.places[d]
        others = int(there["count"] - there["fives"])
        if d and there["count"] > 100 and others + int(left[d]) <= RARE * total:
            rows += [int(there["other_row"])] if others else []
            return 5 * 10.0**-d, int(left[d]) + others, min(rows, default=0)
        return round(10.0**-d, d), int(left[d]), min(rows, default=0)

    def off(self) -> tuple[int, int]:
        """Return how many values lie between two steps, and the first row of those."""
        if self.state["step"][0]:
            return self["off"], self["off_row"]
        _, count, row = self.usual()
        return count, row


class TopWatch:
    """Best prices in time, from rows that each show them.

    Attributes
    ----------
    tops : (BUCKETS,) of TOP
        The range of the best prices in each fifth of a second of the day, and the last ones.
    span : (int, int)
        First and last bucket with a best price, once the file is read; (0, -1) where there is none.
    """

    kernels = (doctor_book.watch_views, doctor_book.finish_views)

    def __init__(self, day: int) -> None:
        self.state, self.own = np.zeros(1, build.STATE), np.zeros(1, doctor_book.OWN_STATE)
        self.own["day"], self.own["unit"], self.state["message"] = day, 1.0, 1
        self.tops = np.full(doctor_book.BUCKETS, np.nan, doctor_book.TOP)
        self.stale = np.zeros(doctor_book.MOST_STALE, np.int64)
        self.heaped = np.zeros(2, np.int64)
        self.span = (0, -1)
        self.take_table(4)
        none = np.zeros(0)
        self.rows: list[Rows] = [none] * 6

    def __getitem__(self, name: str) -> int:
        state = self.state if name in (build.STATE.names or ()) else self.own
        return int(state[0][name])

    def take_table(self, size: int, levels: Rows | None = None) -> None:
        """Use a table of levels."""
        self.levels = np.zeros(size, build.LEVEL) if levels is None else levels
        self.heap, self.touched = np.empty(2 * size, np.int64), np.empty(size, np.int64)
        self.state["size"] = size

    def call(self, kernel: Callable[[int], int], spare: Rows | None = None) -> int:
        """Call a kernel with everything in its place."""
        none = np.zeros(1, np.int64)
        local, snapshot, side, price, amount, other = self.rows
        return run(
            kernel,
            doctor_book.Watch(
                self.state, none, self.levels, self.levels if spare is None else spare, self.heap,
                self.heaped, self.touched, none, none, none, self.own, self.stale, local, snapshot, side,
                price, amount, other, self.tops,
            ),
        )  # fmt: skip

    def add(self, local: Rows, bid: Rows, ask: Rows) -> None:
        """Look at more rows; NaN = no price."""
        self.rows = [local, local, local, bid, bid, ask]
        self.state["count"], self.own["first_row"] = len(local), self["row"]
        self.call(doctor_book.watch_views)

    def finish(self) -> None:
        """End what is still open."""
        self.call(self.kernels[1])
        seen = np.flatnonzero(~(np.isnan(self.tops["bid"]) & np.isnan(self.tops["ask"])))
        self.span = (int(seen[0]), int(seen[-1])) if len(seen) else (0, -1)


class BookWatch(TopWatch):
    """A book built from rows of incremental_book_L2."""

    kernels = (doctor_book.watch_changes, doctor_book.finish_changes)

    def __init__(self, day: int) -> None:
        super().__init__(day)
        self.take_table(FIRST_TABLE)
        self.started = False

    def add_changes(self, local: Rows, snapshot: Rows, side: Rows, price: Rows, amount: Rows) -> None:
        """Apply more rows. Prices are keyed by the decimals of the first chunk."""
        if not self.started:
            self.own["unit"] = unit_of(price)
            self.started = True
        self.rows = [local, snapshot, side, price, amount, price]
        self.state["next"], self.state["count"], self.own["first_row"] = 0, len(local), self["row"]
        while self.call(doctor_book.watch_changes) != doctor_book.DONE:
            self.make_room()

    def make_room(self) -> None:
        """Move the levels that live into a table with room."""
        c = self.state[0]
        kept = (self.levels["lots"] > 0) | (self.levels["touch"] == c["message"])
        size = int(c["size"]) * (2 if 4 * int(kept.sum()) > c["size"] else 1)
        c["spare_size"] = size
        spare = np.zeros(size, build.LEVEL)
        self.call(build.move_levels, spare)
        touched = self.touched
        self.take_table(size, spare)
        self.touched[: len(touched)] = touched[:size]
        self.call(build.heap_all)


def unit_of(price: Rows) -> float:
    """Return the power of ten that (nearly) all prices are multiples of."""
    found = Numbers()
    found.add(price)
    left = int(found.places["count"].sum()) - np.cumsum(found.places["count"])
    d = int(np.argmax(left <= RARE * left[0])) if left[0] else 0
    return round(10.0**-d, d)
