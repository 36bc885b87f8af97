"""What hooks see of a book, as of now and never later: the same methods in compiled hooks and in Python.

Everything is read when asked for: the book is brought to `now` by the first question of a wake-up.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from framework.arena import facade, twin
from framework.engine.book import catch_up, is_none, level, next_level, touch
from framework.engine.events import Trade
from framework.engine.seeing import see_trades
from framework.engine.state import Sim
from framework.engine.taking import price_at, qty_of, tick_of
from framework.engine.ticks import LOCAL, ticks_at
from framework.jit import kernel
from framework.market_reel import LOOK_BACK
from framework.records import BUY


class BookView(NamedTuple):
    """The book of one instrument as the strategy knows it now."""

    sim: Sim
    i: int


view_of = facade(BookView)


@kernel(store=False)
def known_book(sim: Sim, k):
    """Bring the strategy's book of an instrument to now; its streams."""
    t = ticks_at(sim.cursor[k]["ticks"])
    if t.messages[t.books[LOCAL]["message"]]["local_ts"] <= sim.clock[0]["now"]:
        catch_up(t, LOCAL, sim.clock[0]["now"])
        touch(t, LOCAL)
    return t


@kernel(store=False)
def best_price(sim: Sim, k, side):
    """Best price of one side; NaN when it is empty."""
    if sim.cursor[k]["ticks"] == 0:
        return math.nan
    t = known_book(sim, k)
    tick = t.books[LOCAL]["bid"] if side == BUY else t.books[LOCAL]["ask"]
    return math.nan if is_none(tick) else price_at(t.place[0], tick)


@kernel(store=False)
def best_size(sim: Sim, k, side):
    """Size at the best price of one side; 0 when it is empty."""
    if sim.cursor[k]["ticks"] == 0:
        return 0.0
    t = known_book(sim, k)
    tick = t.books[LOCAL]["bid"] if side == BUY else t.books[LOCAL]["ask"]
    if is_none(tick):
        return 0.0
    return qty_of(t.place[0], level(t, LOCAL, 2 * tick + (0 if side == BUY else 1)))


@kernel(store=False)
def tick_at(t, side, j):
    """Tick of the j-th level of one side, 0 = best; "none" beyond the last."""
    is_ask = 0 if side == BUY else 1
    tick = t.books[LOCAL]["bid"] if side == BUY else t.books[LOCAL]["ask"]
    while j > 0 and not is_none(tick):
        tick = next_level(t, LOCAL, is_ask, tick - side)
        j -= 1
    return tick


@kernel(store=False)
def level_price(sim: Sim, k, side, j):
    """Price of the j-th level of one side; NaN beyond the last."""
    if sim.cursor[k]["ticks"] == 0:
        return math.nan
    t = known_book(sim, k)
    tick = tick_at(t, side, j)
    return math.nan if is_none(tick) else price_at(t.place[0], tick)


@kernel(store=False)
def level_size(sim: Sim, k, side, j):
    """Size of the j-th level of one side; 0 beyond the last."""
    if sim.cursor[k]["ticks"] == 0:
        return 0.0
    t = known_book(sim, k)
    tick = tick_at(t, side, j)
    if is_none(tick):
        return 0.0
    return qty_of(t.place[0], level(t, LOCAL, 2 * tick + (0 if side == BUY else 1)))


@kernel(store=False)
def depth_of(sim: Sim, k, side, n):
    """Total size of the best `n` levels of one side."""
    if sim.cursor[k]["ticks"] == 0:
        return 0.0
    t = known_book(sim, k)
    is_ask = 0 if side == BUY else 1
    tick = t.books[LOCAL]["bid"] if side == BUY else t.books[LOCAL]["ask"]
    lots = 0
    while n > 0 and not is_none(tick):
        lots += level(t, LOCAL, 2 * tick + is_ask)
        n -= 1
        if n > 0:
            tick = next_level(t, LOCAL, is_ask, tick - side)
    return qty_of(t.place[0], lots)


@kernel(store=False)
def size_until(sim: Sim, k, side, price):
    """Total size of one side from its best to `price`, that one included."""
    if sim.cursor[k]["ticks"] == 0:
        return 0.0
    t = known_book(sim, k)
    is_ask = 0 if side == BUY else 1
    last = tick_of(t.place[0], price)
    tick = t.books[LOCAL]["bid"] if side == BUY else t.books[LOCAL]["ask"]
    lots = 0
    while not is_none(tick) and (tick - last) * side >= 0:
        lots += level(t, LOCAL, 2 * tick + is_ask)
        tick = next_level(t, LOCAL, is_ask, tick - side)
    return qty_of(t.place[0], lots)


@kernel(store=False)
def book_age(sim: Sim, k):
    """Time since the last message of the book arrived, ns; -1 before the first."""
    if sim.cursor[k]["ticks"] == 0:
        return -1
    t = known_book(sim, k)
    m = t.books[LOCAL]["message"]
    return sim.clock[0]["now"] - t.messages[m - 1]["local_ts"] if m > 0 else -1


