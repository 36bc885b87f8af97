"""Money, written from the rules: average-entry ledger, and FIFO round trips for the trades table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.naive.model import Fill, Instrument, total


@dataclass
class Position:
    """Signed quantity and its average entry price (0.0 when flat)."""

    qty: float = 0.0
    entry: float = 0.0


class Ledger:
    """equity = start + realised + unrealised - fees + funding - tokens + liquidation (rules 6.5)."""

    def __init__(self, instruments: list[Instrument], cash: float) -> None:
        self.instruments = instruments
        self.start = cash
        self.realised = 0.0
        self.fees = 0.0
        self.funding = 0.0
        self.tokens = 0.0
        self.liquidation = 0.0
        self.positions = [Position() for _ in instruments]

    @property
    def cash(self) -> float:
        """The balance: everything but the unrealised part."""
        return self.start + self.realised - self.fees + self.funding - self.tokens + self.liquidation

    def unrealised(self, k: int, price: float | None) -> float:
        """Gain of instrument k's position at `price`; 0 when flat or no price is known."""
        position = self.positions[k]
        if position.qty == 0.0 or price is None:
            return 0.0
        return self.instruments[k].pnl(position.qty, position.entry, price)

    def equity(self, prices: list[float | None]) -> float:
        """Account value with each position marked at `prices`."""
        return self.cash + total(self.unrealised(k, p) for k, p in enumerate(prices))

    def margin(self, prices: list[float | None], leverage: float) -> float:
        """Margin in use: |notional at the last price| / leverage over all instruments."""
        used = 0.0
        for k, price in enumerate(prices):
            if self.positions[k].qty != 0.0 and price is not None:
                used += self.instruments[k].notional(self.positions[k].qty, price) / leverage
        return used

    def apply(self, k: int, change: float, price: float, fee: float) -> None:
        """Book one fill of signed quantity `change` (rules 6.4: average entry, restart at zero)."""
        instrument, position = self.instruments[k], self.positions[k]
        old = position.qty
        self.fees += fee
        new = self.snapped(instrument, old, change)
        if old * change < 0.0:
            closed = min(abs(old), abs(change))
            self.realised += instrument.pnl(closed if old > 0 else -closed, position.entry, price)
            if new * old <= 0.0:
                position.entry = price if new != 0.0 else 0.0
        else:
            position.entry = mean_entry(instrument, abs(old), position.entry, abs(change), price)
        position.qty = new

    @staticmethod
    def snapped(instrument: Instrument, old: float, change: float) -> float:
        """New position: residue below 1e-9 of the sizes is zero, else the nearest lot."""
        new = old + change
        if abs(new) < 1e-9 * max(abs(old), abs(change)):
            return 0.0
        return instrument.snap_lot(new)


def mean_entry(instrument: Instrument, old: float, entry: float, added: float, price: float) -> float:
    """Average of two entries by quantity: arithmetic, harmonic for inverse contracts."""
    if old == 0.0:
        return price
    if instrument.kind == "inverse":
        return (old + added) / (old / entry + added / price)
    return (old * entry + added * price) / (old + added)


@dataclass
class Lot:
    """An open slice of a position, oldest first."""

    fill: Fill
    qty: float
    fee: float
    funding: float = 0.0


@dataclass
class Fifo:
    """Round trips by first in, first out; fees and funding shared by quantity."""

    instruments: list[Instrument]
    lots: list[list[Lot]] = field(default_factory=list)
    trades: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lots = [[] for _ in self.instruments]

    def fund(self, k: int, amount: float) -> None:
        """Share one funding payment over the open lots of instrument k."""
        held = total(lot.qty for lot in self.lots[k])
        for lot in self.lots[k]:
            lot.funding += amount * lot.qty / held

    def apply(self, fill: Fill, position_after: float) -> None:
        """Close the oldest lots of the other side, then open a lot with the rest."""
        lots, rest = self.lots[fill.k], fill.qty
        while lots and lots[0].fill.side != fill.side and rest > 1e-9 * fill.qty:
            take = min(rest, lots[0].qty)
            if abs(rest - lots[0].qty) < 1e-9 * max(rest, lots[0].qty):
                take = lots[0].qty
            self.trade(lots[0], fill, take)
            rest -= take
            if lots[0].qty <= 0.0:
                lots.pop(0)
        if rest > 1e-9 * fill.qty and position_after * fill.side > 0.0:
            lots.append(Lot(fill, rest, fill.fee * rest / fill.qty))
        if position_after == 0.0:
            lots.clear()

    def trade(self, lot: Lot, fill: Fill, take: float) -> None:
        """Write one round trip of `take` units out of `lot`."""
        share = take / lot.qty
        entry, instrument = lot.fill, self.instruments[fill.k]
        gross = instrument.pnl(entry.side * take, entry.price, fill.price)
        fees = lot.fee * share + fill.fee * take / fill.qty
        funding = lot.funding * share
        self.trades.append(
            {
                "instrument": fill.k,
                "side": entry.side,
                "qty": take,
                "entry_ts": entry.ts,
                "exit_ts": fill.ts,
                "entry_bar": entry.bar_open_ts,
                "exit_bar": fill.bar_open_ts,
                "entry_price": entry.price,
                "exit_price": fill.price,
                "gross": gross,
                "fees": fees,
                "funding": funding,
                "pnl": gross - fees + funding,
                "reason": fill.reason,
            }
        )
        lot.qty -= take
        lot.fee -= lot.fee * share
        lot.funding -= funding
