"""Golden examples of the rules, part 4: filling on candles. Importing it adds them to `golden.GOLDEN`."""

from __future__ import annotations

from tests.golden import (
    BY_STRATEGY,
    DONE,
    FLAT,
    MINUTE,
    MS,
    OTHER,
    STOPPED,
    TARGET,
    TRAILED,
    F,
    bars,
    golden,
    order,
    t,
)

TWO = bars(FLAT, "102 103 101 102")

# ---- 4.1 market orders

golden("market_next_open", "4.1", TWO, [order(1, t(1), "buy 2 market")],
       [F(1, t(1), 102.0, 2.0, maker=False, side=1, bar=1)], {1: DONE},
       # row of t(1) before the fill; row of t(2): 2 x (102 - 102) = 0
       equity=[(t(1), 10_000.0), (t(2), 10_000.0)])
golden("market_latency", "4.1 4.7", TWO, [order(1, t(1), "buy 2 market")],
       # arrives 20 ms into bar 1: its open, stamped with the arrival; the answer takes 30 ms more
       [F(1, t(1, 20), 102.0, 2.0, seen=t(1, 50))], {1: DONE},
       options={"order_latency": 20 * MS, "response_latency": 30 * MS})
golden("market_grace_edge", "4.1", TWO, [order(1, t(1), "buy 2 market")],
       [F(1, t(1, 1200), 102.0, 2.0)], {1: DONE},  # 0.02 x 60 s = 1.2 s is still in time
       options={"order_latency": 1200 * MS})
golden("market_late", "4.1", bars(FLAT, "102 103 101 102", "105 106 104 105"),
       [order(1, t(1), "buy 2 market")],
       [F(1, t(2), 105.0, 2.0)], {1: DONE}, late=1,  # 1 ns past the grace: the next open
       options={"order_latency": 1200 * MS + 1})
golden("market_after_the_last_bar", "4.1", TWO, [order(1, t(1, 5000), "buy 2 market")], [], {1: ("open", "")},
       late=1)
golden("decided_inside_a_bar", "4.1", bars(FLAT, FLAT, "103 104 103 104"),
       [order(1, t(1, 30_000), "buy 2 market")],
       [F(1, t(2), 103.0, 2.0)], {1: DONE}, late=1)
golden("before_the_first_bar", "4.1", TWO, [order(1, t(-1), "sell 2 market")],
       [F(1, t(0), 100.0, 2.0, side=-1)], {1: DONE}, late=0,
       # short 2 from 100; close 100, then 102: -4
       equity=[(t(1), 10_000.0), (t(2), 9_996.0)])
golden("time_gap_between_bars", "4.1", bars(FLAT) + bars("104 105 104 104", first=3),
       [order(1, t(1), "buy 1 market")],
       [F(1, t(3), 104.0, 1.0)], {1: DONE}, late=0)  # no bar was open at t(1): not late

# ---- 4.2 limits

golden("limit_inside", "4.2", bars(FLAT, "100 101 97 100"), [order(1, t(1), "buy 1 limit 98")],
       [F(1, t(2), 98.0, 1.0, maker=True, bar=1)], {1: DONE})
golden("limit_touch_is_a_fill", "4.2", bars(FLAT, "100 101 98 100"), [order(1, t(1), "buy 1 limit 98")],
       [F(1, t(2), 98.0, 1.0, maker=True)], {1: DONE})
golden("limit_not_reached", "4.2", bars(FLAT, "100 101 99 100"), [order(1, t(1), "buy 1 limit 98")], [],
       {1: ("open", "")})
golden("limit_sell_inside", "4.2", bars(FLAT, "100 103 99 100"), [order(1, t(1), "sell 1 limit 103")],
       [F(1, t(2), 103.0, 1.0, maker=True, side=-1)], {1: DONE})
golden("limit_gap", "4.2", bars(FLAT, "100 101 99 100", "95 96 94 95"), [order(1, t(1), "buy 1 limit 98")],
       [F(1, t(2), 95.0, 1.0, maker=False)], {1: DONE})  # rests over bar 1, then min(95, 98)
golden("limit_gap_sell", "4.2", bars(FLAT, "100 101 99 100", "108 109 108 108"),
       [order(1, t(1), "sell 1 limit 105")],
       [F(1, t(2), 108.0, 1.0, maker=False)], {1: DONE})
