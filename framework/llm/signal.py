"""`TradingSignal` and the strict reading of a model's reply.

The only file that imports pydantic. A reply is a verdict, never an exception: `parse` returns what was found,
what was repaired and what was wrong.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from typing import Any, Literal

import pydantic
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from framework.errors import SignalError
from framework.llm.reply import PARSER, read_object
from framework.records import DIRECTIONS, REGIMES

Regime = Literal["trending_up", "trending_down", "ranging", "volatile", "uncertain"]
Direction = Literal["long", "short", "neutral"]

REASONING_LENGTH = 200
FARTHEST = 0.5  # of the market price
LEVELS = ("suggested_entry", "stop_loss", "take_profit")

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)


def plain_text(text: str, length: int = REASONING_LENGTH) -> str:
    """Return text cut to `length` characters, without control, format and surrogate characters.

    Line breaks and tabs become one space, so that the text stays on one line wherever it is shown.
    """
    if text.isascii() and text.isprintable():  # nearly every reply
        return " ".join(text.split())[:length].rstrip()
    head = text[: length * 20]  # a megabyte of reasoning is not worth a megabyte of work
    kept = (" " if c.isspace() else c for c in head if c.isspace() or unicodedata.category(c)[0] != "C")
    return " ".join("".join(kept).split())[:length].rstrip()


class TradingSignal(BaseModel):
    """One validated signal. Levels are prices; `position_size_pct` is a fraction of equity, 0..1.

    A neutral signal carries no levels. `symbol` and `timestamp` (ns UTC of the question) are ours, never the
    model's. `risk_reward_ratio` is recomputed: |target - entry| / |entry - stop|.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)

    symbol: str = ""
    regime: Regime = "uncertain"
    direction: Direction
    confidence: float = Field(ge=0.0, le=1.0)
    reasoning: str = ""
    suggested_entry: float | None = Field(default=None, gt=0.0)
    stop_loss: float | None = Field(default=None, gt=0.0)
    take_profit: float | None = Field(default=None, gt=0.0)
    position_size_pct: float = Field(default=0.0, ge=0.0, le=1.0)
    timestamp: int = 0

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def risk_reward_ratio(self) -> float | None:
        """Reward over risk at the suggested levels; None when neutral."""
        entry, stop, target = self.suggested_entry, self.stop_loss, self.take_profit
        if entry is None or stop is None or target is None:
            return None
        return abs(target - entry) / abs(entry - stop)

    @pydantic.field_validator("reasoning")
    @classmethod
    def _clean_reasoning(cls, text: str) -> str:
        return plain_text(text)

    @pydantic.model_validator(mode="after")
    def _sides(self) -> TradingSignal:
        levels = (self.suggested_entry, self.stop_loss, self.take_profit)
        if self.direction == "neutral":
            if levels != (None, None, None):
                raise ValueError("a neutral signal carries no levels")
            return self
        entry, stop, target = levels
        if entry is None or stop is None or target is None:
            raise ValueError("missing levels: entry, stop and target are needed unless neutral")
        if self.position_size_pct <= 0.0:
            raise ValueError("position_size_pct: must be above 0")
        side = DIRECTIONS[self.direction]
        if not side * stop < side * entry:
            raise ValueError(f"stop_loss: on the wrong side of the entry for a {self.direction}")
        if not side * entry < side * target:
            raise ValueError(f"take_profit: on the wrong side of the entry for a {self.direction}")
        return self


@dataclass(frozen=True, slots=True)
class Parsed:
    """The verdict on one reply. `signal` is None unless status is "ok"."""

    signal: TradingSignal | None
    status: str  # "ok", "invalid", "refused" (by the model), "truncated"
    repairs: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def parse(text: str, *, price: float, finish_reason: str | None = "stop", tool_calls: bool = False,
          symbol: str = "", ts: int = 0) -> Parsed:
    """Read one reply strictly.

    Parameters
    ----------
    text : the reply's content
    price : the market at the question; levels more than 50 % away from it are refused
    finish_reason : as the endpoint gave it; anything but "stop" is refused
    tool_calls : True when the reply carries tool or function calls
    symbol, ts : written into the signal; what the model says about them is ignored

    Returns
    -------
    Parsed
        never raises on anything a model can say.

    Raises
    ------
    SignalError
        `price` is not a positive finite number.
    """
    if not (math.isfinite(price) and price > 0.0):
        raise SignalError(f"price={price} must be a positive finite number")
    stopped = unfinished(finish_reason, tool_calls)
    if stopped is not None:
        return stopped
    repairs: list[str] = []
    try:
        found, repairs = read_object(text)
        fields = _fields(found, repairs)
        signal = TradingSignal(**fields, symbol=symbol, timestamp=ts)
    except SignalError as error:
        return Parsed(None, "invalid", tuple(repairs), (str(error),))
    except ValidationError as error:
        return Parsed(None, "invalid", tuple(repairs), _problems(error))
    far = _far(signal, price)
    if far:
        return Parsed(None, "invalid", tuple(repairs), far)
    return Parsed(signal, "ok", tuple(repairs))


