"""What the doctor counts in trades, liquidations and derivative tickers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from framework.data import doctor_against
from framework.data.doctor_book import BUCKET
from framework.data.doctor_watch import TopWatch, numbers, run, stamps
from framework.data.streams import WINDOW

if TYPE_CHECKING:
    import polars as pl

Rows = NDArray[Any]
BLOCK = 64  # trades whose median is the local price
FAR, TIMES = 0.005, 10.0  # an outlier is so far from it, and so many times the local spread
ALONE = 2  # of the five trades on each side so many at most are near an outlier
MOST = 10_000  # candidates looked at one by one in a chunk
REACH, LONGEST = 5, 300  # buckets around a trade (1 s); the longest delay that is followed (1 min)
OFF_SHARE = 0.002  # of the price: so far outside the best prices is off the book
JUMP = 0.02  # of a mark or index price from row to row
STALE = 300 * 1_000_000  # us with rows in which mark, index and last price stand still


class First:
    """A count, and where the first one was."""

    def __init__(self) -> None:
        self.count, self.row, self.at = 0, 0, -1

    def add(self, rows: Rows, before: int, local: Rows) -> None:
        """Count rows (0 = the first of the chunk); `before` rows came in earlier chunks."""
        if len(rows) and not self.count:
            self.row, self.at = before + int(rows[0]) + 1, int(local[rows[0]])
        self.count += len(rows)


class Deals:
    """Trades or liquidations: ids, sides, prices far from the others'."""

    def __init__(self) -> None:
        self.rows = 0
        self.repeated, self.other, self.again, self.unknown = First(), First(), First(), First()
        self.outliers, self.id_jumps, self.id_backs = First(), First(), First()
        self.farthest = 0.0
        self.steps = self.missing = self.numbered = self.named = 0
        self.last: dict[str, Rows] = {}
        self.top_id: int | None = None

    def add(self, frame: pl.DataFrame, local: Rows, price: Rows) -> None:
        """Look at more rows."""
        ids = frame["id"].cast(str).fill_null("")
        cells = {
            "ts": stamps(frame, "timestamp"), "price": price, "amount": numbers(frame, "amount"),
            "side": frame["side"].cast(str).fill_null("").hash(1).to_numpy(),
            "id": np.where((ids == "").to_numpy(), np.uint64(0), ids.hash(1).to_numpy() | np.uint64(1)),
        }  # fmt: skip
        named = cells["id"] != 0
        self.named += int(named.sum())
        side = (~frame["side"].cast(str).fill_null("").is_in(["buy", "sell"])).to_numpy()
        self.unknown.add(np.flatnonzero(side), self.rows, local)
        rising = self.follow_ids(ids, local)
        held = {
            name: np.concatenate([self.last.get(name, values[:0]), values]) for name, values in cells.items()
        }
        old = len(held["ts"]) - len(local)
        if not rising:
            again, other = repeats(held)
            self.repeated.add(again[again >= old] - old, self.rows, local)
            self.other.add(other[other >= old] - old, self.rows, local)
        if not named.all():
            alike = np.flatnonzero(unnamed_twins(held)) + 1
            self.again.add(alike[alike >= old] - old, self.rows, local)
        far, most = outliers(price)
        self.outliers.add(far, self.rows, local)
        self.farthest = max(self.farthest, most)
        self.last = {name: values[-WINDOW:] for name, values in held.items()}
        self.rows += len(local)

    def follow_ids(self, ids: pl.Series, local: Rows) -> bool:
        """Count the steps of ids that are whole numbers; True when they only rise."""
        import polars as pl

        whole = ids.cast(pl.Int64, strict=False)
        if whole.null_count():
            self.top_id = None
            return False
        now = whole.to_numpy()
        before = self.top_id
        steps = np.diff(now, prepend=now[0] - 1 if before is None else before)
        self.numbered += len(now)
        self.steps += int((steps == 1).sum())
        jumps = np.flatnonzero(steps > 1)
        self.missing += int((steps[jumps] - 1).sum())
        self.id_jumps.add(jumps, self.rows, local)
        self.id_backs.add(np.flatnonzero(steps < 0), self.rows, local)
        self.top_id = int(now[-1])
        return bool((steps > 0).all())

    @property
    def are_consecutive(self) -> bool:
        """True when ids count the trades: nearly every step is one."""
        return self.numbered > 20 and self.steps >= 0.9 * self.numbered


