"""Golden examples of what comes first: requests of one stamp, age, exits, liquidation on the way."""

from __future__ import annotations

from tests.golden import BY_STRATEGY, DONE, FLAT, STOPPED, TARGET, F, bars, golden, order, t

# ---- 2, 4.3 requests of one stamp

golden("cancel_all_after_an_order", "2", bars(FLAT, FLAT, "100 100 90 90"),
       [order(1, t(1), "buy 1 limit 95"), order(2, t(1), "cancel_all")], [], {1: BY_STRATEGY}, ends={1: t(1)})
golden("cancel_all_before_an_order", "2", bars(FLAT, FLAT, "100 100 90 90"),
       [order(1, t(1), "buy 1 limit 94"), order(2, t(2), "cancel_all"), order(3, t(2), "buy 1 limit 95")],
       [F(3, t(3), 95.0, 1.0)], {1: BY_STRATEGY, 3: DONE})
golden("cancel_of_the_same_stamp_is_too_late", "2", bars(FLAT, FLAT),
       [order(1, t(1), "buy 1 market", cancel_ts=t(1))], [F(1, t(1), 100.0, 1.0)], {1: DONE})
golden("exits_first_between_cancels", "4.3", bars(FLAT, FLAT, "101 101 101 101"),
       [order(1, t(1), "buy 1 market"), order(2, t(2), "sell 2 market"), order(3, t(2), "cancel_all"),
        order(4, t(2), "close")],
       # the cancel stands between them: the sale acts before it, the close after it finds -1
       [F(1, t(1), 100.0, 1.0), F(2, t(2), 101.0, 2.0), F(4, t(2), 101.0, 1.0, side=1)], {2: DONE, 4: DONE},
       final={"positions": [0.0]})

# ---- 4.3 age is time at the exchange

golden("older_limit_first", "4.3", bars(FLAT, FLAT, "100 100 97 100 10"),
       [order(1, t(2), "buy 10 limit 98"), order(2, t(1), "buy 10 limit 98")],
       # ten units trade: for the order that has rested since t(1), though its row comes second
       [F(2, t(3), 98.0, 10.0)], {1: ("open", ""), 2: DONE}, options={"volume_share": 1.0})

golden("nearer_limit_first", "4.3", bars(FLAT, FLAT, "100 100 96 100 10"),
       [order(1, t(1), "buy 10 limit 97"), order(2, t(1), "buy 10 limit 98")],
       # on its way down the price meets 98 first
       [F(2, t(3), 98.0, 10.0)], {1: ("open", ""), 2: DONE}, options={"volume_share": 1.0})

# ---- 4.3 a bracket belongs to what opened

golden("no_bracket_for_what_closes", "4.3", bars(FLAT, FLAT, FLAT, "100 111 100 111"),
       [order(1, t(1), "buy 10 market"), order(2, t(2), "sell 5 market", stop=110.0)],
       [F(1, t(1), 100.0, 10.0), F(2, t(2), 100.0, 5.0)], {2: DONE}, final={"positions": [5.0]})
golden("bracket_of_a_reversal", "4.3", bars(FLAT, FLAT, FLAT, "100 111 100 111"),
       [order(1, t(1), "buy 10 market"), order(2, t(2), "sell 15 market", stop=110.0)],
       # 10 close, 5 open a short: the stop buys back these 5
       [F(1, t(1), 100.0, 10.0), F(2, t(2), 100.0, 15.0), F(3, t(4), 110.0, 5.0, side=1)], {3: STOPPED},
       final={"positions": [0.0]})

# ---- 4.3 exits that rival each other

RIVALS = [order(1, t(1), "buy 10 market"), order(2, t(2), "sell 10 stop 95", reduce_only=True),
          order(3, t(2), "sell 10 limit 105", reduce_only=True)]  # fmt: skip
NOTHING_LEFT = ("cancelled", "reduce-only would increase")
golden("separate_exits_worst", "4.3", bars(FLAT, FLAT, "100 106 94 100"), RIVALS,
       [F(1, t(1), 100.0, 10.0), F(2, t(3), 95.0, 10.0)], {2: DONE, 3: NOTHING_LEFT}, ambiguous=1)
