"""Stored days as tapes: pieces that are read while a run needs them, the same rows as in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework import market_cover, market_parts
from framework.data.loading_days import Bit, hold
from framework.data.loading_market import THREADS, Side, edges
from framework.data.loading_stock import Asked
from framework.market import Market
from framework.market_parts import FIRST, LAST, rows_between
from framework.market_source import LAYOUTS, Changes, Piece, Tape, chunk_of
from framework.market_streams import frozen
from framework.market_tick_parts import rows_seen, sliced_book
from framework.market_ticks import Book
from framework.records import MESSAGE, NEVER, TRADE

Rows = NDArray[Any]


def streamed(base: Market, sides: Sequence[Side], asked: Asked) -> Market:
    """Return the market whose ticks are tapes; every pack is checked before."""
    packs = [pack for side in sides for pack in side.packs]
    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(pack.check) for pack in packs]:
            done.result()
    low, high = edges(asked)
    tapes = [tape for k, side in enumerate(sides) for tape in tapes_of(side, k, low, high)]
    empty: dict[str, Any] = nothing_of(sides, tapes)
    market = replace(base, tapes=tuple(tapes), **empty)
    if (low, high) != (FIRST, LAST):
        bars = {
            key: rows_between(rows, "open_ts", "close_ts", low, high) for key, rows in base.bars.items()
        }
        streams = market_parts.sliced_streams(base, low, high)
        market = replace(
            market, bars=bars, spans=market_cover.spans(base),
            **{name: streams[name] for name in ("funding", "mark", "features")},
        )  # fmt: skip
    ticks = [tape for tape in tapes if market.has_ticks(tape.instrument)]
    if sum((tape.messages or tape.rows) - tape.seeded for tape in ticks):
        return market
    if market_parts.has_rows(replace(market, tapes=())):
        return market
    every = (tape for k, side in enumerate(sides) for tape in tapes_of(side, k, FIRST, LAST))
    whole = replace(base, tapes=tuple(every))
    raise market_parts.refuse_empty(whole, max(low, 0), high if high != LAST else whole.stop)


def nothing_of(sides: Sequence[Side], tapes: Sequence[Tape]) -> dict[str, Any]:
    """Return streams whose rows all lie outside the range: they are there, and empty."""
    there = {(tape.stream, tape.instrument) for tape in tapes}
    found: dict[str, dict[int, Any]] = {"trades": {}, "liquidations": {}, "books": {}, "quotes": {}}
    for k, side in enumerate(sides):
        for stream in side.streams():
            if (stream, k) not in there:
                found[stream][k] = empty_of(stream, side.stock.book)
    return found


def empty_of(stream: str, source: str) -> Any:
    """Return a stream without a row."""
    if stream == "books":
        heads = np.array([(NEVER, NEVER, 0)], MESSAGE)
        return Book(frozen(heads), np.zeros(0, np.int32), np.zeros(0, np.int64), source)
    return frozen(np.zeros(0, LAYOUTS[stream]))


def tapes_of(side: Side, k: int, low: int, high: int) -> Iterator[Tape]:
    """Yield the tapes of an instrument that have a row in [low, high)."""
    for stream, bits in side.bits.items():
        is_book = stream == "books"
        cut = before(after(bits, low, is_book), high, is_book)
        if cut:
            more: dict[str, Any] = {}
            if is_book:
                seeded = cut[0].chunk.first_local == low and bits[0].chunk.first_local < low
                more = {"levels": side.levels, "source": side.stock.book, "seeded": seeded}
            chunks = tuple(bit.chunk for bit in cut)
            yield Tape(stream, k, chunks, Pieces(stream, tuple(cut)), cut[-1].last_ts, **more)
    if side.stock.quote:
        read = QuotePieces(side, low, high)
        found = [chunk_of(piece, 0, len(piece)) for piece in read()]
        if found:
            yield Tape("quotes", k, tuple(found), read, read.last_ts)


def after(bits: Sequence[Bit], low: int, is_book: bool) -> list[Any]:
    """Return the bits from a time on; one that is cut is in memory, a book's with all that is known there."""
    if not bits or bits[0].chunk.first_local >= low:
        return list(bits)
    at = next((i for i, bit in enumerate(bits) if bit.chunk.last_local >= low), len(bits) - 1)
    if is_book:
        part = sliced_book(Book(*with_end(bits[: at + 1])), low, LAST)
        heads = part.messages[:-1].copy()
        piece: Any = Changes(heads, part.keys, part.lots)
        return [*([hold(piece)] if len(heads) else []), *bits[at + 1 :]]
    rows = rows_seen(rows_of(bits[at]), low, LAST)
    return [*([hold(rows.copy())] if len(rows) else []), *bits[at + 1 :]]


def before(bits: Sequence[Any], high: int, is_book: bool) -> list[Any]:
    """Return the bits before a time; one that is cut is in memory."""
    kept = [bit for bit in bits if bit.chunk.first_local < high]
    if not kept or kept[-1].chunk.last_local < high:
        return kept
    if is_book:
        whole = with_end(kept[-1:])
        end = int(np.searchsorted(whole.messages["local_ts"][:-1], high))
        rows = int(whole.messages["first"][end])
        piece: Any = Changes(whole.messages[:end].copy(), whole.keys[:rows].copy(), whole.lots[:rows].copy())
    else:
        piece = rows_seen(rows_of(kept[-1]), FIRST, high).copy()
    return [*kept[:-1], hold(piece)]


def arrays_of(bit: Bit, first: int = 0) -> Changes:
    """Return a bit of a book in memory."""
    chunk = bit.chunk
    out = Changes(
        np.empty(chunk.messages, MESSAGE), np.empty(chunk.rows, np.int32), np.empty(chunk.rows, np.int64)
    )
    bit.fill(out, first)
    return out


def rows_of(bit: Bit) -> Rows:
    """Return a bit of trades or liquidations in memory."""
    out = np.empty(bit.chunk.rows, TRADE)
    bit.fill(out, 0)
    return out


def with_end(bits: Sequence[Bit]) -> Changes:
    """Return bits of a book as one, with a sentinel behind its messages."""
    parts, first = [], 0
    for bit in bits:
        parts.append(arrays_of(bit, first))
        first += bit.chunk.rows
    end = np.array([(NEVER, NEVER, first)], MESSAGE)
    heads = np.concatenate([*(part.messages for part in parts), end])
    return Changes(heads, np.concatenate([p.keys for p in parts]), np.concatenate([p.lots for p in parts]))


@dataclass(frozen=True)
class Pieces:
    """Begins a pass over the pieces of a stream."""

    stream: str
    bits: tuple[Any, ...]

    def __call__(self) -> Iterator[Piece]:
        """Yield the pieces in order."""
        first = 0
        for bit in self.bits:
            if self.stream == "books":
                yield arrays_of(bit, first)
                first += bit.chunk.rows
            else:
                yield rows_of(bit)


class QuotePieces:
    """Begins a pass over quotes in [low, high), read from the raw rows."""

    def __init__(self, side: Side, low: int, high: int) -> None:
        self.side, self.low, self.high = side, low, high
        self.last_ts = 0

    def __call__(self) -> Iterator[Rows]:
        """Yield the pieces in order."""
        for rows in self.side.quotes():
            part = rows_seen(rows, self.low, self.high)
            if len(part):
                self.last_ts = int(part["ts"][-1])
                yield part


__all__ = ["streamed"]
