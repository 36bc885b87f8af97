"""What the doctor's kernels count, against the same counts in plain Python; and without a compiler."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framework.data.doctor import check
from framework.data.doctor_deals import outliers
from framework.data.doctor_watch import BookWatch, Clock, Numbers, TopWatch
from tests.tick_files import DAY, change_rows, csv_text, random_changes, save

ROOT = Path(__file__).parent.parent


def messages(rows: Iterable[Any]) -> list[tuple[int, list[Any]]]:
    """Rows by arrival."""
    found: list[tuple[int, list[Any]]] = []
    for row in rows:
        if not found or found[-1][0] != row[1]:
            found.append((row[1], []))
        found[-1][1].append(row)
    return found


def as_sent(rows: list[Any]) -> dict[str, int]:
    """Crossed, locked and one-sided time of the book as the rows leave it; nothing is ever removed."""
    book: dict[tuple[int, int], int] = {}
    counts = dict.fromkeys(("known", "crossed_time", "locked_time", "crossings", "locks", "noops"), 0)
    started, flag, flag_local, before, state = False, False, -1, 0, ""
    for local, some in messages(rows):
        for row in some:
            if row[2] and not (flag and flag_local == local):
                book, started = {}, True
            flag, flag_local = row[2], local
            if started:
                counts["noops"] += not row[2] and row[5] == book.get((row[3], row[4]), -1)
                book[row[3], row[4]] = row[5]
        if not started:
            continue
        if before:
            counts["known"] += local - before
            if state:
                counts[f"{state}_time"] += local - before
        bids = [tick for (side, tick), lots in book.items() if lots and not side]
        asks = [tick for (side, tick), lots in book.items() if lots and side]
        new = ""
        if bids and asks and max(bids) >= min(asks):
            new = "crossed" if max(bids) > min(asks) else "locked"
        if new != state and new:
            counts["crossings" if new == "crossed" else "locks"] += 1
        before, state = local, new
    return counts


def watched(rows: list[Any], pieces: int) -> BookWatch:
    """The doctor's book of the rows, given in pieces."""
    watch = BookWatch(DAY)
    for part in np.array_split(np.arange(len(rows)), pieces):
        some = [rows[i] for i in part]
        columns = [np.array([row[i] for row in some]) for i in range(6)]
        local, snapshot, side = columns[1].astype(np.int64), columns[2].astype("u1"), columns[3].astype("u1")
        watch.add_changes(local, snapshot, side, columns[4] / 10.0, columns[5] / 1000.0)
    watch.finish()
    return watch


@pytest.mark.parametrize("reach", [2, 12])
def test_crossed_time_is_that_of_the_book_as_sent(reach: int, seed: int) -> None:
    rng = random.Random(seed)
    seen = 0
    for _ in range(12):
        (rows,) = random_changes(rng, 1, 400, reach)
        wanted = as_sent(rows)
        for pieces in (1, 7):
            watch = watched(rows, pieces)
            names = [name for name in wanted if name != "noops"]
            assert {name: watch[name] for name in names} == {name: wanted[name] for name in names}
        seen += wanted["crossed_time"] > 0
    assert seen > 6


def test_rows_that_change_nothing() -> None:
    rows = [(0, DAY, True, 0, 1000, 5), (0, DAY + 5, False, 0, 1000, 5), (0, DAY + 6, False, 0, 1000, 6),
            (0, DAY + 7, False, 0, 900, 0)]  # fmt: skip
    watch = watched(rows, 1)
    assert (watch["noops"], watch["absent"], watch["snapshots"], watch["one_sided"]) == (1, 1, 1, 1)


def test_a_table_that_must_grow() -> None:
    rows = [(0, DAY, True, i % 2, 20_000 + i * (1 if i % 2 else -1), 1) for i in range(30_000)]
    rows += [(0, DAY + 1 + i, False, 0, 30_000 - i, 0) for i in range(20_000)]
    watch = watched(rows, 3)
    assert watch["seen"] == 20_001
    assert watch["size"] > 1 << 14
    assert float(watch.tops["ask"][0]) == pytest.approx(2000.1)
    assert float(watch.tops["bid"][0]) == pytest.approx(1000.0)


