"""The engine beside the tick twin: a case as a Market and a public call, and what differs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from tests.naive import compare
from tests.naive.compare import EQUITY_COLUMNS, FILL_COLUMNS, MONEY, TRADE_COLUMNS, name_of
from tests.naive.model import on_grid
from tests.naive.tick_book import messages, timed
from tests.naive.tick_model import TickCase, TickOptions
from tests.naive.ticks import run

BARS = ("bar_open_ts", "entry_bar", "exit_bar")  # of no meaning on ticks
FILLS = {name: how for name, how in FILL_COLUMNS.items() if name not in BARS}
TRADES = {name: how for name, how in TRADE_COLUMNS.items() if name not in BARS}


def book_of(case: TickCase, k: int) -> Any:
    """The messages of k as the engine's Book."""
    import numpy as np

    from framework.market_ticks import Book
    from framework.records import MESSAGE, NEVER

    feed = case.books[k]
    assert feed is not None
    made, keys, lots = [], [], []
    for ts, local_ts, rows in messages(feed):
        made.append((ts, local_ts, len(keys)))
        keys += [2 * tick + side for side, tick, _ in rows]
        lots += [size for _, _, size in rows]
    made.append((NEVER, NEVER, len(keys)))
    source = f"book_snapshot_{feed.depth}" if feed.shots else "incremental_book_L2"
    return Book(np.array(made, MESSAGE), np.array(keys, np.int32), np.array(lots, np.int64), source)


def market_of(case: TickCase) -> Any:
    """Instruments, books, trades, bars, funding and marks as a Market."""
    import numpy as np
    import polars as pl

    from framework.instruments import Instrument
    from framework.market import Market
    from framework.records import BAR, TRADE

    instruments = tuple(
        Instrument(
            name_of(k), kind=row["kind"], tick_size=row["tick"], lot_size=row["lot"],
            min_notional=row["min_notional"], multiplier=row["multiplier"], maker=row.get("maker"),
            taker=row.get("taker"), tiers=row["tiers"], settle="USD",
        )
        for k, row in enumerate(case.instruments)
    )  # fmt: skip
    trades = {
        k: np.array([(ts, x.local_ts, x.ts, x.lots, x.tick, x.side) for ts, x in timed(rows)], TRADE)
        for k, rows in enumerate(case.trades) if rows
    }  # fmt: skip
    books = {k: book_of(case, k) for k, feed in enumerate(case.books) if feed is not None}
    bars = {(k, rows[0][1] - rows[0][0]): np.array([tuple(row) for row in rows], BAR)
            for k, rows in enumerate(case.bars) if rows}
    market = Market(instruments, bars=bars, trades=trades, books=books, name="ticks")
    for k in range(len(instruments)):
        if case.funding[k]:
            frame = pl.DataFrame(case.funding[k], schema=["ts", "rate"], orient="row")
            market = market.with_funding(frame, name_of(k), time="ts", rate="rate", unit="ns")
        if case.mark[k]:
            frame = pl.DataFrame(case.mark[k], schema=["ts", "price"], orient="row")
            market = market.with_mark(frame, name_of(k), time="ts", price="price", unit="ns")
    return market


def arguments(options: TickOptions) -> dict[str, Any]:
    """Keyword arguments of `replay_orders`."""
    made = compare.arguments(options)
    names = ("queue", "partial", "trigger")
    made["fills"] = replace(made["fills"], **{name: getattr(options, name) for name in names})
    return {**made, "sample": None if options.sample == TickOptions().sample else options.sample}


def engine(case: TickCase, of: Callable[[Any], Any] = lambda market: market) -> dict[str, Any]:
    """Run the case through `framework.replay_orders`, over `of(its market)`; the twin's tables of its Result.
    """
    from framework import replay_orders

    result = replay_orders(compare.orders_frame(case), of(market_of(case)), **arguments(case.options))
    numbers = {name_of(k): k for k in range(len(case.books))}
    sides = {"buy": 1, "sell": -1, "long": 1, "short": -1}
    found: dict[str, Any] = {"status": result.status}
    for name in ("orders", "fills", "trades", "equity"):
        found[name] = getattr(result, name).to_dicts()
        for row in found[name] if name != "equity" else ():
            row["instrument"] = numbers[row["instrument"]]
            row["side"] = sides.get(row["side"], row["side"])
    found["final"] = dict(result.manifest["final"])
    found["final"]["positions"] = [found["final"][f"position:{name}"] for name in numbers]
    found["fingerprint"] = result.fingerprint
    return found


