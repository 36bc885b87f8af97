"""What is refused at the door: cells of an orders frame by row and column, two currencies in one account."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from framework import Strategy, backtest, replay_orders
from framework.errors import ConfigError, DataError
from tests.golden import t
from tests.small import FLAT, buy, column, made, replay, sell

GRID = {"tick_size": 0.5, "lot_size": 0.1}
LIMIT = buy(t(1), 1.0, "limit", price=99.5)
CELLS: list[tuple[str, dict[str, Any], str, str]] = [
    ("price off the grid", {**LIMIT, "price": 99.6}, "price", r"99\.6\)? is off the grid .*tick size 0\.5"),
    ("qty off the lot", {**LIMIT, "qty": 1.05}, "qty", r"1\.05\)? is off the grid .*lot size 0\.1"),
    ("trigger off the grid", buy(t(1), 1.0, "stop", trigger=101.2), "trigger", "off the grid"),
    ("stop off the grid", buy(t(1), stop=90.1), "stop", "off the grid"),
    ("target off the grid", buy(t(1), target=110.1), "target", "off the grid"),
    ("trail off the grid", buy(t(1), trail=1.1), "trail", "off the grid"),
    ("unknown side", {**LIMIT, "side": "long"}, "side", "'long' must be buy or sell"),
    ("no side", {**LIMIT, "side": None}, "side", "None must be buy or sell"),
    ("unknown type", {**LIMIT, "type": "limits"}, "type", "'limits' is unknown.*limit"),
    ("unknown tif", {**LIMIT, "tif": "DAY"}, "tif", "'DAY' is unknown"),
    ("GTD without a time", {**LIMIT, "tif": "GTD"}, "expire_ts", "needs an expire_ts"),
    ("qty and share", {**LIMIT, "share": 0.5}, "qty", "exactly one of qty and share, got qty and share"),
    ("neither", {**LIMIT, "qty": None}, "qty", "exactly one of qty and share, got none"),
    ("limit without price", {**LIMIT, "price": None}, "price", "a limit order needs a price"),
    ("stop without trigger", buy(t(1), 1.0, "stop"), "trigger", "a stop order needs a trigger"),
    ("stop-limit without price", buy(t(1), 1.0, "stop_limit", trigger=101.0), "price", "needs a price"),
    ("stop-limit without trigger", buy(t(1), 1.0, "stop_limit", price=101.0), "trigger", "needs a trigger"),
    ("trailing without trail", buy(t(1), 1.0, "trailing"), "trail", "a trailing order needs a trail"),
    ("market with a price", buy(t(1), 1.0, "market", price=99.5), "price", "a market order takes no price"),
    ("unknown instrument", {**LIMIT, "instrument": "made:AAB"}, "instrument", "not in the market.*made:AAA"),
    ("negative qty", {**LIMIT, "qty": -1.0}, "qty", "finite and above 0"),
    ("endless price", {**LIMIT, "price": float("inf")}, "price", "finite and above 0"),
    ("no time", {**LIMIT, "ts": None}, "ts", "is missing"),
    ("half an id", {**LIMIT, "id": 2.5}, "id", "not a whole number"),
    ("amend of nobody", {"ts": t(1), "type": "amend", "price": 99.5, "id": 77}, "id", "no order .* id 77"),
]


@pytest.mark.parametrize(("row", "name", "words"), [c[1:] for c in CELLS], ids=[c[0] for c in CELLS])
def test_a_cell_is_refused_by_row_and_column(row: dict[str, Any], name: str, words: str) -> None:
    """rules 2: a bad cell is one line with row, column and what is wrong; its row counts from 1."""
    market = made(FLAT, FLAT, **GRID)
    with pytest.raises(DataError, match=f"^orders row 2, {name}: .*{words}") as caught:
        replay(market, LIMIT, row)
    assert "\n" not in str(caught.value)


def test_the_good_row_alone_is_taken() -> None:
    """The refusals above are of the second row."""
    result = replay(made(FLAT, "100 100 99.5 100", **GRID), LIMIT)
    assert column(result, "fills", "price") == [99.5]


def test_columns_are_refused_by_name() -> None:
    """rules 2: unknown columns and a missing ts are named, with what was meant."""
    market = made(FLAT, FLAT, **GRID)
    with pytest.raises(DataError, match=r"unknown column 'prise'.*price"):
        replay(market, {**LIMIT, "prise": 1.0})
    with pytest.raises(DataError, match="no column 'ts'"):
        replay(market, {"side": "buy", "qty": 1.0})
    with pytest.raises(DataError, match="stands twice"):
        replay(market, {**LIMIT, "id": 3}, {**LIMIT, "id": 3})


def test_two_instruments_need_a_name() -> None:
    """rules 2: with several instruments a row says which one; with one it may be left out."""
    market = made(FLAT, FLAT) + made(FLAT, FLAT, id="made:BBB")
    with pytest.raises(DataError, match=r"^orders row 1, instrument: None is not in the market"):
        replay(market, buy(t(1)))
    done = replay(market, buy(t(1), instrument="BBB"), sell(t(1), instrument="made:AAA"))
    assert column(done, "fills", "instrument") == ["made:BBB", "made:AAA"]


def test_equal_ts_keep_the_frame_order() -> None:
    """rules 2: orders of one time act in the frame's order, whatever their ids say."""
    market = made(FLAT, FLAT)
    rows = ({**buy(t(1), 60.0), "id": 9}, {**buy(t(1), 60.0), "id": 4})
    assert column(replay(market, *rows), "fills", "order_id") == [9]  # 12,000 is more than the account
    assert column(replay(market, *rows[::-1]), "fills", "order_id") == [4]


