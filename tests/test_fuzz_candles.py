"""The candle engine against the naive twin (R6): golden examples and random cases, seed printed."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import framework
import tests.golden_matching
import tests.golden_money
import tests.golden_order  # noqa: F401
from tests.fuzz_candles import fuzz, shrink, simpler
from tests.golden import GOLDEN, Golden
from tests.naive import compare
from tests.naive.candles import run
from tests.naive.cases import random_case
from tests.test_naive import check_golden

CASES = int(os.environ.get("SHEEPFOLD_FUZZ_CASES", "5000"))
SEED = int(os.environ.get("SHEEPFOLD_FUZZ_SEED", "1"))
ROOT = Path(__file__).parent.parent
ENGINE = (Path(next(iter(framework.__path__))) / "backtest.py").exists()
needs_engine = pytest.mark.skipif(not ENGINE, reason="framework/backtest.py does not exist yet")


@needs_engine
@pytest.mark.parametrize("example", GOLDEN, ids=lambda example: example.name)
def test_engine_golden(example: Golden) -> None:
    check_golden(example, compare.engine(example.case))


@needs_engine
def test_fuzz() -> None:
    """Half of the cases here, half in a process of its own: a machine has two cores."""
    half = CASES // 2
    other = ["--cases", str(CASES - half), "--seed", str(SEED + half)]
    command = [sys.executable, "-m", "tests.fuzz_candles", *other]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as second:
        said: list[str] = []
        done = fuzz(half, SEED, report=said.append)
        shown = second.communicate()[0]
    assert done == half, "\n".join([f"SHEEPFOLD_FUZZ_SEED={SEED} cases={CASES}", *said])
    assert second.returncode == 0, shown


def test_differences_sees_every_table() -> None:
    """A change of any compared cell is reported; an unchanged copy is not."""
    case = next(c for c in map(random_case, range(1, 200)) if run(c)["trades"] and len(run(c)["fills"]) > 3)
    assert compare.differences(case, run(case), run(case)) == []
    compared = {
        "fills": [*compare.FILL_COLUMNS, "qty", "fee"],
        "trades": compare.TRADE_COLUMNS,
        "equity": compare.EQUITY_COLUMNS,
    }
    for table, columns in compared.items():
        for name in columns:
            other = run(case)
            cell = other[table][-1][name]
            other[table][-1][name] = "x" if isinstance(cell, str) else cell + 1
            assert compare.differences(case, run(case), other), (table, name)
    for name in ("ambiguous", "late"):
        assert compare.differences(case, run(case), {**run(case), name: -1})
    for name, value in run(case)["final"].items():
        other = run(case)
        other["final"][name] = [v + 1 for v in value] if isinstance(value, list) else value + 1
        assert compare.differences(case, run(case), other), name


def test_shrink_keeps_what_matters() -> None:
    """Shrinking towards "has a filled close" leaves few orders and still has it."""

    def fails(case):
        return any(o["type"] == "close" and o["status"] == "filled" for o in run(case)["orders"])

    case = next(c for c in map(random_case, range(1, 500)) if fails(c) and len(c.orders) > 10)
    small = shrink(case, fails)
    assert fails(small)
    assert len(small.orders) <= 2
    assert not any(fails(smaller) for smaller in simpler(small))
    assert str(case.seed) in compare.dump(replace(small, seed=case.seed))


@pytest.mark.parametrize("seed", range(40))
def test_market_holds_the_same_bars(seed: int) -> None:
    """The frames of a case give a Market whose match bars are the case's bars."""
    case = random_case(seed)
    market = compare.market_of(case)
    assert len(market.instruments) == len(case.bars)
    for k, rows in enumerate(case.bars):
        assert [tuple(row) for row in market.match_bars(k).tolist()] == [tuple(row) for row in rows]
    frame = compare.orders_frame(case)
    assert frame.height == len(case.orders)
