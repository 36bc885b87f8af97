"""`Rules`: the offline analyst that stands in when no model was asked, by a published rule."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from framework.errors import ConfigError
from framework.llm.decision import Decision, Prompt
from framework.llm.prompt import TEMPLATE, VERSION, Brief, price_decimals
from framework.llm.record import Record, Reply, canonical, judge, key_of, make_record, request_of
from framework.times import parse_duration

if TYPE_CHECKING:
    from framework.llm.signal import Parsed

NAME = "Rules (offline stand-in, no model was asked)"
MODEL = "rules-v1"
ENDPOINT = "offline"

STOP_ATR, TARGET_ATR = 2.0, 3.0
RISK, LARGEST, FARTHEST_STOP = 0.01, 0.25, 0.15
TREND, RISING, WILD = 0.75, 0.10, 1.6
OUTER_BAND, OVERSOLD, OVERBOUGHT = 0.10, 38.0, 62.0


class Rules:
    """An analyst without a model: the same brief, a fixed rule, an answer through the same parser.

    The rule, in full (all values are those of the brief; ATR is ATR(14); None = not enough history):

    1. Regime. "uncertain" when RSI, MACD, Bollinger, ATR, trend or slope is None. "volatile" when the
       deviation of the last 24 bar returns is above 1.6 times that of the last 168. "trending_up" when
       (EMA20 - EMA50) / ATR > 0.75 and EMA20 rose by more than 0.10 ATR over 5 bars; "trending_down"
       mirrored. Else "ranging".
    2. Direction. trending_up: long when the MACD histogram is above 0 and 50 <= RSI <= 72. trending_down:
       short when it is below 0 and 28 <= RSI <= 50. ranging: long when the price lies in the lowest tenth
       of the Bollinger bands or below and RSI < 38; short when in the highest tenth or above and RSI > 62.
       Anything else is neutral.
    3. Levels. Entry = price; stop 2 ATR (at most 15 % of the price) against it, target 1.5 times as far
       with it.
    4. Confidence = 0.50 + 0.30 x strength + flow, cut to 0.50..0.95. strength is min(1, |trend| / 3) in a
       trend and min(1, |RSI - 50| / 30) in a range. flow is +0.05 when the book imbalance has the signal's
       sign, -0.05 when it has the other, and 0 without a book. A neutral answer has confidence 0.50.
    5. Size = 0.01 of equity at risk / stop distance as a fraction of the price, at most 0.25.

    It is a stand-in to make a backtest complete without a key, not advice: nothing here was fitted.

    Parameters
    ----------
    latency : how long each answer takes, `"2s"` or ns; a stated figure, not a measured one

    Raises
    ------
    ConfigError
        `latency` is not a duration.
    """

    name = NAME
    model = MODEL
    stand_in = True

    def __init__(self, latency: str | int | timedelta = "2s") -> None:
        self.latency_ns = parse_duration(latency)
        if self.latency_ns < 0:
            raise ConfigError(f"latency={latency!r} must not be negative")
        self._tape: dict[str, tuple[Prompt, str, Parsed]] = {}

    def __repr__(self) -> str:
        return f"Rules(latency={self.latency_ns / 1e9:g} s)"

    def decide(self, prompts: Sequence[Prompt]) -> list[Decision]:
        """Return one decision per prompt, in order: cost 0, in_sample 0, the stated latency."""
        return [self._decide(prompt) for prompt in prompts]

    def answer(self, brief: Brief) -> str:
        """Return the JSON text this analyst gives for a brief."""
        regime = regime_of(brief)
        side = direction_of(brief, regime)
        return canonical(_neutral(regime) if side == 0 else _signal(brief, regime, side))

    def request(self, prompt: Prompt) -> Record:
        """Return the key material: the brief's text and the stated latency."""
        messages = [{"role": "user", "content": prompt.text}]
        return request_of(ENDPOINT, {"model": MODEL, "latency_ns": self.latency_ns, "messages": messages})

    def records(self, keys: Iterable[str] | None = None) -> list[Record]:
        """Return the records of the given decision keys (default all answered), for a run's cassette."""
        chosen = self._tape if keys is None else {key for key in keys if key in self._tape}
        return [self._record(*self._tape[key]) for key in sorted(chosen)]

    def describe(self) -> dict[str, Any]:
        """Return what a manifest pins. JSON-serialisable."""
        return {"name": NAME, "model": MODEL, "stand_in": True, "latency_ns": self.latency_ns,
                "prompt": f"{TEMPLATE} v{VERSION}"}  # fmt: skip

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def _decide(self, prompt: Prompt) -> Decision:
        text = self.answer(prompt.brief)
        verdict = judge(Reply(text), prompt)
        key = key_of(self.request(prompt))
        self._tape.setdefault(key, (prompt, text, verdict))
        signal = verdict.signal
        return Decision(
            prompt.ts, prompt.instrument, self.latency_ns, verdict.status, signal,
            signal.reasoning if signal else "", 0.0, 0, key, verdict.problems, verdict.repairs, MODEL,
        )  # fmt: skip

    def _record(self, prompt: Prompt, text: str, verdict: Parsed) -> Record:
        reply = Reply(text, model=MODEL)
        return make_record(self.request(prompt), prompt, reply, verdict, analyst=NAME, stand_in=True,
                           latency_ns=self.latency_ns)  # fmt: skip


