"""Concatenation: two markets one after the other are one run, where the first ends at rest.

"At rest" is nothing held, nothing working, the account alive: then all that is carried over is its money.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest

from framework.result import Result
from tests.naive.cases import random_case
from tests.naive.model import Case
from tests.test_properties import result_of

LATER = 1_000_000  # ids of the second part


def moved(case: Case, by: int) -> Case:
    """The case `by` ns later, its ids after all of the first part's."""
    case = copy.deepcopy(case)
    case.bars = [[(a + by, b + by, *rest) for a, b, *rest in bars] for bars in case.bars]
    case.funding = [[(ts + by, rate) for ts, rate in rows] for rows in case.funding]
    case.mark = [[] for _ in case.mark]
    for row in case.orders:
        for name in ("ts", "cancel_ts", "expire_ts"):
            if row.get(name) is not None:
                row[name] += by
        row["id"] += LATER
        if row.get("group"):
            row["group"] += 10
    return case


def ended(case: Case) -> Case:
    """The first half of a case's orders, then everything is cancelled and closed."""
    case = copy.deepcopy(case)
    closes = [bar[1] for bar in case.bars[0]]
    stop = closes[len(closes) // 2]
    case.orders = [row for row in case.orders if row["ts"] < stop and (row.get("cancel_ts") or 0) < stop]
    known = {row["id"] for row in case.orders if row["type"] != "amend"}
    case.orders = [row for row in case.orders if row["id"] in known]
    for n, kind in enumerate(("cancel_all", "close", "cancel_all")):
        late = closes[min(len(closes) // 2 + n + 2, len(closes) - 1)]
        case.orders.append({"ts": late, "instrument": 0, "type": kind, "id": 900 + n})
    case.mark = [[] for _ in case.mark]
    return case


def is_at_rest(result: Result) -> bool:
    """True when only money is left."""
    final = result.manifest["final"]
    positions = [value for name, value in final.items() if name.startswith("position:")]
    return result.status == "done" and not any(positions) and "open" not in set(result.orders["status"])


def halves(start: int) -> Iterator[tuple[int, Case, Case, Result]]:
    """(seed, first, second, result of the first) of cases with one instrument that come to rest."""
    seed = start
    while True:
        case = random_case(seed)
        seed += 1
        if len(case.bars) > 1 or case.options.latency_table or len(case.bars[0]) < 12:
            continue
        case.bars = [bars[:-1] if bars[-1][1] - bars[-1][0] > bars[0][1] - bars[0][0] else bars
                     for bars in case.bars]  # fmt: skip
        first = ended(case)
        span = case.bars[0][-1][1] - case.bars[0][0][0]
        quiet = 10 * (case.bars[0][0][1] - case.bars[0][0][0])
        result = result_of(first)
        if len(result.fills) and is_at_rest(result):
            yield seed - 1, first, moved(case, span + quiet), result


@pytest.mark.parametrize("part", range(10))
def test_two_parts_are_one_run(part: int) -> None:
    """Fills, orders and equity of the whole are those of its parts, the second with the first's money."""
    cases, fills = halves(90_000 + 10_000 * part), 0
    for _, (seed, first, second, one) in zip(range(31), cases, strict=False):
        final = one.manifest["final"]
        money = final["start"] + final["realised"] - final["fees"] + final["funding"] + final["liquidation"]
        assert one.equity["equity"][-1] == pytest.approx(money, abs=1e-6)
        two = result_of(second, cash=money)
        whole = copy.deepcopy(first)
        whole.bars = [a + b for a, b in zip(first.bars, second.bars, strict=True)]
        whole.funding = [a + b for a, b in zip(first.funding, second.funding, strict=True)]
        whole.orders = first.orders + second.orders
        both = result_of(whole)
        sent = [row["id"] for row in whole.orders if row["type"] not in ("amend", "cancel_all")]
        assert_joined(seed, sent, one, two, both)
        fills += len(two.fills)
    assert fills > 60


def assert_joined(seed: int, scripted: list[int], one: Result, two: Result, both: Result) -> None:
    """Row by row; quantities sized by equity may differ in the last digits."""
    same = ["ts", "seen_ts", "bar_open_ts", "side", "maker"]
    assert pl.concat([one.fills, two.fills]).select(same).equals(both.fills.select(same)), seed
    for name in ("price", "qty", "fee"):
        parts = np.concatenate([one.fills[name], two.fills[name]])
        np.testing.assert_allclose(parts, both.fills[name], rtol=1e-9, atol=1e-9, err_msg=f"{seed} {name}")
    known = ["id", "ts", "arrival_ts", "end_ts", "type", "status", "reason", "n_fills"]
    parts_of, whole = (
        frame.filter(pl.col("id").is_in(scripted)).sort("id").select(known)
        for frame in (pl.concat([one.orders, two.orders]), both.orders)
    )
    assert parts_of.equals(whole), seed
    start = one.manifest["final"]["start"]
    money = np.concatenate([one.equity["equity"], two.equity["equity"]])
    np.testing.assert_allclose(money, both.equity["equity"], rtol=1e-9, atol=1e-9 * start, err_msg=str(seed))
