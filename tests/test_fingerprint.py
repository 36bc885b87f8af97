"""The fingerprint (R1): of what a run did and of the market's content, and of nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from framework import Costs, Fills, Instrument, Latency, Market, Result, backtest, replay_orders
from framework.engine.tables import Tables
from framework.outcome import Outcome
from framework.plan import make_plan
from framework.records import BAR
from framework.run import call_until_done
from framework.script import Script
from tests.golden import MINUTE, t
from tests.small import signals
from tests.test_broker_rules import Sends
from tests.test_engine_modes import written

ROOT = Path(__file__).parent.parent
REPLAYED = "f30e582f0067a7a1df218dfaf72549c2438ed6fc488d13949a4e2474afa84879"
PLAYED = "b1184957c47f48479153f2947e0abb59b4ce2416d7fab9a624985682b22b6b88"


def bars(count: int = 40, shift: int = 0) -> np.ndarray[Any, Any]:
    """Bars made by whole-number arithmetic: a zigzag of four steps up and three down."""
    rows = np.zeros(count, BAR)
    for i in range(count):
        opened = 100 + (i + shift) % 7 * 2 - (i + shift) % 5
        closed = 100 + (i + shift + 1) % 7 * 2 - (i + shift + 1) % 5
        rows[i] = (t(i), t(i + 1), opened, max(opened, closed) + 2, min(opened, closed) - 2, closed, 10 + i)
    return rows


def market(name: str | None = None, ids: tuple[str, str] = ("made:AAA", "made:BBB"), **more: Any) -> Market:
    """Two contracts with funding."""
    parts = []
    for k, one in enumerate(ids):
        what = Instrument(one, kind="linear", tick_size=0.5, lot_size=0.1, settle="USD", **more)
        parts.append(Market.from_candles(bars(shift=3 * k), what, name=name))
    whole = Market.join(*parts).with_funding({"ts": [t(9), t(25)], "rate": [0.001, -0.002]}, 1, unit="ns")
    return replace(whole, name=name or "market")


ROWS: list[dict[str, Any]] = [
    {"ts": t(1), "side": "buy", "type": "market", "qty": 3.0, "stop": 95.0, "target": 109.0},
    {"ts": t(2), "instrument": 1, "side": "sell", "type": "limit", "share": 0.2, "price": 106.0},
    {"ts": t(12), "side": "buy", "type": "stop", "qty": 2.5, "trigger": 108.0, "trail": 3.0},
    {"ts": t(20), "instrument": 1, "type": "close"},
    {"ts": t(22), "side": "buy", "type": "limit", "qty": 1.0, "price": 60.0, "expire_ts": t(30)},
    {"ts": t(24), "instrument": 1, "side": "buy", "type": "market", "qty": 9_000.0},
    {"ts": t(26), "side": "sell", "type": "market", "qty": 4.0},
    {"ts": t(26), "side": "buy", "type": "limit", "qty": 1.0, "price": 50.0},
]
ORDERS = pl.DataFrame([{"instrument": 0, **row} for row in ROWS], infer_schema_length=None)


def replayed(given: Market | None = None, **options: Any) -> Result:
    """The run whose fingerprint is pinned."""
    return replay_orders(ORDERS, given or market(), **options)


def played() -> Result:
    """A strategy's run, its decisions paid."""
    told = signals({"ts": t(3), "arrival_ts": t(4), "cost": 0.125})
    return backtest(Sends(qty=2.0, stop=97.0, target=108.0), market().with_signals(told))


def pinned() -> dict[str, str]:
    """Both fingerprints."""
    return {"replayed": replayed().fingerprint, "played": played().fingerprint}


