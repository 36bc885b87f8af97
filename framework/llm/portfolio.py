"""The portfolio lines of a brief: what the strategy holds when it asks."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from framework.llm.prompt import Brief


def with_portfolio(brief: Brief, broker: Any) -> Brief:
    """Return the brief with what `broker` knows of its instrument at this moment.

    Such a prompt depends on the path of the run: a fee changed by one basis point may change every later
    question, and no sweep can share its answers. Where the market alone decides, ask without it.

    Parameters
    ----------
    brief : of the broker's instrument and the same moment
    broker : read by `position`, `entry_price`, `equity`, `price` and `orders`
    """
    position = float(broker.position)
    price, equity = float(broker.price), float(broker.equity)
    if not (math.isfinite(price) and price > 0.0):
        price = brief.price
    entry = float(broker.entry_price) if position != 0.0 else math.nan
    is_open = math.isfinite(entry) and entry > 0.0
    side = math.copysign(1.0, position)
    return replace(
        brief, position=position + 0.0, entry_price=entry if is_open else None,
        unrealised=side * (price / entry - 1.0) if is_open else None,
        equity_share=position * price / equity if equity > 0.0 else None, open_orders=int(broker.orders),
    )  # fmt: skip