golden("limit_opens_at_its_price", "4.5", bars(FLAT, "100 101 99 100", "98 99 98 98"),
       [order(1, t(1), "buy 1 limit 98")], [F(1, t(2), 98.0, 1.0, maker=True)], {1: DONE})
golden("limit_marketable_on_arrival", "4.5", bars(FLAT, "98 99 97 98"), [order(1, t(1), "buy 1 limit 98")],
       [F(1, t(1), 98.0, 1.0, maker=False)], {1: DONE})  # its own price, but it never rested

# ---- 4.2 stops

golden("stop_inside", "4.2 4.5", bars(FLAT, "100 106 99 104"), [order(1, t(1), "buy 1 stop 105")],
       [F(1, t(2), 106.05, 1.0, maker=False)], {1: DONE}, options={"slippage": 0.01})  # 105 x 1.01
golden("stop_gap", "4.2", bars(FLAT, "100 104 99 104", "108 109 107 108"), [order(1, t(1), "buy 1 stop 105")],
       [F(1, t(2), 108.0, 1.0)], {1: DONE})  # max(108, 105)
golden("stop_sell_gap", "4.2", bars(FLAT, "100 104 99 104", "90 91 89 90"),
       [order(1, t(1), "sell 1 stop 95")],
       [F(1, t(2), 90.0, 1.0, side=-1)], {1: DONE})
golden("stop_through_on_arrival", "4.2", bars(FLAT, "100 104 99 104"), [order(1, t(1), "buy 1 stop 99")],
       [F(1, t(1), 100.0, 1.0)], {1: DONE})
golden("stop_limit_rests_after_trigger", "4.2", bars(FLAT, "100 106 99 105", "106 107 103 104"),
       # triggered inside bar 1 at 105, limit 104 would have been touched too: it waits for bar 2
       [order(1, t(1), "buy 1 stop_limit 105 104")], [F(1, t(3), 104.0, 1.0, maker=True)], {1: DONE})
golden("stop_limit_opens_at_its_limit", "4.2 4.5", bars(FLAT, "100 106 99 105", "104 105 103 104"),
       [order(1, t(1), "buy 1 stop_limit 105 104")], [F(1, t(2), 104.0, 1.0, maker=True)], {1: DONE})
golden("stop_limit_best", "4.2", bars(FLAT, "100 106 99 105"), [order(1, t(1), "buy 1 stop_limit 105 107")],
       [F(1, t(2), 105.0, 1.0, maker=False)], {1: DONE},  # at the trigger, a limit has no slippage
       options={"intrabar": "best", "slippage": 0.01})
golden("stop_limit_best_pullback", "4.2", bars(FLAT, "100 106 99 105"),
       [order(1, t(1), "buy 1 stop_limit 105 103")],
       [F(1, t(2), 103.0, 1.0, maker=True)], {1: DONE}, options={"intrabar": "best"})
golden("stop_limit_gap", "4.2", bars(FLAT, "100 101 99 100", "106 107 106 106"),
       [order(1, t(1), "buy 1 stop_limit 105 107")], [F(1, t(2), 106.0, 1.0, maker=False)], {1: DONE})
golden("stop_limit_gap_beyond_the_limit", "4.2", bars(FLAT, "100 101 99 100", "109 110 106 108"),
       # triggered at the open of bar 2 (109 >= 105), 109 > 107: works as a limit inside the same bar
       [order(1, t(1), "buy 1 stop_limit 105 107")], [F(1, t(3), 107.0, 1.0, maker=True, bar=2)], {1: DONE})

# ---- 4.3 brackets

BRACKET = [order(1, t(1), "buy 1 market", stop=95.0, target=105.0)]  # children: 2 the stop, 3 the target
ENTRY = F(1, t(1), 100.0, 1.0)
WIDE = bars(FLAT, FLAT, "100 106 94 100")  # touches both
golden("bracket_worst", "4.3", WIDE, BRACKET, [ENTRY, F(2, t(3), 95.0, 1.0, maker=False, side=-1)],
       {2: STOPPED, 3: OTHER}, ambiguous=1)
