"""How long the loopback HolySheep takes, how often it may be asked, and which faults it makes: all by seed.

A draw is a hash of the seed, the question and how often it was asked before: the same run meets the same
faults, in whatever order its threads ask.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from framework.errors import ConfigError
from framework.testing.holysheep_replies import Scripted, envelope_for, signal_for
from framework.times import parse_duration

Delay = str | float
LatencyOf = Delay | tuple[Delay, Delay] | Callable[[dict[str, Any]], float] | None

GARBAGE = b"\x00\xff<html>502</html>{"
INSTEAD: dict[str, Callable[[Scripted, dict[str, Any]], Scripted]] = {  # kind: what becomes of an answer
    "cut": lambda one, body: replace(one, cut=len(envelope_for(one, body)) // 2),
    "garbage": lambda one, body: Scripted(body=GARBAGE),
    "hang": lambda one, body: Scripted(hang=True),
    "truncated": lambda one, body: replace(one, text=_text(one, body)[:60], finish_reason="length"),
    "refusal": lambda one, body: replace(one, text="", message={"refusal": "I cannot help with that."}),
    "empty": lambda one, body: replace(one, text=""),
    "invalid": lambda one, body: replace(one, text='{"direction": "long", "confidence": 85}'),
}
REPLIES = ("truncated", "refusal", "empty", "invalid")  # these use up an answer of the plan


def _text(one: Scripted, body: dict[str, Any]) -> str:
    return signal_for(body) if one.text is None else one.text


def draw(seed: int, what: str, key: str, nth: int) -> float:
    """Return a number from 0 to 1, a pure function of its arguments."""
    digest = hashlib.sha256(f"{seed}/{what}/{key}/{nth}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


class Chance:
    """Faults by their shares.

    Parameters
    ----------
    shares : {kind: share of the answers}; a kind is a status such as "429", or one of INSTEAD

    Raises
    ------
    ConfigError
        An unknown kind, a share that is none, or shares of more than 1 together.
    """

    def __init__(self, shares: Mapping[str, float] | None, seed: int) -> None:
        self.shares, self.seed = dict(shares or {}), seed
        for kind, share in self.shares.items():
            if kind not in INSTEAD and not (kind.isascii() and kind.isdigit() and 400 <= int(kind) <= 599):
                raise ConfigError(f"faults: {kind!r} is neither a status from 400 nor one of {list(INSTEAD)}")
            if not 0.0 <= share <= 1.0:
                raise ConfigError(f"faults: the share {share} of {kind!r} must be from 0 to 1")
        if math.fsum(self.shares.values()) > 1.0:
            raise ConfigError("faults: the shares are more than 1 together")

    def kind(self, key: str, nth: int) -> str:
        """Return the fault a question meets when it is asked for the nth time; "" = none."""
        left = draw(self.seed, "fault", key, nth)
        for kind, share in self.shares.items():
            if left < share:
                return kind
            left -= share
        return ""


def spoiled(kind: str, one: Scripted, body: dict[str, Any]) -> Scripted:
    """Return an answer with a fault."""
    if not kind:
        return one
    return INSTEAD[kind](one, body) if kind in INSTEAD else Scripted(status=int(kind))


class Latency:
    """Seconds an answer takes: fixed ("500ms", 0.5), between two by seed, or by a function of the body."""

    def __init__(self, given: LatencyOf, seed: int) -> None:
        self.seed, self._of = seed, given if callable(given) else None
        low, high = given if isinstance(given, tuple) else (given, given)
        self._low, self._high = (0.0, 0.0) if callable(given) else (_seconds(low), _seconds(high))

    def __call__(self, body: dict[str, Any], key: str, nth: int) -> float:
        if self._of is not None:
            return float(self._of(body))
        if self._low == self._high:
            return self._low
        return self._low + (self._high - self._low) * draw(self.seed, "latency", key, nth)


def _seconds(value: object) -> float:
    if value is None:
        return 0.0
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0.0 <= value < math.inf:
        return float(value)
    if isinstance(value, str):
        return parse_duration(value) / 1e9
    raise ConfigError(f"latency={value!r} must be seconds, a text like '500ms', two of them, or a function")


class Bucket:
    """Requests per minute, at most those of one second at once; `take` says what the headers say."""

    def __init__(self, rpm: float | None) -> None:
        if rpm is not None and not 0.0 < rpm < math.inf:
            raise ConfigError(f"rpm={rpm} must be above 0")
        self.rpm = rpm
        self._size = max(1.0, (rpm or 0.0) / 60.0)
        self._left, self._at = self._size, time.monotonic()

    def take(self) -> tuple[bool, dict[str, str]]:
        """Return (may be answered, rate headers)."""
        if self.rpm is None:
            return True, {}
        now, rate = time.monotonic(), self.rpm / 60.0
        self._left = min(self._size, self._left + (now - self._at) * rate)
        self._at = now
        may = self._left >= 1.0
        self._left -= may
        headers = {
            "x-ratelimit-limit-requests": f"{self.rpm:g}",
            "x-ratelimit-remaining-requests": str(int(self._left)),
            "x-ratelimit-reset-requests": f"{(self._size - self._left) / rate:.3f}s",
        }
        if not may:
            wait = (1.0 - self._left) / rate
            headers |= {"retry-after-ms": f"{wait * 1000.0:.0f}", "Retry-After": str(math.ceil(wait))}
        return may, headers