def repeats(cells: dict[str, Rows]) -> tuple[Rows, Rows]:
    """Return the rows that repeat an id of the 500 rows with one before, and those that differ from it."""
    named = np.flatnonzero(cells["id"])
    ids = cells["id"][named]
    order = np.argsort(ids, kind="stable")
    near = (ids[order][1:] == ids[order][:-1]) & (order[1:] - order[:-1] <= WINDOW)
    later, former = named[order[1:][near]], named[order[:-1][near]]
    differs = np.zeros(len(later), bool)
    for name in ("ts", "price", "amount", "side"):
        differs |= cells[name][later] != cells[name][former]
    return np.sort(later), np.sort(later[differs])


def unnamed_twins(cells: dict[str, Rows]) -> Rows:
    """Return for each row but the first whether it has no id and equals the row above."""
    same = (cells["id"][1:] == 0) & (cells["id"][:-1] == 0)
    for name in ("ts", "price", "amount", "side"):
        same = same & (cells[name][1:] == cells[name][:-1])
    return np.asarray(same)


def outliers(price: Rows) -> tuple[Rows, float]:
    """Return the rows whose price stands alone, far from the median of the trades around, and the farthest.

    Far is half a percent, ten times what prices spread over there, and at most two of the ten trades next to
    it are as near to it as to the median: a quick move has followers, a wrong row has none.
    """
    n = len(price)
    if n < 8:
        return np.zeros(0, np.int64), 0.0
    middle, around = medians(price)
    step = np.abs(np.diff(middle))
    wide = np.maximum(np.concatenate([[0.0], step]), np.concatenate([step, [0.0]]))
    wide = np.maximum(wide, around)
    block = np.minimum(np.arange(n) // BLOCK, len(middle) - 1)
    away = np.abs(price - middle[block])
    rows = np.flatnonzero((away > FAR * middle[block]) & (away > TIMES * wide[block]))[:MOST]
    if not len(rows):
        return rows, 0.0
    near = rows[:, None] + np.array([-5, -4, -3, -2, -1, 1, 2, 3, 4, 5])[None, :]
    inside = (near >= 0) & (near < n)
    close = np.abs(price[np.clip(near, 0, n - 1)] - price[rows][:, None]) < away[rows][:, None] / 2
    rows = rows[(close & inside).sum(axis=1) <= ALONE]
    return rows, float((away[rows] / middle[block[rows]]).max()) if len(rows) else 0.0


def medians(price: Rows) -> tuple[Rows, Rows]:
    """Return the median of each block of trades (the last one reaches back to be whole), and of the distances
    from it.
    """
    if len(price) < BLOCK:
        table = price[None, :]
    else:
        whole = len(price) // BLOCK * BLOCK
        table = price[:whole].reshape(-1, BLOCK)
        if whole < len(price):
            table = np.concatenate([table, price[None, -BLOCK:]])
    middle = np.median(table, axis=1)
    return middle, np.median(np.abs(table - middle[:, None]), axis=1)


class OffBook:
    """Deals against the best prices of a book."""

    def __init__(self, book: TopWatch) -> None:
        self.tops = book.tops
        self.state = np.zeros(1, doctor_against.STATE)
        c = self.state[0]
        c["day"], (c["first"], c["last"]) = book["day"], book.span
        c["reach"], c["longest"], c["share"] = REACH, LONGEST, OFF_SHARE

    def __getitem__(self, name: str) -> Any:
        return self.state[0][name].item()

    def add(self, ts: Rows, local: Rows, price: Rows) -> None:
        """Look at more deals."""
        self.state["count"] = len(ts)
        kept = doctor_against.Against(self.state, self.tops, self.tops, ts, local, price)
        run(doctor_against.deals_against, kept)


def fill(book: TopWatch) -> None:
    """Carry best prices through the times without a row, once the file is read."""
    state = np.zeros(1, doctor_against.STATE)
    state["first"], state["last"] = book.span
    none = np.zeros(1, np.int64)
    run(
        doctor_against.fill, doctor_against.Against(state, book.tops, book.tops, none, none, book.tops["bid"])
    )


def compare(book: TopWatch, quotes: TopWatch, step: float) -> dict[str, int]:
    """Return how often two books' best prices lie apart: buckets compared, and differing."""
    state = np.zeros(1, doctor_against.STATE)
    c = state[0]
    c["first"], c["last"] = max(book.span[0], quotes.span[0]), min(book.span[1], quotes.span[1])
    c["day"], c["reach"], c["step"] = book["day"], reach_of(book, quotes), step * 1.001
    none = np.zeros(1, np.int64)
    tops = doctor_against.Against(state, book.tops, quotes.tops, none, none, book.tops["bid"])
    run(doctor_against.compare_tops, tops)
    found = {name: int(c[name]) for name in ("compared", "differ", "differ_at", "longest_run", "longest_at")}
    return {**found, "longest_us": found["longest_run"] * BUCKET}


def reach_of(*books: TopWatch) -> int:
    """Return within how many buckets two books must meet: two of the slower one's messages, 0.4 to 2 s."""
    waits = [book["known"] / max(book["seen"], 1) for book in books]
    return min(max(round(2.0 * max(waits) / BUCKET) + 1, 2), 10)


class Ticker:
    """Rows of derivative_ticker: funding boundaries and rates, jumps, values that stand still."""

    NAMES = ("mark_price", "index_price", "last_price")

    def __init__(self) -> None:
        self.rows = 0
        self.jumps = {name: First() for name in self.NAMES}
        self.large, self.apart, self.late, self.odd = First(), First(), First(), First()
        self.highest = dict.fromkeys(self.NAMES, 0.0)
        self.boundaries: dict[int, int] = {}  # us, floored to the second -> first row
        self.last = dict.fromkeys(self.NAMES, np.nan)
        self.still_since = self.still_longest = self.still_at = -1

    def add(self, frame: pl.DataFrame, local: Rows) -> None:
        """Look at more rows."""
        values = {name: filled(numbers(frame, name), self.last[name]) for name in self.NAMES}
        for name, cells in values.items():
            before = np.concatenate([[self.last[name]], cells[:-1]])
            far = np.abs(cells - before) / before
            self.jumps[name].add(np.flatnonzero(far > JUMP), self.rows, local)
            self.highest[name] = max(self.highest[name], float(np.nan_to_num(far).max(initial=0.0)))
        self.watch_still(values, local)
        self.last = {name: float(cells[-1]) for name, cells in values.items()}
        away = np.abs(values["mark_price"] / values["index_price"] - 1.0)
        self.apart.add(np.flatnonzero(away > 0.05), self.rows, local)
        self.large.add(np.flatnonzero(np.abs(numbers(frame, "funding_rate")) > 0.03), self.rows, local)
        self.watch_funding(frame, local)
        self.rows += len(local)

    def watch_funding(self, frame: pl.DataFrame, local: Rows) -> None:
        """Note the boundaries, those that are on no full hour, and those that passed long ago."""
        column = frame["funding_timestamp"].to_physical()
        there = np.flatnonzero(column.is_not_null().to_numpy())
        at = column.drop_nulls().to_numpy() // 1_000_000 * 1_000_000
        for boundary, place in zip(*np.unique(at, return_index=True), strict=True):
            self.boundaries.setdefault(int(boundary), self.rows + int(there[place]) + 1)
        self.odd.add(there[at % 3_600_000_000 != 0], self.rows, local)
        self.late.add(there[local[there] - at > 60_000_000], self.rows, local)

    def watch_still(self, values: dict[str, Rows], local: Rows) -> None:
        """Note the longest time in which rows came and no price moved."""
        moved = np.zeros(len(local), bool)
        for name, cells in values.items():
            before = np.concatenate([[self.last[name]], cells[:-1]])
            moved |= (cells != before) & ~np.isnan(cells)
        moved[0] |= self.still_since < 0
        starts = np.flatnonzero(moved)
        since = (
            np.concatenate([[self.still_since], local[starts]]) if self.still_since >= 0 else local[starts]
        )
        ends = np.concatenate([local[starts[starts > 0] - 1], local[-1:]])
        begins = since[-len(ends) :]
        still = ends - begins
        k = int(np.argmax(still))
        if still[k] > self.still_longest:
            self.still_longest, self.still_at = int(still[k]), int(begins[k])
        self.still_since = int(since[-1])


def filled(values: Rows, before: float) -> Rows:
    """Return values with the last known one in the place of NaN."""
    there = np.where(np.isnan(values), -1, np.arange(len(values)))
    last = np.maximum.accumulate(there)
    return np.where(last >= 0, values[np.maximum(last, 0)], before)