golden("bracket_best", "4.3", WIDE, BRACKET, [ENTRY, F(3, t(3), 105.0, 1.0, maker=True)],
       {2: OTHER, 3: TARGET}, ambiguous=1, options={"intrabar": "best"})
golden("bracket_open_first_target", "4.3", bars(FLAT, FLAT, "102 106 94 100"), BRACKET,
       [ENTRY, F(3, t(3), 105.0, 1.0)], {2: OTHER, 3: TARGET}, ambiguous=1,  # |105-102| = 3 < |95-102| = 7
       options={"intrabar": "open_first"})
golden("bracket_open_first_stop", "4.3", bars(FLAT, FLAT, "97 106 94 100"), BRACKET,
       [ENTRY, F(2, t(3), 95.0, 1.0)], {2: STOPPED, 3: OTHER}, ambiguous=1,
       options={"intrabar": "open_first"})
golden("bracket_open_first_tie", "4.3", WIDE, BRACKET, [ENTRY, F(2, t(3), 95.0, 1.0)],
       {2: STOPPED}, ambiguous=1, options={"intrabar": "open_first"})  # 5 ticks each: the stop
golden("bracket_stop_gap", "4.3", bars(FLAT, FLAT, "92 107 92 100"), BRACKET,
       [ENTRY, F(2, t(2), 92.0, 1.0)], {2: STOPPED, 3: OTHER}, ambiguous=0)  # decided at the open
golden("bracket_target_gap", "4.3", bars(FLAT, FLAT, "107 108 94 100"), BRACKET,
       [ENTRY, F(3, t(2), 107.0, 1.0, maker=False)], {2: OTHER, 3: TARGET})
golden("bracket_on_the_entry_bar", "4.3", bars(FLAT, "100 101 94 96"), BRACKET,
       [ENTRY, F(2, t(2), 95.0, 1.0, bar=1)], {2: STOPPED, 3: OTHER})
golden("bracket_both_on_the_entry_bar", "4.3", bars(FLAT, "100 106 94 96"), BRACKET,
       [ENTRY, F(2, t(2), 95.0, 1.0)], {2: STOPPED}, ambiguous=1)
golden("bracket_next_bar", "4.3", bars(FLAT, "100 106 94 96", "96 97 95 96"), BRACKET,
       [ENTRY, F(2, t(3), 95.0, 1.0, bar=2)], {2: STOPPED}, ambiguous=0, options={"exits_from": "next_bar"})
golden("bracket_level_already_through", "4.3", bars(FLAT, "100 101 99 100"),
       # a stop above the entry's open: min(100, 101), stamped with the close
       [order(1, t(1), "buy 1 market", stop=101.0)], [ENTRY, F(2, t(2), 100.0, 1.0)], {2: STOPPED})
golden("bracket_of_a_short", "4.3", WIDE, [order(1, t(1), "sell 1 market", stop=105.0, target=95.0)],
       [F(1, t(1), 100.0, 1.0, side=-1), F(2, t(3), 105.0, 1.0, side=1)], {2: STOPPED, 3: OTHER}, ambiguous=1)
INSIDE = [order(1, t(1), "buy 1 limit 98", stop=96.0, target=101.0)]
HALF = F(1, t(2), 98.0, 1.0, maker=True)
golden("inside_entry_worst", "4.3", bars(FLAT, "100 102 95 97"), INSIDE, [HALF, F(2, t(2), 96.0, 1.0, bar=1)],
       {2: STOPPED, 3: OTHER}, ambiguous=1)
golden("inside_entry_best", "4.3", bars(FLAT, "100 102 95 97"), INSIDE,
       [HALF, F(3, t(2), 101.0, 1.0, maker=True)],
       {2: OTHER, 3: TARGET}, ambiguous=1, options={"intrabar": "best"})
golden("inside_entry_open_first", "4.3", bars(FLAT, "100 102 95 97"), INSIDE, [HALF, F(2, t(2), 96.0, 1.0)],
       {2: STOPPED}, ambiguous=1, options={"intrabar": "open_first"})
golden("inside_entry_target_waits", "4.3", bars(FLAT, "100 102 97 99", "100 101 99 100"), INSIDE,
       # only the target was touched on bar 1: counted, not filled under "worst"; bar 2 reaches 101
       [HALF, F(3, t(3), 101.0, 1.0)], {3: TARGET, 2: OTHER}, ambiguous=1)