def test_a_cancel_before_its_order_or_after_its_end_is_nothing() -> None:
    """rules 2: a cancel acts at cancel_ts + order latency; nothing when the order is known to be final."""
    market = made(FLAT, FLAT, "100 100 97 100", FLAT)
    order = buy(t(1), 1.0, "limit", price=98.0)
    late = replay(market, {**order, "cancel_ts": t(3)})
    assert column(late, "orders", "status") == ["filled"]
    assert column(late, "orders", "end_ts") == [t(3)]
    early = replay(market, {**order, "cancel_ts": t(2, 1)})
    assert column(early, "orders", "status") == ["cancelled"]
    assert column(early, "orders", "end_ts") == [t(2, 1)]
    assert len(early.fills) == 0


@pytest.mark.parametrize("how", ["backtest", "replay"])
def test_one_settlement_currency(how: str) -> None:
    """rules 1: an instrument that settles in another currency is refused, and both are named."""
    market = made(FLAT, FLAT, settle="USD") + made(FLAT, FLAT, id="made:BBB", settle="EUR")
    words = "one settlement currency; here made:AAA in USD, made:BBB in EUR"
    idle = type("Idle", (Strategy,), {})
    order = buy(t(1), instrument="made:AAA")
    with pytest.raises(ConfigError, match=words):
        replay(market, order) if how == "replay" else backtest(idle, market)
    same = made(FLAT, FLAT, settle="EUR") + made(FLAT, FLAT, id="made:BBB", settle="EUR")
    assert len(replay(same, buy(t(1), instrument="made:AAA")).fills) == 1


def test_pandas_frames_are_refused_alike() -> None:
    """rules 2: a pandas frame is the same input."""
    frame = pl.DataFrame([LIMIT, {**LIMIT, "price": 99.6}])
    pandas = pytest.importorskip("pandas").DataFrame(frame.to_dict(as_series=False))
    with pytest.raises(DataError, match=r"^orders row 2, price: .*99\.6.* is off the grid"):
        replay_orders(pandas, made(FLAT, FLAT, **GRID))


def test_a_cell_is_shown_as_it_was_written() -> None:
    """house 6: the message has the value, not how a library keeps it."""
    market = made(FLAT, FLAT, **GRID)
    for name, value, words in (("price", 99.6, "price: 99.6 is off"), ("qty", -1.0, "qty: -1.0 must")):
        with pytest.raises(DataError) as caught:
            replay(market, {**LIMIT, name: value})
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        ([{**LIMIT, "id": 3}, {**LIMIT, "id": 3}], "id"),
        ([{**LIMIT, "qty": "1"}, {**LIMIT, "qty": "many"}], "qty"),
        ([{**LIMIT, "group": None}, {**LIMIT, "group": "left"}], "group"),
        ([LIMIT, {**LIMIT, "cancel_ts": t(0)}], "cancel_ts"),
        ([LIMIT, {**LIMIT, "cancel_ts": "later"}], "cancel_ts"),
    ],
    ids=["an id twice", "no number", "no group", "cancelled before it is sent", "no time"],
)
def test_more_cells_are_refused_by_row_and_column(rows: list[dict[str, Any]], name: str) -> None:
    """rules 2: these too say which row and which column."""
    with pytest.raises(DataError, match=rf"^orders row 2, {name}: "):
        replay(made(FLAT, FLAT, **GRID), *rows)