golden("separate_exits_best", "4.3", bars(FLAT, FLAT, "100 106 94 100"), RIVALS,
       [F(1, t(1), 100.0, 10.0), F(3, t(3), 105.0, 10.0)], {3: DONE, 2: NOTHING_LEFT}, ambiguous=1,
       options={"intrabar": "best"})

# ---- 4.3 the price passes what is nearer before what is farther, whatever kind it is

DIPS = [order(1, t(1), "buy 1 limit 99"), order(2, t(1), "sell 1 stop 98", reduce_only=True)]
for _rule in ("worst", "best", "open_first"):
    golden(f"entry_before_the_stop_beyond_it_{_rule}", "4.3", bars(FLAT, FLAT, "100 106 97 105"), DIPS,
           [F(1, t(3), 99.0, 1.0), F(2, t(3), 98.0, 1.0)], {1: DONE, 2: DONE}, options={"intrabar": _rule},
           final={"positions": [0.0], "realised": -1.0})
    golden(f"entry_stop_before_the_target_beyond_it_{_rule}", "4.3", bars(FLAT, FLAT, "100 106 99 104"),
           [order(1, t(1), "buy 1 stop 103"), order(2, t(1), "sell 1 limit 105", reduce_only=True)],
           [F(1, t(3), 103.0, 1.0), F(2, t(3), 105.0, 1.0)], {1: DONE, 2: DONE}, options={"intrabar": _rule},
           final={"positions": [0.0], "realised": 2.0})
# an entry below and an exit of its own above the open: what came first is unknown
FEEDS = [order(1, t(1), "buy 1 limit 99"), order(2, t(1), "sell 1 limit 105", reduce_only=True)]
golden("entry_and_lone_exit_apart", "4.3", bars(FLAT, FLAT, "100 106 98 101"), FEEDS,
       [F(1, t(3), 99.0, 1.0), F(2, t(3), 105.0, 1.0)], {1: DONE, 2: DONE}, ambiguous=1)

# ---- 4.5 post-only and FOK

golden("post_only_market", "4.5", bars(FLAT, FLAT), [order(1, t(1), "buy 1 market", post_only=True)], [],
       {1: ("rejected", "post-only would take")}, ends={1: t(1)})
golden("post_only_stop", "4.5", bars(FLAT, FLAT), [order(1, t(1), "buy 1 stop 105", post_only=True)], [],
       {1: ("rejected", "post-only would take")}, ends={1: t(1)})
golden("fok_has_no_margin_for_the_rest", "4.5", bars(FLAT, FLAT, FLAT),
       [order(1, t(1), "buy 9 market"), order(2, t(2), "sell 30 market", tif="FOK")],
       [F(1, t(1), 100.0, 9.0)], {2: ("rejected", "insufficient margin")}, options={"cash": 1_000.0})

# ---- 4.6 a fill at the close shows from the next row on

golden("fill_at_the_close_of_a_late_order", "4.6", bars(FLAT, "100 110 100 110", FLAT),
       [order(1, t(1, 30_000), "sell 1 market")],
       # waits for the close of bar 1 at 110; the row of t(2) is without it, the one of t(3) gains 10
       [F(1, t(2), 110.0, 1.0, seen=t(2) + 1)], {1: DONE}, late=1, options={"at": "close"},
       equity=[(t(1), 10_000.0), (t(2), 10_000.0), (t(3), 10_010.0)])

# ---- 6.1 a whole share with leverage

golden("whole_share_with_leverage", "6.1", bars(FLAT, FLAT), [order(1, t(1), "buy 0 market", share=1.0)],
       # value / 5 + 0.001 x value = 10000: 49751.2 -> 497.5 -> 497 lots
       [F(1, t(1), 100.0, 497.0)], {1: DONE}, options={"leverage": 5.0, "taker": 0.001})