golden("inside_entry_quiet", "4.3", bars(FLAT, "100 100 97 99", "99 100 96 97"), INSIDE,
       [HALF, F(2, t(3), 96.0, 1.0)], {2: STOPPED}, ambiguous=0)
golden("inside_entry_stop_on_the_wrong_side", "4.3", bars(FLAT, "100 100 97 99"),
       [order(1, t(1), "buy 1 limit 98", stop=99.0)], [HALF, F(2, t(2), 98.0, 1.0)],  # min(98, 99)
       {2: STOPPED}, ambiguous=1)
golden("exits_before_entries_at_an_open", "4.3", bars(FLAT, FLAT, "94 95 94 94"),
       # the stop exit at 94 frees the margin that the older limit needs: 9 x 94 = 846 <= 1000 - 54
       [order(1, t(1), "buy 9 market", stop=95.0), order(2, t(0), "buy 9 limit 96")],
       [F(1, t(1), 100.0, 9.0), F(3, t(2), 94.0, 9.0), F(2, t(2), 94.0, 9.0)], {3: STOPPED, 2: DONE},
       options={"cash": 1000.0})

# ---- 4.4 trailing

golden("trailing_child", "4.4", bars(FLAT, "100 104 99 103", "103 106 102 105", "105 105 102 102"),
       # extreme 100 -> 104 -> 106; bar 3 is tested with 106 - 3 = 103
       [order(1, t(1), "buy 1 market", trail=3.0)], [ENTRY, F(2, t(4), 103.0, 1.0, bar=3)], {2: TRAILED})
golden("trailing_tests_before_it_moves", "4.4", bars(FLAT, "100 110 98 109", "109 109 108 108"),
       # on bar 1 the level is 100 - 3 = 97, low 98: not touched although 110 - 3 > 98; then 107 holds
       [order(1, t(1), "buy 1 market", trail=3.0)], [ENTRY], {2: ("open", "")})
golden("trailing_next_bar", "4.4", bars(FLAT, "100 110 90 100", "100 101 98 99", "99 99 97 98"),
       # nothing of bar 1 counts: extreme stays 100, 98 > 97; then 101 - 3 = 98 against the open 99, low 97
       [order(1, t(1), "buy 1 market", trail=3.0)], [ENTRY, F(2, t(4), 98.0, 1.0)], {2: TRAILED},
       options={"exits_from": "next_bar"})
golden("trailing_of_an_inside_entry", "4.4", bars(FLAT, "100 104 97 103", "103 103 99 100"),
       # 98 - 5 = 93 is not touched on bar 1; the extreme takes its high: 104 - 5 = 99
       [order(1, t(1), "buy 1 limit 98", trail=5.0)], [HALF, F(2, t(3), 99.0, 1.0)], {2: TRAILED})
golden("trailing_order_gap", "4.4", bars(FLAT, "100 103 99 102", "100 100 99 99"),
       # first look at 100; extreme 103 after bar 1; the open 100 of bar 2 is through 103 - 2 = 101
       [order(1, t(1), "buy 1 market"), order(2, t(1), "sell 1 trailing 2")],
       [ENTRY, F(2, t(2), 100.0, 1.0)], {2: DONE})
golden("trailing_extreme_is_the_paid_price", "4.4", bars(FLAT, "100 100 98 99"),
       # paid 100 x 1.02 = 102, level 102 - 3 = 99, sold at min(100, 99) x 0.98
       [order(1, t(1), "buy 1 market", trail=3.0)], [F(1, t(1), 102.0, 1.0), F(2, t(2), 97.02, 1.0)],
       {2: TRAILED}, options={"slippage": 0.02})

# ---- 4.5 costs, time in force, volume

golden("slippage_is_against_us", "4.5", TWO, [order(1, t(1), "sell 1 market")],
       [F(1, t(1), 100.98, 1.0)], {1: DONE}, options={"slippage": 0.01})  # 102 x 0.99
golden("entry_spread_only_on_entries", "2", bars(FLAT, FLAT, "110 110 110 110"),
       [order(1, t(1), "buy 1 market"), order(2, t(2), "close")],
       [F(1, t(1), 101.0, 1.0), F(2, t(2), 110.0, 1.0, side=-1)], {2: DONE}, options={"entry_spread": 0.01})
