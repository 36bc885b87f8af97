"""Masked questions: nothing of name, date and level is left, and answers come back on the tick."""

from __future__ import annotations

import dataclasses
import random
import re
from typing import Any

import numpy as np
import pytest

from framework.errors import ConfigError
from framework.llm import cutoffs
from framework.llm.decision import Prompt
from framework.llm.facts import AsOf
from framework.llm.masking import EPOCH, WEEK_NS, Mask, Masked, on_tick, unmask
from framework.llm.prompt import Brief, make_brief
from framework.llm.rules import Rules, direction_of, regime_of
from framework.llm.signal import TradingSignal, parse
from tests.test_llm_prompt import HOUR, bars_of

SYMBOL = "coinbase:BTC-USD"


def question(seed: int = 1, scale: float = 4000.0, **added: Any) -> Prompt:
    bars = bars_of(200, seed, scale)
    now = int(bars["close_ts"][-1])
    book = (now, [[scale * 0.999, 2.0]], [[scale * 1.001, 1.0]])
    trades = (np.array([now]), np.array([0.5]), np.array([1]))
    facts = {
        "day high": AsOf(scale * 1.1, now, "price"), "open interest": AsOf(77.5, now, "volume"),
        "BTC share": AsOf(0.4, now), "news": AsOf("halving in May 2020", now), "rank": AsOf(3, now),
    }  # fmt: skip
    features = {"mark_price:coinbase:BTC-USD": (now, scale), "funding": (now, 0.0001)}
    return Prompt.of(make_brief(now, SYMBOL, HOUR, bars, book=book, trades=trades, facts=facts,
                                features=features, **added))  # fmt: skip


def test_nothing_tells_name_date_or_level() -> None:
    prompt = question()
    masked = Mask(7).prompt(prompt)
    assert masked.mask == 7
    assert masked.brief.symbol == Mask(7).symbol(SYMBOL) != Mask(8).symbol(SYMBOL)
    for word in ("BTC", "coinbase", "2019", "halving"):
        assert word in prompt.text
        assert word not in masked.text
    assert [fact[0] for fact in masked.brief.facts] == ["day high", "open interest", "rank"]
    assert [name for name, _ in masked.brief.features] == ["funding"]
    amounts = set(re.findall(r"\d+\.\d{2,}", prompt.text)) & set(re.findall(r"\d+\.\d{2,}", masked.text))
    scales = {line for line in masked.text.splitlines() if line.startswith(
        ("24 h", "RSI", "Bollinger", "Trend", "Slope", "Volatility", "Order book", "Last", "funding"))}
    assert all(any(one in line for line in scales) for one in amounts)  # what is left is free of scale


def test_time_of_the_week_stays_and_all_scales_together() -> None:
    prompt = question()
    mask, was = Mask(3), prompt.brief
    now = mask.brief(was)
    assert EPOCH <= now.ts < EPOCH + WEEK_NS
    assert (was.ts - now.ts) % WEEK_NS == 0
    assert {was.ts - now.ts} == {a[0] - b[0] for a, b in zip(was.candles, now.candles, strict=True)}
    price, volume = mask.price_factor(SYMBOL), mask.volume_factor(SYMBOL)
    for factor in (price, volume):
        assert 2.0 <= max(factor, 1.0 / factor) <= 20.0
    assert now.price == was.price * price
    assert now.mid == pytest.approx(was.mid * price)  # type: ignore[operator]
    assert now.candles[-1][5] == was.candles[-1][5] * volume
    for name in ("rsi", "trend", "slope", "bollinger", "volatility", "book_imbalance", "change_24h"):
        assert getattr(now, name) == getattr(was, name)
    assert direction_of(now, regime_of(now)) == direction_of(was, regime_of(was))


