"""The broker of runs with tick streams: that of candles, its prices as of the rows seen so far."""

from __future__ import annotations

from typing import Any, NamedTuple

from framework.arena import facade, twin
from framework.engine import broker as candle
from framework.engine.book_view import view_of
from framework.engine.seeing import know, known_worth
from framework.engine.state import Sim
from framework.jit import kernel


class TickBroker(NamedTuple):
    """All arrays of the run, and the instrument this broker acts for."""

    sim: Sim
    i: int


tick_broker_of = facade(TickBroker)


@kernel(store=False)
def known_price(sim: Sim, k):
    """Value an instrument by what has arrived; 0 before the first row."""
    know(sim, k)
    return sim.account[sim.clock[0]["n"] + k]["mark"]


def equity(broker: TickBroker):
    """Account equity as the strategy knows it, marked at the mid prices (or last trades) seen."""
    return known_worth(broker.sim)


def price(broker: TickBroker):
    """Mid price of the book, or the last trade where there is none, as seen here; 0 before the first."""
    return known_price(broker.sim, broker.i)


def book(broker: TickBroker):
    """Order book of this instrument as seen here."""
    return view_of(broker.sim, broker.i)


def at(broker: TickBroker, instrument):
    """Return the broker of another instrument (its index in `Market.instruments`)."""
    return tick_broker_of(broker.sim, instrument)


METHODS: tuple[Any, ...] = (
    candle.order, candle.buy, candle.sell, candle.close, candle.cancel, candle.cancel_all, candle.amend, at,
    candle.feature,
)  # fmt: skip
PROPERTIES: tuple[Any, ...] = (
    candle.position, candle.entry_price, candle.now, equity, candle.cash, price, candle.orders, book
)
for _function in METHODS:
    twin(TickBroker, _function.__name__, _function)
for _function in PROPERTIES:
    twin(TickBroker, _function.__name__, _function, is_property=True)