golden("impact_square_root", "2", bars(FLAT, FLAT), [order(1, t(1), "buy 25 market")],
       [F(1, t(1), 105.0, 25.0)], {1: DONE}, options={"impact": 0.1})  # 0.1 x sqrt(25/100) = 0.05
golden("slip_in_range", "2", TWO, [order(1, t(1), "buy 1 market")],
       [F(1, t(1), 103.0, 1.0)], {1: DONE}, options={"slippage": 0.05, "slip_in_range": True})  # high 103
golden("post_only_would_take", "4.5", bars(FLAT, FLAT),
       [order(1, t(1), "buy 1 limit 100", post_only=True)], [],
       {1: ("rejected", "post-only would take")}, ends={1: t(1)})
golden("post_only_rests", "4.5", bars(FLAT, "100 100 99 100"),
       [order(1, t(1), "buy 1 limit 99", post_only=True)],
       [F(1, t(2), 99.0, 1.0, maker=True)], {1: DONE})
golden("ioc_not_marketable", "4.5", bars(FLAT, "100 100 90 100"),
       [order(1, t(1), "buy 1 limit 99", tif="IOC")], [],
       {1: ("cancelled", "IOC remainder")}, ends={1: t(1)})
CAP = {"volume_share": 0.1}  # 10 of every bar of 100
golden("ioc_remainder", "4.5", bars(FLAT, FLAT), [order(1, t(1), "buy 25 market", tif="IOC")],
       [F(1, t(1), 100.0, 10.0)], {1: ("cancelled", "IOC remainder")}, options=CAP, qtys={1: 10.0})
golden("fok_too_large", "4.5", bars(FLAT, FLAT), [order(1, t(1), "buy 11 market", tif="FOK")], [],
       {1: ("cancelled", "FOK not fillable")}, options=CAP)
golden("fok_fits", "4.5", bars(FLAT, FLAT), [order(1, t(1), "buy 10 market", tif="FOK")],
       [F(1, t(1), 100.0, 10.0)], {1: DONE}, options=CAP)
golden("fok_waits_for_its_first_open", "4.5", bars(FLAT, "101 101 101 101", "99 99 99 99"),
       [order(1, t(1, 5000), "buy 1 limit 100", tif="FOK")], [F(1, t(2), 99.0, 1.0)], {1: DONE})
golden("volume_share", "4.5", bars(FLAT, FLAT, "101 101 101 101", "102 102 102 102"),
       [order(1, t(1), "buy 25 market")],
       [F(1, t(1), 100.0, 10.0), F(1, t(2), 101.0, 10.0), F(1, t(3), 102.0, 5.0)], {1: DONE}, options=CAP)
golden("volume_zero_fills_nothing", "4.5", bars(FLAT, "100 100 100 100 0", "101 101 101 101"),
       [order(1, t(1), "buy 5 market")], [F(1, t(2), 101.0, 5.0)], {1: DONE}, options=CAP)
golden("stop_rest_goes_on_as_market", "4.3 4.5",
       bars(FLAT, "100 100 96 100", "101 101 94 96", "97 97 97 97"),
       # entry 10 then 5; the child grows to 15; bar 2 has 10 - 5 = 5 left for the stop; the rest at 97 (> 95)
       [order(1, t(1), "buy 15 market", stop=95.0)],
       [F(1, t(1), 100.0, 10.0), F(1, t(2), 101.0, 5.0), F(2, t(3), 95.0, 5.0), F(2, t(3), 97.0, 10.0)],
       {1: DONE, 2: STOPPED}, options=CAP, qtys={2: 15.0})
golden("no_more_entering_after_an_exit", "4.3", bars(FLAT, "100 100 96 100", "94 94 94 94", FLAT),
       # 10 of 15 bought; the stop takes them at the open of bar 2, the other 5 are not bought any more
       [order(1, t(1), "buy 15 market", stop=95.0)], [F(1, t(1), 100.0, 10.0), F(2, t(2), 94.0, 10.0)],
       {1: OTHER, 2: STOPPED}, options=CAP)