def regime_of(brief: Brief) -> str:
    """Return the regime by rule 1."""
    known = (brief.rsi, brief.macd_hist, brief.bollinger, brief.atr, brief.trend, brief.slope)
    if None in known or brief.trend is None or brief.slope is None:
        return "uncertain"
    if brief.volatility and brief.volatility_long and brief.volatility > WILD * brief.volatility_long:
        return "volatile"
    if brief.trend > TREND and brief.slope > RISING:
        return "trending_up"
    if brief.trend < -TREND and brief.slope < -RISING:
        return "trending_down"
    return "ranging"


def direction_of(brief: Brief, regime: str) -> int:
    """Return +1, -1 or 0 by rule 2."""
    rsi, hist, band = brief.rsi, brief.macd_hist, brief.bollinger
    if rsi is None or hist is None or band is None:
        return 0
    long = {
        "trending_up": hist > 0.0 and 50.0 <= rsi <= 72.0,
        "ranging": band <= OUTER_BAND and rsi < OVERSOLD,
    }
    short = {
        "trending_down": hist < 0.0 and 28.0 <= rsi <= 50.0,
        "ranging": band >= 1.0 - OUTER_BAND and rsi > OVERBOUGHT,
    }
    return int(long.get(regime, False)) - int(short.get(regime, False))


def _neutral(regime: str) -> dict[str, Any]:
    return {
        "regime": regime, "direction": "neutral", "confidence": 0.5,
        "reasoning": f"{regime}: no rule applies", "suggested_entry": None, "stop_loss": None,
        "take_profit": None, "position_size_pct": 0.0,
    }  # fmt: skip


def _signal(brief: Brief, regime: str, side: int) -> dict[str, Any]:
    assert brief.atr is not None
    assert brief.rsi is not None
    assert brief.trend is not None
    places = price_decimals(brief.price) + 2
    away = min(STOP_ATR * brief.atr, FARTHEST_STOP * brief.price)
    strength = min(1.0, abs(brief.trend) / 3.0 if regime != "ranging" else abs(brief.rsi - 50.0) / 30.0)
    confidence = min(0.95, max(0.5, 0.5 + 0.3 * strength + _flow(brief, side)))
    return {
        "regime": regime,
        "direction": "long" if side > 0 else "short",
        "confidence": round(confidence, 4),
        "reasoning": f"{regime}: RSI {brief.rsi:.1f}, trend {brief.trend:+.2f} ATR, stop {STOP_ATR:g} ATR",
        "suggested_entry": brief.price,
        "stop_loss": round(brief.price - side * away, places),
        "take_profit": round(brief.price + side * away * TARGET_ATR / STOP_ATR, places),
        "position_size_pct": round(min(LARGEST, RISK * brief.price / away), 4),
    }


def _flow(brief: Brief, side: int) -> float:
    if not brief.book_imbalance:
        return 0.0
    return 0.05 if side * brief.book_imbalance > 0.0 else -0.05
