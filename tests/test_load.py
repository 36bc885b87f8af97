"""`load`: stored days are the market one pass over their files makes, in memory and streamed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framework import Market, from_tardis
from framework.data import pack
from framework.data.loading import load
from framework.data.store import Store
from framework.errors import DataError
from framework.times import format_time
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
)  # fmt: skip

LONG = 86_400_000_000  # microseconds of a day
DAYS = ("2023-04-05", "2023-04-06", "2023-04-07", "2023-04-08")
REAL = [
    ("demo", "binance", "2024-08-08", "2024-08-10", "trades,incremental_book_L2"),
    ("demo", "binance", "2024-08-08", "2024-08-10", "trades,book_ticker"),
    ("tardis-form", "binance-futures", "2023-04-04", "2023-04-06",
     "trades,incremental_book_L2,derivative_ticker"),
    ("tardis-form", "binance-futures", "2023-04-04", "2023-04-06", "book_ticker,derivative_ticker"),
]  # fmt: skip


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of a few rows."""
    monkeypatch.setattr(pack, "CHUNK", 7)


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


def made_days(folder: Path, rng: random.Random, kind: str, days: Sequence[int], count: int) -> list[Path]:
    """Write day files of a kind; a day of 0 rows is an empty file."""
    clock = rng.choice((0, 0, 150, 2000))
    if kind in ("trades", "liquidations"):
        rows = deal_rows(rng, 4, count, clock)
    elif kind == "incremental_book_L2":
        rows = [change_rows(day) for day in random_changes(rng, 4, count, 8)]
    else:
        levels = 1 if kind in ("quotes", "book_ticker") else int(kind.rsplit("_", 1)[1])
        rows = [view_rows(day, kind) for day in random_views(rng, 4, count, levels)]
    empty = rng.choice((None, None, *days[1:]))
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


@pytest.mark.parametrize("seed_of_case", range(12))
def test_days_are_one_pass_over_their_files(
    seed_of_case: int, seed: int, tmp_path: Path, small: None
) -> None:
    """Random days with silences, repeated ids, a clock ahead at midnight, missing and empty days."""
    rng = random.Random(seed + seed_of_case)
    book = rng.choice(("incremental_book_L2", "incremental_book_L2", "book_snapshot_5", "quotes", "book_ticker"))
    kinds = [book, "trades", *rng.choice(((), ("liquidations",)))]
    days = sorted(rng.sample(range(4), rng.choice((2, 3, 4))))
    files = [f for kind in kinds for f in made_days(tmp_path, rng, kind, days, rng.choice((3, 60)))]
    store = Store(tmp_path / "store")
    store.add_csv(files, instrument=WHAT)
    whole = from_tardis(files, WHAT)
    options: dict[str, Any] = {"store": store, "streams": kinds, "instrument": WHAT}
    span = ("made", "AAABBB", date(0), "2023-04-09")
    memory, streamed = (load(*span, stream=stream, **options) for stream in (False, True))
    same(memory, whole)
    assert streamed.is_streamed
    assert streamed.content_hash() == whole.content_hash()
    same(streamed.loaded(), whole)
    assert memory.notes == streamed.notes
    check_levels(memory, streamed)
    for _ in range(3):
        check_part(rng, whole, files, options)


def check_levels(memory: Market, streamed: Market) -> None:
    """The levels a book says it has are those that occur."""
    for tape in streamed.tapes:
        if tape.stream == "books":
            keys = np.unique(memory.books[0].keys)
            np.testing.assert_array_equal(tape.levels, keys)
            np.testing.assert_array_equal(memory.books[0].levels, keys)


def check_part(rng: random.Random, whole: Market, files: Sequence[Path], options: dict[str, Any]) -> None:
    """Any range is the slice of its days' files, or is refused as that is."""
    times = np.concatenate([
        *(rows["local_ts"] for s in ("trades", "liquidations", "quotes") for rows in getattr(whole, s).values()),
        *(book.messages["local_ts"][:-1] for book in whole.books.values()),
    ])  # fmt: skip
    start, stop = sorted(int(rng.choice(times)) + rng.choice((0, 1, -1, 500)) for _ in range(2))
    first = start if rng.random() < 0.7 else None
    end = stop + 1 if rng.random() < 0.7 else None
    days = [format_time(t)[:10] for t in (start, stop if end else whole.stop)]
    mine = [path for path in files if days[0] <= path.name.split("_")[-2] <= days[1]]
    span = ("made", "AAABBB", first or days[0], end or "2023-04-09")
    print(f"range {span}")
    try:
        wanted = from_tardis(mine, WHAT).slice(first, end)
    except DataError:
        for stream in (False, True):
            with pytest.raises(DataError, match="no (tick|bar) lies in|has no row of"):
                load(*span, stream=stream, **options)
        return
    memory, streamed = (load(*span, stream=stream, **options) for stream in (False, True))
    same(memory, wanted)
    same(streamed.loaded(), wanted)
    assert (streamed.start, streamed.stop) == (wanted.start, wanted.stop)
    assert streamed.content_hash() == wanted.content_hash()