golden("a_later_fill_has_its_bracket", "4.3 4.8", bars(FLAT, FLAT, FLAT, "100 100 94 96 300"),
       # 10 bought on bar 1; on bar 2 the close takes the whole cap; on bar 3 the other 15 bear a new stop
       [order(1, t(1), "buy 25 market", stop=95.0), order(2, t(1, 30_000), "close")],
       [F(1, t(1), 100.0, 10.0), F(2, t(2), 100.0, 10.0), F(1, t(3), 100.0, 15.0), F(4, t(4), 95.0, 15.0)],
       {1: DONE, 2: DONE, 3: ("cancelled", "position closed"), 4: STOPPED}, options=CAP, late=1)
golden("gtd_expires_inside_a_bar", "4", bars(FLAT, "100 100 97 100", "97 97 97 97"),
       [order(1, t(1), "buy 1 limit 98", tif="GTD", expire_ts=t(1, 30_000))], [],
       {1: ("expired", "past expire_ts")}, ends={1: t(1, 30_000)})
golden("gtd_to_the_close", "4", bars(FLAT, "100 100 97 100"),
       [order(1, t(1), "buy 1 limit 98", tif="GTD", expire_ts=t(2))], [F(1, t(2), 98.0, 1.0)], {1: DONE})
golden("gtd_gone_at_the_open", "4", bars(FLAT, "100 100 99 100", "97 97 97 97"),
       [order(1, t(1), "buy 1 limit 98", tif="GTD", expire_ts=t(2))], [], {1: ("expired", "past expire_ts")},
       ends={1: t(2)})

# ---- groups, cancels, amends, closes

GROUP = [order(1, t(1), "buy 1 limit 98", group=1), order(2, t(1), "buy 1 stop 103", group=1)]
golden("group", "2", bars(FLAT, "100 101 97 99"), GROUP, [F(1, t(2), 98.0, 1.0)], {1: DONE, 2: OTHER})
golden("group_both_touched", "4.3", bars(FLAT, "100 104 97 101"), GROUP, [F(2, t(2), 103.0, 1.0)],
       {1: OTHER, 2: DONE}, ambiguous=1)
golden("group_arrives_after_the_fill", "2", bars(FLAT, FLAT),
       # both arrive at t(1); the first fills at the open, the second is ended at its arrival
       [order(1, t(1), "buy 1 market", group=1), order(2, t(1), "sell 1 limit 100", group=1)],
       [F(1, t(1), 100.0, 1.0)], {1: DONE, 2: OTHER})
golden("cancel_before_the_close", "2", bars(FLAT, "100 100 97 100"),
       [order(1, t(1), "buy 1 limit 98", cancel_ts=t(1, 59_000))], [], {1: BY_STRATEGY},
       ends={1: t(1, 59_000)})
golden("cancel_comes_too_late", "2", bars(FLAT, "100 100 97 100"),
       [order(1, t(1), "buy 1 limit 98", cancel_ts=t(2))], [F(1, t(2), 98.0, 1.0)], {1: DONE})
golden("cancel_in_flight", "2", bars(FLAT, "100 100 97 100"),
       # sent 10 ms before the close of bar 1, arrives 10 ms after it: the order is filled by then
       [order(1, t(1), "buy 1 limit 98", cancel_ts=t(2) - 10 * MS)], [F(1, t(2), 98.0, 1.0)], {1: DONE},
       options={"order_latency": 20 * MS})
golden("cancel_all_leaves_brackets", "4.8", bars(FLAT, FLAT, "100 100 89 90"),
       [order(1, t(1), "buy 1 market", stop=90.0), order(2, t(1), "buy 1 limit 95"),
        order(9, t(2), "cancel_all")],
       [ENTRY, F(3, t(3), 90.0, 1.0)], {2: BY_STRATEGY, 3: STOPPED}, ends={2: t(2)})
golden("close_cancels_brackets", "4.8", bars(FLAT, FLAT, "101 101 101 101"),
       [order(1, t(1), "buy 1 market", stop=90.0, target=120.0), order(2, t(2), "close")],
       [ENTRY, F(2, t(2), 101.0, 1.0, side=-1)],
       {2: DONE, 3: ("cancelled", "position closed"), 4: ("cancelled", "position closed")})