def differences(case: TickCase, naive: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """What differs between the twin's tables and the engine's, one line each."""
    money = MONEY * compare.scale(case, naive)
    dust = [money * compare.EXACT / MONEY / value for value in unit_values(case)]
    found = [] if naive["status"] == other["status"] else [f"status: {naive['status']}, {other['status']}"]
    found += compare.order_differences(naive["orders"], other["orders"], compare.amended(case), dust)
    found += compare.row_differences("fill", naive["fills"], other["fills"], FILLS, 0.0)
    found += size_differences(naive["fills"], other["fills"], dust)
    found += compare.row_differences("trade", naive["trades"], other["trades"], TRADES, money)
    found += compare.reason_differences(naive["trades"], other["trades"])
    found += compare.row_differences("equity row", naive["equity"], other["equity"], EQUITY_COLUMNS, money)
    final = {name: value for name, value in naive["final"].items() if name != "equity"}
    return found + compare.final_differences(final, other["final"], money, max(dust))


def size_differences(
    mine: list[dict[str, Any]], theirs: list[dict[str, Any]], dust: list[float]
) -> list[str]:
    """Quantities and fees of fills."""
    for n, (a, b) in enumerate(zip(mine, theirs, strict=False)):
        if not compare.same(a["qty"], b["qty"], compare.EXACT, dust[a["instrument"]]):
            return [f"fill {n} qty: twin {a['qty']!r}, engine {b['qty']!r}"]
        if not compare.same(a["fee"], b["fee"], compare.CLOSE):
            return [f"fill {n} fee: twin {a['fee']!r}, engine {b['fee']!r}"]
    return []


def unit_values(case: TickCase) -> list[float]:
    """About what one unit of each instrument is worth."""
    values = []
    for k, row in enumerate(case.instruments):
        feed = case.books[k]
        ticks = [x.tick for x in case.trades[k]]
        ticks += [tick for message in (messages(feed) if feed else []) for _, tick, _ in message.rows]
        price = case.bars[k][0][2] if case.bars[k] else on_grid(max(ticks, default=1), row["tick"])
        values.append((1.0 / price if row["kind"] == "inverse" else price) * row["multiplier"])
    return values


def check(case: TickCase) -> list[str]:
    """Run both sides; differences, or the error the engine raised."""
    try:
        other = engine(case)
    except Exception as error:
        return [f"engine raised {type(error).__name__}: {error}"]
    return differences(case, run(case), other)


def check_pieces(case: TickCase) -> list[str]:
    """Run the engine over the case in memory and in pieces of 1 to 9 rows; a line where they differ."""
    rows = 1 + case.seed % 9
    whole, parts = engine(case), engine(case, lambda market: market.as_tapes(rows))
    return [f"{name}: in pieces of {rows} rows {parts[name]!r}, in memory {whole[name]!r}"
            for name in whole if repr(whole[name]) != repr(parts[name])]  # fmt: skip


def dump(case: TickCase) -> str:
    """A case as readable lines, stamps as milliseconds after the first."""
    base = TickOptions()
    stamps = [x.ts for rows in case.trades for x in rows]
    stamps += [m.ts for feed in case.books if feed for m in messages(feed)]
    first = min(stamps) // 10**9 * 10**9

    def ms(ts: int) -> float:
        return (ts - first) / 1e6

    changed = {f.name: getattr(case.options, f.name) for f in fields(TickOptions)
               if getattr(case.options, f.name) != getattr(base, f.name)}
    lines = [f"seed {case.seed}, times are ms after {first}", f"options {changed}"]
    for k, row in enumerate(case.instruments):
        lines.append(f"instrument {k} {row}")
        feed = case.books[k]
        rows = [(m.ts, 1, f"  message {ms(m.ts)} (seen {ms(m.local_ts)}) " + said(m.rows))
                for m in (messages(feed) if feed else [])]
        rows += [(ts, 0, f"  trade {ms(ts)} (seen {ms(x.local_ts)}) {x.lots} at {x.tick} side {x.side}")
                 for ts, x in timed(case.trades[k])]
        lines += [text for _, _, text in sorted(rows, key=lambda row: row[:2])]
        lines += [f"  bar {ms(bar[0])} {bar[2:]}" for bar in case.bars[k]]
        lines += [f"  funding {ms(ts)} {x}" for ts, x in case.funding[k]]
        lines += [f"  mark {ms(ts)} {x}" for ts, x in case.mark[k]]
    for row in case.orders:
        shown = {name: v for name, v in row.items() if v not in (None, False)}
        shown |= {name: ms(v) for name, v in shown.items() if name.endswith("ts")}
        lines.append(f"order {shown}")
    return "\n".join(lines)


def said(rows: tuple[tuple[int, int, int], ...]) -> str:
    """Rows of a message: b99:5 is five lots bid at tick 99."""
    return " ".join(f"{'ba'[side]}{tick}:{lots}" for side, tick, lots in rows) or "nothing"
