"""Golden examples on ticks, continued: orders that take, stops, brackets, amends, trades alone, money."""

from __future__ import annotations

from tests.golden import BY_STRATEGY, MS
from tests.golden_ticks import (
    BOOK,
    DONE,
    EMPTY,
    FOK,
    IOC,
    OPEN,
    OTHER,
    STOPPED,
    TAKES,
    TARGET,
    at,
    fill,
    golden,
    rows,
    send,
    snap,
    trade,
)

# ---- 5.4 walks (X1, X2)

golden("market_walks", "5.4 X1", [BOOK], [send(1, 100, "buy 7 market")],
       [fill(1, 100, 100.0, 4.0, "taker", fee=0.4), fill(1, 100, 101.0, 3.0, "taker")], {1: DONE},
       options={"taker": 1e-3, "slippage": 0.01})  # no slippage on a book; 400 x 0.001
golden("taken_is_remembered", "5.4 X1", [BOOK, rows(200, "99:6"), rows(300, "| 100:9")],
       [send(1, 100, "buy 3 market"), send(2, 250, "buy 2 market"), send(3, 300, "buy 2 market")],
       [fill(1, 100, 100.0, 3.0), fill(2, 250, 100.0, 1.0), fill(2, 250, 101.0, 1.0),
        fill(3, 300, 100.0, 2.0)],
       {1: DONE, 2: DONE, 3: DONE})
golden("book_exhausted", "X1", [BOOK], [send(1, 100, "sell 30 market")],
       [fill(1, 100, 99.0, 5.0), fill(1, 100, 98.0, 7.0), fill(1, 100, 97.0, 9.0)], {1: EMPTY},
       qtys={1: 21.0})
golden("fok_whole_or_not", "5.4", [BOOK],
       [send(1, 100, "buy 11 limit 101", tif="FOK"), send(2, 100, "buy 10 limit 101", tif="FOK")],
       [fill(2, 100, 100.0, 4.0), fill(2, 100, 101.0, 6.0)], {1: FOK, 2: DONE})
golden("ioc_what_is_there", "5.4", [BOOK],
       [send(1, 100, "buy 9 limit 100", tif="IOC"), send(2, 100, "buy 9 limit 100", tif="IOC")],
       [fill(1, 100, 100.0, 4.0, "taker")], {1: IOC, 2: IOC}, qtys={1: 4.0, 2: 0.0})
golden("rest_of_a_crossing_limit", "5.4 X1", [BOOK, trade(200, "sells", 2, 100)],
       # takes 4 at 100, rests 5 at 100 with nobody before it; then the ask of 101 takes nothing
       [send(1, 100, "buy 9 limit 100")],
       [fill(1, 100, 100.0, 4.0, "taker"), fill(1, 200, 100.0, 2.0, "maker")], {1: OPEN}, qtys={1: 6.0})
golden("post_only", "X1", [BOOK, trade(200, "sells", 9, 98)],
       [send(1, 100, "buy 1 limit 100", post_only=True), send(2, 100, "buy 1 limit 99", post_only=True)],
       [fill(2, 200, 99.0, 1.0, "maker")], {1: TAKES, 2: DONE})
golden("whole_fills_remember_nothing", "5.5 X2", [BOOK, trade(200, "sells", 6, 99)],
       [send(1, 100, "buy 9 market"), send(2, 100, "buy 9 market"), send(3, 100, "buy 8 limit 99")],
       [fill(1, 100, 100.0, 9.0), fill(2, 100, 100.0, 9.0), fill(3, 200, 99.0, 8.0, "maker")],
       {1: DONE, 2: DONE, 3: DONE}, options={"partial": False})
golden("waits_for_the_first_message", "X1", [trade(50, "sells", 1, 90), snap(200, "99:5 | 100:4")],
       [send(1, 10, "buy 2 market"), send(2, 20, "buy 3 limit 99")], [fill(1, 200, 100.0, 2.0)],
       {1: DONE, 2: OPEN})