golden("close_in_parts_cancels_brackets", "4.8", bars(FLAT, FLAT, "100 100 90 100 50", "99 99 99 99"),
       # half of the close fills on bar 2; the stop at 95 is gone by then, the rest goes at the open of bar 3
       [order(1, t(1), "buy 10 market", stop=95.0), order(2, t(2), "close")],
       [F(1, t(1), 100.0, 10.0), F(2, t(2), 100.0, 5.0), F(2, t(3), 99.0, 5.0)],
       {2: DONE, 3: ("cancelled", "position closed")}, options=CAP, ends={3: t(2)})
golden("close_without_position", "4.8", TWO, [order(1, t(1), "close")], [], {1: ("cancelled", "no position")})
golden("close_is_first_in_its_batch", "4.3", bars(FLAT, FLAT, "101 101 101 101"),
       [order(1, t(1), "buy 1 market"), order(2, t(2), "sell 2 market"), order(3, t(2), "close")],
       [ENTRY, F(3, t(2), 101.0, 1.0, side=-1), F(2, t(2), 101.0, 2.0, side=-1)], {2: DONE, 3: DONE},
       final={"positions": [-2.0], "realised": 1.0})
golden("position_closed_by_another_order", "4.3", bars(FLAT, FLAT, "101 101 80 101"),
       [order(1, t(1), "buy 1 market", stop=90.0), order(2, t(2), "sell 1 market")],
       [ENTRY, F(2, t(2), 101.0, 1.0)], {3: ("cancelled", "position closed")})
golden("reduce_only_is_cut", "4", bars(FLAT, FLAT, "100 106 100 100"),
       [order(1, t(1), "buy 2 market"), order(2, t(2), "sell 5 limit 105", reduce_only=True)],
       [F(1, t(1), 100.0, 2.0), F(2, t(3), 105.0, 2.0)], {2: DONE}, final={"positions": [0.0]})
golden("reduce_only_has_nothing", "4", bars(FLAT, "100 106 100 100"),
       [order(1, t(1), "sell 5 limit 105", reduce_only=True)], [],
       {1: ("cancelled", "reduce-only would increase")}, ends={1: t(2)})
golden("amend_price_late", "2", bars(FLAT, "100 100 97 100", "100 100 97 100"),
       # 30 s into bar 1 the price of 90 becomes 98: bar 1's low of 97 is not for it, bar 2's is
       [order(1, t(1), "buy 1 limit 90"), order(1, t(1, 30_000), "amend", price=98.0)],
       [F(1, t(3), 98.0, 1.0, bar=2)], {1: DONE}, late=0)
golden("amend_price_at_the_open", "2", bars(FLAT, FLAT, "97 97 97 97"),
       # arrives at t(2): looks at the open of bar 2 anew, 97 <= 98, taker
       [order(1, t(1), "buy 1 limit 90"), order(1, t(2), "amend", price=98.0)],
       [F(1, t(2), 97.0, 1.0, maker=False)], {1: DONE})
golden("amend_price_to_the_open", "2", bars(FLAT, FLAT, "98 98 98 98"),
       # 98 is its own price, but with the new price it never rested: taker
       [order(1, t(1), "buy 1 limit 90"), order(1, t(2), "amend", price=98.0)],
       [F(1, t(2), 98.0, 1.0, maker=False)], {1: DONE})
golden("amend_qty", "2", bars(FLAT, "100 100 97 100"),
       [order(1, t(1), "buy 1 limit 98"), order(1, t(1, 30_000), "amend", qty=3.0)],
       [F(1, t(2), 98.0, 3.0)], {1: DONE})
golden("amend_qty_to_what_is_filled", "2", bars(FLAT, FLAT, FLAT),
       [order(1, t(1), "buy 25 market"), order(1, t(1, 30_000), "amend", qty=10.0)],
       [F(1, t(1), 100.0, 10.0)], {1: BY_STRATEGY}, options=CAP, ends={1: t(1, 30_000)})
golden("amend_bracket_of_a_waiting_entry", "2", bars(FLAT, FLAT, "100 100 94 96"),
       [order(1, t(1), "buy 1 stop 100", stop=50.0, cancel_ts=t(9)),
        order(2, t(0), "buy 1 limit 96", stop=50.0),
        order(2, t(2), "amend", stop=95.0)],
       # order 2 fills inside bar 2 at 96, and its amended stop is touched on that bar
       [ENTRY, F(2, t(3), 96.0, 1.0), F(4, t(3), 95.0, 1.0)], {4: STOPPED}, ambiguous=1)

