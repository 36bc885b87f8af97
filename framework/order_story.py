"""Why an order filled or did not: its life on a timeline, what the market did meanwhile, and the rule."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import polars as pl

from framework.instruments import price_of
from framework.market import Market
from framework.order_case import Case, case_of, level_changes, levels_at, own_key, tick_of, trades_met
from framework.records import NEVER
from framework.report.compare import number, price, show, span
from framework.report.reasons import HOW, UNDERWAY, WAITING, WHY
from framework.tick_metrics import Prices, prices, sample
from framework.times import format_time

Event = tuple[int, int, str]  # time, what comes first at one time, words
Queue = Iterable[tuple[int, float, float, float, str]]  # ts, ahead, traded, level (lots), why
SEEN, TRADE, LEVEL, QUEUE, ORDER, KNOWN = range(6)
FIRST, LAST = 6, 10  # rows of a long timeline that are shown


def explain(
    orders: pl.DataFrame, fills: pl.DataFrame, order_id: int, market: Market | None = None,
    queue: Queue | None = None,
) -> str:  # fmt: skip
    """Return the story of one order as plain text.

    Parameters
    ----------
    orders, fills
        Tables of a result.
    market
        What it ran over; without it only what the tables know is told.
    queue
        Rows (ts, lots ahead, lots traded since the level changed, lots shown at the level, why) from the
        engine, where it can tell them.

    Raises
    ------
    ConfigError
        There is no such order.
    """
    case = case_of(orders, fills, order_id, market)
    lines = [title(case), *shown(case, sorted(events(case, queue or ()), key=lambda one: one[:2]))]
    lines += summary(case)
    lines.append(f"why: {why(case)}")
    if market is None:
        lines.append("the market is not at hand: what it did meanwhile is left out")
    return "\n".join(lines)


def title(case: Case) -> str:
    """Return what was asked and what became of it."""
    o = case.order
    qty = "" if o["qty"] is None or np.isnan(o["qty"]) else f" {price(o['qty'])}"
    at = f" at {case.price(o['price'])}" if o["price"] is not None and not np.isnan(o["price"]) else ""
    ended = o["status"] if not o["reason"] else f"{o['status']} ({o['reason']})"
    done = f", {price(o['filled_qty'])} filled at {case.price(o['avg_price'])} on average"
    part = done if case.fills else ""
    words = f"order {o['id']}: {o['side']}{qty} {o['instrument']}, {o['type']}{at}, {o['tif']}"
    return f"{' '.join(words.split())}: {ended}{part}"


def events(case: Case, queue: Queue) -> list[Event]:
    """Return everything worth a line of the timeline."""
    o = case.order
    found: list[Event] = [(o["ts"], SEEN, "sent")]
    if o["arrival_ts"] < NEVER and (case.market is None or o["arrival_ts"] <= case.market.stop):
        late = span(o["arrival_ts"] - o["ts"]) if o["arrival_ts"] > o["ts"] else "at once"
        found.append((o["arrival_ts"], SEEN, f"at the exchange ({late}){book_words(case)}"))
    for fill in case.fills:
        role = "maker" if fill["maker"] else "taker"
        words = f"filled {price(fill['qty'])} at {case.price(fill['price'])} as {role}{bar_words(case, fill)}"
        found.append((fill["ts"], ORDER, f"{words}; fee {show('tokens', fill['fee'])}"))
        known = f"the fill of {price(fill['qty'])} is known to the strategy"
        found.append((fill["seen_ts"], KNOWN, known))
    if o["end_ts"] is not None and o["status"] != "filled":
        found.append((o["end_ts"], ORDER, f"{o['status']}: {o['reason']}" if o["reason"] else o["status"]))
    for ts, ahead, traded, level, words in queue:
        why_so = f" ({words})" if words else ""
        found.append((ts, QUEUE, queue_words(case, ahead, traded, level) + why_so))
    return found + (trade_events(case) + level_events(case) if case.on_ticks and case.rests else [])


def queue_words(case: Case, ahead: float, traded: float, level: float) -> str:
    """Return where an order stands in its queue."""
    parts = [f"{price(case.lots(ahead))} ahead of it in the queue, {price(case.lots(level))} shown there"]
    return ", ".join(parts + ([f"{price(case.lots(traded))} traded since"] if traded else []))


def book_words(case: Case) -> str:
    """Return the best prices and the size at its own level when it arrived."""
    if not case.on_ticks:
        return ""
    assert case.market is not None
    at = case.order["arrival_ts"]
    if not len(case.market.books.get(case.k, ())):
        last = sample(*prices(case.market, case.k)[:2], [at], NEVER)[0]
        return f": last trade at {case.price(float(last))}" if np.isfinite(last) else ": no trade yet"
    keys, lots = levels_at(case, at)
    parts = []
    for name, is_ask in (("bid", 0), ("ask", 1)):
        mine = np.flatnonzero((keys & 1 == is_ask) & (lots > 0))
        if not len(mine):
            parts.append(f"no {name}")
            continue
        best = int(mine[0] if is_ask else mine[-1])
        value = float(price_of(int(keys[best]) >> 1, tick_of(case)))
        parts.append(f"best {name} {case.price(value)} ({price(case.lots(int(lots[best])))})")
    if case.is_limit:
        row = np.flatnonzero(keys == own_key(case))
        size = int(lots[row[0]]) if len(row) else 0
        parts.append(shown_words(case, size))
    return ": " + ", ".join(parts)


def shown_words(case: Case, lots: int) -> str:
    """Return what the book shows at the order's price."""
    if lots < 0:
        return "its price is out of view"
    return f"{price(case.lots(lots)) if lots else 'nothing'} shown at its price"