golden("latency_both_ways", "2 X1", [BOOK, rows(110, "| 100:1")], [send(1, 100, "buy 2 market")],
       [fill(1, 120, 100.0, 1.0, seen=at(150)), fill(1, 120, 101.0, 1.0, seen=at(150))], {1: DONE},
       options={"order_latency": 20 * MS, "response_latency": 30 * MS})
golden("message_at_the_arrival_counts", "3 X1", [BOOK, rows(100, "| 100:1")], [send(1, 100, "buy 2 market")],
       [fill(1, 100, 100.0, 1.0), fill(1, 100, 101.0, 1.0)], {1: DONE})
golden("stamp_never_goes_back", "3.1 B1", [BOOK, rows(150, "| 100:1"), rows(90, "| 101:1", seen=160)],
       # the second message says 90 and happened at 150: at 140 neither is known there
       [send(1, 140, "buy 6 market"), send(2, 150, "buy 3 market")],
       [fill(1, 140, 100.0, 4.0), fill(1, 140, 101.0, 2.0),
        fill(2, 150, 100.0, 1.0), fill(2, 150, 101.0, 1.0), fill(2, 150, 102.0, 1.0)], {2: DONE})

# ---- stops (X1, X3)

golden("stop_on_a_trade", "X3", [BOOK, trade(200, "buys", 1, 101)], [send(1, 100, "buy 5 stop 101")],
       [fill(1, 200, 100.0, 4.0, "taker"), fill(1, 200, 101.0, 1.0, "taker")], {1: DONE})
golden("stop_reached_at_arrival", "X1", [BOOK, trade(50, "sells", 1, 98)], [send(1, 100, "sell 2 stop 98")],
       [fill(1, 100, 99.0, 2.0, "taker")], {1: DONE})
golden("stop_walks_the_book_before", "X3", [BOOK, [*trade(200, "buys", 1, 101), *rows(200, "| 100:1")]],
       [send(1, 100, "buy 3 stop 101")], [fill(1, 200, 100.0, 3.0)],
       {1: DONE})  # the message of 200 comes later
golden("stop_on_a_quote", "X4", [BOOK, trade(150, "buys", 1, 101), rows(200, "| 100:0")],
       [send(1, 100, "buy 2 stop 101")], [fill(1, 200, 101.0, 2.0)], {1: DONE}, options={"trigger": "quote"})
golden("stop_on_a_mark", "X1", [BOOK, trade(150, "buys", 1, 101)], [send(1, 100, "buy 2 stop 101")],
       [fill(1, 250, 100.0, 2.0)], {1: DONE}, mark=[(at(120), 100.5), (at(250), 101.0)],
       options={"trigger": "mark"})
golden("stop_ioc_is_decided_at_arrival", "X1", [BOOK, trade(50, "buys", 1, 100), trade(200, "buys", 1, 101)],
       [send(1, 100, "buy 2 stop 101", tif="IOC"), send(2, 100, "buy 2 stop 101", tif="FOK")], [],
       {1: IOC, 2: FOK})
golden("stop_limit_rests", "X3", [BOOK, trade(200, "buys", 1, 101), trade(300, "sells", 9, 99)],
       # triggered at 200, 99 is not marketable: it joins behind 5; 9 - 5 = 4
       [send(1, 100, "buy 6 stop_limit 101 99")], [fill(1, 300, 99.0, 4.0, "maker")], {1: OPEN})
golden("trailing", "X3", [BOOK, trade(50, "buys", 1, 100), trade(200, "buys", 1, 103),
       trade(300, "sells", 1, 101)],
       # extreme 100, then 103: the level is 101
       [send(1, 100, "sell 2 trailing 2")], [fill(1, 300, 99.0, 2.0, "taker")], {1: DONE})

# ---- brackets (X5)

