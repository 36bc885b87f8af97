"""The questions the peers of models are asked, and how (needs the standard library only)."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

MODEL = "gpt-4.1"  # every peer knows its price
SAME, CUT, PAID = "asked by ten at once", "answered with half a reply", "asked again by another process"
AT_ONCE, HITS = 10, 200


def at_once(ask: Callable[[str], Any]) -> None:
    """Ask the same in ten threads that start together."""
    gate = Barrier(AT_ONCE)

    def one(_: int) -> None:
        gate.wait()
        ask(SAME)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, range(AT_ONCE)))


def hit_us(ask: Callable[[str], Any]) -> float:
    """Return the median microseconds of an answer that is there."""
    took = []
    for _ in range(HITS):
        start = time.perf_counter()
        ask(PAID)
        took.append(time.perf_counter() - start)
    return statistics.median(took) * 1e6


def tell(version: str, ask: Callable[[str], dict[str, Any]]) -> None:
    """Ask it all and print one JSON line. `ask` returns {text, tokens, usd} of one answer."""
    at_once(ask)
    ask(CUT)
    cut = ask(CUT)
    print(json.dumps({"version": version, "cut": cut, "paid": ask(PAID), "hit_us": hit_us(ask)}))
