"""How fast a relay may be asked: what its headers say, what the user says, and what a 429 says.

A sender takes its turn before it sends. Without limits nobody waits; what is waited is never latency.
"""

from __future__ import annotations

import email.utils
import math
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC

MINUTE = 60.0
LONGEST = 120.0  # s; a reset farther away is not waited for: who means it answers 429
EPOCH, EPOCH_MS = 1e9, 1e12  # a reset above is a time, not a duration

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")


class Limits:
    """The gate of one wire; safe for threads.

    Parameters
    ----------
    rpm, tpm : requests and tokens per minute of the user; where given, what headers say of it is ignored
    """

    def __init__(self, rpm: float | None = None, tpm: float | None = None) -> None:
        self._requests, self._tokens = _Gauge(rpm), _Gauge(tpm)
        self._closed_until, self._in_flight = 0.0, 0
        self._lock = threading.Lock()
        self.clock: Callable[[], float] = time.monotonic  # tests put their own in

    @property
    def rpm(self) -> float | None:
        """Requests per minute as far as known."""
        return self._requests.per_minute

    @property
    def tpm(self) -> float | None:
        """Tokens per minute as far as known."""
        return self._tokens.per_minute

    def wait(self, tokens: int, pause: Callable[[float], object]) -> float:
        """Take a turn and wait for it; return the seconds waited. Each `wait` is followed by a `learn`.

        Parameters
        ----------
        tokens : at most so many will be used, prompt and answer
        pause : waits so many seconds; True = stop waiting
        """
        start = self.clock()
        with self._lock:
            due = max(self._requests.ready(1, start), self._tokens.ready(tokens, start))
            self._requests.take(1, due)
            self._tokens.take(tokens, due)
            self._in_flight += 1
        if max(due, self._closed_until) <= start:
            return 0.0
        while (seconds := max(due, self._closed_until) - self.clock()) > 0.0:
            if pause(seconds) is True:
                break
        return self.clock() - start

    def learn(self, status: int, headers: Mapping[str, str], now: float | None = None) -> None:
        """Take note of an answer (status 0 = there was none).

        Parameters
        ----------
        headers : with names in lower case
        now : seconds since the epoch
        """
        clock, epoch = self.clock(), time.time() if now is None else now
        with self._lock:
            self._in_flight = max(0, self._in_flight - 1)
            if status == 0:
                return
            for gauge, names in ((self._requests, ("-requests", "")), (self._tokens, ("-tokens",))):
                for name in names:
                    left = _number(headers.get(f"x-ratelimit-remaining{name}"))
                    limit = _number(headers.get(f"x-ratelimit-limit{name}")) if name else None
                    reset = seconds_of(headers.get(f"x-ratelimit-reset{name}"), epoch)
                    if left is not None or limit is not None:
                        pending = self._in_flight if gauge is self._requests else 0
                        gauge.learn(limit, left, pending, reset, clock)
                        break

    def close(self, seconds: float) -> None:
        """Let nobody through for so long: the relay said 429, or asked to wait."""
        with self._lock:
            self._closed_until = max(self._closed_until, self.clock() + min(seconds, LONGEST))


class _Gauge:
    """One resource: at most `per_minute` in any minute, and what the relay says is left."""

    def __init__(self, per_minute: float | None) -> None:
        self.per_minute, self._is_hard = per_minute, per_minute is not None
        self._taken = deque[tuple[float, float]]()  # (when, how much) of the last minute, ahead of time too
        self._sum = 0.0
        self._left, self._reset = math.inf, 0.0  # what is left until `_reset`

    def ready(self, amount: float, now: float) -> float:
        """Return when so much may be used."""
        if now >= self._reset:
            self._left = math.inf
        due = now if amount <= self._left else self._reset
        if self.per_minute is None:
            return due
        due = max(due, self._taken[-1][0] if self._taken else due)  # first come, first served
        while self._taken and (self._taken[0][0] + MINUTE <= due or self._sum + amount > self.per_minute):
            when, much = self._taken.popleft()
            self._sum -= much
            due = max(due, when + MINUTE)
        return due

    def take(self, amount: float, due: float) -> None:
        """Count what will be used at `due`."""
        self._left -= amount
        if self.per_minute is not None:
            self._taken.append((due, amount))
            self._sum += amount

    def learn(self, limit: float | None, left: float | None, pending: int, reset: float | None,
              now: float) -> None:
        """Take note of what a header says; `pending` requests may not be counted in it yet."""
        if self._is_hard:
            return
        if limit is not None and limit > 0.0:
            self.per_minute = limit
        if left is not None and reset is not None and reset <= LONGEST:
            self._left, self._reset = left - pending, now + reset


def seconds_of(text: str | None, now: float) -> float | None:
    """Return the seconds until a reset: "1s", "6m0s", "120ms", "30", or an epoch in s or ms; None if neither.

    `now` is seconds since the epoch; a time that has passed is 0.
    """
    if text is None:
        return None
    plain = text.strip().lower()
    if _NUMBER.fullmatch(plain):
        number = float(plain)
        if number >= EPOCH_MS:
            number /= 1000.0
        return max(0.0, number - now) if number >= EPOCH else number
    parts = _PART.findall(plain)
    if not parts or "".join(number + unit for number, unit in parts) != plain:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds a relay asks to wait: `retry-after-ms`, or `retry-after` as seconds or HTTP date.

    Negative is 0; None when absent or unreadable. `now` is seconds since the epoch.
    """
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name)
        if text is not None and (seconds := _duration(text, now)) is not None:
            return max(0.0, seconds * scale)
    return None


def _duration(text: str, now: float) -> float | None:
    try:
        seconds = float(text.replace("_", "?"))  # 1_0 is a number in Python only
        return None if math.isnan(seconds) else seconds
    except ValueError:
        pass
    try:
        date = email.utils.parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _number(text: str | None) -> float | None:
    plain = (text or "").strip()
    return float(plain) if _NUMBER.fullmatch(plain) else None
