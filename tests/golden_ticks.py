"""Golden examples on ticks: small feeds with fills worked out by hand from rules.md 5 and the matching rules.

Each is run against the naive twin and against the engine. Unless said otherwise: one linear instrument,
tick 1, lot 1, no fees, no slippage, no latency, queue "risk_averse", cash 10,000; a row is seen when it
happens. Times are milliseconds after START.
"""

from __future__ import annotations

from typing import Any

from tests.golden import MS, F, Golden, order
from tests.naive.tick_model import ASK, BID, L2, Feed, TickCase, TickOptions, Trade

START = 1_700_000_000_000_000_000
TICKS: list[Golden] = []
DONE, STOPPED, TARGET = ("filled", ""), ("filled", "stop"), ("filled", "target")
OTHER = ("cancelled", "other order of the group filled")
OPEN, IOC, FOK = ("open", ""), ("cancelled", "IOC remainder"), ("cancelled", "FOK not fillable")
EMPTY, TAKES = ("cancelled", "book exhausted"), ("rejected", "post-only would take")
Rows = list[L2] | list[Trade]


def at(ms: float) -> int:
    """Milliseconds after START."""
    return START + round(ms * MS)


def rows(ms: float, text: str, *, snapshot: bool = False, seen: float | None = None) -> list[L2]:
    """Book rows of one message: "99:5 98:7 | 100:4" are bids, then asks; the sizes are the new ones."""
    bids, _, asks = text.partition("|")
    out = []
    for side, words in ((BID, bids), (ASK, asks)):
        for word in words.split():
            tick, lots = word.split(":")
            out.append(L2(at(ms), at(ms if seen is None else seen), snapshot, side, int(tick), int(lots)))
    return out


def snap(ms: float, text: str) -> list[L2]:
    """A snapshot."""
    return rows(ms, text, snapshot=True)


def trade(ms: float, taker: str, lots: int, tick: int) -> list[Trade]:
    """A trade; the taker buys, sells, or is unknown ("?")."""
    return [Trade(at(ms), at(ms), tick, lots, {"buys": 1, "sells": -1, "?": 0}[taker])]


BOOK = snap(0, "99:5 98:7 97:9 | 100:4 101:6 102:8")


def golden(
    name: str, rule: str, feed: list[Rows], orders: list[dict[str, Any]], fills: list[F],
    status: dict[int, tuple[str, str]] | None = None, *, instrument: dict[str, Any] | None = None,
    funding: list[tuple[int, float]] | None = None, mark: list[tuple[int, float]] | None = None,
    options: dict[str, Any] | None = None, until: float = 5_000, **expected: Any,
) -> None:  # fmt: skip
    """Add one example; `feed` is a list of `rows`, `snap` and `trade` in time order."""
    row = {"kind": "linear", "tick": 1.0, "lot": 1.0, "min_notional": 0.0, "multiplier": 1.0, "tiers": ()}
    book = [x for part in feed for x in part if isinstance(x, L2)]
    trades = [x for part in feed for x in part if isinstance(x, Trade)]
    if book:
        book += rows(until, "1:1")
    else:
        trades += trade(until, "?", 1, trades[-1].tick)
    TICKS.append(Golden(name, rule, TickCase(
        instruments=[{**row, **(instrument or {})}], bars=[[]], funding=[funding or []], mark=[mark or []],
        orders=orders, options=TickOptions(**{"maker": 0.0, "taker": 0.0, **(options or {})}),
        books=[Feed(files=[book]) if book else None], trades=[trades],
    ), fills, status or {}, **expected))  # fmt: skip


def fill(id_: int, ms: float, price: float, qty: float, who: str = "", **more: Any) -> F:
    """An expected fill; who = "maker", "taker" or not checked."""
    return F(id_, at(ms), price, qty, maker={"maker": True, "taker": False}.get(who), **more)


def send(id_: int, ms: float, what: str, **more: Any) -> dict[str, Any]:
    """One order; see `golden.order`."""
    return order(id_, at(ms), what, **more)


# ---- 5.2 the queue; trades (X3)

golden("through_fills_whole", "5.2 X3", [BOOK, trade(200, "sells", 1, 98)], [send(1, 100, "buy 8 limit 99")],
       [fill(1, 200, 99.0, 8.0, "maker")], {1: DONE})  # one lot below our price, whole rest at our price