golden("whole_share_with_impact", "6.1", bars("100 100 100 100 100", "100 100 100 100 100"),
       [order(1, t(1), "buy 0 market", share=1.0)],
       # 100 units of a volume of 100 would pay 110: 10000 / 110 -> 90, which pay 100 (1 + 0.1 sqrt(0.9))
       [F(1, t(1), 100.0 * (1.0 + 0.1 * 0.9**0.5), 90.0)], {1: DONE}, options={"impact": 0.1})
golden("nothing_is_free", "6.1", bars(FLAT, FLAT, FLAT),
       [order(1, t(1), "buy 100 market"), order(2, t(2), "buy 0 market", share=0.5)],
       [F(1, t(1), 100.0, 100.0)], {2: ("rejected", "insufficient margin")})

# ---- 6.3 liquidation inside a bar

# long 50 at 100 with 1000 behind it, maintenance 5 %: 1000 + 50 (P - 100) = 2.5 P at P = 4000 / 47.5 = 84.2
FIFTY, LONG = order(1, t(1), "buy 50 market"), F(1, t(1), 100.0, 50.0)
MARGIN = {"instrument": {"tiers": ((1e12, 0.05, 0.0),)}}
POOR = {"cash": 1_000.0, "leverage": 20.0}
AT_LEVEL = 4000.0 / 47.5
GONE = ("cancelled", "liquidation")
golden("liquidation_before_the_target", "4.3 6.3", bars(FLAT, FLAT, "100 106 80 90"),
       [{**FIFTY, "target": 105.0}], [LONG, F(3, t(3), AT_LEVEL, 50.0)], {2: GONE}, ambiguous=1, **MARGIN,
       options=POOR)
golden("target_before_the_liquidation", "4.3 6.3", bars(FLAT, FLAT, "100 106 80 90"),
       [{**FIFTY, "target": 105.0}], [LONG, F(2, t(3), 105.0, 50.0)], {2: TARGET}, ambiguous=1, **MARGIN,
       options={**POOR, "intrabar": "best"})
golden("nearer_of_target_and_liquidation", "4.3 6.3", bars(FLAT, FLAT, "100 106 80 90"),
       [{**FIFTY, "target": 105.0}], [LONG, F(2, t(3), 105.0, 50.0)], {2: TARGET}, ambiguous=1, **MARGIN,
       options={**POOR, "intrabar": "open_first"})
golden("liquidation_before_a_stop_beyond_it", "4.3 6.3", bars(FLAT, FLAT, "100 100 80 90"),
       [{**FIFTY, "stop": 82.0}], [LONG, F(3, t(3), AT_LEVEL, 50.0)], {2: GONE}, **MARGIN, options=POOR)
golden("stop_before_the_liquidation", "4.3 6.3", bars(FLAT, FLAT, "100 100 80 90"),
       [{**FIFTY, "stop": 85.0}], [LONG, F(2, t(3), 85.0, 50.0)], {2: STOPPED}, **MARGIN, options=POOR)
golden("liquidation_by_the_tier_of_its_own_price", "6.3", bars(FLAT, FLAT, "100 100 80 90"),
       # 500 + 50 (P - 100) = 50 P 0.2 - 855 at P = 3645 / 40 = 91.125, worth 4556: the second tier, its own
       [FIFTY], [LONG, F(2, t(3), 3645.0 / 40.0, 50.0)], {2: ("filled", "liquidation")},
       instrument={"tiers": ((4500.0, 0.01, 0.0), (1e12, 0.2, 855.0))},
       options={"cash": 500.0, "leverage": 20.0})

# ---- 2 a good-till-date order is told of in time

PAST = ("expired", "past expire_ts")
golden("expiry_between_bars", "2", bars(FLAT, FLAT, FLAT),
       [order(1, t(1), "buy 1 limit 95", tif="GTD", expire_ts=t(1, 30_000)),
        order(2, t(2), "buy 1 limit 96", tif="GTD", expire_ts=t(2))],
       [], {1: PAST, 2: PAST}, ends={1: t(1, 30_000), 2: t(2)})
