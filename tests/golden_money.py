"""Golden examples of the rules, part 6: sizing, margin, bust, liquidation, funding, contracts, trades."""

from __future__ import annotations

from tests.golden import DONE, FLAT, STOPPED, F, bars, golden, order, t

# ---- 6.1 share, 6.2 the venue's grid

golden("share", "6.1", bars(FLAT, FLAT), [order(1, t(1), "buy 0 market", share=0.5)],
       # 0.5 x 10000 / (101 x 1.001) = 49.455 -> 49; fee 49 x 101 x 0.001
       [F(1, t(1), 101.0, 49.0, fee=4.949)], {1: DONE}, options={"taker": 0.001, "slippage": 0.01})
golden("share_with_leverage", "6.1", bars(FLAT, FLAT), [order(1, t(1), "sell 0 market", share=0.5)],
       # 0.5 x 10000 x 3 / (99 x 1) = 151.5 -> 151, sold at 100 x 0.99
       [F(1, t(1), 99.0, 151.0)], {1: DONE}, options={"slippage": 0.01, "leverage": 3.0})
golden("share_of_what_is_left", "6.1", bars(FLAT, FLAT), [order(1, t(1), "buy 60 market"),
       order(2, t(1), "buy 0 market", share=0.5)],
       [F(1, t(1), 100.0, 60.0), F(2, t(1), 100.0, 20.0)], {2: DONE})  # 0.5 x (10000 - 6000) / 100
golden("share_of_a_limit", "6.1", bars(FLAT, "100 100 97 99"), [order(1, t(1), "buy 0 limit 98", share=0.5)],
       [F(1, t(2), 98.0, 51.0)], {1: DONE})  # sized at its fill: 5000 / 98 = 51.02
golden("share_pays_the_entry_spread", "6.1", bars(FLAT, FLAT),
       [order(1, t(1), "buy 0 market", share=0.5)],
       [F(1, t(1), 101.0, 49.0)], {1: DONE}, options={"entry_spread": 0.01})  # 5000 / 101 = 49.5
golden("share_below_lot", "6.2", bars(FLAT, FLAT), [order(1, t(1), "buy 0 market", share=0.005)], [],
       {1: ("rejected", "below lot")})  # 50 / 100 = 0.5 lots
golden("min_notional_at_arrival", "6.2", bars(FLAT, FLAT), [order(1, t(1), "buy 1 limit 99")], [],
       {1: ("rejected", "below min notional")}, instrument={"min_notional": 100.0}, ends={1: t(1)})
golden("min_notional_of_a_limit_is_tested_once", "6.2", bars(FLAT, FLAT, "95 95 95 95"),
       [order(1, t(1), "buy 1 limit 99")], [F(1, t(2), 95.0, 1.0)], {1: DONE},  # 99 at arrival, 95 filled
       instrument={"min_notional": 99.0})
golden("min_notional_at_the_fill", "6.2", bars(FLAT, "99 106 99 100"),
       [order(1, t(1), "buy 1 market"), order(2, t(1), "buy 1 stop 105")], [F(2, t(2), 105.0, 1.0)],
       {1: ("rejected", "below min notional"), 2: DONE}, instrument={"min_notional": 100.0})
golden("min_notional_spares_exits", "6.2", bars(FLAT, FLAT, "100 100 79 79"),
       [order(1, t(1), "buy 1 market", stop=80.0)], [F(1, t(1), 100.0, 1.0), F(2, t(3), 80.0, 1.0)],
       {2: STOPPED},
       instrument={"min_notional": 100.0})
golden("tick_of_a_tenth", "1", bars("0.3 0.3 0.3 0.3", "0.4 0.4 0.3 0.4"),
       [order(1, t(1), "buy 10 limit 0.3")],
       # 3/10 and not 3 x 0.1 = 0.30000000000000004
       [F(1, t(2), 0.3, 10.0)], {1: DONE}, instrument={"tick": 0.1})

# ---- 6.3 buying power

golden("too_large", "6.3", bars(FLAT, FLAT), [order(1, t(1), "buy 101 market")], [],
       {1: ("rejected", "insufficient margin")})
golden("fee_counts_for_buying_power", "6.3", bars(FLAT, FLAT),
       [order(1, t(1), "buy 100 market"), order(2, t(1), "buy 99 market")],
       # 100 x 100 x 1.001 > 10000; 99 x 100 x 1.001 = 9909.9 fits
       [F(1 + 1, t(1), 100.0, 99.0, fee=9.9)], {1: ("rejected", "insufficient margin"), 2: DONE},
       options={"taker": 0.001})