golden("queue_first_then_us", "5.2 X3",
       [BOOK, trade(200, "sells", 3, 99), trade(300, "sells", 4, 99), trade(400, "sells", 5, 99)],
       # ahead 5: 3 leave 2; 4 leave 0 and 2 for us; the third trade gives the last 2
       [send(1, 100, "buy 4 limit 99")],
       [fill(1, 300, 99.0, 2.0, "maker"), fill(1, 400, 99.0, 2.0, "maker")], {1: DONE})
golden("queue_exactly_taken", "5.2 X3", [BOOK, trade(200, "sells", 5, 99)],
       [send(1, 100, "buy 4 limit 99")], [],
       {1: OPEN})
golden("sell_side_mirrors", "5.2 X3", [BOOK, trade(200, "buys", 6, 100)], [send(1, 100, "sell 4 limit 100")],
       [fill(1, 200, 100.0, 2.0, "maker", side=-1)], {1: OPEN}, qtys={1: 2.0})
golden("unknown_side_only_through", "5.2 X3", [BOOK, trade(200, "?", 50, 99), trade(300, "?", 1, 98)],
       [send(1, 100, "buy 4 limit 99")], [fill(1, 300, 99.0, 4.0, "maker")], {1: DONE})
golden("own_side_taker_is_nothing", "X3", [BOOK, trade(200, "buys", 50, 99), trade(300, "buys", 50, 98)],
       [send(1, 100, "buy 4 limit 99")], [], {1: OPEN})
golden("better_than_the_touch_stands_first", "5.2 X3", [BOOK, rows(50, "| 100:0 101:6"),
       trade(200, "sells", 3, 100)],
       [send(1, 100, "buy 4 limit 100")], [fill(1, 200, 100.0, 3.0, "maker")], {1: OPEN})  # ahead 0
golden("arrival_at_the_trade_takes_no_part", "3 X1", [BOOK, trade(100, "sells", 1, 98)],
       [send(1, 100, "buy 4 limit 99")], [], {1: OPEN})  # the trade is before the arrival
golden("own_orders_in_time_order", "5.4 X3", [BOOK, trade(300, "sells", 10, 99)],
       # each joins behind 5; the older takes 3 of the 5 beyond the queue, for the younger 7 - 5 = 2 are left
       [send(1, 100, "buy 3 limit 99"), send(2, 200, "buy 9 limit 99")],
       [fill(1, 300, 99.0, 3.0), fill(2, 300, 99.0, 2.0)], {1: DONE, 2: OPEN})

# ---- 5.2 the opposite best reaches us (X4)

golden("opposite_best_reaches", "5.2 X4", [BOOK, rows(200, "99:0 | 99:2")], [send(1, 100, "buy 8 limit 99")],
       [fill(1, 200, 99.0, 8.0, "maker")], {1: DONE})
golden("opposite_best_beyond", "5.2 X4", [BOOK, rows(200, "99:0 98:0 97:0 | 97:1")],
       [send(1, 100, "buy 8 limit 98")], [fill(1, 200, 98.0, 8.0, "maker")], {1: DONE})
golden("newer_side_wins_when_crossed", "5.1 B6", [BOOK, rows(200, "| 98:3")],
       # the bid at 99 is older and goes, the bid at 98 too; the ask at 98 reaches our 99
       [send(1, 100, "buy 2 limit 99"), send(2, 300, "sell 9 market")],
       [fill(1, 200, 99.0, 2.0, "maker"), fill(2, 300, 97.0, 9.0, "taker")], {1: DONE, 2: DONE})

# ---- 5.3 depth changes (X4)

golden("risk_averse_cancel", "5.3", [BOOK, rows(200, "99:2"), trade(300, "sells", 3, 99)],
       [send(1, 100, "buy 4 limit 99")], [fill(1, 300, 99.0, 1.0, "maker")], {1: OPEN})  # min(5, 2) = 2 ahead
golden("risk_averse_growth_behind", "5.3", [BOOK, rows(200, "99:9"), trade(300, "sells", 6, 99)],
       [send(1, 100, "buy 4 limit 99")], [fill(1, 300, 99.0, 1.0, "maker")], {1: OPEN})  # still 5 ahead
golden("power_1", "5.3", [BOOK, rows(150, "99:15"), rows(200, "99:11"), trade(300, "sells", 6, 99)],
       # ahead 5, behind 10: 10/15 of the 4 cancelled stood behind, 4/3 before us: 3.667 ahead; 6 - 3.667 = 2
       [send(1, 100, "buy 4 limit 99")], [fill(1, 300, 99.0, 2.0, "maker")], {1: OPEN},
       options={"queue": "power:1"})