def test_the_run_does_something() -> None:
    """What is pinned has every kind of row."""
    result = replayed()
    assert set(result.orders["status"]) == {"filled", "cancelled", "expired", "rejected", "open"}
    assert set(result.fills["instrument"]) == {"made:AAA", "made:BBB"}
    final = result.manifest["final"]
    assert all(final[name] != 0.0 for name in ("realised", "fees", "funding", "position:made:AAA"))
    assert set(result.fills["maker"]) == {True, False}
    assert played().manifest["final"]["tokens"] == 0.125


def test_pinned() -> None:
    """R1: these runs have these fingerprints, on every machine and interpreter."""
    assert pinned() == {"replayed": REPLAYED, "played": PLAYED}


@pytest.mark.parametrize("more", [{"PYTHONHASHSEED": "9"}, {"PYTHONHASHSEED": "1", "NUMBA_DISABLE_JIT": "1"}])
def test_another_process(more: dict[str, str], tmp_path: Path) -> None:
    """R1: nor does it depend on the process, its hash seed, its folder, or the compiler."""
    code = "import json; from tests.test_fingerprint import pinned; print(json.dumps(pinned()))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **more}, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"replayed": REPLAYED, "played": PLAYED}


def test_a_hundred_runs_are_one() -> None:
    """R1: 100 of 100, scripted, compiled and plain."""
    data = market()
    assert {replayed(data).fingerprint for _ in range(100)} == {REPLAYED}
    for cls in (Sends, written(Sends)):
        runs = {backtest(cls(qty=2.0, stop=97.0), data).fingerprint for _ in range(50)}
        assert len(runs) == 1


# ---- what it must not depend on


def test_no_names() -> None:
    """rules 2: no names and paths: not the market's, not the instruments', not the strategy's."""
    assert replayed(market(name="another")).fingerprint == REPLAYED
    other = replayed(market(ids=("venue:XYZ", "place:ABC")))
    assert other.fingerprint == REPLAYED
    assert set(other.fills["instrument"]) == {"venue:XYZ", "place:ABC"}
    renamed = type("Renamed", (Sends,), {"__module__": Sends.__module__, "__doc__": "Another."})
    one, two = (backtest(cls(stop=97.0), market()) for cls in (Sends, renamed))
    assert one.fingerprint == two.fingerprint


@pytest.mark.parametrize("more", [{"strict": True}, {"sample": "1h"}, {"seed": 7}, {"cash": 10_000}])
def test_no_options_that_change_nothing(more: dict[str, Any]) -> None:
    """rules 2: it is of what happened: checking, sampling and an unused seed are not in it."""
    assert replayed(**more).fingerprint == REPLAYED


def test_labels_of_groups_are_nothing() -> None:
    """rules 2: a group's number is in no table."""
    one, seven = (replay_orders(ORDERS.with_columns(group=pl.lit(g)), market()) for g in (1, 7))
    assert one.fingerprint == seven.fingerprint
    assert one.orders.equals(seven.orders)


# ---- what it must depend on


@pytest.mark.parametrize(
    "more",
    [
        {"cash": 10_001.0}, {"costs": Costs(slippage=0.0)}, {"costs": Costs(taker=0.0011)},
        {"costs": Costs(maker=0.0)}, {"latency": Latency(order="21ms")},
        {"latency": Latency(response="21ms")},
        {"fills": Fills(at="close")}, {"fills": Fills(volume_share=0.05)},
    ],
)  # fmt: skip
def test_options_that_change_the_run(more: dict[str, Any]) -> None:
    """R1 the other way round: what changes a fill, a time or the ledger changes it."""
    assert replayed(**more).fingerprint != REPLAYED