# ---- 4.6 at the close

CLOSE = {"at": "close"}
golden("at_close", "4.6", bars(FLAT, "102 103 101 103"), [order(1, t(1), "buy 2 market")],
       [F(1, t(1), 100.0, 2.0, bar=0)], {1: DONE}, options=CLOSE,
       equity=[(t(1), 10_000.0), (t(2), 10_006.0)])  # 2 x (103 - 100), from row 1 on
golden("at_close_latency", "4.6 4.7", bars(FLAT, "102 103 101 103"), [order(1, t(1), "buy 2 market")],
       [F(1, t(1, 20), 100.0, 2.0, bar=0)], {1: DONE}, options={**CLOSE, "order_latency": 20 * MS})
golden("at_close_late", "4.6", bars(FLAT, "102 103 101 103"), [order(1, t(1), "buy 2 market")],
       [F(1, t(2), 103.0, 2.0, bar=1)], {1: DONE}, late=1, options={**CLOSE, "order_latency": 2000 * MS})
golden("at_close_limit_rests", "4.6", bars(FLAT, "100 103 97 103"), [order(1, t(1), "buy 2 limit 98")],
       [F(1, t(2), 98.0, 2.0, maker=True, bar=1)], {1: DONE}, options=CLOSE)
golden("at_close_limit_gaps", "4.6", bars(FLAT, "97 103 96 103"), [order(1, t(1), "buy 2 limit 98")],
       [F(1, t(1), 97.0, 2.0, maker=False, bar=1)], {1: DONE}, options=CLOSE)
golden("at_close_bracket", "4.6", bars(FLAT, "99 100 94 96"), BRACKET,
       [F(1, t(1), 100.0, 1.0, bar=0), F(2, t(2), 95.0, 1.0, bar=1)], {2: STOPPED}, options=CLOSE)
golden("at_close_bracket_gap", "4.6", bars(FLAT, "93 100 92 96"), BRACKET,
       [F(1, t(1), 100.0, 1.0, bar=0), F(2, t(1), 93.0, 1.0, bar=1)], {2: STOPPED}, options=CLOSE)

# ---- 4.7 stamps

golden("inside_fill_is_known_at_the_close", "4.7", bars(FLAT, "100 100 97 99"),
       [order(1, t(1), "buy 1 limit 98")],
       [F(1, t(2), 98.0, 1.0, seen=t(2))], {1: DONE}, equity=[(t(1), 10_000.0), (t(2), 10_001.0)],
       options={"order_latency": 20 * MS, "response_latency": 20 * MS})
golden("slow_answer", "4.7", bars(FLAT, "100 100 97 99", "99 99 99 99"), [order(1, t(1), "buy 1 limit 98")],
       # in the book from t(1)+20ms; the answer takes 90 s: 30.02 s into bar 2
       [F(1, t(2), 98.0, 1.0, seen=t(2, 30_020))], {1: DONE},
       equity=[(t(1), 10_000.0), (t(2), 10_000.0), (t(3), 10_001.0)],
       options={"order_latency": 20 * MS, "response_latency": 90_000 * MS})
golden("latency_table", "2", bars(FLAT, FLAT, "101 101 101 101"),
       [order(1, t(1), "buy 1 market"), order(2, t(2), "buy 1 market")],
       [F(1, t(1, 10), 100.0, 1.0, seen=t(1, 15)), F(2, t(2, 30), 101.0, 1.0, seen=t(2, 37))], {2: DONE},
       options={"latency_table": [(t(0), 10 * MS, 5 * MS), (t(2), 30 * MS, 7 * MS)]})
golden("two_instruments", "3.2", [bars(FLAT, "102 102 102 102"), bars("50 50 50 50", step=2)],
       # rows at t(1) and t(2); instrument 1 has one bar of two minutes, opened at t(0)
       [order(1, t(-1), "buy 1 market", instrument=1), order(2, t(1), "buy 1 market")],
       [F(1, t(0), 50.0, 1.0), F(2, t(1), 102.0, 1.0)], {1: DONE},
       equity=[(t(1), 10_000.0), (t(2), 10_000.0)])
assert MINUTE == 60_000_000_000
