"""The offline stand-in: its published rule, its honesty about itself, and a strict replay of what it said."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framework.errors import CacheMiss, ConfigError, DataError
from framework.llm import (
    CassetteAnalyst,
    HolySheep,
    Prompt,
    Rules,
    make_brief,
    parse,
    read_cassette,
    write_cassette,
)
from framework.llm.prompt import Brief
from framework.llm.record import seal
from framework.llm.rules import direction_of, regime_of
from framework.records import BAR

HOUR = 3_600_000_000_000


def hourly(rows: int) -> np.ndarray[Any, Any]:
    """The first real hours of BTC-USD on Coinbase."""
    folder = Path(__file__).parent.parent / "framework" / "samples"
    found = sorted(folder.glob("*1h*.csv.gz"))
    if not found:
        pytest.skip("the bundled hourly sample is not there")
    with gzip.open(found[0], "rt") as file:
        table = np.loadtxt(file, delimiter=",", skiprows=1, max_rows=rows)
    bars = np.zeros(len(table), dtype=BAR)
    bars["open_ts"] = table[:, 0].astype(np.int64) * 1_000_000
    bars["close_ts"] = bars["open_ts"] + HOUR
    for column, name in enumerate(("open", "high", "low", "close", "volume"), 1):
        bars[name] = table[:, column]
    return bars


def questions(bars: np.ndarray[Any, Any]) -> list[Prompt]:
    """One question per 4 hours."""
    stamps = bars["close_ts"].tolist()
    return [
        Prompt.of(make_brief(ts, "coinbase:BTC-USD", HOUR, bars[: row + 1]))
        for row, ts in enumerate(stamps)
        if ts // HOUR % 4 == 0
    ]


def walk(rows: int = 900) -> list[Prompt]:
    draw = np.random.default_rng(7)
    bars = np.zeros(rows, dtype=BAR)
    close = 4000.0 * np.exp(np.cumsum(draw.normal(0.0, 0.008, rows)))
    bars["close"] = bars["open"] = close
    bars["high"], bars["low"], bars["volume"] = close * 1.003, close * 0.997, 5.0
    bars["open_ts"] = HOUR * np.arange(1, rows + 1)
    bars["close_ts"] = bars["open_ts"] + HOUR
    return questions(bars)


BRIEF = Brief(
    ts=HOUR, symbol="x:BTC", interval_ns=HOUR, price=1000.0, bar_ts=HOUR, change_24h=0.0, rsi=60.0, macd=1.0,
    macd_signal=0.5, macd_hist=0.5, bollinger=0.7, atr=10.0, trend=1.5, slope=0.5, volatility=0.01,
    volatility_long=0.01, candles=((HOUR, 1000.0, 1001.0, 999.0, 1000.0, 1.0),),
)  # fmt: skip
DOWN = replace(BRIEF, rsi=40.0, macd_hist=-0.5, trend=-1.5, slope=-0.5)
RANGE = replace(BRIEF, trend=0.1, slope=0.0)


def test_it_says_what_it_is() -> None:
    rules = Rules()
    assert rules.name == "Rules (offline stand-in, no model was asked)"
    assert (rules.stand_in, rules.model, rules.latency_ns) == (True, "rules-v1", 2_000_000_000)
    (decision,) = rules.decide([Prompt.of(BRIEF)])
    assert (decision.cost, decision.in_sample, decision.model) == (0.0, 0, "rules-v1")
    assert decision.arrival_ts == HOUR + 2_000_000_000
    assert rules.describe()["stand_in"] is True
    assert Rules("0s").latency_ns == 0
    with pytest.raises(ConfigError):
        Rules("soon")


@pytest.mark.parametrize(
    ("brief", "regime", "side"),
    [
        (BRIEF, "trending_up", 1),
        (replace(BRIEF, rsi=73.0), "trending_up", 0),
        (replace(BRIEF, rsi=49.9), "trending_up", 0),
        (replace(BRIEF, macd_hist=-0.1), "trending_up", 0),
        (replace(BRIEF, slope=0.05), "ranging", 0),
        (replace(BRIEF, trend=0.7), "ranging", 0),
        (DOWN, "trending_down", -1),
        (replace(DOWN, rsi=27.0), "trending_down", 0),
        (replace(DOWN, macd_hist=0.1), "trending_down", 0),
        (replace(RANGE, bollinger=0.05, rsi=37.0), "ranging", 1),
        (replace(RANGE, bollinger=0.05, rsi=39.0), "ranging", 0),
        (replace(RANGE, bollinger=1.2, rsi=70.0), "ranging", -1),
        (replace(RANGE, bollinger=0.5), "ranging", 0),
        (replace(BRIEF, volatility=0.0161), "volatile", 0),
        (replace(BRIEF, volatility_long=None), "trending_up", 1),
        (replace(BRIEF, rsi=None), "uncertain", 0),
        (replace(BRIEF, trend=None), "uncertain", 0),
        (replace(BRIEF, macd_hist=None), "uncertain", 0),
    ],
)
def test_the_rule_as_published(brief: Brief, regime: str, side: int) -> None:
    assert regime_of(brief) == regime
    assert direction_of(brief, regime) == side
    parsed = parse(Rules().answer(brief), price=brief.price)
    assert (parsed.status, parsed.repairs) == ("ok", ())
    assert parsed.signal is not None
    assert parsed.signal.regime == regime
    assert parsed.signal.direction == {1: "long", -1: "short", 0: "neutral"}[side]


def test_levels_size_and_confidence() -> None:
    answer = json.loads(Rules().answer(BRIEF))
    assert (answer["suggested_entry"], answer["stop_loss"], answer["take_profit"]) == (1000.0, 980.0, 1030.0)
    assert answer["position_size_pct"] == 0.25
    assert answer["confidence"] == 0.65
    short = json.loads(Rules().answer(DOWN))
    assert (short["stop_loss"], short["take_profit"]) == (1020.0, 970.0)
    wild = json.loads(Rules().answer(replace(BRIEF, atr=200.0)))
    assert (wild["stop_loss"], wild["take_profit"], wild["position_size_pct"]) == (850.0, 1225.0, 0.0667)
    assert json.loads(Rules().answer(replace(BRIEF, book_imbalance=0.2)))["confidence"] == 0.7
    assert json.loads(Rules().answer(replace(BRIEF, book_imbalance=-0.2)))["confidence"] == 0.6
    assert json.loads(Rules().answer(replace(BRIEF, trend=30.0)))["confidence"] == 0.8


def test_tiny_prices_keep_their_sides() -> None:
    brief = replace(BRIEF, price=1e-8, atr=1e-10, candles=())
    assert parse(Rules().answer(brief), price=1e-8).status == "ok"


def test_on_real_hours_it_takes_all_three_sides() -> None:
    prompts = questions(hourly(6000))
    decisions = Rules().decide(prompts)
    assert {d.status for d in decisions} == {"ok"}
    sides = Counter(d.signal.direction for d in decisions if d.signal)
    share = {name: sides[name] / len(decisions) for name in ("long", "short", "neutral")}
    assert share["long"] > 0.04
    assert share["short"] > 0.04
    assert share["neutral"] > 0.4
    confident = [
        d for d in decisions if d.signal and d.signal.direction != "neutral" and d.signal.confidence >= 0.6
    ]
    assert 0.3 < len(confident) / (sides["long"] + sides["short"]) < 0.95


# ------------------------------------------------------------------------------------------------- replay


def test_a_cassette_replays_the_same_decisions(tmp_path: Path) -> None:
    rules, prompts = Rules(), walk()
    decisions = rules.decide(prompts)
    path = write_cassette(tmp_path / "c.jsonl", rules.records([d.key for d in decisions]))
    analyst = CassetteAnalyst(path)
    assert analyst.decide(prompts) == decisions
    assert (analyst.name, analyst.model, analyst.stand_in) == (rules.name, rules.model, True)
    assert analyst.decide(prompts[::-1]) == decisions[::-1]
    again = write_cassette(tmp_path / "again.jsonl", analyst.records(d.key for d in decisions))
    assert again.read_bytes() == path.read_bytes()
    assert write_cassette(tmp_path / "c.jsonl.gz", rules.records()).stat().st_size < path.stat().st_size / 4
    assert CassetteAnalyst(tmp_path / "c.jsonl.gz").decide(prompts) == decisions
    assert len(rules.records(["no such key"])) == 0


def test_a_miss_shows_the_nearest_prompt_and_the_difference(tmp_path: Path) -> None:
    rules, prompts = Rules(), walk()
    rules.decide(prompts)
    path = write_cassette(tmp_path / "c.jsonl", rules.records())
    asked = replace(prompts[50], text=prompts[50].text.replace("RSI(14): ", "RSI(14): 9"))
    with pytest.raises(
        CacheMiss, match=r"'RSI\(14\): \d.*' \(recorded\) against 'RSI\(14\): 9.*--record"
    ) as info:
        CassetteAnalyst(path).decide([asked])
    assert "\n" not in str(info.value)
    (decision,) = CassetteAnalyst(path, strict=False).decide([asked])
    assert (decision.status, decision.signal) == ("missing", None)


def test_latency_is_part_of_the_stand_ins_key(tmp_path: Path) -> None:
    prompts = walk(300)
    slow, fast = Rules("5s"), Rules("1s")
    slow.decide(prompts), fast.decide(prompts)
    path = write_cassette(tmp_path / "both.jsonl", [*slow.records(), *fast.records()])
    assert len(read_cassette(path)) == 2 * len(slow.records())
    with pytest.raises(ConfigError, match="2 ways"):
        CassetteAnalyst(path)
    with pytest.raises(ConfigError, match="rules-v1"):
        CassetteAnalyst(path, model="rules-v2")


def test_empty_and_altered_cassettes(tmp_path: Path) -> None:
    rules, prompts = Rules(), walk(300)
    rules.decide(prompts)
    empty = write_cassette(tmp_path / "empty.jsonl", [])
    with pytest.raises(DataError, match="empty"):
        CassetteAnalyst(empty)
    path = write_cassette(tmp_path / "c.jsonl", rules.records())
    path.write_text(path.read_text().replace("Symbol: coinbase", "Symbol: binance", 1))
    with pytest.raises(DataError, match="line 1"):
        CassetteAnalyst(path)


def test_a_recorded_abstention_stays_one_and_a_bad_ok_becomes_one(tmp_path: Path) -> None:
    rules = Rules()
    prompt = Prompt.of(BRIEF)
    rules.decide([prompt])
    (record,) = rules.records()
    path = write_cassette(tmp_path / "a.jsonl", [
        seal(record | {"status": "invalid", "problems": ["as it was"]})
    ])
    (decision,) = CassetteAnalyst(path).decide([prompt])
    assert (decision.status, decision.signal, decision.problems) == ("invalid", None, ("as it was",))
    reply = record["reply"] | {
        "text": record["reply"]["text"].replace('"confidence":0.65', '"confidence":65')
    }
    path = write_cassette(tmp_path / "b.jsonl", [seal(record | {"reply": reply, "parser": 0})])
    (decision,) = CassetteAnalyst(path).decide([prompt])
    assert (decision.status, decision.signal) == ("invalid", None)
    assert decision.problems[0].startswith("recorded as ok")


def test_a_models_cassette_replays_without_client_or_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from framework.testing import HolySheepServer

    prompts = walk(60)
    with HolySheepServer() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        with HolySheep("gpt-4.1", mode="record", store=tmp_path / "s") as client:
            decisions = client.decide(prompts)
            path = write_cassette(tmp_path / "c.jsonl.gz", client.records([d.key for d in decisions]))
    monkeypatch.delenv("HOLYSHEEP_API_KEY")
    monkeypatch.delenv("HOLYSHEEP_BASE_URL")
    analyst = CassetteAnalyst(path)
    assert analyst.decide(prompts) == decisions
    assert (analyst.name, analyst.stand_in, analyst.model) == ("HolySheep gpt-4.1", False, "gpt-4.1")
    assert {d.in_sample for d in decisions} == {1}