def unfinished(finish_reason: str | None, tool_calls: bool) -> Parsed | None:
    """Return the verdict on a reply that did not end of itself; None for one that did."""
    if tool_calls or finish_reason in ("tool_calls", "function_call"):
        return Parsed(None, "invalid", (), ("reply calls a tool",))
    if finish_reason == "stop":
        return None
    if finish_reason == "length" or finish_reason is None:
        return Parsed(None, "truncated", (), (f"finish reason {finish_reason or 'missing'}, not stop",))
    if finish_reason == "content_filter":
        return Parsed(None, "refused", (), ("the model or its filter refused to answer",))
    return Parsed(None, "invalid", (), (f"finish reason {plain_text(finish_reason, 40)!r}, not stop",))


def _fields(found: dict[str, Any], repairs: list[str]) -> dict[str, Any]:
    """Apply the listed repairs, count them, and leave every judgement to the model class."""
    direction = found.get("direction")
    if direction is None:
        raise SignalError("missing direction")
    fields: dict[str, Any] = {
        "direction": _word(direction, tuple(DIRECTIONS), "direction", repairs),
        "regime": _regime(found.get("regime"), repairs),
        "reasoning": _reasoning(found.get("reasoning"), repairs),
        "confidence": _number(found, "confidence", repairs),
    }
    if fields["direction"] == "neutral":
        if found.get("position_size_pct") is not None:
            fields["position_size_pct"] = _number(found, "position_size_pct", repairs)
        return fields
    for name in (*LEVELS, "position_size_pct"):
        fields[name] = _number(found, name, repairs)
    return fields


def _word(value: object, choices: tuple[str, ...], name: str, repairs: list[str]) -> object:
    if isinstance(value, str) and value not in choices and value.lower() in choices:
        repairs.append(f"case of {name}")
        return value.lower()
    return value


def _regime(value: object, repairs: list[str]) -> str:
    word = _word(value, REGIMES, "regime", repairs)
    if isinstance(word, str) and word in REGIMES:
        return word
    repairs.append("missing regime" if value is None else "unknown regime")
    return "uncertain"


def _reasoning(value: object, repairs: list[str]) -> str:
    if isinstance(value, str):
        return value
    repairs.append("missing reasoning")
    return ""


def _number(found: dict[str, Any], name: str, repairs: list[str]) -> float:
    value = found.get(name)
    if value is None:
        raise SignalError(f"missing {name}")
    if isinstance(value, str):
        value = _numeral(value, name)
        repairs.append(f"{name} as a string")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise SignalError(f"{name}: a number is needed, not a {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise SignalError(f"{name}: not finite")
    if name in ("confidence", "position_size_pct") and number > 1.0:
        raise SignalError(f"{name}: {number:g} is not a fraction from 0 to 1")
    return number


def _numeral(text: str, name: str) -> float:
    plain = text.strip()
    if _NUMBER.fullmatch(plain):
        return float(plain)
    if plain.endswith("%"):
        raise SignalError(f"{name}: a percentage where a plain number belongs")
    if _NOT_FINITE.fullmatch(plain):
        raise SignalError(f"{name}: not finite")
    raise SignalError(f"{name}: {plain_text(plain, 40)!r} is not a number")


def _far(signal: TradingSignal, price: float) -> tuple[str, ...]:
    levels = ((name, getattr(signal, name)) for name in LEVELS)
    return tuple(
        f"{name}: {level:g} is more than 50 % away from the market at {price:g}"
        for name, level in levels
        if level is not None and not abs(level / price - 1.0) <= FARTHEST
    )


def _problems(error: ValidationError) -> tuple[str, ...]:
    lines = []
    for row in error.errors(include_url=False, include_input=False, include_context=False):
        where = ".".join(str(part) for part in row["loc"])
        text = row["msg"].removeprefix("Value error, ")
        lines.append(f"{where}: {text}" if where else text)
    return tuple(lines)


__all__ = ["PARSER", "Parsed", "TradingSignal", "parse", "plain_text"]