golden("reversal", "4.8 6.3", bars(FLAT, FLAT, "110 110 110 110"),
       [order(1, t(1), "buy 10 market"), order(2, t(2), "sell 25 market")],
       [F(1, t(1), 100.0, 10.0), F(2, t(2), 110.0, 25.0)], {2: DONE},
       final={"positions": [-15.0], "realised": 100.0, "equity": 10_100.0})
golden("reversal_without_margin", "4.8 6.3", bars(FLAT, FLAT, FLAT),
       # closing 9 always fills; the opening 21 would need 2100 of 1000
       [order(1, t(1), "buy 9 market"), order(2, t(2), "sell 30 market")],
       [F(1, t(1), 100.0, 9.0), F(2, t(2), 100.0, 9.0)], {2: ("rejected", "insufficient margin")},
       qtys={2: 9.0}, final={"positions": [0.0]}, options={"cash": 1000.0})
golden("closing_part_alone_pays_no_entry_spread", "6.3", bars(FLAT, FLAT, FLAT),
       [order(1, t(1), "buy 9 market"), order(2, t(2), "sell 30 market")],
       [F(1, t(1), 101.0, 9.0), F(2, t(2), 100.0, 9.0)], {2: ("rejected", "insufficient margin")},
       options={"cash": 1000.0, "entry_spread": 0.01})
golden("reversal_uses_the_freed_margin", "6.3", bars(FLAT, FLAT, FLAT),
       [order(1, t(1), "buy 9 market"), order(2, t(2), "sell 19 market")],  # opening 10 x 100 = 1000 <= 1000
       [F(1, t(1), 100.0, 9.0), F(2, t(2), 100.0, 19.0)], {2: DONE}, options={"cash": 1000.0})
golden("margin_in_use_at_the_last_price", "6.3", bars(FLAT, FLAT, "150 150 150 150"),
       # at 150: equity 1000 + 450 = 1450, in use 9 x 150 = 1350; 100 is left, 1 x 150 is not
       [order(1, t(1), "buy 9 market"), order(2, t(2), "buy 1 market")],
       [F(1, t(1), 100.0, 9.0)], {2: ("rejected", "insufficient margin")}, options={"cash": 1000.0})

# ---- 6.3 bust

golden("bust", "6.3", bars(FLAT, "100 100 75 79", FLAT),
       # 50 x (79 - 100) = -1050 on 1000: closed at 79, 50 booked as liquidation
       [order(1, t(1), "buy 50 market"), order(2, t(1), "buy 1 limit 10"), order(3, t(2), "buy 1 market")],
       [F(1, t(1), 100.0, 50.0), F(4, t(2), 79.0, 50.0, side=-1, fee=0.0)],
       {2: ("cancelled", "bust"), 3: ("rejected", "account is bust"), 4: ("filled", "bust")},
       outcome="bust", equity=[(t(1), 1000.0), (t(2), 0.0), (t(3), 0.0)],
       final={"equity": 0.0, "realised": -1050.0, "liquidation": 50.0, "positions": [0.0]},
       options={"cash": 1000.0, "leverage": 10.0, "taker": 0.0})
golden("not_bust_inside_a_bar", "6.3", bars(FLAT, "100 100 75 81", "100 100 100 100"),
       [order(1, t(1), "buy 50 market")],  # 75 would be -1250, but only closes count: 81 leaves 50
       [F(1, t(1), 100.0, 50.0)], {1: DONE}, equity=[(t(1), 1000.0), (t(2), 50.0), (t(3), 1000.0)],
       options={"cash": 1000.0, "leverage": 10.0})

# ---- 6.3 maintenance tiers

LEVERED = {"cash": 1000.0, "leverage": 10.0}
TIER = {"tiers": ((1e12, 0.05, 0.0),)}
ENTRY = F(1, t(1), 100.0, 50.0)
FIFTY = [order(1, t(1), "buy 50 market", stop=20.0)]  # child 2
LIQUIDATED = {3: ("filled", "liquidation"), 2: ("cancelled", "liquidation")}
golden("cross_liquidation_inside", "6.3", bars(FLAT, "100 101 80 90"), FIFTY,
       # 1000 + 50 (P - 100) = 50 P x 0.05  ->  47.5 P = 4000
       [ENTRY, F(3, t(2), 4000.0 / 47.5, 50.0, side=-1, maker=False)], LIQUIDATED,
       final={"equity": 1000.0 + 50.0 * (4000.0 / 47.5 - 100.0), "positions": [0.0], "liquidation": 0.0},
       instrument=TIER, options=LEVERED)
golden("cross_liquidation_fee", "6.3", bars(FLAT, "100 101 80 90"), FIFTY,
       # entry fee 5: 995 + 50 (P - 100) = 2.5 P -> P = 4005 / 47.5; fee 50 x P x 0.001
       [ENTRY, F(3, t(2), 4005.0 / 47.5, 50.0, fee=0.05 * 4005.0 / 47.5)], LIQUIDATED,
       instrument=TIER, options={**LEVERED, "taker": 0.001})