golden("power_2", "5.3", [BOOK, rows(150, "99:15"), rows(200, "99:11"), trade(300, "sells", 6, 99)],
       # 100/125 behind: 0.8 before us: 4.2 ahead, 1.8 for us: one lot
       [send(1, 100, "buy 4 limit 99")], [fill(1, 300, 99.0, 1.0, "maker")], {1: OPEN},
       options={"queue": "power:2"})
golden("log", "5.3", [BOOK, rows(150, "99:15"), rows(200, "99:11"), trade(300, "sells", 6, 99)],
       # ln 11 / (ln 11 + ln 6) = 0.5723: 4 x 0.4277 = 1.711 before us: 3.289 ahead: 2 lots
       [send(1, 100, "buy 4 limit 99")], [fill(1, 300, 99.0, 2.0, "maker")], {1: OPEN},
       options={"queue": "log"})
golden("front", "5.3", [BOOK, trade(200, "sells", 3, 99)], [send(1, 100, "buy 4 limit 99")],
       [fill(1, 200, 99.0, 3.0, "maker")], {1: OPEN}, options={"queue": "front"})
golden("back", "5.3", [BOOK, rows(200, "99:1"), trade(300, "sells", 5, 99), trade(400, "sells", 2, 99)],
       [send(1, 100, "buy 4 limit 99")], [fill(1, 400, 99.0, 2.0, "maker")], {1: OPEN},
       options={"queue": "back"})
golden("trades_explain_the_change", "5.3", [BOOK, rows(150, "99:15"), trade(200, "sells", 2, 99),
       rows(210, "99:13"), trade(300, "sells", 5, 99)],
       # the trade takes 2 of 5 ahead; 15 - 13 - 2 = 0 were cancelled; 3 ahead, 2 for us
       [send(1, 100, "buy 4 limit 99")], [fill(1, 300, 99.0, 2.0, "maker")], {1: OPEN},
       options={"queue": "power:1"})
golden("change_below_zero", "5.3", [BOOK, trade(200, "sells", 2, 99), rows(210, "99:2"),
       trade(300, "sells", 3, 99)],
       # 5 - 2 - 2 = 1 cancelled, nobody behind (b = 5 - 3 = 2: 4/13 behind): 3 - 9/13 = 2.31, min 2: 1 lot
       [send(1, 100, "buy 4 limit 99")], [fill(1, 300, 99.0, 1.0, "maker")], {1: OPEN},
       options={"queue": "power:2"})
golden("growth_after_a_trade", "5.3", [BOOK, trade(200, "sells", 2, 99), rows(210, "99:9"),
       trade(300, "sells", 4, 99)],
       # 5 - 9 - 2 < 0: min(3, 9) = 3 ahead, one for us
       [send(1, 100, "buy 4 limit 99")], [fill(1, 300, 99.0, 1.0, "maker")], {1: OPEN},
       options={"queue": "log"})
golden("snapshot_is_one_change", "5.1 B4", [BOOK, snap(200, "99:5 98:7 97:9 | 100:4 101:6 102:8"),
       trade(300, "sells", 6, 99)],
       [send(1, 100, "buy 4 limit 99")], [fill(1, 300, 99.0, 1.0, "maker")], {1: OPEN})  # never 0 in between
golden("snapshot_drops_levels", "5.1 B4", [BOOK, snap(200, "98:7 | 100:4"), trade(300, "sells", 3, 99),
       ], [send(1, 100, "buy 2 limit 99"), send(2, 400, "buy 9 market")],
       # 99 is gone, and so is what stood before us; 101 and 102 are gone too
       [fill(1, 300, 99.0, 2.0, "maker"), fill(2, 400, 100.0, 4.0, "taker")], {1: DONE, 2: EMPTY})
golden("rows_before_the_snapshot", "5.1 B3", [rows(0, "99:50 | 100:50"), snap(50, "98:1 | 101:1")],
       [send(1, 100, "buy 1 market")], [fill(1, 100, 101.0, 1.0, "taker")], {1: DONE})
golden("no_op_row", "B7", [BOOK, trade(150, "sells", 2, 99), rows(200, "99:5"), rows(250, "99:4"),
       trade(300, "sells", 4, 99)],
       # 99:5 says nothing new; 5 - 4 - 2 < 0: 3 ahead stay, one for us
       [send(1, 100, "buy 4 limit 99")], [fill(1, 300, 99.0, 1.0, "maker")], {1: OPEN},
       options={"queue": "power:1"})
