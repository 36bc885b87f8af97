"""Reading a model's reply: the letter of the rules, one verdict for each of a corpus."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest

from framework.errors import SignalError
from framework.llm.signal import TradingSignal, parse, plain_text
from tests.broken_replies import ACCEPTED, CASES, GOOD, NEUTRAL, PRICE, REFUSED, REPAIRED, SHORT, Row


@pytest.mark.parametrize("row", CASES, ids=[row[0] for row in CASES])
def test_verdict_of_each_reply(row: Row) -> None:
    _, text, options, status, says = row
    parsed = parse(text, price=PRICE, **options)
    assert parsed.status == status
    assert (parsed.signal is not None) == (status == "ok")
    assert (parsed.problems == ()) == (status == "ok")
    said = parsed.repairs if status == "ok" else parsed.problems
    assert any(says in line for line in said) or not says
    assert all(line.isprintable() and len(line) < 300 for line in parsed.problems)


def test_corpus_is_large_and_named_once() -> None:
    assert len(CASES) >= 180
    assert len({row[0] for row in CASES}) == len(CASES)
    assert all(parse(row[1], price=PRICE, **row[2]).repairs == () for row in ACCEPTED)
    assert all(parse(row[1], price=PRICE, **row[2]).repairs for row in REPAIRED)
    assert all(row[3] != "ok" for row in REFUSED)


def test_fields_of_the_tutorial_are_all_there() -> None:
    signal = parse(json.dumps(GOOD), price=PRICE, symbol="binance:BTCUSDT", ts=17).signal
    assert signal is not None
    assert signal.model_dump() == {
        "symbol": "binance:BTCUSDT", "regime": "trending_up", "direction": "long", "confidence": 0.8,
        "reasoning": "momentum", "suggested_entry": 100.0, "stop_loss": 95.0, "take_profit": 110.0,
        "position_size_pct": 0.2, "timestamp": 17, "risk_reward_ratio": 2.0,
    }  # fmt: skip
    assert TradingSignal.model_validate(signal.model_dump()) == signal


def test_symbol_time_and_ratio_are_never_the_models() -> None:
    text = json.dumps(GOOD | {"symbol": "x", "timestamp": 1, "risk_reward_ratio": 50})
    signal = parse(text, price=PRICE, symbol="mine", ts=5).signal
    assert signal is not None
    assert (signal.symbol, signal.timestamp, signal.risk_reward_ratio) == ("mine", 5, 2.0)


def test_short_and_neutral_values() -> None:
    short = parse(json.dumps(SHORT), price=PRICE).signal
    neutral = parse(json.dumps(GOOD | {"direction": "neutral"}), price=PRICE).signal
    assert short is not None
    assert short.risk_reward_ratio == 2.0
    assert neutral is not None
    assert (neutral.suggested_entry, neutral.stop_loss, neutral.take_profit) == (None, None, None)
    assert neutral.risk_reward_ratio is None
    assert parse(json.dumps(NEUTRAL), price=PRICE).signal is not None


def test_reasoning_is_one_clean_line() -> None:
    assert plain_text("a\x00b\x1b[31mc\u202ed\u200be\ud800f\n\n g\t\u2028h") == "ab[31mcdef g h"
    assert plain_text("x" * 1000) == "x" * 200
    assert plain_text("é" * 1000) == "é" * 200
    assert plain_text(" \n ") == ""
    signal = parse(json.dumps(GOOD | {"reasoning": "ok\r\n\x07" + "y" * 999}), price=PRICE).signal
    assert signal is not None
    assert len(signal.reasoning) == 200
    assert signal.reasoning.isprintable()


@pytest.mark.parametrize("price", [0.0, -1.0, float("nan"), float("inf")])
def test_a_market_without_price_is_our_mistake(price: float) -> None:
    with pytest.raises(SignalError, match="price"):
        parse(json.dumps(GOOD), price=price)


def test_the_model_class_checks_itself() -> None:
    for change in (
        {"confidence": True},
        {"stop_loss": 105.0},
        {"position_size_pct": 0.0},
        {"direction": "buy"},
    ):
        with pytest.raises(ValueError, match="validation error"):
            TradingSignal.model_validate(GOOD | change)
    with pytest.raises(ValueError, match="no levels"):
        TradingSignal.model_validate(GOOD | {"direction": "neutral"})


def test_mutated_replies_never_raise_and_never_pass_a_broken_signal() -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    texts = [row[1] for row in CASES if len(row[1]) < 2000]
    accepted = 0
    for _ in range(3000):
        text = _mutated(draw.choice(texts), draw)
        parsed = parse(text, price=PRICE)
        if parsed.signal is not None:
            accepted += 1
            _check(parsed.signal.model_dump())
    assert accepted


def _mutated(text: str, draw: random.Random) -> str:
    letters = list(text)
    for _ in range(draw.randint(1, 4)):
        place = draw.randint(0, len(letters))
        move = draw.randrange(3)
        if move == 0 and letters:
            del letters[min(place, len(letters) - 1)]
        elif move == 1:
            letters.insert(place, draw.choice('{}[]",:0159-.eENaN\\/ \n`<%\x00é'))
        elif letters:
            start = draw.randrange(len(letters))
            letters[place:place] = letters[start : start + draw.randint(1, 30)]
    return "".join(letters)


def _check(row: dict[str, Any]) -> None:
    assert 0.0 <= row["confidence"] <= 1.0
    if row["direction"] == "neutral":
        assert row["stop_loss"] is None
        return
    side = 1 if row["direction"] == "long" else -1
    assert side * row["stop_loss"] < side * row["suggested_entry"] < side * row["take_profit"]
    assert all(50.0 <= row[name] <= 150.0 for name in ("stop_loss", "suggested_entry", "take_profit"))
    assert 0.0 < row["position_size_pct"] <= 1.0


def test_no_reply_is_slow() -> None:
    hostile = ["{" * 900_000, "<think>" * 100_000, "```json\n" * 100_000, '{"a":' * 150_000, "{}" * 400_000,
               json.dumps(GOOD | {"reasoning": "\u0301" * 150_000}), "} " * 400_000,
               "`" * 900_000]  # fmt: skip
    start = time.process_time()
    for text in hostile:
        parse(text, price=PRICE)
    assert time.process_time() - start < 5.0
