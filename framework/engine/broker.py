"""What a strategy holds: the same methods in compiled hooks and in plain Python.

Every method acts for instrument `i` of the tuple; `at(k)` is the broker of another one. Orders travel: a
method returns an id at once and never a fill.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from framework.arena import facade, twin
from framework.engine.ledger import equity_of
from framework.engine.sending import UNSET, place, place_close, send_amend, send_cancel, send_cancel_all
from framework.engine.state import Sim
from framework.jit import kernel
from framework.records import NEVER

NAN = math.nan


class Broker(NamedTuple):
    """All arrays of the run, and the instrument this broker acts for."""

    sim: Sim
    i: int


broker_of = facade(Broker)


def position(broker: Broker):
    """Signed position of this instrument as the strategy knows it (lots x lot size)."""
    return broker.sim.account[broker.sim.clock[0]["n"] + broker.i]["position"]


def entry_price(broker: Broker):
    """Average entry price of the known position; 0 when flat."""
    return broker.sim.account[broker.sim.clock[0]["n"] + broker.i]["entry"]


def now(broker: Broker):
    """Local time of the event being handled, ns UTC."""
    return broker.sim.clock[0]["now"]


def equity(broker: Broker):
    """Account equity as the strategy knows it, marked at the last closes seen."""
    return equity_of(broker.sim, 1)


def cash(broker: Broker):
    """Wallet balance as the strategy knows it."""
    return broker.sim.total[1]["cash"]


def price(broker: Broker):
    """Last close of this instrument the strategy has seen; 0 before the first."""
    return broker.sim.account[broker.sim.clock[0]["n"] + broker.i]["mark"]


@kernel(store=False)
def open_orders(sim: Sim, k):
    """Number of orders of this instrument believed to be working."""
    count = 0
    for j in range(sim.clock[0]["n_mine"]):
        if sim.orders[sim.mine[j]]["instrument"] == k:
            count += 1
    return count


def orders(broker: Broker):
    """Number of this instrument's orders that are not known to be final."""
    return open_orders(broker.sim, broker.i)


@kernel(store=False)
def feature_value(sim: Sim, index):
    """Value of a feature stream known now; NaN before its first row."""
    now = sim.clock[0]["now"]
    span = sim.spans[index]
    while span["at"] < span["end"] and sim.features[span["at"]]["ts"] <= now:
        span["at"] += 1
    return sim.features[span["at"] - 1]["value"] if span["at"] > span["first"] else NAN


def order(
    broker: Broker, side, qty=UNSET, share=UNSET, price=UNSET, trigger=UNSET, stop=UNSET, target=UNSET,
    trail=UNSET, tif=0, post_only=False, reduce_only=False, group=0, expire_ts=NEVER,
):
    """Send an order for `qty` or a `share` of free equity; see `framework.strategy.Broker.order`."""
    return place(
        broker.sim, broker.i, side, qty, share, price, trigger, stop, target, trail, tif, post_only,
        reduce_only, group, expire_ts,
    )


def buy(
    broker: Broker, qty=UNSET, share=UNSET, price=UNSET, trigger=UNSET, stop=UNSET, target=UNSET,
    trail=UNSET, tif=0, post_only=False, reduce_only=False, group=0, expire_ts=NEVER,
):
    """`order` with side +1."""
    return place(
        broker.sim, broker.i, 1, qty, share, price, trigger, stop, target, trail, tif, post_only, reduce_only,
        group, expire_ts,
    )


def sell(
    broker: Broker, qty=UNSET, share=UNSET, price=UNSET, trigger=UNSET, stop=UNSET, target=UNSET,
    trail=UNSET, tif=0, post_only=False, reduce_only=False, group=0, expire_ts=NEVER,
):
    """`order` with side -1."""
    return place(
        broker.sim, broker.i, -1, qty, share, price, trigger, stop, target, trail, tif, post_only,
        reduce_only, group, expire_ts,
    )


def close(broker: Broker):
    """Close the position, whatever it is when the order arrives, and cancel its bracket exits."""
    return place_close(broker.sim, broker.i)


def cancel(broker: Broker, order_id):
    """Cancel one order by id."""
    send_cancel(broker.sim, order_id)


def cancel_all(broker: Broker):
    """Cancel every working order of this instrument; bracket exits stay."""
    send_cancel_all(broker.sim, broker.i)


def amend(broker: Broker, order_id, qty=UNSET, price=UNSET, trigger=UNSET, stop=UNSET, target=UNSET):
    """Replace quantity, price, trigger or bracket levels of a working order."""
    send_amend(broker.sim, order_id, qty, price, trigger, stop, target)


def feature(broker: Broker, index):
    """Value of the strategy's `features[index]` known now; NaN before the first."""
    return feature_value(broker.sim, index)


def at(broker: Broker, instrument):
    """Return the broker of another instrument (its index in `Market.instruments`)."""
    return broker_of(broker.sim, instrument)


for _function in (order, buy, sell, close, cancel, cancel_all, amend, at, feature):
    twin(Broker, _function.__name__, _function)
for _function in (position, entry_price, now, equity, cash, price, orders):
    twin(Broker, _function.__name__, _function, is_property=True)
