"""Strict mode (R2): the books are checked after every event, and checking changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import FunctionType
from typing import Any

import polars as pl
import pytest

from framework import Costs, Latency, Market, replay_orders
from framework.engine import fills, ledger, replay
from framework.engine.calls import step
from framework.engine.replay import advance_at
from framework.engine.state import DONE, FAILED, GROW
from framework.engine.tables import Tables
from framework.errors import FrameworkError
from framework.jit import native
from framework.plan import make_plan
from framework.run import finish
from framework.script import Script
from tests.golden import t
from tests.naive import compare
from tests.naive.cases import random_case
from tests.small import FLAT, buy, made, sell

KINDS = {  # kind, options of the instrument, quantity of an order
    "spot": ({"kind": "spot", "lot_size": 0.1}, 5.0),
    "linear": ({"kind": "linear", "multiplier": 10.0}, 4.0),
    "inverse": ({"kind": "inverse", "multiplier": 100.0}, 300.0),
}
ROWS = (FLAT, "100 104 100 104", "104 108 104 108", "108 108 90 90", "90 95 90 95", FLAT, FLAT)


class Run:
    """A replay that stops at every bar, so that its books can be touched between two steps."""

    def __init__(self, kind: str, strict: bool = True, market: Market | None = None) -> None:
        what, qty = KINDS[kind]
        self.market = market or made(*ROWS, **what)
        orders = pl.DataFrame([buy(t(1), qty), sell(t(3), 2.0 * qty), buy(t(6), qty)])
        plan = make_plan(
            self.market, cash=1_000.0 if kind == "inverse" else 10_000.0, strict=strict,
            costs=Costs(maker=0.001, taker=0.001, slippage=0.0), latency=Latency(order=0, response=0),
        )  # fmt: skip
        script = Script(orders, self.market, plan.latency)
        self.tables = Tables(self.market, plan.setup(script=script.requests, orders=script.orders))
        self.tables.clock["wake_bar"] = 1

    def go(self, bars: int | None = None) -> int:
        """Step to the next `bars` wakes, or to the end; returns the last code."""
        advance, code, count = native(advance_at), 0, 0
        while bars is None or count < bars:
            code = int(step(advance, self.tables.address))
            if code in (DONE, FAILED):
                return code
            if code == GROW:
                self.tables.grow()
            else:
                count += 1
        return code


ROOT = Path(__file__).parent.parent
KIND = pytest.mark.parametrize("kind", list(KINDS))
SIDE = pytest.mark.parametrize("side", [0, 1], ids=["exchange", "strategy"])
ENTRIES = ("start", "realised", "fees", "funding", "tokens", "liquidation", "cash")


@KIND
def test_the_books_are_right(kind: str) -> None:
    """R2: a run that nobody touches passes every check, and there is one for each side of each event."""
    run = Run(kind)
    assert run.go() == DONE
    assert run.tables.clock["n_fills"] == 3
    assert run.tables.clock["checks"] >= 2 * len(ROWS)
    assert run.tables.clock["worst_identity"] < 1e-12


@KIND
@SIDE
@pytest.mark.parametrize("name", ENTRIES)
def test_a_wrong_amount_is_caught(kind: str, side: int, name: str) -> None:
    """R2: one amount that is not booked twice is caught at the next event, for one cent in ten thousand."""
    run = Run(kind)
    run.go(2)
    run.tables.sim.total[side][name] += 0.01
    assert run.go() == FAILED
    with pytest.raises(FrameworkError, match="the books do not balance"):
        finish(run.tables, FAILED, "test")
    assert run.tables.clock["now"] == t(3)  # the next event
    loose = Run(kind, strict=False)
    loose.go(2)
    loose.tables.sim.total[side][name] += 0.01
    assert loose.go() == DONE


@KIND
def test_a_wrong_amount_is_caught_in_a_quiet_stretch(kind: str) -> None:
    """R2: bars that pass unseen are checked too, one by one."""
    for side in (0, 1):
        run = Run(kind)
        run.tables.clock["wake_fill"] = 1
        run.go(6)  # four bars and the fills at t(1) and t(3)
        assert (run.tables.clock["now"], run.tables.clock["n_fills"]) == (t(4), 2)
        run.tables.clock["wake_bar"] = 0
        run.tables.sim.total[side]["cash"] += 0.01
        assert run.go() == FAILED
        assert run.tables.clock["now"] <= t(6)
    what, _ = KINDS[kind]
    unseen = Run(kind, market=made(*ROWS, *[FLAT] * 20, **what))
    unseen.tables.clock["wake_bar"] = 0
    assert unseen.go() == DONE
    assert unseen.tables.clock["checks"] >= 2 * (len(ROWS) + 20)


def test_strict_is_the_users_option() -> None:
    """rules 2: strict=True reaches the engine; the manifest says so."""
    market, frame = made(*ROWS), pl.DataFrame([buy(t(1))])
    for strict in (False, True):
        result = replay_orders(frame, market, strict=strict)
        assert result.manifest["strict"] is strict
        assert make_plan(market, strict=strict).setup().options["strict"] == strict


CLOSE = [{"at": "close", "volume_share": share} for share in (0.1, 0.5, None)]


@pytest.mark.parametrize("part", range(8))
def test_strict_changes_nothing(part: int) -> None:
    """R2: 240 random cases, every fourth at the close with a share of the volume: equal to the bit."""
    count = 0
    for seed in range(31_000 + 30 * part, 31_030 + 30 * part):
        case = random_case(seed)
        if seed % 4 == 0:
            case.options = replace(case.options, **CLOSE[seed // 4 % 3])
        orders, market, options = compare.frames(case)
        plain = replay_orders(orders, market, **options)
        strict = replay_orders(orders, market, **options, strict=True)
        assert strict.fingerprint == plain.fingerprint, seed
        assert strict.equity.equals(plain.equity), seed
        count += len(plain.fills)
    assert count > 50


# ---- wrong kernels, as they are written: in a process of its own, without the compiler


def wrong(name: str, factor: float) -> Any:
    """`book_fill` with one of the functions it calls off by a factor."""
    right = getattr(ledger, name)
    bad = {**vars(ledger), name: lambda *given: factor * right(*given)}
    return FunctionType(ledger.book_fill.__code__, bad, "book_fill")


def forgotten(rule: Any, held: Any, total: Any, change: Any, price: Any, fee: Any, leverage: Any) -> Any:
    """`book_fill` that takes a fee from the wallet and does not write it down."""
    done = ledger.book_fill(rule, held, total, change, price, fee, leverage)
    total["fees"] -= fee
    return done


PLANTS = {
    "nothing": lambda: ledger.book_fill, "fee": lambda: forgotten,
    "average entry": lambda: wrong("average_entry", 1.01), "gain": lambda: wrong("gain", 1.01),
}  # fmt: skip


def planted() -> dict[str, list[str]]:
    """Kind of instrument to the plants that strict mode caught."""
    caught: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for plant, make in PLANTS.items():
        fills.book_fill = replay.book_fill = make()
        for kind in KINDS:
            if Run(kind).go() == FAILED:
                caught[kind].append(plant)
    return caught


@pytest.fixture(scope="module")
def caught() -> dict[str, list[str]]:
    """What a process without the compiler caught."""
    code = "import json, tests.test_strict as s; print(json.dumps(s.planted()))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, timeout=60,
    )  # fmt: skip
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_a_wrong_kernel_is_caught(caught: dict[str, list[str]]) -> None:
    """R2: a fee booked once only, whatever is traded; on spot an average or a gain that is off by 1 %."""
    assert caught["spot"] == ["fee", "average entry", "gain"]
    assert all("fee" in plants and "nothing" not in plants for plants in caught.values())


def test_a_wrong_kernel_is_caught_on_contracts(caught: dict[str, list[str]]) -> None:
    """R2: an average entry or a gain off by 1 % is caught on linear and inverse contracts as on spot."""
    wanted = ["fee", "average entry", "gain"]
    assert caught == {"spot": wanted, "linear": wanted, "inverse": wanted}


@KIND
@SIDE
@pytest.mark.parametrize("name", ["position", "entry"])
def test_a_wrong_holding_is_caught(kind: str, side: int, name: str) -> None:
    """R2: a position or an average entry that no fill made is caught at the next event."""
    run = Run(kind)
    run.go(2)
    run.tables.sim.account[side][name] *= 1.01
    assert run.go() == FAILED