@kernel(store=False)
def bought_share(sim: Sim, k, n):
    """Share of the last `n` trades' quantity whose taker bought, of those with a known taker; NaN without."""
    if sim.cursor[k]["ticks"] == 0:
        return math.nan
    t = ticks_at(sim.cursor[k]["ticks"])
    end = see_trades(t, sim.clock[0]["now"])
    bought = 0
    sold = 0
    for x in range(max(end - min(n, LOOK_BACK), 0), end):  # older ones may be gone
        if t.trades[x]["side"] == BUY:
            bought += t.trades[x]["lots"]
        elif t.trades[x]["side"] == -BUY:
            sold += t.trades[x]["lots"]
    return bought / (bought + sold) if bought + sold > 0 else math.nan


@kernel(store=False)
def micro(bid, ask, bid_size, ask_size):
    """Mid price weighted by the size of the other side: where the next trade is likely."""
    total = bid_size + ask_size
    return (bid * ask_size + ask * bid_size) / total if total > 0.0 else math.nan


@kernel(store=False)
def tilt(bids, asks):
    """(bids - asks) / (bids + asks), -1 to 1; 0 without any."""
    total = bids + asks
    return (bids - asks) / total if total > 0.0 else 0.0


def instrument(book: BookView):
    """Number of the instrument."""
    return book.i


def now(book: BookView):
    """Local time of the event being handled, ns UTC."""
    return book.sim.clock[0]["now"]


def bid(book: BookView):
    """Best bid; NaN when there is none."""
    return best_price(book.sim, book.i, 1)


def ask(book: BookView):
    """Best ask; NaN when there is none."""
    return best_price(book.sim, book.i, -1)


def bid_size(book: BookView):
    """Size at the best bid."""
    return best_size(book.sim, book.i, 1)


def ask_size(book: BookView):
    """Size at the best ask."""
    return best_size(book.sim, book.i, -1)


def mid(book: BookView):
    """Middle of best bid and ask; NaN when a side is empty."""
    return 0.5 * (best_price(book.sim, book.i, 1) + best_price(book.sim, book.i, -1))


def spread(book: BookView):
    """Best ask less best bid; NaN when a side is empty."""
    return best_price(book.sim, book.i, -1) - best_price(book.sim, book.i, 1)


def microprice(book: BookView):
    """Mid price weighted by the size of the other side."""
    return micro(
        best_price(book.sim, book.i, 1), best_price(book.sim, book.i, -1), best_size(book.sim, book.i, 1),
        best_size(book.sim, book.i, -1),
    )


def age(book: BookView):
    """Time since the last message arrived, ns; -1 before the first."""
    return book_age(book.sim, book.i)


def imbalance(book: BookView, n=1):
    """(bids - asks) / (bids + asks) over the best `n` levels of each side."""
    return tilt(depth_of(book.sim, book.i, 1, n), depth_of(book.sim, book.i, -1, n))


def depth(book: BookView, side, n=1):
    """Total size of the best `n` levels: side +1 bids, -1 asks."""
    return depth_of(book.sim, book.i, side, n)


def size_to(book: BookView, side, price):
    """Total size of one side from its best to `price`."""
    return size_until(book.sim, book.i, side, price)


def price(book: BookView, side, j):
    """Price of the j-th level of one side, 0 = best; NaN beyond the last."""
    return level_price(book.sim, book.i, side, j)


def size(book: BookView, side, j):
    """Size of the j-th level of one side, 0 = best; 0 beyond the last."""
    return level_size(book.sim, book.i, side, j)


@kernel(store=False)
def last_trade(sim: Sim, k, j):
    """The j-th last trade seen, 0 = latest; ts -1 and price NaN where none is."""
    ts = -1
    local_ts = -1
    price = math.nan
    qty = 0.0
    side = 0
    if sim.cursor[k]["ticks"] != 0:
        t = ticks_at(sim.cursor[k]["ticks"])
        row = see_trades(t, sim.clock[0]["now"]) - 1 - j
        if j >= 0 and row >= 0:
            ts = t.trades[row]["raw_ts"]
            local_ts = t.trades[row]["local_ts"]
            price = price_at(t.place[0], t.trades[row]["tick"])
            qty = qty_of(t.place[0], t.trades[row]["lots"])
            side = int(t.trades[row]["side"])
    return Trade(k, ts, local_ts, price, qty, side)


def trade(book: BookView, j):
    """Return the j-th last trade seen, 0 = latest; its `ts` is -1 and its price NaN where none is."""
    return last_trade(book.sim, book.i, j)


def buy_pressure(book: BookView, n=100):
    """Share of the last `n` trades' quantity whose taker bought; NaN before the first trade."""
    return bought_share(book.sim, book.i, n)


METHODS: tuple[Any, ...] = (imbalance, depth, size_to, price, size, trade, buy_pressure)
PROPERTIES: tuple[Any, ...] = (
    instrument, now, bid, ask, bid_size, ask_size, mid, spread, microprice, age
)
for _function in METHODS:
    twin(BookView, _function.__name__, _function)
for _function in PROPERTIES:
    twin(BookView, _function.__name__, _function, is_property=True)
