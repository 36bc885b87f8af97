"""What a token costs: dated, sourced, and the user's to override. USD per million tokens.

The relay's own pages contradict each other on input prices; where they do, the highest figure stands here, so
that a backtest is charged too much rather than too little. No price list is published: the figures are those
of the articles at www.holysheep.ai of April and May 2026, as collected for this project up to 2026-11-23.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from framework.errors import ConfigError
from framework.llm.record import Cost

READ = "2026-11-23"
_LIST = f"holysheep.ai articles of 2026-04 and 2026-05, collected up to {READ}"
BYTES_PER_TOKEN = 2  # for replies that tell no usage: fewer than in any common text, so never too cheap
HIDDEN_TOKENS = 4096  # a relay may put so many before ours, of which there are at most as many as bytes
SPARE_TOKENS = 64  # beyond max_tokens: the end of a turn, and what some upstreams count besides


@dataclass(frozen=True, slots=True)
class Price:
    """Prices of one model, USD per million tokens."""

    input: float
    output: float
    cached: float | None = None  # input tokens served from the provider's cache; None = as input
    source: str = _LIST
    date: str = READ  # of the table; "" for figures of the user


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
        date="",
    )


class Tokens(NamedTuple):
    """What one answer is charged for."""

    read: int
    written: int
    cached: int = 0  # of `read`
    is_ours: bool = False  # our worst case, because the reply tells nothing that can be true
    problem: str = ""  # why the reply's own figures are not believed


@dataclass(slots=True)
class Spent:
    """Real money and tokens of one client; attempts that failed are not known and not in it."""

    usd: float = 0.0
    answers: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    estimated: int = 0  # answers charged at our worst case
    prices: str = ""  # where the prices are from
    prices_date: str = ""  # when they were read; "" for figures of the user

    def add(self, tokens: Tokens, cost: Cost) -> None:
        """Count one paid answer."""
        self.usd += cost.usd
        self.answers += 1
        self.input_tokens += tokens.read
        self.output_tokens += tokens.written
        self.estimated += tokens.is_ours


def tokens_of(usage: Mapping[str, Any] | None, prompt_bytes: int, max_tokens: int) -> Tokens:
    """Return the tokens of one answer; without usage that can be true, the worst case."""
    read, written = _tokens(usage, "prompt_tokens"), _tokens(usage, "completion_tokens")
    ours = Tokens(prompt_bytes // BYTES_PER_TOKEN + 1, max_tokens, 0, True)
    if read is None or written is None or usage is None:
        return ours
    most = max_tokens + max(SPARE_TOKENS, max_tokens // 10)
    if written > most:
        return ours._replace(problem=f"completion_tokens {written} of at most {most} is not credible")
    if read > prompt_bytes + HIDDEN_TOKENS:
        return ours._replace(problem=f"prompt_tokens {read} for {prompt_bytes} bytes is not credible")
    return Tokens(read, written, min(_tokens(usage.get("prompt_tokens_details"), "cached_tokens") or 0, read))


def cost_of(price: Price, usage: Mapping[str, Any] | None, prompt_bytes: int, max_tokens: int) -> Cost:
    """Return the cost of one answer; without credible usage the worst case, marked estimated."""
    return price_tokens(price, tokens_of(usage, prompt_bytes, max_tokens))


def price_tokens(price: Price, tokens: Tokens) -> Cost:
    """Return the cost of tokens."""
    rate = price.input if price.cached is None else price.cached
    plain = tokens.read - tokens.cached
    usd = (plain * price.input + tokens.cached * rate + tokens.written * price.output) / 1e6
    basis = f"{price.source}; {tokens.problem}: the worst case is charged" if tokens.problem else price.source
    return Cost(usd, basis, tokens.is_ours)


def _tokens(usage: object, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, Mapping) else None
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9
    return value if good else None
