"""How numbers, times and names are written into a prompt: fixed decimals, UTC, no locale, no numpy text."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from framework.errors import SignalError

DAY_NS = 86_400_000_000_000
_UNITS = (("d", DAY_NS), ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000))


def when(ts: int) -> str:
    """Return `2019-01-31 04:00:00 UTC` for ns since the epoch (fractions cut)."""
    return _stamp(int(ts) // 1_000_000_000)


@lru_cache(maxsize=8192)
def _stamp(seconds: int) -> str:
    return str(np.datetime64(seconds, "s")).replace("T", " ") + " UTC"


def fixed(value: float | None, decimals: int) -> str:
    """Write a number with fixed decimals; `n/a` for None, never `-0.00`; non-finite is refused."""
    if value is None:
        return "n/a"
    number = float(value)
    if not math.isfinite(number):
        raise SignalError(f"{number} cannot be written into a prompt; give a finite number or None")
    text = format(number, f".{decimals}f")
    return text[1:] if text[0] == "-" and not text.strip("-0.") else text


def price_decimals(price: float) -> int:
    """Decimals for prices near `price`: at least six significant digits."""
    for least, decimals in ((1000.0, 2), (10.0, 4), (0.1, 6), (0.001, 8)):
        if price >= least:
            return decimals
    return 12


def percent(value: float | None, decimals: int = 2) -> str:
    """Write a fraction as a percentage; `n/a` for None."""
    return "n/a" if value is None else fixed(100.0 * float(value), decimals) + "%"


def span(ns: int) -> str:
    """Write a length of time in its largest whole unit."""
    for name, unit in _UNITS:
        if ns >= unit and ns % unit == 0:
            return f"{ns // unit}{name}"
    return f"{ns}ns"


def need_known(name: str, known: int, ts: int) -> None:
    """Refuse what was known only after the question.

    Raises
    ------
    SignalError
        `known` > `ts`; says the name and both times.
    """
    if known > ts:
        raise SignalError(
            f"{name} of {when(known)} ({known}) is later than the question at {when(ts)} ({ts}); "
            "give only what was known"
        )


def need_name(text: str) -> str:
    """Return a name that fits on one line of a prompt; SignalError else."""
    if not isinstance(text, str) or not text or len(text) > 100 or not text.isprintable():
        raise SignalError(f"name {str(text)[:40]!r} in a brief must be 1 to 100 printable characters")
    return text