def test_the_markets_content() -> None:
    """rules 2: one volume, one rate, one mark, one decision that no fill depends on."""
    found = {REPLAYED}
    base = market()
    rows = bars()
    rows["volume"][-1] += 1.0
    one, two = (base.slice() for _ in range(2))
    found.add(replayed(replace(one, bars={**one.bars, (0, MINUTE): rows})).fingerprint)
    found.add(replayed(two.with_funding({"ts": [t(39)], "rate": [1e-9]}, 1, unit="ns")).fingerprint)
    found.add(replayed(base.with_mark({"ts": [t(39)], "price": [100.0]}, 1, unit="ns")).fingerprint)
    found.add(replayed(base.with_signals(signals({"ts": t(1), "arrival_ts": t(2)}))).fingerprint)
    found.add(replayed(base.with_features({"ts": [t(1)], "edge": [1.0]})).fingerprint)
    assert len(found) == 6


ORDER_COLUMNS = {  # column of the public table: field of the engine's row
    "id": "id", "ts": "ts", "arrival_ts": "arrival_ts", "end_ts": "end_ts", "instrument": "instrument",
    "side": "side", "type": "kind", "tif": "tif", "status": "status", "filled_qty": "filled",
    "avg_price": "value", "last_fill_ts": "last_fill_ts", "n_fills": "n_fills", "reason": "reason",
}  # fmt: skip
FILL_COLUMNS = (
    "order_id", "ts", "seen_ts", "bar_open_ts", "instrument", "side", "price", "qty", "fee", "maker"
)  # fmt: skip
LEDGER = ("start", "realised", "fees", "funding", "tokens", "liquidation")


def outcome() -> Outcome:
    """The pinned run, before it is wrapped."""
    plan = make_plan(market())
    script = Script(ORDERS, plan.market, plan.latency)
    tables = Tables(plan.market, plan.setup(script=script.requests, orders=script.orders))
    call_until_done(tables)
    return Outcome(tables)


def differs(one: Outcome, row: Any, name: str) -> bool:
    """True when a changed cell changes the fingerprint; the cell is put back."""
    before = row[name].copy()
    if name == "side":
        row[name] = -before if before else 1
    elif name in ("maker", "instrument"):
        row[name] = 1 - before
    else:
        row[name] = before + 1 if before == before else 1.0
    changed = one.fingerprint() != REPLAYED
    row[name] = before
    assert one.fingerprint() == REPLAYED
    return changed


def test_every_field() -> None:
    """rules 2: each column of orders and fills, each entry of the final ledger."""
    one = outcome()
    assert one.fingerprint() == REPLAYED
    sent = (*ORDER_COLUMNS.values(), "qty", "price", "trigger")
    for rows, names in ((one.order_rows, sent), (one.fill_rows, FILL_COLUMNS)):
        for name in names:
            for at in (0, len(rows) - 1):
                assert differs(one, rows[at], name), (name, at)
    for name in LEDGER:
        assert differs(one, one.sim.total[0], name), name
    for k in (0, 1):
        for name in ("position", "entry"):
            assert differs(one, one.sim.account[k], name), (name, k)


def test_the_fields_are_the_tables() -> None:
    """The fields above are all columns of the tables: `qty` and `price` of orders are the engine's."""
    result = replayed()
    assert {*ORDER_COLUMNS, "qty", "price", "maker"} == set(result.orders.columns)
    assert set(FILL_COLUMNS) == set(result.fills.columns)


def test_counts_of_rows() -> None:
    """One order or one fill less is another run."""
    one = outcome()
    for name in ("order_rows", "fill_rows"):
        rows = getattr(one, name)
        setattr(one, name, rows[:-1])
        assert one.fingerprint() != REPLAYED
        setattr(one, name, rows)


@pytest.mark.parametrize(
    ("name", "asked"), [("qty", (1.21, 1.29)), ("price", (95.1, 95.4)), ("trigger", (120.1, 120.2))]
)
def test_what_was_asked(name: str, asked: tuple[float, float]) -> None:
    """rules 2: it is over the orders table, which keeps what was asked; both come to one grid value here."""
    one, other = (backtest(Sends(**{name: value}), market()) for value in asked)
    assert one.fills.equals(other.fills)
    assert not one.orders.equals(other.orders)
    assert one.fingerprint != other.fingerprint