golden("target_rests_behind_the_display", "X5", [BOOK, trade(200, "buys", 9, 102)],
       # the target of 102 joins behind 8 and gets 1; the stop protects what is left
       [send(1, 100, "buy 2 market", stop=97, target=102)],
       [fill(1, 100, 100.0, 2.0), fill(3, 200, 102.0, 1.0, "maker", side=-1)], {1: DONE, 2: OPEN, 3: OPEN})
golden("marketable_target_takes", "X5", [BOOK], [send(1, 100, "buy 2 market", target=99)],
       [fill(1, 100, 100.0, 2.0), fill(2, 100, 99.0, 2.0, "taker")], {1: DONE, 2: TARGET})
golden("exit_stop_waits_for_a_trade", "X5", [BOOK, trade(50, "sells", 1, 96), trade(300, "sells", 1, 97)],
       # the last trade is below the stop at its birth: it waits for the next
       [send(1, 100, "buy 2 market", stop=97, target=110)],
       [fill(1, 100, 100.0, 2.0), fill(2, 300, 99.0, 2.0, "taker")], {2: STOPPED, 3: OTHER})
golden("target_grows_and_keeps_its_place", "X5", [BOOK, trade(150, "sells", 6, 99), rows(200, "| 101:20"),
       trade(250, "sells", 2, 99), trade(300, "buys", 8, 101)],
       # 1 of 3 at 150: a target behind 6; 2 more at 250: it grows in its place; 8 - 6 = 2
       [send(1, 100, "buy 3 limit 99", target=101)],
       [fill(1, 150, 99.0, 1.0), fill(1, 250, 99.0, 2.0), fill(2, 300, 101.0, 2.0, "maker")],
       {1: DONE, 2: OPEN})

# ---- amends and cancels (X6)

AMEND = {"type": "amend", "instrument": 0, "id": 1}
golden("quantity_down_keeps_the_place", "X6", [BOOK, rows(150, "99:9"), trade(300, "sells", 9, 99)],
       [send(1, 100, "buy 5 limit 99"), {**AMEND, "ts": at(200), "qty": 3.0}],
       [fill(1, 300, 99.0, 3.0)], {1: DONE})
golden("quantity_up_goes_behind", "X6", [BOOK, rows(150, "99:9"), trade(300, "sells", 10, 99)],
       [send(1, 100, "buy 5 limit 99"), {**AMEND, "ts": at(200), "qty": 6.0}], [fill(1, 300, 99.0, 1.0)],
       {1: OPEN})  # behind 9 now, not 5
golden("new_price_looks_anew", "X6", [BOOK, trade(300, "sells", 9, 98)],
       [send(1, 100, "buy 5 limit 98"), {**AMEND, "ts": at(200), "price": 100.0}],
       [fill(1, 200, 100.0, 4.0, "taker"), fill(1, 300, 100.0, 1.0, "maker")], {1: DONE})
golden("cancel_loses_the_race", "X6", [BOOK, trade(220, "sells", 1, 98)],
       [send(1, 100, "buy 5 limit 99", cancel_ts=at(200)),
        send(2, 100, "buy 5 limit 99", cancel_ts=at(199.9))],
       # cancels arrive 20 ms later: at 220 after the trade, at 219.9 before it
       [fill(1, 220, 99.0, 5.0, "maker")], {1: DONE, 2: BY_STRATEGY}, options={"order_latency": 20 * MS})

# ---- trades alone (X9)

golden("alone_market", "X9", [trade(50, "buys", 1, 100), trade(200, "sells", 1, 101)],
       [send(1, 100, "buy 50 market")], [fill(1, 200, 102.01, 50.0, "taker")], {1: DONE},
       options={"slippage": 0.01})  # the first trade after the arrival, 101 x 1.01
golden("alone_volume_share", "X9", [trade(50, "buys", 1, 100), trade(200, "sells", 5, 101),
       trade(300, "buys", 9, 102)],
       [send(1, 100, "buy 6 market")], [fill(1, 200, 101.0, 2.0), fill(1, 300, 102.0, 4.0)], {1: DONE},
       options={"volume_share": 0.5})  # 2.5 floored, then min(4.5, 4)
