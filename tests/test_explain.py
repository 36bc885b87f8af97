"""explain: the story of an order on ticks and on candles, each rule in words, and the command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from framework import Costs, Latency, Result, replay_orders
from framework.cli import main
from framework.errors import ConfigError
from framework.records import REASONS
from framework.report.reasons import WHY
from tests.golden import t
from tests.small import FLAT, buy, made, replay
from tests.tick_frames import coin, ms, tick_market

ROOT = Path(__file__).parent.parent
BOOK = [
    (ms(0), ms(1), [("bid", 99, 5), ("bid", 98, 7), ("ask", 101, 4), ("ask", 102, 9)]),
    (ms(300), ms(301), [("bid", 99, 8)]),
    (ms(700), ms(701), [("bid", 99, 2)]),
]
FALLING = [*BOOK[:2], (ms(650), ms(650), [("bid", 99, 0), ("ask", 99, 1)])]
TRADES = [(ms(400), ms(401), 99, 4, -1), (ms(500), ms(501), 101, 1, 1), (ms(600), ms(601), 99, 6, -1)]


def told(orders: list[dict[str, Any]], messages: Any = BOOK, trades: Any = TRADES, **options: Any) -> Result:
    """The result of orders (times in ms) over a small tick market with the tick and lot of 1."""
    market = tick_market(messages, trades, what=coin(maker=0.0, taker=0.0))
    rows = [{"instrument": "made:AAA", "type": "limit", **one, "ts": ms(one["ts"])} for one in orders]
    chosen = {"costs": Costs(slippage=0.0), "latency": Latency(order="10ms", response="5ms"), **options}
    return replay_orders(pd.DataFrame(rows), market, **chosen)


def test_every_reason_has_its_words() -> None:
    assert set(WHY) == set(REASONS) - {""}


def test_a_maker_that_waited_its_turn() -> None:
    text = told([{"ts": 100, "side": "buy", "qty": 2.0, "price": 99.0}]).explain(1)
    lines = text.splitlines()
    assert lines[0] == (
        "order 1: buy 2.00 made:AAA, limit at 99.00, GTC: filled, 2.00 filled at 99.00 on average"
    )
    assert [line.strip().partition("  ")[2] for line in lines[1:-2]] == [
        "sent",
        "at the exchange (10 ms): best bid 99.00 (5.00), best ask 101.00 (4.00), 5.00 shown at its price",
        "5.00 ahead of it in the queue, 5.00 shown there (it joined the queue)",
        "8.00 shown at its price",
        "5.00 ahead of it in the queue, 8.00 shown there (its level changed)",
        "trade of 4.00 at 99.00, at its price",
        "1.00 ahead of it in the queue, 8.00 shown there, 4.00 traded since (a trade at its price)",
        "trade of 6.00 at 99.00, at its price",
        "0.00 ahead of it in the queue, 8.00 shown there, 10.00 traded since (a trade at its price)",
        "filled 2.00 at 99.00 as maker; fee 0.00",
        "the fill of 2.00 is known to the strategy",
    ]
    assert lines[-2] == (
        "while it rested (490 ms): 2 trades at its price (10.00 in all); lowest ask 101.00, 2 ticks away"
    )
    assert lines[-1].startswith("why: trades at its price used up the queue")


@pytest.mark.parametrize(
    ("order", "messages", "trades", "words"),
    [
        ({"price": 100.0}, BOOK, [(ms(400), ms(400), 98, 1, -1)], "a trade went through its limit"),
        ({"price": 99.0}, FALLING, [], "reached its limit"),
        ({"price": 102.0}, BOOK, TRADES, "at or within its limit on arrival"),
        ({"type": "market"}, BOOK, TRADES, "a market order trades on arrival"),
        ({"price": 101.0, "post_only": True}, BOOK, TRADES, "a post-only order may not take"),
        ({"price": 101.0, "qty": 9.0, "tif": "IOC"}, BOOK, TRADES, "immediate or cancel"),
        ({"price": 101.0, "qty": 9.0, "tif": "FOK"}, BOOK, TRADES, "fill or kill"),
        ({"price": 97.0}, BOOK, TRADES, "it was still working"),
        ({"price": 97.0, "cancel_ts": ms(350)}, BOOK, TRADES, "the strategy's cancel reached the exchange"),
        ({"type": "market", "qty": 90.0}, BOOK, TRADES, "the opposite side of the book held no more"),
        ({"type": "stop", "trigger": 101.0}, BOOK, TRADES, "its trigger was reached"),
        ({"type": "market"}, None, TRADES, "without a book every trade is a price"),
        ({"type": "market", "ts": 695}, BOOK, TRADES, "before it arrived"),
    ],
)
def test_each_rule_in_words(order: dict[str, Any], messages: Any, trades: Any, words: str) -> None:
    result = told([{"ts": 100, "side": "buy", "qty": 2.0, **order}], messages, trades or None)
    last = result.explain(1).splitlines()[-1]
    assert last.startswith("why: ")
    assert words in last, result.explain(1)


def test_of_a_long_wait_the_first_and_last_rows_are_told() -> None:
    trades = [(ms(200 + i), ms(200 + i), 99, 1, -1) for i in range(60)]
    book = [(BOOK[0][0], BOOK[0][1], [("bid", 99, 500), ("ask", 101, 4)])]
    text = told([{"ts": 100, "side": "buy", "qty": 2.0, "price": 99.0}], book, trades).explain(1)
    assert "... 105 more changes at its price" in text
    assert text.count("trade of 1.00") == 8
    assert "60 trades at its price (60.00 in all)" in text


def test_queue_rows_of_the_engine_are_told() -> None:
    result = told([{"ts": 100, "side": "buy", "qty": 2.0, "price": 99.0}])
    rows = [(ms(300), 5.0, 0.0, 8.0, "new orders join behind"), (ms(400), 1.0, 4.0, 8.0, "")]
    result._queue = lambda order_id: rows
    text = result.explain(1)
    assert "5.00 ahead of it in the queue, 8.00 shown there (new orders join behind)" in text
    assert "1.00 ahead of it in the queue, 8.00 shown there, 4.00 traded since" in text


def test_candle_orders_name_their_bar() -> None:
    near, far = (buy(t(1), kind="limit", price=price) for price in (96.0, 90.0))
    result = replay(made(FLAT, "100 101 95 99", FLAT), near, far)
    text = result.explain(1)
    assert "(open 100.00, high 101.00, low 95.00, close 99.00)" in text
    assert text.splitlines()[-1].startswith("why: the bar reached its limit")
    text = result.explain(2)
    assert "lowest low 95.00 against 90.00" in text
    assert "still working" in text


def test_a_saved_result_tells_its_tables(tmp_path: Path) -> None:
    result = told([{"ts": 100, "side": "buy", "qty": 2.0, "price": 99.0}])
    again = Result.load(result.save(tmp_path / "x"))
    text = again.explain(1)
    assert "filled 2.00 at 99.00 as maker" in text
    assert text.splitlines()[-1] == "the market is not at hand: what it did meanwhile is left out"
    for odd in (0, 2, -1):
        with pytest.raises(ConfigError, match=f"order {odd}: there is no such order; ids run from 1 to 1"):
            again.explain(odd)
    with pytest.raises(ConfigError, match="the run has no orders"):
        Result().explain(1)


def test_the_command_runs_it_again(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    strategy = str(ROOT / "strategies" / "ema_cross.py")
    assert main(["backtest", strategy, "--market", "sample:majors-1d", "--out", "x", "--no-report"]) == 0
    capsys.readouterr()
    assert main(["explain", "x", "2"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("order 2: ")
    assert " in the bar of " in text
    assert "not at hand" not in text
    assert main(["explain", "x", "99999"]) == 2
    assert "ids run from 1 to " in capsys.readouterr().err