def trade_events(case: Case) -> list[Event]:
    """Return the trades at its price and through it."""
    rows, through = trades_met(case)
    found = []
    for row, is_through in zip(rows, through.tolist(), strict=True):
        at = case.price(float(price_of(int(row["tick"]), tick_of(case))))
        where = "through its price" if is_through else "at its price"
        words = f"trade of {price(case.lots(int(row['lots'])))} at {at}, {where}"
        found.append((int(row["ts"]), TRADE, words))
    return found


def level_events(case: Case) -> list[Event]:
    """Return the sizes shown at its price while it rested."""
    ts, lots = level_changes(case)
    return [
        (at, LEVEL, shown_words(case, n))
        for at, n in zip(ts.tolist(), lots.tolist(), strict=True)
    ]


def bar_words(case: Case, fill: dict[str, Any]) -> str:
    """Return the bar a fill of a candle run happened in."""
    if case.market is None or fill["bar_open_ts"] is None or case.on_ticks:
        return ""
    bars = case.market.match_bars(case.k)
    row = int(np.searchsorted(bars["open_ts"], fill["bar_open_ts"]))
    if row >= len(bars) or bars["open_ts"][row] != fill["bar_open_ts"]:
        return ""
    names = ("open", "high", "low", "close")
    values = ", ".join(f"{name} {case.price(float(bars[name][row]))}" for name in names)
    return f" in the bar of {format_time(fill['bar_open_ts'])} ({values})"


def shown(case: Case, found: Sequence[Event]) -> list[str]:
    """Return the timeline as lines; of a long one what happened to the order, and its first and last rows."""
    own = {i for i, (_, kind, _) in enumerate(found) if kind in (SEEN, ORDER, KNOWN)}
    others = [i for i in range(len(found)) if i not in own]
    kept = own | set(others[:FIRST]) | set(others[max(FIRST, len(others) - LAST) :])
    lines, skipped = [], 0
    for i, (ts, _, words) in enumerate(found):
        if i not in kept:
            skipped += 1
            continue
        if skipped:
            lines.append(f"  ... {skipped:,} more changes at its price")
            skipped = 0
        lines.append(f"  {format_time(ts)}  {words}")
    return lines


def summary(case: Case) -> list[str]:
    """Return what the market did while a limit rested, in one line."""
    if not case.rests or case.market is None or not case.side:
        return []
    if not case.on_ticks:
        return bars_summary(case)
    rows, through = trades_met(case)
    inside, beyond = (price(case.lots(int(rows["lots"][m].sum()))) for m in (~through, through))
    words = f"{int((~through).sum()):,} trades at its price ({inside} in all)"
    if through.any():
        words += f", {int(through.sum()):,} through it ({beyond})"
    return [f"while it rested ({span(case.end - case.order['arrival_ts'])}): {words}{nearest(case)}"]


def nearest(case: Case) -> str:
    """Return how near the opposite side of the book came to a resting limit."""
    assert case.market is not None
    book: Prices = prices(case.market, case.k)
    opposite = book.ask if case.side > 0 else book.bid
    first = max(int(np.searchsorted(book.ts, case.order["arrival_ts"], side="right")) - 1, 0)
    seen = opposite[first : int(np.searchsorted(book.ts, case.end, side="right"))]
    seen = seen[np.isfinite(seen)]
    if not len(seen):
        return ""
    best = float(seen.min() if case.side > 0 else seen.max())
    away = case.side * (best - case.order["price"]) / tick_of(case)
    name = "lowest ask" if case.side > 0 else "highest bid"
    return f"; {name} {case.price(best)}, {number(abs(away), 0)} ticks {'away' if away > 0 else 'within'}"


def bars_summary(case: Case) -> list[str]:
    """Return how near the bars came to a resting limit."""
    assert case.market is not None
    bars = case.market.match_bars(case.k)
    bars = bars[(bars["open_ts"] >= case.order["arrival_ts"]) & (bars["open_ts"] < case.end)]
    if not len(bars):
        return []
    best = float(bars["low"].min() if case.side > 0 else bars["high"].max())
    name = "lowest low" if case.side > 0 else "highest high"
    words = f"{name} {case.price(best)} against {case.price(case.order['price'])}"
    return [f"while it worked: {len(bars):,} bars, {words}"]


def why(case: Case) -> str:
    """Return the rule that ended an order, or filled it, in one sentence."""
    o = case.order
    if o["status"] == "open":
        late = case.market is not None and o["arrival_ts"] > case.market.stop
        return UNDERWAY if late else WAITING
    if o["status"] != "filled":
        return WHY.get(o["reason"], str(o["reason"] or o["status"]))
    return HOW[rule(case, case.fills[-1])] if case.fills else str(o["status"])


def rule(case: Case, fill: dict[str, Any]) -> str:
    """Return which rule of `HOW` made a fill."""
    kind = case.order["type"]
    if kind == "liquidation":
        return "liquidation"
    if fill["bar_open_ts"] is not None:
        kinds = {"market": "bar market", "close": "bar market", "limit": "bar limit"}
        return kinds.get(kind, "bar stop")
    if fill["maker"]:
        return maker_rule(case, fill)
    has_book = case.market is None or len(case.market.books.get(case.k, ())) > 0
    if not has_book:
        return "trade"
    return {"market": "market", "close": "close", "limit": "taker"}.get(kind, "trigger")


def maker_rule(case: Case, fill: dict[str, Any]) -> str:
    """Return whether a trade went through a limit, used up its queue, or the book reached it."""
    if not case.on_ticks:
        return "queue"
    rows, through = trades_met(case)
    here = rows["ts"] == fill["ts"] if len(rows) else np.zeros(0, dtype=bool)
    if not here.any():
        return "reached"
    return "through" if through[here].any() else "queue"


__all__ = ["Queue", "explain"]