golden("alone_limit", "X9", [trade(50, "buys", 1, 100), trade(200, "sells", 1, 101),
       trade(300, "sells", 9, 99), trade(400, "buys", 1, 98)],
       # at its price nothing, strictly through whole, whoever took; the other is marketable at its first look
       [send(1, 100, "buy 5 limit 99"), send(2, 100, "buy 5 limit 102")],
       [fill(2, 200, 101.0, 5.0, "taker"), fill(1, 400, 99.0, 5.0, "maker")], {1: DONE, 2: DONE})
golden("alone_front", "X9", [trade(50, "buys", 1, 100), trade(200, "sells", 1, 101),
       trade(300, "buys", 9, 99), trade(400, "sells", 3, 99)],
       [send(1, 100, "buy 5 limit 99")], [fill(1, 400, 99.0, 3.0, "maker")], {1: OPEN},
       options={"queue": "front"})
golden("alone_stop", "X9", [trade(50, "buys", 1, 100), trade(200, "sells", 1, 100),
       trade(300, "sells", 1, 97)],
       [send(1, 100, "sell 2 stop 98")], [fill(1, 300, 96.03, 2.0, "taker")], {1: DONE},
       options={"slippage": 0.01})

# ---- money (X7, X8, X10, X11, Y3)

golden("share_walks", "6.1 X7", [BOOK], [send(1, 100, "buy 0 market", share=0.1)],
       # 1,000: 4 at 100 leave 600, 5 at 101 (505) leave 95, which buy nothing
       [fill(1, 100, 100.0, 4.0), fill(1, 100, 101.0, 5.0)], {1: DONE})
golden("share_rests_at_its_limit", "6.1 X7", [BOOK, trade(200, "sells", 1, 98)],
       [send(1, 100, "buy 0 limit 99", share=0.1)], [fill(1, 200, 99.0, 10.0, "maker")], {1: DONE})
golden("margin_at_each_fill", "6.3 X7", [BOOK], [send(1, 100, "buy 9 market")],
       # 1,000 pay for 4 at 100 and not for 5 at 101 as well
       [fill(1, 100, 100.0, 4.0)], {1: ("rejected", "insufficient margin")}, options={"cash": 900.0})
golden("equity_at_the_local_mid", "Y3", [BOOK, rows(1_500, "| 100:0 101:0", seen=2_000)],
       [send(1, 100, "buy 2 market")], [fill(1, 100, 100.0, 2.0)], {1: DONE}, until=2_500,
       # mid 99.5 at 0 and 1 s; 100.5 from 2 s on, when the message is here
       equity=[(at(0), 10_000.0), (at(1_000), 9_999.0), (at(2_000), 10_001.0), (at(2_500), 10_001.0)])
golden("bust_at_a_sample", "X10", [BOOK, rows(400, "99:0 98:0 97:0"), rows(500, "80:5"),
       rows(1_500, "95:1")],
       # (80 + 102) / 2 = 91 at 1 s: 90 - 4 x 9 - 6 x 10 = -6, everything is closed there
       [send(1, 100, "buy 10 market")], [fill(1, 100, 100.0, 4.0), fill(1, 100, 101.0, 6.0),
                                         fill(2, 1_000, 91.0, 10.0)],
       {2: ("filled", "bust")}, options={"cash": 90.0, "leverage": 20.0}, outcome="bust")
golden("funding_before_the_fills", "3.4 X11",
       [BOOK, rows(1_000, "| 100:0 101:0"), trade(1_000, "sells", 1, 98)],
       # the boundary is 1 s: 2 x mid 99.5 (before its rows) x 1 % paid by the long
       [send(1, 100, "buy 2 market"), send(2, 200, "buy 5 limit 99")],
       [fill(1, 100, 100.0, 2.0), fill(2, 1_000, 99.0, 5.0)], funding=[(at(1_004), 0.01)],
       final={"funding": -1.99})