def test_levels_come_back_on_the_tick_and_are_judged_after_rounding() -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    refused = 0
    for _ in range(400):
        scale = 10.0 ** draw.uniform(-4, 5)
        prompt = plain(scale)
        mask, tick = Mask(draw.randrange(10**6)), draw.choice((0.0, 10.0 ** draw.randint(-7, 3), 0.25, 2.5))
        side, far = draw.choice((1, -1)), draw.uniform(0.0005, 0.2)
        entry = prompt.brief.price * draw.uniform(0.99, 1.01)
        levels = (entry, entry * (1 - side * far), entry * (1 + side * far))
        factor = mask.price_factor(prompt.brief.symbol)
        said = signal(side, *(level * factor for level in levels))
        found = unmask(parse(said, price=mask.prompt(prompt).brief.price), prompt, mask, tick)
        rounded = [round(level / tick) * tick if tick else level for level in levels]
        if found.signal is None:
            refused += 1
            assert tick > 0.0
            assert found.status == "invalid"
            assert not rounded[0] > 0 or not side * rounded[1] < side * rounded[0] < side * rounded[2] or (
                max(abs(level / prompt.brief.price - 1.0) for level in rounded) > 0.4999)
            continue
        got = (found.signal.suggested_entry, found.signal.stop_loss, found.signal.take_profit)
        assert got == pytest.approx(rounded, rel=1e-9)
        if tick:
            assert all(level == on_tick(level, tick) for level in got if level is not None)
        assert (found.signal.symbol, found.signal.timestamp) == (prompt.brief.symbol, prompt.ts)
    assert 0 < refused < 400


def plain(price: float) -> Prompt:
    bars = bars_of(3, scale=price)
    return Prompt.of(make_brief(int(bars["close_ts"][-1]), "x:A-B", HOUR, bars))


def signal(side: int, entry: float, stop: float, target: float) -> str:
    made = TradingSignal(direction="long" if side > 0 else "short", confidence=0.8, suggested_entry=entry,
                         stop_loss=stop, take_profit=target, position_size_pct=0.1)  # fmt: skip
    return made.model_dump_json(exclude={"symbol", "timestamp", "risk_reward_ratio"})


def test_a_stop_that_falls_on_the_entry_is_refused_only_after_rounding() -> None:
    prompt = plain(100.0)
    price, factor = prompt.brief.price, Mask(1).price_factor("x:A-B")
    masked = parse(signal(1, price * factor, price * factor * 0.999, price * factor * 1.2),
                   price=Mask(1).prompt(prompt).brief.price)  # fmt: skip
    assert unmask(masked, prompt, Mask(1), 0.0).status == "ok"
    found = unmask(masked, prompt, Mask(1), 5.0)
    assert (found.status, found.signal) == ("invalid", None)
    (problem,) = found.problems
    assert problem == "unmasked and rounded to 5: stop_loss: on the wrong side of the entry for a long"


class Instrument:
    tick_size = 0.5


def test_an_analyst_behind_a_mask_answers_in_the_markets_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = [question(seed) for seed in range(40)]
    inner = Rules()
    analyst = Masked(inner, 5, [Instrument()])
    found = analyst.decide(prompts)
    assert [d.ts for d in found] == [p.ts for p in prompts]
    plainly = Rules().decide(prompts)
    traded = [(d, p, q) for d, p, q in zip(found, plainly, prompts, strict=True) if d.signal and p.signal
              and p.signal.direction != "neutral"]  # fmt: skip
    assert len(traded) > 3
    for masked, real, prompt in traded:
        assert masked.signal is not None
        assert masked.signal.direction == real.signal.direction  # type: ignore[union-attr]
        assert masked.signal.suggested_entry == on_tick(prompt.brief.price, 0.5)
    assert {row["request"]["body"]["messages"][0]["content"] for row in analyst.records()} == {
        Mask(5).prompt(p).text for p in prompts}
    assert {row["symbol"][:6] for row in analyst.records()} == {"ASSET-"}
    assert analyst.describe()["mask"] == {"seed": 5}
    assert analyst.describe()["name"] == "Rules (offline stand-in, no model was asked), masked"
    monkeypatch.setattr(inner, "stand_in", False)
    assert {d.in_sample for d in Masked(inner, 5).decide(prompts)} == {1}  # of the real time, not of 2001
    assert cutoffs.in_sample("deepseek-v3.2", EPOCH) == 1
    with pytest.raises(ConfigError, match="seed='1'"):
        Masked(inner, "1")  # type: ignore[arg-type]


def test_masks_follow_from_seed_and_symbol_on_every_machine() -> None:
    mask = Mask(1)
    assert (mask.symbol(SYMBOL), repr(mask.price_factor(SYMBOL)), repr(mask.volume_factor(SYMBOL))) == GOLDEN
    assert dataclasses.replace(mask) == Mask(1)
    assert isinstance(mask.brief(question().brief), Brief)


GOLDEN = ("ASSET-RH", "0.18602182648045465", "0.07120807870482865")
