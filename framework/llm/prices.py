"""What an answer costs, from its usage and the dated price of its model. USD per million tokens."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from framework.errors import ConfigError
from framework.llm.models import Price, table
from framework.llm.record import Cost

BYTES_PER_TOKEN = 2  # for replies that tell no usage: fewer than in any common text, so never too cheap
HIDDEN_TOKENS = 4096  # a relay may put so many before ours, of which there are at most as many as bytes
REPAIR_TOKENS = 300  # the user's part of a repair turn
SPARE_TOKENS = 64  # beyond max_tokens: the end of a turn, and what some upstreams count besides


def price_of(model: str, price_in: float | None = None, price_out: float | None = None,
             price_cached: float | None = None, models: str | os.PathLike[str] | None = None) -> Price | None:
    """Return the price of a model from the table of models; figures given here win; None when none is known.

    Raises
    ------
    ConfigError
        A given price is negative or not finite, or one is missing for a model of unknown price.
    """
    given = {"price_in": price_in, "price_out": price_out, "price_cached": price_cached}
    for name, value in given.items():
        if value is not None and not (math.isfinite(value) and value >= 0.0):
            raise ConfigError(f"{name}={value} must be a finite number of USD per million tokens, 0 or more")
    row = table(models).get(model)
    known = row.price if row else None
    if not any(value is not None for value in given.values()):
        return known
    if known is None and (price_in is None or price_out is None):
        raise ConfigError(f"no price is known for {model!r}: give both price_in and price_out")
    base = known or Price(0.0, 0.0)
    return Price(
        base.input if price_in is None else float(price_in),
        base.output if price_out is None else float(price_out),
        (base.cached if price_in is None else None) if price_cached is None else float(price_cached),
        source="given by the user",
    )


def priced(models: str | os.PathLike[str] | None = None) -> list[str]:
    """Return the names of the models whose price is known."""
    return sorted(name for name, row in table(models).items() if row.price is not None)


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
    repairs: int = 0  # of the answers: to a second turn and later ones
    lost: int = 0  # of the answers: charged, but they could not be used
    prices: str = ""  # where the prices are from
    prices_date: str = ""  # when they were read; "" for figures of the user

    def add(self, tokens: Tokens, cost: Cost) -> None:
        """Count one paid answer."""
        self.usd += cost.usd
        self.answers += 1
        self.input_tokens += tokens.read
        self.output_tokens += tokens.written
        self.estimated += tokens.is_ours


def worst_of(prompt_bytes: int, max_tokens: int, repairs: int = 0, factor: float = 1.0) -> Tokens:
    """Return the most one question can take, each repair turn with the turns before it in its prompt.

    Parameters
    ----------
    factor : how many times more tokens than we assume the relay was seen to count in a prompt, 1 or more
    """
    written = max_tokens + max(SPARE_TOKENS, max_tokens // 10)
    first = math.ceil((prompt_bytes // BYTES_PER_TOKEN + 1) * max(1.0, factor))
    again = sum(first + turn * (written + REPAIR_TOKENS) for turn in range(1, repairs + 1))
    return Tokens(first + again, written * (1 + repairs), 0, True)


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


__all__ = [
    "Price", "Spent", "Tokens", "cost_of", "price_of", "price_tokens", "priced", "tokens_of", "worst_of",
]  # fmt: skip