golden("cross_liquidation_short", "6.3", bars(FLAT, "100 130 99 100"), [order(1, t(1), "sell 50 market")],
       # 1000 - 50 (P - 100) = 2.5 P -> 6000 = 52.5 P
       [F(1, t(1), 100.0, 50.0), F(2, t(2), 6000.0 / 52.5, 50.0, side=1)], {2: ("filled", "liquidation")},
       instrument=TIER, options=LEVERED)
golden("cross_liquidation_not_above_the_open", "6.3", bars(FLAT, "100 101 99 100"),
       # bought beyond its maintenance: 1000 + 200 (P - 100) = 12 P -> P = 101.06, but the bar opened at 100
       [order(1, t(1), "buy 200 market")], [F(1, t(1), 100.0, 200.0), F(2, t(2), 100.0, 200.0)],
       {2: ("filled", "liquidation")}, instrument={"tiers": ((1e12, 0.06, 0.0),)},
       options={"cash": 1000.0, "leverage": 20.0})
golden("cross_liquidation_at_an_open", "6.3", bars(FLAT, "100 101 99 100", "82 83 81 82"), FIFTY,
       # at 82: equity 100 <= 50 x 82 x 0.05 = 205
       [ENTRY, F(3, t(2), 82.0, 50.0, bar=2)], LIQUIDATED, final={"equity": 100.0},
       instrument=TIER, options=LEVERED)
golden("cross_liquidation_at_a_mark", "6.3", bars(FLAT, "100 101 99 100"), FIFTY,
       # at mark 84: 200 <= 210, though the candle never went there
       [ENTRY, F(3, t(1, 30_000), 84.0, 50.0)], LIQUIDATED, final={"equity": 200.0},
       mark=[(t(1, 30_000), 84.0)], instrument=TIER, options=LEVERED)
golden("mark_rows_replace_the_extreme", "6.3", bars(FLAT, "100 101 80 90"), FIFTY, [ENTRY], {2: ("open", "")},
       mark=[(t(1, 30_000), 95.0)], instrument=TIER, options=LEVERED)
golden("maintenance_amount", "6.3", bars(FLAT, "100 101 84 90"), FIFTY, [ENTRY], {2: ("open", "")},
       # at 84 the notional 4200 is in tier 2: 4200 x 0.05 - 15 = 195 < 200
       instrument={"tiers": ((1000.0, 0.035, 0.0), (1e12, 0.05, 15.0))}, options=LEVERED)
golden("isolated_liquidation_inside", "6.3", bars(FLAT, "100 101 80 90"), FIFTY,
       # wallet 5000 / 10 = 500: 500 + 50 (P - 100) = 2.5 P -> P = 4500 / 47.5
       [ENTRY, F(3, t(2), 4500.0 / 47.5, 50.0)], LIQUIDATED, instrument=TIER,
       options={**LEVERED, "margin": "isolated"})
golden("isolated_loss_is_limited", "6.3", bars(FLAT, "100 101 99 100", "85 86 84 85"), FIFTY,
       # closed at the open 85: loss 750, 250 beyond the wallet is given back
       [ENTRY, F(3, t(2), 85.0, 50.0)], LIQUIDATED,
       final={"equity": 500.0, "realised": -750.0, "liquidation": 250.0}, instrument=TIER,
       options={**LEVERED, "margin": "isolated"})
golden("isolated_loss_counts_its_fee", "6.3", bars(FLAT, "100 101 99 100", "85 86 84 85"), FIFTY,
       # fees 5 + 4.25; loss 754.25 of a wallet of 500: 254.25 back; 1000 - 5 - 500
       [ENTRY, F(3, t(2), 85.0, 50.0, fee=4.25)], LIQUIDATED, final={"equity": 495.0, "liquidation": 254.25},
       instrument=TIER, options={**LEVERED, "margin": "isolated", "taker": 0.001})

# ---- 3.4 funding

HELD = [order(1, t(1), "buy 10 market")]
PAID = [F(1, t(1), 100.0, 10.0)]
GAPPED = bars(FLAT, FLAT, "110 110 110 110")
golden("funding_without_mark", "3.4", GAPPED, HELD, PAID, {1: DONE},
       # stamped 8 ms late, due at t(2), at the open 110 of bar 2: -10 x 110 x 0.001
       funding=[(t(2, 8), 0.001)], final={"funding": -1.1, "equity": 10_098.9},
       equity=[(t(1), 10_000.0), (t(2), 9_998.9), (t(3), 10_098.9)])
golden("funding_with_mark", "3.4", GAPPED, HELD, PAID, {1: DONE},
       funding=[(t(2, 8), 0.001)], mark=[(t(1, 30_000), 105.0)], final={"funding": -1.05})