def test_latency_quantiles_and_clocks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    local = DAY + np.sort(rng.integers(0, 3_600_000_000, 20_000))
    late = (rng.lognormal(9, 1.5, len(local)) - 3_000).astype(np.int64)
    ts = local - late
    clock = Clock(DAY)
    for part in np.array_split(np.arange(len(local)), 5):
        clock.add(ts[part], local[part], np.zeros(len(part), "u1"))
    for share, value in zip((0.01, 0.5, 0.99), clock.quantiles((0.01, 0.5, 0.99)), strict=True):
        wanted = np.quantile(late, share)
        assert abs(value - wanted) <= 0.1 * abs(wanted) + 2
    assert (clock["least"], clock["most"]) == (late.min(), late.max())
    assert clock["ahead"] == (late < 0).sum()
    top = np.maximum.accumulate(ts)
    assert clock["behind"] == (ts[1:] < top[:-1]).sum()
    assert clock["deepest"] == (top - ts).max()
    assert clock.slots.sum() == len(local)
    minutes, quantiles = clock.by_minute((0.5,))
    one = late[(local - DAY) // 60_000_000 == minutes[3]]
    assert abs(quantiles[3][0] - np.median(one)) <= 0.12 * np.median(one)


@pytest.mark.parametrize(
    ("values", "step", "off"),
    [
        ([28155.1, 28159.2, 3.0, 0.7] * 500, 0.1, 0),
        ([28155.1] * 2000 + [28155.15], 0.1, 1),
        ([0.5, 1.5, 7.0, 3.5] * 500, 0.5, 0),
        ([0.5, 1.5, 7.0, 3.5] * 500 + [1.2], 0.5, 1),
        ([1e-8 * k for k in range(1, 2000)], 1e-8, 0),
        ([1000.0, 250.0] * 400, 1.0, 0),
    ],
)
def test_the_grid_most_values_lie_on(values: list[float], step: float, off: int) -> None:
    numbers = Numbers()
    numbers.add(np.array(values))
    assert numbers.step == pytest.approx(step)
    assert numbers.off() == (off, len(values) if off else 0)


def test_a_known_grid() -> None:
    numbers = Numbers(0.25)
    numbers.add(np.array([1.25, 7.5, 1000.75, 1.3, 0.0, -1.0]))
    assert numbers.off() == (1, 4)
    assert (numbers["zeros"], numbers["zero_row"], numbers["negative"], numbers["negative_row"]) == (
        1,
        5,
        1,
        6,
    )


def test_outliers_stand_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    price = 100.0 * np.exp(np.cumsum(rng.normal(0, 2e-5, 5_000)))
    price[3_000:] *= 0.97  # a crash is none
    price[4_000:4_010] *= 1.03  # nor a spike with ten trades
    assert not len(outliers(price)[0])
    for row in (0, 64, 2_499, 4_999):
        wrong = price.copy()
        wrong[row] *= 1.05
        assert outliers(wrong)[0].tolist() == [row]


def test_views_are_crossed_by_time() -> None:
    watch = TopWatch(DAY)
    local = DAY + np.array([0, 10, 30, 60, 100])
    watch.add(local, np.array([1.0, 2.5, 2.0, np.nan, 1.0]), np.array([2.0, 2.0, 2.0, 2.0, 2.0]))
    watch.finish()
    names = ("known", "crossed_time", "locked_time", "one_sided_time", "longest_crossed", "longest_locked")
    assert [watch[name] for name in names] == [100, 20, 30, 40, 20, 30]


def test_without_a_compiler(seed: int, tmp_path: Path) -> None:
    """The kernels as they are written, where numpy checks every index, say the same."""
    (rows,) = random_changes(random.Random(seed), 1, 300, 3)
    save(tmp_path, "incremental_book_L2", csv_text("incremental_book_L2", change_rows(rows)))
    trades = [[ts, local, n, "buy", "100.1", "1"] for n, (ts, local, *_) in enumerate(rows)]
    save(tmp_path, "trades", csv_text("trades", trades))
    quotes = [[ts, local, 1, "100.2", "100.1", 1] for ts, local, *_ in rows]
    save(tmp_path, "quotes", csv_text("quotes", quotes))
    code = (
        "import json\nfrom framework.data.doctor import check\n"
        f"print(json.dumps(check({str(tmp_path)!r}).to_dict()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
    )  # fmt: skip
    assert json.loads(done.stdout) == json.loads(json.dumps(check(tmp_path).to_dict()))
