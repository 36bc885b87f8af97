"""The market brief and the one renderer through which every prompt passes.

A prompt's bytes are the key of a paid reply, so numbers are written with fixed decimals by one function:
no locale, no numpy text, no display options. A value later than the question is refused by name and time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.errors import SignalError
from framework.llm import technical
from framework.llm.facts import AsOf, Fact, Facts, fact_lines, known_facts, need_instructions, need_version
from framework.llm.written import DAY_NS, fixed, need_known, need_name, percent, price_decimals, span, when

TEMPLATE = "sheepfold-brief"  # id and version travel with every record; the key is the bytes themselves
VERSION = 1

CANDLES, BOOK_LEVELS, TRADES = 5, 10, 50
DEPTH_LEVELS, FLOW_TRADES = 20, 100  # the wider look at the same book and trades
SHORT_BARS, LONG_BARS = 24, 168  # windows of realised volatility

Candle = tuple[int, float, float, float, float, float]  # close_ts, open, high, low, close, volume
Book = tuple[int, Any, Any]  # ts, bids (n, 2) and asks (n, 2) of price and size, best first
Trades = tuple[Any, Any, Any]  # ts, size, side (+1 buyer took, -1 seller took, 0 unknown), oldest first
Features = Mapping[str, tuple[int, float]]  # name -> (when it could be known, value)

SYSTEM = """You are a disciplined crypto market analyst. You read one market brief and answer with one signal.
You never place orders: code validates and risk-checks what you say.
Few good signals beat many; when in doubt answer neutral.
Answer with exactly one JSON object, no prose and no code fence, with these keys:
"regime": "trending_up" | "trending_down" | "ranging" | "volatile" | "uncertain"
"direction": "long" | "short" | "neutral"
"confidence": number from 0 to 1
"reasoning": text of at most 200 characters
"suggested_entry": price
"stop_loss": price (long: below entry, short: above entry)
"take_profit": price (long: above entry, short: below entry)
"position_size_pct": fraction of equity, above 0 and at most 1
For a neutral signal give null for the three prices and 0 for the size. Use only the brief."""


@dataclass(frozen=True, slots=True)
class Brief:
    """What was known at `ts`. Plain Python values; None = not enough history, or no such stream."""

    ts: int  # ns; the question's time
    symbol: str
    interval_ns: int
    price: float  # close of the last closed bar
    bar_ts: int  # ns; that bar's close
    change_24h: float | None  # fraction, against the bar that closed 24 h before it
    rsi: float | None  # RSI(14), 0..100
    macd: float | None  # MACD(12, 26), price units
    macd_signal: float | None
    macd_hist: float | None
    bollinger: float | None  # 0 = lower band, 1 = upper band of (20, 2)
    atr: float | None  # ATR(14), price units
    trend: float | None  # (EMA 20 - EMA 50) / ATR
    slope: float | None  # change of EMA 20 over 5 bars / ATR
    volatility: float | None  # deviation of one bar's return, last 24 bars
    volatility_long: float | None  # the same over 168 bars
    candles: tuple[Candle, ...]  # last 5, oldest first
    book_imbalance: float | None = None  # (bid - ask) / (bid + ask) over 10 levels, -1..1
    bid_volume: float | None = None
    ask_volume: float | None = None
    buy_pressure: float | None = None  # buyers' share of the size of the last 50 trades, 0..1
    trade_size: float | None = None  # mean size of those trades
    features: tuple[tuple[str, float], ...] = ()
    mid: float | None = None  # of the book, price units
    spread: float | None = None  # fraction of the mid
    depth_imbalance: float | None = None  # as book_imbalance, over 20 levels
    bid_total: float | None = None
    ask_total: float | None = None
    flow_pressure: float | None = None  # as buy_pressure, over the last 100 trades
    flow_trades: int = 0  # how many of these were known
    facts: tuple[Fact, ...] = ()  # what the strategy adds
    instructions: str = ""  # the user's own part of the system message
    version: str = ""  # its name: metadata, not part of the text
    position: float | None = None  # signed, base units; None = the question is about the market alone
    entry_price: float | None = None
    unrealised: float | None = None  # fraction of the entry, gains positive
    equity_share: float | None = None  # value of the position / equity, signed
    open_orders: int = 0


def make_brief(ts: int, symbol: str, interval_ns: int, bars: NDArray[Any], *, book: Book | None = None,
               trades: Trades | None = None, features: Features | None = None, facts: Facts | None = None,
               instructions: str | None = None, version: str | None = None) -> Brief:
    """Build the brief of one question from as-of values.

    Parameters
    ----------
    ts : ns UTC, the question's time
    symbol : name shown to the model
    interval_ns : length of a bar
    bars : (n,) BAR array of closed bars, oldest first; the last 512 are used, so a longer history gives the
        same prompt
    book : (ts, bids, asks), each side (levels, 2) of price and size, best first
    trades : (ts, size, side) arrays of equal length, oldest first
    features : name -> (available ts, value)
    facts : name -> AsOf(value, known_ts), further lines of the brief
    instructions : text added to the system message; it must be the same at every question
    version : name of this wording; travels with the decision, the model does not see it

    Raises
    ------
    SignalError
        No bar, a value that is not finite, or anything known only after `ts` (named, with its time).
    """
    ts = int(ts)
    rows = bars[-technical.WINDOW :]
    if len(rows) == 0:
        raise SignalError(f"{symbol}: no closed bar before {when(ts)}, so there is nothing to ask about")
    need_known("bar", int(rows["close_ts"].max()), ts)
    close = technical.column(rows, "close")
    candles = tuple(_candle(row) for row in rows[-CANDLES:].tolist())
    price, bar_ts = candles[-1][4], candles[-1][0]
    if not (math.isfinite(float(close.sum())) and price > 0.0):
        raise SignalError(f"{symbol}: a close before {when(ts)} is not a finite price")
    return Brief(
        ts=ts, symbol=need_name(symbol), interval_ns=int(interval_ns), price=price, bar_ts=bar_ts,
        change_24h=_change(bars, price, bar_ts), candles=candles, **_indicators(rows, close, price),
        **_book(book, ts), **_trades(trades, ts), features=_features(features, ts),
        facts=known_facts(facts, ts), instructions=need_instructions(instructions),
        version=need_version(version),
    )  # fmt: skip


def _candle(row: tuple[Any, ...]) -> Candle:
    _, close_ts, first, high, low, last, volume = row
    return close_ts, first, high, low, last, volume


def _change(bars: NDArray[Any], price: float, bar_ts: int) -> float | None:
    stamps = bars["close_ts"]
    row = int(np.searchsorted(stamps, bar_ts - DAY_NS))
    if row >= len(bars) or int(stamps[row]) != bar_ts - DAY_NS:
        return None
    return price / float(bars["close"][row]) - 1.0


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _indicators(rows: NDArray[Any], close: NDArray[np.float64], price: float) -> dict[str, Any]:
    macd, signal, fast, earlier, slow = technical.averages(close)
    rsi, atr = technical.wilder(technical.column(rows, "high"), technical.column(rows, "low"), close)
    lower, _, upper = technical.bollinger(close)
    unit = atr if atr > 0.0 else math.nan
    return {
        "rsi": _known(rsi),
        "macd": _known(macd),
        "macd_signal": _known(signal),
        "macd_hist": _known(macd - signal),
        "bollinger": _known((price - lower) / (upper - lower)) if upper > lower else None,
        "atr": _known(atr),
        "trend": _known((fast - slow) / unit),
        "slope": _known((fast - earlier) / unit),
        "volatility": _known(technical.volatility(close, SHORT_BARS)),
        "volatility_long": _known(technical.volatility(close, LONG_BARS)),
    }


def _book(book: Book | None, ts: int) -> dict[str, Any]:
    if book is None:
        return {}
    need_known("book", int(book[0]), ts)
    bids, asks = (np.asarray(side, dtype=np.float64).reshape(-1, 2) for side in book[1:])
    bid, ask, imbalance = _sizes(bids, asks, BOOK_LEVELS)
    bid_total, ask_total, depth_imbalance = _sizes(bids, asks, DEPTH_LEVELS)
    two = len(bids) > 0 and len(asks) > 0
    mid = (float(bids[0, 0]) + float(asks[0, 0])) / 2.0 if two else None
    return {
        "book_imbalance": imbalance, "bid_volume": bid, "ask_volume": ask, "bid_total": bid_total,
        "ask_total": ask_total, "depth_imbalance": depth_imbalance, "mid": mid,
        "spread": None if mid is None else float(asks[0, 0] - bids[0, 0]) / mid,
    }  # fmt: skip


def _sizes(bids: Any, asks: Any, levels: int) -> tuple[float, float, float | None]:
    bid, ask = float(bids[:levels, 1].sum()), float(asks[:levels, 1].sum())
    return bid, ask, (bid - ask) / (bid + ask) if bid + ask > 0.0 else None


def _trades(trades: Trades | None, ts: int) -> dict[str, Any]:
    if trades is None or len(trades[0]) == 0:
        return {}
    stamps, size, side = (np.asarray(part)[-FLOW_TRADES:] for part in trades)
    need_known("trade", int(stamps.max()), ts)
    return {
        "buy_pressure": _pressure(size[-TRADES:], side[-TRADES:]), "trade_size": float(size[-TRADES:].mean()),
        "flow_pressure": _pressure(size, side), "flow_trades": len(size),
    }  # fmt: skip


def _pressure(size: Any, side: Any) -> float | None:
    taken = float(size[side != 0].sum())
    return float(size[side > 0].sum()) / taken if taken > 0.0 else None


def _features(features: Features | None, ts: int) -> tuple[tuple[str, float], ...]:
    rows = []
    for name, (known, value) in sorted((features or {}).items()):
        need_known(f"feature {name}", int(known), ts)
        rows.append((need_name(name), float(value)))
    return tuple(rows)


# ------------------------------------------------------------------------------------------------ rendering


def render(brief: Brief) -> tuple[str, str]:
    """Return (system, user): the exact text that is sent, a pure function of the brief.

    Raises
    ------
    SignalError
        A number is not finite.
    """
    lines = [*_market_lines(brief), *_candle_lines(brief), *_flow_lines(brief)]
    lines += [*fact_lines(brief.facts, brief.price), *_portfolio_lines(brief)]
    return system_of(brief.instructions), "\n".join(lines)


def system_of(instructions: str) -> str:
    """Return the system message."""
    return f"{SYSTEM}\n\nInstructions of the user:\n{instructions}" if instructions else SYSTEM


def _market_lines(brief: Brief) -> list[str]:
    places = price_decimals(brief.price)
    return [
        f"Market brief {TEMPLATE} v{VERSION}",
        f"Symbol: {brief.symbol}",
        f"Time: {when(brief.ts)}",
        f"Bars: {span(int(brief.interval_ns))}, last closed {when(brief.bar_ts)}",
        f"Current price: {fixed(brief.price, places)}",
        f"24 h change: {percent(brief.change_24h)}",
        f"RSI(14): {fixed(brief.rsi, 2)}",
        f"MACD(12,26,9): line {fixed(brief.macd, places)}, signal {fixed(brief.macd_signal, places)}, "
        f"histogram {fixed(brief.macd_hist, places)}",
        f"Bollinger(20,2) position, 0 lower band to 1 upper band: {fixed(brief.bollinger, 3)}",
        f"ATR(14): {fixed(brief.atr, places)}",
        f"Trend, (EMA20 - EMA50) / ATR: {fixed(brief.trend, 3)}",
        f"Slope of EMA20 over 5 bars / ATR: {fixed(brief.slope, 3)}",
        f"Volatility of one bar: last {SHORT_BARS} {percent(brief.volatility, 3)}, "
        f"last {LONG_BARS} {percent(brief.volatility_long, 3)}",
    ]


def _candle_lines(brief: Brief) -> list[str]:
    if not brief.candles:
        return []
    places = price_decimals(brief.price)
    lines = [f"Last {len(brief.candles)} candles (close time UTC: open high low close volume):"]
    row = " ".join([f"%s: %.{places}f", *[f"%.{places}f"] * 3, "%.4f"])
    for close_ts, first, high, low, last, volume in brief.candles:
        if not math.isfinite(first + high + low + last + volume):
            raise SignalError(f"the candle closed at {when(close_ts)} holds a number that is not finite")
        lines.append(row % (when(close_ts), first, high, low, last, volume + 0.0))
    return lines


def _flow_lines(brief: Brief) -> list[str]:
    lines = []
    if brief.bid_volume is not None:
        lines.append(
            f"Order book, {BOOK_LEVELS} levels: imbalance {fixed(brief.book_imbalance, 3)}, "
            f"bid volume {fixed(brief.bid_volume, 4)}, ask volume {fixed(brief.ask_volume, 4)}"
        )
    if brief.trade_size is not None:
        lines.append(
            f"Last {TRADES} trades: buy pressure {percent(brief.buy_pressure)}, "
            f"average size {fixed(brief.trade_size, 6)}"
        )
    if brief.bid_total is not None:
        lines.append(
            f"Order book, {DEPTH_LEVELS} levels: mid {fixed(brief.mid, price_decimals(brief.price))}, spread "
            f"{percent(brief.spread, 6)}, bid total {fixed(brief.bid_total, 4)}, ask total "
            f"{fixed(brief.ask_total, 4)}, imbalance {fixed(brief.depth_imbalance, 3)}"
        )
    if brief.flow_trades:
        lines.append(f"Last {brief.flow_trades} trades: buy pressure {percent(brief.flow_pressure)}")
    lines.extend(f"{name}: {fixed(value, 6)}" for name, value in brief.features)
    return lines


def _portfolio_lines(brief: Brief) -> list[str]:
    if brief.position is None:
        return []
    side = "long " if brief.position > 0.0 else "short " if brief.position < 0.0 else ""
    return [
        "Portfolio:",
        f"Position: {side or 'flat'}{fixed(abs(brief.position), 8) if side else ''}",
        f"Entry price: {fixed(brief.entry_price, price_decimals(brief.price))}",
        f"Unrealised: {percent(brief.unrealised)}",
        f"Share of equity: {percent(brief.equity_share)}",
        f"Open orders: {int(brief.open_orders)}",
    ]


__all__ = ["SYSTEM", "TEMPLATE", "VERSION", "AsOf", "Book", "Brief", "Trades", "fixed", "make_brief",
           "price_decimals", "render", "system_of", "when"]  # fmt: skip
