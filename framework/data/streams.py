"""Trades, liquidations and quotes of csv files: what the kernels read, as the rows of a Market."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.data.books import Grow
from framework.data.careful import Place
from framework.data.parse import EMPTY
from framework.instruments import price_of
from framework.records import QUOTE, TRADE

Rows = NDArray[Any]
WINDOW = 500  # ids; exchanges repeat trades after a reconnect, and Tardis looks back as far
DIGEST = np.dtype([("id", "i8"), ("id2", "i8"), ("named", "i8")])


class Deals:
    """Trades or liquidations: repeated ids and amounts of zero are left out and counted."""

    def __init__(self, deals: Rows) -> None:
        self.deals = deals
        self.rows, self.ids = Grow(TRADE), Grow(DIGEST)

    def begin_file(self) -> None:
        """Nothing: ids repeat across midnight too."""

    def end_file(self, place: Place) -> None:
        """Nothing."""

    def take(self, count: int) -> None:
        """Keep the first `count` rows of the block."""
        self.rows.add(self.deals[:count])
        self.ids.add(self.deals[:count])

    def finished(self) -> tuple[Rows, dict[str, int]]:
        """Return TRADE rows and the counts."""
        rows, _, counts, drop = self.judged()
        return rows if not drop.any() else frozen(rows[~drop]), counts

    def judged(self) -> tuple[Rows, Rows, dict[str, int], Rows]:
        """Return all rows, their ids, the counts, and which rows are left out."""
        ids, rows = self.ids.done(), self.rows.done()
        again, other, unnamed = repeated(ids, rows)
        nothing = rows["lots"] == 0
        counts = {
            "repeated": int(again.sum()), "other": int(other.sum()), "unnamed": int(unnamed.sum()),
            "zero": int((nothing & ~again).sum()),
        }  # fmt: skip
        return rows, ids, counts, again | nothing


def frozen(rows: Rows) -> Rows:
    """Return the rows, read-only."""
    rows.setflags(write=False)
    return rows


def repeated(ids: Rows, rows: Rows) -> tuple[Rows, Rows, Rows]:
    """Return which rows repeat the id of one of the 500 rows with an id before them, which of those differ
    from it, and which rows without an id equal the row above in everything.
    """
    again, other = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    unnamed = np.zeros(len(rows), bool)
    alike = (ids["named"][1:] == 0) & (ids["named"][:-1] == 0)
    unnamed[1:] = alike & (rows[1:] == rows[:-1]) if alike.any() else False
    named = np.flatnonzero(ids["named"])
    one, two = ids["id"][named], ids["id2"][named]
    order = np.lexsort((two, one))  # stable: equal ids stay in file order
    same = (one[order][1:] == one[order][:-1]) & (two[order][1:] == two[order][:-1])
    near = same & (order[1:] - order[:-1] <= WINDOW)
    later, former = named[order[1:][near]], named[order[:-1][near]]
    again[later] = True
    for name in ("raw_ts", "lots", "tick", "side"):
        other[later] |= rows[name][later] != rows[name][former]
    return again, other, unnamed


class Quotes:
    """Best bid and ask: NaN where a side is empty."""

    def __init__(self, moments: Rows, cells: Rows, tick: float, lot: float) -> None:
        self.moments, self.cells = moments, cells
        self.tick, self.lot = tick, lot
        self.rows = Grow(QUOTE)

    def begin_file(self) -> None:
        """Nothing: every row is whole."""

    def end_file(self, place: Place) -> None:
        """Nothing."""

    def take(self, count: int) -> None:
        """Keep the first `count` rows of the block."""
        made = np.empty(count, QUOTE)
        cells = self.cells[: count * 4].reshape(-1, 4)
        for name in ("ts", "local_ts"):
            made[name] = self.moments[name][:count]
        for column, side in ((0, "ask"), (2, "bid")):
            there = (cells[:, column] != EMPTY) & (cells[:, column + 1] > 0)
            made[side] = np.where(there, price_of(cells[:, column], self.tick), np.nan)
            made[f"{side}_size"] = np.where(there, price_of(cells[:, column + 1], self.lot), np.nan)
        self.rows.add(made)


class Both:
    """Two takers of one stream."""

    def __init__(self, *takers: Any) -> None:
        self.takers = takers

    def begin_file(self) -> None:
        """Tell both."""
        for taker in self.takers:
            taker.begin_file()

    def end_file(self, place: Place) -> None:
        """Tell both."""
        for taker in self.takers:
            taker.end_file(place)

    def take(self, count: int) -> None:
        """Give both the rows."""
        for taker in self.takers:
            taker.take(count)
