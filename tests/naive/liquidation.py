"""Maintenance margin and bust: who is closed, when and at what price."""

from __future__ import annotations

import math

from tests.naive.execution import Execution
from tests.naive.model import Order, total


class Liquidation(Execution):
    """Execution plus the venue's own closings."""

    def maintenance_of(self, k: int, price: float | None) -> float:
        """Binance USD-M: notional x rate - amount of the tier that holds the notional."""
        qty, instrument = self.ledger.positions[k].qty, self.instruments[k]
        if qty == 0.0 or price is None:
            return 0.0
        notional = instrument.notional(qty, price)
        rate, amount = instrument.tier(notional)
        return notional * rate - amount

    def others(self, k: int) -> tuple[float, float]:
        """(account without instrument k's gain, maintenance of the others); cross margin."""
        prices = [None if j == k else p for j, p in enumerate(self.last)]
        return self.ledger.equity(prices), total(self.maintenance_of(j, p) for j, p in enumerate(prices))

    def backing(self, k: int) -> tuple[float, float]:
        """(money behind the position of k beside its own gain, maintenance of everything else it backs)."""
        if self.options.margin == "isolated":
            return self.wallet(k), 0.0
        return self.others(k)

    def wallet(self, k: int) -> float:
        """Isolated wallet: notional at entry / leverage."""
        position = self.ledger.positions[k]
        return self.instruments[k].notional(position.qty, position.entry) / self.options.leverage

    def test_margin(self, k: int, price: float, *, bar_open: float | None = None) -> None:
        """Liquidate k if the account is at or under its maintenance at `price`; see `margin_level`."""
        level = self.margin_level(k, price, bar_open=bar_open)
        if level is not None:
            self.liquidate(k, level)

    def margin_level(self, k: int, price: float, *, bar_open: float | None = None) -> float | None:
        """The price at which k goes if it trades at `price`, None if it stays.

        With `bar_open`, `price` is the adverse extreme of a bar and the liquidation happens on the way to it.
        """
        position, instrument = self.ledger.positions[k], self.instruments[k]
        if position.qty == 0.0 or not instrument.tiers:
            return None
        money, other_maintenance = self.backing(k)
        gain = self.ledger.unrealised(k, price)
        if money + gain > other_maintenance + self.maintenance_of(k, price):
            return None
        if bar_open is None:
            return price
        level = self.liquidation_price(k, price, money, other_maintenance)
        return min(bar_open, level) if position.qty > 0.0 else max(bar_open, level)

    def liquidation_price(self, k: int, tested: float, money: float, other_maintenance: float) -> float:
        """Price nearest to the position's entry side at which money + gain = maintenance, by its own tier.

        Where no tier holds the price it gives, the tier of the tested price counts.

        linear   money + q m (P - E) = M + |q| m P r - a
        inverse  money + q m (1/E - 1/P) = M + |q| m r / P - a
        """
        position, instrument = self.ledger.positions[k], self.instruments[k]
        q, m, entry = position.qty, instrument.multiplier, position.entry

        def root(rate: float, amount: float) -> float:
            if instrument.kind == "inverse":
                per_unit = (money + q * m / entry + amount - other_maintenance) / (q * m + abs(q) * m * rate)
                return 1.0 / per_unit if per_unit > 0.0 else math.inf
            return (other_maintenance - amount - money + q * m * entry) / (q * m - abs(q) * m * rate)

        own = [
            price for _, *tier in instrument.tiers
            if (price := root(*tier)) > 0.0 and instrument.tier(instrument.notional(q, price)) == tuple(tier)
        ]  # fmt: skip
        if own:
            return max(own) if q > 0.0 else min(own)
        return root(*instrument.tier(instrument.notional(q, tested)))

    def liquidate(self, k: int, price: float) -> None:
        """Cancel everything of k, close the whole position at `price` with the taker fee."""
        for order in self.live(k):
            self.cancel(order, "liquidation")
        position, instrument = self.ledger.positions[k], self.instruments[k]
        fee = instrument.notional(position.qty, price) * instrument.taker
        back = 0.0
        if self.options.margin == "isolated":
            loss = fee - self.ledger.unrealised(k, price)
            back = max(0.0, loss - self.wallet(k))
        self.close_by_venue(k, price, fee, "liquidation", back)

    def close_by_venue(self, k: int, price: float, fee: float, reason: str, back: float) -> None:
        """One filled order row of kind liquidation; the strategy sees it at once."""
        qty = self.ledger.positions[k].qty
        order: Order = self.new_order(k=k, side=-1 if qty > 0.0 else 1, kind="liquidation", qty=abs(qty),
                                      filled=abs(qty), value=price * abs(qty), n_fills=1,
                                      last_fill_ts=self.now)
        self.end(order, "filled", reason)
        self.book(order, price, abs(qty), self.bar_of(k), fee, False, self.now, back, reason)

    def bar_of(self, k: int) -> int:
        """Index of the last bar of k that opened."""
        raise NotImplementedError

    def test_bust(self) -> None:
        """No equity left at a close: close all there, book the shortfall, end the account (rules 6.3)."""
        if self.bust or self.equity() > 0.0:
            return
        self.bust = True
        for order in self.orders:
            if order.live:
                self.cancel(order, "bust")
        shortfall = -self.equity()
        held = [k for k, position in enumerate(self.ledger.positions) if position.qty != 0.0]
        for k in held:
            self.close_by_venue(k, self.last[k], 0.0, "bust", shortfall if k == held[-1] else 0.0)
        for fill in self.fills:
            fill.seen_ts = min(fill.seen_ts, self.now)  # the account is closed: nothing is on its way
        self.last_seen = self.now
        if not held:
            self.ledger.liquidation += shortfall
            self.known.liquidation += shortfall
