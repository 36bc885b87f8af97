"""Random day files, stores of them, and when two markets are the same."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from framework import Market
from framework.data.store import Store
from tests.tick_files import (
    DAY,
    WHAT,
    change_rows,
    csv_text,
    decimal,
    random_changes,
    random_times,
    random_views,
    save,
    trade,
    view_rows,
)

LONG = 86_400_000_000  # microseconds of a day
DAYS = ("2023-04-05", "2023-04-06", "2023-04-07", "2023-04-08")


def date(n: int) -> str:
    """Day `n` of the made files."""
    return DAYS[n]


def deal_rows(rng: random.Random, files: int, count: int, clock: int) -> list[list[Any]]:
    """Rows of trades, day by day; ids come again, also across midnight, some with other content."""
    result, ids = [], [str(i) for i in range(40)]
    for n in range(files):
        rows = []
        for ts, local in random_times(rng, DAY + n * LONG + 100, count):
            id = rng.choice(("", rng.choice(ids), str(rng.randint(10**6, 10**9))))
            side = rng.choice(("buy", "sell", "unknown", ""))
            rows.append(
                trade(ts, local, id, side, decimal(rng.randint(900, 1100), 1), decimal(rng.randint(0, 9), 3))
            )
        if clock:  # a clock ahead: its last rows carry times of the next day
            rows.append(trade(DAY + (n + 1) * LONG + clock, DAY + (n + 1) * LONG - 5, "", "buy", 99.9, 1))
        result.append(rows)
    return result


def made_days(
    folder: Path, rng: random.Random, kind: str, days: Sequence[int], count: int, full: bool = False
) -> list[Path]:
    """Write day files of a kind; a day without rows is an empty file."""
    clock = rng.choice((0, 0, 150, 2000))
    if kind in ("trades", "liquidations"):
        rows = deal_rows(rng, 4, count, clock)
    elif kind == "incremental_book_L2":
        rows = [change_rows(day) for day in random_changes(rng, 4, count, 8)]
    else:
        levels = 1 if kind in ("quotes", "book_ticker") else int(kind.rsplit("_", 1)[1])
        rows = [view_rows(day, kind) for day in random_views(rng, 4, count, levels)]
    empty = None if full else rng.choice((None, None, *days[1:]))
    return [
        save(folder, kind, b"" if n == empty else csv_text(kind, rows[n]), date(n)) for n in days
    ]


def same(one: Market, other: Market) -> None:
    """Assert that two markets are equal to the bit, and say where they differ."""
    for stream in ("trades", "liquidations", "quotes", "books"):
        mine, its = getattr(one, stream), getattr(other, stream)
        assert mine.keys() == its.keys(), stream
        for k in mine:
            if stream == "books":
                assert mine[k].seeded == its[k].seeded
                for name in ("messages", "keys", "lots"):
                    np.testing.assert_array_equal(getattr(mine[k], name), getattr(its[k], name), name)
            else:
                for name in mine[k].dtype.names:
                    np.testing.assert_array_equal(mine[k][name], its[k][name], f"{stream} {name}")
    assert one.instruments == other.instruments
    assert one.content_hash() == other.content_hash()


def made_store(folder: Path, seed: int) -> Store:
    """A store of two days of a book and trades."""
    rng = random.Random(seed)
    store = Store(folder / "store")
    for kind in ("incremental_book_L2", "trades"):
        made_days(folder, rng, kind, (0, 1), 50, full=True)
    store.add_csv(folder, instrument=WHAT)
    return store
