"""The tick engine against the naive twin: golden examples and random cases, seed printed."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import tests.golden_taking  # noqa: F401
from tests.fuzz_ticks import fuzz, runs, shrink, simpler
from tests.golden import Golden
from tests.golden_ticks import TICKS
from tests.naive import compare, tick_compare
from tests.naive.tick_book import messages
from tests.naive.tick_cases import random_tick_case
from tests.naive.ticks import run
from tests.test_naive import check_golden

CASES = int(os.environ.get("SHEEPFOLD_FUZZ_CASES", "5000"))
SEED = int(os.environ.get("SHEEPFOLD_FUZZ_SEED", "1"))
ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("example", TICKS, ids=lambda example: example.name)
def test_engine_golden(example: Golden) -> None:
    found = tick_compare.engine(example.case)
    check_golden(example, {"ambiguous": 0, "late": 0, **found})


def test_fuzz() -> None:
    """Half of the cases here, half in a process of its own: a machine has two cores."""
    half = CASES // 2
    other = ["--cases", str(CASES - half), "--seed", str(SEED + half)]
    command = [sys.executable, "-m", "tests.fuzz_ticks", *other]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as second:
        said: list[str] = []
        done = fuzz(half, SEED, report=said.append)
        shown = second.communicate()[0]
    assert done == half, "\n".join([f"SHEEPFOLD_FUZZ_SEED={SEED} cases={CASES}", *said])
    assert second.returncode == 0, shown


def test_differences_sees_every_table() -> None:
    """A change of any compared cell is reported; an unchanged copy is not."""
    found = (c for c in map(random_tick_case, range(1, 200)) if run(c)["trades"] and len(run(c)["fills"]) > 3)
    case = next(found)
    assert tick_compare.differences(case, run(case), run(case)) == []
    compared = {
        "fills": [*tick_compare.FILLS, "qty", "fee"],
        "trades": tick_compare.TRADES,
        "equity": compare.EQUITY_COLUMNS,
    }
    for table, columns in compared.items():
        for name in columns:
            other = run(case)
            cell = other[table][-1][name]
            other[table][-1][name] = "x" if isinstance(cell, str) else cell + 1
            assert tick_compare.differences(case, run(case), other), (table, name)
    for name, value in run(case)["final"].items():
        other = run(case)
        other["final"][name] = [v + 1 for v in value] if isinstance(value, list) else value + 1
        assert bool(tick_compare.differences(case, run(case), other)) == (name != "equity"), name


def test_shrink_keeps_what_matters() -> None:
    """Shrinking towards "a limit fills as maker" leaves one order and few rows, and still has it."""

    def fails(case):
        return any(f["maker"] for f in run(case)["fills"])

    case = next(c for c in map(random_tick_case, range(1, 500)) if fails(c) and len(c.orders) > 10)
    small = shrink(case, fails)
    assert fails(small)
    assert len(small.orders) == 1
    assert sum(len(rows) for feed in small.books if feed for rows in feed.files) <= 6
    assert not any(runs(smaller) and fails(smaller) for smaller in simpler(small))
    assert str(case.seed) in tick_compare.dump(replace(small, seed=case.seed))


@pytest.mark.parametrize("seed", range(40))
def test_market_holds_the_same_rows(seed: int) -> None:
    """A case gives a Market whose books and trades are the twin's."""
    case = random_tick_case(seed)
    market = tick_compare.market_of(case)
    for k, feed in enumerate(case.books):
        assert (k in market.books) == (feed is not None)
        assert len(market.trades.get(k, ())) == len(case.trades[k])
        if feed is not None:
            book = market.books[k]
            assert len(book) == len(messages(feed))
            assert book.messages["ts"].tolist() == sorted(book.messages["ts"].tolist())
            assert len(book.keys) == len(book.lots) == book.messages["first"][-1]
    assert compare.orders_frame(case).height == len(case.orders)
