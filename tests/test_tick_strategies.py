"""Shipped tick strategies: the same in every world, makers that make, hedges that hedge."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from framework import Market, Result, Strategy, backtest, check_strategy, compiled, samples
from framework.data.synthetic_ticks import PERP, SPOT
from framework.market_ticks import Book
from strategies.imbalance_maker import ImbalanceMaker
from strategies.spot_perp_hedge import SpotPerpHedge

ROOT = Path(__file__).parent.parent
SHIPPED = (ImbalanceMaker, SpotPerpHedge)


def other(cls: type[Strategy]) -> type[Strategy]:
    """Return the same strategy in the other world: a compiled one as it is written, a plain one compiled."""
    made = type(cls.__name__, (cls,), {"compiled": False, "__module__": cls.__module__})
    return made if cls.compiled else compiled(made)


@pytest.fixture(scope="module")
def results() -> dict[type[Strategy], Result]:
    """Each shipped strategy on its sample."""
    return {cls: backtest(cls, samples.load(cls.sample)) for cls in SHIPPED}


@pytest.mark.parametrize("cls", SHIPPED)
def test_a_shipped_file_is_short_and_says_what_it_does(cls: type[Strategy]) -> None:
    text = Path(sys.modules[cls.__module__].__file__ or "").read_text(encoding="utf-8")
    assert text.count("\n") < 60
    assert text.startswith('"""')
    assert cls.__doc__
    assert check_strategy(cls).ok, str(check_strategy(cls))


@pytest.mark.parametrize("cls", SHIPPED)
def test_compiled_is_plain(cls: type[Strategy], results: dict[type[Strategy], Result]) -> None:
    two = backtest(other(cls), samples.load(cls.sample))
    assert two.fingerprint == results[cls].fingerprint
    assert two.equity.equals(results[cls].equity)


def write_market(market: Market, path: Path) -> None:
    """Keep a market's ticks and marks: to make them without a compiler takes a minute."""
    arrays = {"mark": market.mark[0]}
    for k, book in market.books.items():
        arrays |= {f"trades{k}": market.trades[k], f"messages{k}": book.messages, f"keys{k}": book.keys}
        arrays[f"lots{k}"] = book.lots
    np.savez(path, **arrays)


def read_market(path: Path) -> Market:
    """Return what was kept."""
    with np.load(path) as kept:
        count = sum(name.startswith("keys") for name in kept)
        books = {k: Book(kept[f"messages{k}"], kept[f"keys{k}"], kept[f"lots{k}"]) for k in range(count)}
        trades = {k: kept[f"trades{k}"] for k in range(count)}
        return Market((PERP, SPOT)[:count], mark={0: kept["mark"]}, trades=trades, books=books, name="kept")


INTERPRETED = """
import json, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.test_tick_strategies import SHIPPED, read_market
from framework import backtest
from framework.jit import jit_enabled
assert not jit_enabled()
folder = Path({folder!r})
print(json.dumps({{cls.__name__: backtest(cls, read_market(folder / f"{{cls.__name__}}.npz")).fingerprint
                   for cls in SHIPPED}}))
"""


def test_compiled_is_interpreted(tmp_path: Path) -> None:
    """Without numba's compiler every kernel is the Python function it is written as; warnings are errors."""
    wanted = {}
    for cls in SHIPPED:
        path = tmp_path / f"{cls.__name__}.npz"
        write_market(samples.load(cls.sample).slice(None, "2024-01-01 07:52"), path)
        result = backtest(cls, read_market(path))
        assert len(result.fills) > 5
        wanted[cls.__name__] = result.fingerprint
    made = subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", INTERPRETED.format(root=str(ROOT), folder=str(tmp_path))],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr[-2000:]
    assert json.loads(made.stdout) == wanted


def test_results_on_the_samples_are_sane(results: dict[type[Strategy], Result]) -> None:
    for cls, result in results.items():
        assert result.status == "done"
        assert result.metrics["trades"] >= 10
        assert result.metrics["rejected"] <= 0.02 * len(result.orders), cls
        assert -20.0 < result.equity["equity"][-1] - 10_000.0 < 20.0, cls  # neither ruin nor a money machine


def test_the_maker_makes_within_its_limit(results: dict[type[Strategy], Result]) -> None:
    result = results[ImbalanceMaker]
    assert 200 < len(result.fills) < 2000
    assert result.fills["maker"].all()
    position = (result.fills["qty"] * np.where(result.fills["side"] == "buy", 1.0, -1.0)).cum_sum()
    assert position.abs().max() <= 0.1 + 0.02 + 1e-9  # a cancel may come too late for one quote
    assert set(result.orders["reason"]) == {"", "cancelled by strategy", "post-only would take"}
    sent = np.sort(result.orders["ts"].to_numpy())
    assert len(sent) < 0.6 * 2 * 12_000  # two quotes at each of 12,000 timers would be all of them


def test_every_fill_of_the_perpetual_is_hedged(results: dict[type[Strategy], Result]) -> None:
    fills = results[SpotPerpHedge].fills
    perp, spot = (fills.filter(fills["instrument"] == what.id) for what in (PERP, SPOT))
    assert perp["maker"].all()
    assert not spot["maker"].any()
    assert len(perp) > 20
    assert np.isclose(perp["qty"].sum(), spot["qty"].sum())
    opened = [perp.filter(perp["side"] == side)["qty"].sum() for side in ("sell", "buy")]
    assert opened[0] >= opened[1] - 1e-9  # never long of the perpetual
    hedged = [spot.filter(spot["side"] == side)["qty"].sum() for side in ("buy", "sell")]
    assert np.allclose(opened, hedged)
