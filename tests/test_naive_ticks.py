"""The tick twin against hand-worked examples, and its own tables against each other."""

from __future__ import annotations

import pytest

import tests.golden_taking  # noqa: F401
from tests.golden import Golden
from tests.golden_ticks import TICKS, at, rows, snap
from tests.naive.tick_book import effective, messages, share_behind
from tests.naive.tick_cases import random_tick_case
from tests.naive.tick_coverage import coverage, missing
from tests.naive.tick_model import ASK, BID, Feed, Shot
from tests.naive.ticks import run
from tests.test_naive import check_golden


@pytest.mark.parametrize("example", TICKS, ids=lambda example: example.name)
def test_golden(example: Golden) -> None:
    check_golden(example, run(example.case))


def test_golden_names_are_unique() -> None:
    names = [example.name for example in TICKS]
    assert len(names) == len(set(names)) >= 60


def test_every_rule_fires() -> None:
    assert missing(coverage(800)) == []


def test_same_seed_same_case() -> None:
    for seed in range(20):
        assert random_tick_case(seed) == random_tick_case(seed)
        assert run(random_tick_case(seed)) == run(random_tick_case(seed))


# ---- the book of the twin, by hand


def test_effective_time() -> None:
    """5 rises, 3 is lifted to 5, 9 is cut to its arrival 7, 6 is lifted to 9 and cut to 8."""
    assert effective([(5, 6), (3, 6), (9, 7), (6, 8)]) == [5, 5, 7, 8]


def changes(*parts: list) -> list[str]:
    """The messages of a feed as text."""
    made = messages(Feed(files=[[row for part in parts for row in part]]))
    return [" ".join(f"{'ba'[s]}{tick}:{lots}" for s, tick, lots in m.rows) for m in made]


def test_snapshot_is_the_net_change() -> None:
    """Only 98 and 101 differ; 97 said twice is 3; the zero is not there."""
    made = changes(snap(0, "99:5 98:7 | 100:4 101:1"), snap(1, "99:5 98:6 97:2 97:3 96:0 | 100:4"))
    assert made == ["b99:5 b98:7 a100:4 a101:1", "a101:0 b98:6 b97:3"]


def test_two_snapshots_in_a_row() -> None:
    """Another local time begins another snapshot, an update in between ends the first."""
    assert changes(snap(0, "99:5 98:7"), snap(1, "98:7")) == ["b99:5 b98:7", "b99:0"]
    inside = [*snap(1, "99:1"), *rows(1, "97:2"), *snap(1, "98:3")]
    assert changes(snap(0, "99:5"), inside) == ["b99:5", "b99:0 b98:3"]


def test_crossed_levels_go_by_age() -> None:
    """The ask of 98 is newest: 99 goes, then 98; a no-op row had made 97 no newer than that."""
    book = snap(0, "99:5 98:7 97:1 | 100:4")
    assert changes(book, rows(1, "| 98:2")) == ["b99:5 b98:7 b97:1 a100:4", "b99:0 b98:0 a98:2"]
    # in one message: the bid of 100 comes after the ask of 100 and takes its place
    assert changes(book, rows(1, "| 100:9") + rows(1, "100:1"))[1] == "a100:0 b100:1"
    # the ask of 99 is said first and the bid of 99 again: the ask never was
    assert changes(book, rows(1, "| 99:9") + rows(1, "99:5"))[1] == ""


def test_shots() -> None:
    """Two levels a side: 97 slips out of view, 99 between is taken away, one level is the whole side."""
    shots = [Shot(at(n), at(n), bids, ((101, 1), (102, 1))) for n, bids in enumerate(
        [((98, 1), (97, 2)), ((99, 1), (98, 1)), ((98, 1), (97, 2)), ((96, 4),), ()])]
    made = [sorted(m.rows) for m in messages(Feed(shots=shots, depth=2))]
    assert made[0] == [(BID, 97, 2), (BID, 98, 1), (ASK, 101, 1), (ASK, 102, 1)]
    assert made[1] == [(BID, 97, -1), (BID, 99, 1)]
    assert made[2] == [(BID, 97, 2), (BID, 99, 0)]
    assert made[3] == [(BID, 96, 4), (BID, 97, 0), (BID, 98, 0)]
    assert made[4] == [(BID, 96, 0)]


def test_share_behind() -> None:
    assert share_behind("power:1", 10.0, 5.0, 1.0) == pytest.approx(10 / 15)
    assert share_behind("power:2", 10.0, 5.0, 1.0) == pytest.approx(100 / 125)
    assert share_behind("log", 10.0, 5.0, 0.1) == pytest.approx(0.6309297535714574)  # ln 2 / (ln 2 + ln 1.5)
    assert share_behind("power:1", 0.0, 0.0, 1.0) is None


# ---- what one run says of itself


@pytest.mark.parametrize("seed", range(300))
def test_books(seed: int) -> None:
    """Positions, fees, realised and stamps agree across the tables."""
    case = random_tick_case(seed)
    result = run(case)
    final, fills = result["final"], result["fills"]
    money = sum(abs(row["gross"]) for row in result["trades"]) + case.options.cash
    for k, position in enumerate(final["positions"]):
        size = sum(f["qty"] for f in fills if f["instrument"] == k)
        total = sum(f["side"] * f["qty"] for f in fills if f["instrument"] == k)
        assert position == pytest.approx(total, abs=1e-9 * max(1.0, size))
    assert final["fees"] == pytest.approx(sum(f["fee"] for f in fills), abs=1e-9 * money)
    if not any(final["positions"]):
        assert final["realised"] == pytest.approx(sum(r["gross"] for r in result["trades"]), abs=1e-8 * money)
    amended = {row["id"] for row in case.orders if row["type"] == "amend"}
    for order in result["orders"]:
        if order["id"] not in amended:
            assert order["filled_qty"] <= (order["qty"] or 0.0) * (1 + 1e-9)
    for name in ("ts", "seen_ts"):
        assert [f[name] for f in fills] == sorted(f[name] for f in fills)
    stamps = [row["ts"] for row in result["equity"]]
    assert stamps == sorted(set(stamps))
    assert all(ts % 10**9 == 0 for ts in stamps[:-1])


@pytest.mark.parametrize("seed", range(300))
def test_fills_are_legal(seed: int) -> None:
    """Never before the arrival, after the end, or worse than the limit; makers at their own price."""
    case = random_tick_case(seed)
    result = run(case)
    orders = {row["id"]: row for row in result["orders"]}
    for fill in result["fills"]:
        order = orders[fill["order_id"]]
        assert fill["ts"] >= order["arrival_ts"]
        assert order["end_ts"] is None or fill["ts"] <= order["end_ts"]
        amends = [r["price"] for r in case.orders if r["type"] == "amend" and r["id"] == order["id"]
                  and r.get("price") is not None]  # fmt: skip
        if order["type"] == "limit":
            limits = [order["price"], *amends]
            worst = max(limits) if fill["side"] > 0 else min(limits)
            assert (fill["price"] - worst) * fill["side"] <= 1e-9 * worst
            assert not fill["maker"] or any(fill["price"] == pytest.approx(x, rel=1e-12) for x in limits)
