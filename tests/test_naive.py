"""The naive twin against hand-worked examples, and its own books against its fills."""

from __future__ import annotations

import pytest

import tests.golden_matching
import tests.golden_money
import tests.golden_order  # noqa: F401
from tests.golden import GOLDEN, Golden, t
from tests.naive.candles import run
from tests.naive.cases import random_case
from tests.naive.coverage import coverage, missing

CLOSE = {"rel": 1e-12, "abs": 1e-12}


def check_golden(example: Golden, result: dict) -> None:
    """Compare a run with an example; used for the twin here and for the engine in test_fuzz_candles.py."""
    check_fills(example, result["fills"])
    orders = {row["id"]: row for row in result["orders"]}
    for id_, expected in example.orders.items():
        assert (orders[id_]["status"], orders[id_]["reason"]) == expected, id_
    for id_, qty in example.qtys.items():
        assert orders[id_]["filled_qty"] == pytest.approx(qty, **CLOSE)
    for id_, end in example.ends.items():
        assert orders[id_]["end_ts"] == end
    assert (result["ambiguous"], result["late"], result["status"]) == (
        example.ambiguous, example.late, example.outcome)
    if example.equity is not None:
        assert [row["ts"] for row in result["equity"]] == [ts for ts, _ in example.equity]
        assert [row["equity"] for row in result["equity"]] == pytest.approx([e for _, e in example.equity])
    if example.trades is not None:
        assert len(result["trades"]) == len(example.trades)
        for row, expected in zip(result["trades"], example.trades, strict=True):
            assert {name: row[name] for name in expected} == pytest.approx(expected)
    for name, value in (example.final or {}).items():
        assert result["final"][name] == pytest.approx(value, abs=1e-9), name


def check_fills(example: Golden, fills: list[dict]) -> None:
    """Every expected fill in order, to the last digit where the example says so."""
    assert [(row["order_id"], row["ts"]) for row in fills] == [(f.order, f.ts) for f in example.fills]
    for row, want in zip(fills, example.fills, strict=True):
        assert row["price"] == pytest.approx(want.price, **CLOSE)
        assert row["qty"] == pytest.approx(want.qty, **CLOSE)
        for name, value in (("maker", want.maker), ("side", want.side), ("seen_ts", want.seen)):
            assert value is None or row[name] == value, name
        assert want.bar is None or row["bar_open_ts"] == t(want.bar)
        assert want.fee is None or row["fee"] == pytest.approx(want.fee, abs=1e-12)


@pytest.mark.parametrize("example", GOLDEN, ids=lambda example: example.name)
def test_golden(example: Golden) -> None:
    check_golden(example, run(example.case))


def test_golden_names_are_unique() -> None:
    names = [example.name for example in GOLDEN]
    assert len(names) == len(set(names)) >= 45


def test_every_rule_fires() -> None:
    assert missing(coverage(2_000)) == []


def test_same_seed_same_case() -> None:
    for seed in range(20):
        assert random_case(seed) == random_case(seed)
        assert run(random_case(seed)) == run(random_case(seed))


@pytest.mark.parametrize("seed", range(400))
def test_books(seed: int) -> None:
    """What the tables say of one run agrees: positions, fees, realised against trades, equity rows."""
    case = random_case(seed)
    result = run(case)
    final, fills = result["final"], result["fills"]
    for k, position in enumerate(final["positions"]):
        total = sum(f["side"] * f["qty"] for f in fills if f["instrument"] == k)
        size = sum(f["qty"] for f in fills if f["instrument"] == k)
        assert position == pytest.approx(total, abs=1e-9 * max(1.0, size))
    money = sum(abs(row["gross"]) for row in result["trades"]) + case.options.cash
    assert final["fees"] == pytest.approx(sum(f["fee"] for f in fills), abs=1e-9 * money)
    if not any(final["positions"]):
        assert final["realised"] == pytest.approx(sum(r["gross"] for r in result["trades"]), abs=1e-8 * money)
        paid = sum(r["funding"] for r in result["trades"])
        assert final["funding"] == pytest.approx(paid, abs=1e-8 * money)
        cash = case.options.cash + final["realised"] - final["fees"] + final["funding"] + final["liquidation"]
        assert final["equity"] == pytest.approx(cash, abs=1e-9 * money)
    amended = {row["id"] for row in case.orders if row["type"] == "amend"}
    for order in result["orders"]:
        if order["id"] not in amended:
            assert order["filled_qty"] <= (order["qty"] or 0.0) * (1 + 1e-9)
        assert (order["status"] == "filled") <= (order["filled_qty"] > 0)
    stamps = [f["seen_ts"] for f in fills]
    assert stamps == sorted(stamps)
    assert [f["ts"] for f in fills] == sorted(f["ts"] for f in fills)
    closes = {row[1] for rows in case.bars for row in rows}
    assert [row["ts"] for row in result["equity"]] == sorted(closes)


@pytest.mark.parametrize("seed", range(400))
def test_fills_are_legal(seed: int) -> None:
    """R4: inside the bar, not worse than the limit, not before the arrival, volume share kept."""
    case = random_case(seed)
    result = run(case)
    orders = {row["id"]: row for row in result["orders"]}
    taken: dict[tuple[int, int], float] = {}
    for fill in result["fills"]:
        order, k = orders[fill["order_id"]], fill["instrument"]
        bar = next(row for row in case.bars[k] if row[0] == fill["bar_open_ts"])
        assert fill["ts"] >= order["arrival_ts"]
        assert order["end_ts"] is None or fill["ts"] <= order["end_ts"]
        if fill["maker"]:
            amends = [r["price"] for r in case.orders if r["type"] == "amend" and r["id"] == order["id"]
                      and r.get("price") is not None]  # fmt: skip
            assert order["type"] in ("limit", "stop_limit")
            assert fill["price"] in (order["price"], *amends), (seed, fill)
            assert bar[4] <= fill["price"] <= bar[3], (seed, fill)
        if order["type"] != "liquidation":
            taken[k, bar[0]] = taken.get((k, bar[0]), 0.0) + fill["qty"]
            share = case.options.volume_share
            assert share is None or taken[k, bar[0]] <= share * bar[6] * (1 + 1e-9)
