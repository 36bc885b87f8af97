"""What a token costs: dated, sourced, and the user's to override. USD per million tokens.

The relay's own pages contradict each other on input prices; where they do, the highest figure stands here, so
that a backtest is charged too much rather than too little. No price list is published: the figures are those
of the articles at www.holysheep.ai of April and May 2026, as collected for this project up to 2026-11-23.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from framework.errors import ConfigError
from framework.llm.record import Cost

READ = "2026-11-23"
_LIST = f"holysheep.ai articles of 2026-04 and 2026-05, collected up to {READ}"
BYTES_PER_TOKEN = 2  # for replies that tell no usage: fewer than in any common text, so never too cheap


@dataclass(frozen=True, slots=True)
class Price:
    """Prices of one model, USD per million tokens."""

    input: float
    output: float
    cached: float | None = None  # input tokens served from the provider's cache; None = as input
    source: str = _LIST


PRICES: dict[str, Price] = {
    "deepseek-v3.2": Price(0.14, 0.42),
    "gemini-2.5-flash": Price(0.80, 2.50, source=f"{_LIST}; upstream lists 0.30 for input"),
    "gpt-4.1": Price(3.00, 8.00, source=f"{_LIST}; other pages say 2.00 for input"),
    "claude-sonnet-4.5": Price(5.00, 15.00, source=f"{_LIST}; other pages say 3.00 for input"),
}


def price_of(model: str, price_in: float | None = None, price_out: float | None = None) -> Price | None:
    """Return the price of a model; the user's figures win; None when none is known.

    Raises
    ------
    ConfigError
        A given price is negative or not finite, or only one is given for an unknown model.
    """
    for name, value in (("price_in", price_in), ("price_out", price_out)):
        if value is not None and not (math.isfinite(value) and value >= 0.0):
            raise ConfigError(f"{name}={value} must be a finite number of USD per million tokens, 0 or more")
    known = PRICES.get(model)
    if price_in is None and price_out is None:
        return known
    if known is None and (price_in is None or price_out is None):
        raise ConfigError(f"no price is known for {model!r}: give both price_in and price_out")
    base = known or Price(0.0, 0.0)
    return Price(
        base.input if price_in is None else float(price_in),
        base.output if price_out is None else float(price_out),
        source="given by the user",
    )


def cost_of(price: Price, usage: Mapping[str, Any] | None, prompt_bytes: int, max_tokens: int) -> Cost:
    """Return the cost of one answer; without usable usage the worst case is charged and marked estimated."""
    read = _tokens(usage, "prompt_tokens")
    written = _tokens(usage, "completion_tokens")
    if read is None or written is None or usage is None:
        read, written = prompt_bytes // BYTES_PER_TOKEN + 1, max_tokens
        return Cost((read * price.input + written * price.output) / 1e6, price.source, True)
    details = usage.get("prompt_tokens_details")
    cached = min(_tokens(details, "cached_tokens") or 0, read)
    rate = price.input if price.cached is None else price.cached
    return Cost(((read - cached) * price.input + cached * rate + written * price.output) / 1e6, price.source)


def _tokens(usage: object, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, Mapping) else None
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9
    return value if good else None