golden("funding_received", "3.4", GAPPED, [order(1, t(1), "sell 10 market")], PAID, {1: DONE},
       funding=[(t(2), 0.001)], final={"funding": 1.1})
golden("funding_before_fills", "3.4", bars(FLAT, FLAT), HELD, PAID, {1: DONE},
       funding=[(t(1, 8), 0.001)], final={"funding": 0.0})  # the entry at t(1) comes after it
golden("funding_inside_a_bar", "3.4", bars(FLAT, "100 120 100 120"), HELD, PAID, {1: DONE},
       funding=[(t(1, 30_005), 0.001)], final={"funding": -1.0})

# ---- 6.4 realised, trades

LADDER = bars(FLAT, FLAT, "110 110 110 110", "120 120 120 120", "120 120 120 120")
golden("average_entry_and_fifo", "6.4", LADDER,
       [order(1, t(1), "buy 10 market"), order(2, t(2), "buy 10 market"), order(3, t(3), "sell 15 market"),
        order(4, t(4), "sell 5 market")],
       [F(1, t(1), 100.0, 10.0), F(2, t(2), 110.0, 10.0), F(3, t(3), 120.0, 15.0), F(4, t(4), 120.0, 5.0)],
       # average 105: 15 x 15 + 5 x 15 = 300; first in first out: 200 + 50 + 50
       final={"realised": 300.0, "equity": 10_300.0},
       trades=[
           {"side": 1, "qty": 10.0, "entry_price": 100.0, "exit_price": 120.0, "gross": 200.0,
            "entry_bar": t(1), "exit_bar": t(3)},
           {"side": 1, "qty": 5.0, "entry_price": 110.0, "exit_price": 120.0, "gross": 50.0},
           {"side": 1, "qty": 5.0, "entry_price": 110.0, "exit_price": 120.0, "gross": 50.0,
            "exit_bar": t(4)},
       ])
golden("trade_costs", "6.4", LADDER, [order(1, t(1), "buy 10 market"), order(2, t(3), "sell 4 market")],
       [F(1, t(1), 100.0, 10.0, fee=1.0), F(2, t(3), 120.0, 4.0, fee=0.48)],
       # 4 of 10: entry fee 0.4 + exit fee 0.48; funding at t(2): -10 x 110 x 0.001 x 0.4
       funding=[(t(2), 0.001)], options={"taker": 0.001},
       trades=[{"qty": 4.0, "gross": 80.0, "fees": 0.88, "funding": -0.44, "pnl": 78.68}])
golden("trade_of_a_short_by_its_target", "6.4", bars(FLAT, "100 100 94 95"),
       [order(1, t(1), "sell 2 market", target=95.0)], [F(1, t(1), 100.0, 2.0), F(2, t(2), 95.0, 2.0)],
       trades=[{"side": -1, "qty": 2.0, "gross": 10.0, "reason": "target"}])
INVERSE = {"kind": "inverse", "multiplier": 10.0}
golden("inverse", "6.4", bars("100 100 100 100", "100 100 100 100", "125 125 125 125", "200 200 200 200"),
       # value of 10 contracts 10 x 10 / 100 = 1 coin; harmonic entry 20 / (10/100 + 10/125) = 111.1;
       # 20 x 10 x (0.009 - 0.005) = 0.8
       [order(1, t(1), "buy 10 market"), order(2, t(2), "buy 10 market"), order(3, t(3), "close")],
       [F(1, t(1), 100.0, 10.0), F(2, t(2), 125.0, 10.0), F(3, t(3), 200.0, 20.0)], {3: DONE},
       instrument=INVERSE, final={"realised": 0.8, "equity": 10.8}, options={"cash": 10.0})
golden("inverse_fee_and_funding", "6.4", bars(FLAT, FLAT, "125 125 125 125"),
       [order(1, t(1), "sell 10 market")],
       # fee 1 x 0.001 coin; funding +10 x 10 / 125 x 0.01
       [F(1, t(1), 100.0, 10.0, fee=0.001)], {1: DONE}, funding=[(t(2), 0.01)], instrument=INVERSE,
       final={"funding": 0.008, "fees": 0.001}, options={"cash": 10.0, "taker": 0.001})
golden("spot_round_trip", "6.5", bars(FLAT, FLAT, "110 110 110 110"),
       # bought 1000 + 1, sold 1100 - 1.1: 10000 + 100 - 2.1
       [order(1, t(1), "buy 10 market"), order(2, t(2), "close")],
       [F(1, t(1), 100.0, 10.0, fee=1.0), F(2, t(2), 110.0, 10.0, fee=1.1)], {2: DONE},
       instrument={"kind": "spot"}, final={"equity": 10_097.9, "fees": 2.1}, options={"taker": 0.001})
