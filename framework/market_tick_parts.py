"""Tick streams cut in time and joined again: joining the parts of a cut gives back what was cut."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from framework.errors import ConfigError, DataError
from framework.market_source import Changes, ColumnHashes, Tape
from framework.market_streams import frozen
from framework.market_ticks import STREAMS, Book, Levels, Lots
from framework.records import MESSAGE, NEVER, UNKNOWN
from framework.times import format_time

if TYPE_CHECKING:
    from framework.market import Market

Rows = NDArray[Any]
DEPTHS = {"book_snapshot_25": 25, "book_snapshot_5": 5, "quotes": 1, "book_ticker": 1}  # levels shown a side


def sliced_ticks(market: Market, start: int, stop: int) -> dict[str, Any]:
    """Return the tick streams of a market with start <= local_ts < stop."""
    found: dict[str, Any] = {
        name: {k: rows_seen(rows, start, stop) for k, rows in getattr(market, name).items()}
        for name in STREAMS
    }
    return {**found, "books": {k: sliced_book(book, start, stop) for k, book in market.books.items()}}


def rows_seen(rows: Rows, start: int, stop: int) -> Rows:
    """Return the rows with start <= local_ts < stop, as a view."""
    first, end = (int(np.searchsorted(rows["local_ts"], edge)) for edge in (start, stop))
    return rows[first : max(first, end)]


def sliced_book(book: Book, start: int, stop: int) -> Book:
    """Return the messages with start <= local_ts < stop; cut in the middle it begins with a seed.

    The seed is one message that arrives at `start` and states every level known there, in ascending key
    order. Its exchange time is `start` too, or that of the first message kept where that one left the
    exchange earlier: exchange time never goes back. Without a seed keys and lots are views.
    """
    messages = book.messages[:-1]
    first = int(np.searchsorted(messages["local_ts"], start))
    end = max(first, int(np.searchsorted(messages["local_ts"], stop)))
    low, high = int(book.messages["first"][first]), int(book.messages["first"][end])
    keys, lots = book.keys[low:high], book.lots[low:high]
    heads = np.empty(end - first + 1, dtype=MESSAGE)
    heads[:-1] = messages[first:end]
    heads["first"][:-1] -= low
    heads[-1] = (NEVER, NEVER, high - low)
    if first == 0 or start >= stop:
        return Book(frozen(heads), keys, lots, book.source, book.seeded and first == 0 and end > 0)
    known, state = book.state_before(first)
    kept = state > 0
    seed = np.array([(min(start, int(heads["ts"][0])), start, 0)], dtype=MESSAGE)
    heads["first"] += int(kept.sum())
    return Book(
        frozen(np.concatenate((seed, heads))),
        frozen(np.concatenate((known[kept], keys))),
        frozen(np.concatenate((state[kept], lots))),
        book.source,
        seeded=True,
    )


def joined_ticks(pairs: Sequence[tuple[Market, Mapping[int, int]]], ids: Sequence[str]) -> dict[str, Any]:
    """Return the tick streams of several markets, instruments renumbered; overlaps are refused."""
    found: dict[str, Any] = {}
    for name in (*STREAMS, "books"):
        parts: dict[int, list[Any]] = {}
        for market, to in pairs:
            for k, part in getattr(market, name).items():
                parts.setdefault(to[k], []).append(part)
        merge = merge_books if name == "books" else merge_rows
        found[name] = {k: merge(parts[k], f"{ids[k]} {name}") for k in sorted(parts)}
    return found


def in_order(parts: Sequence[Any], times: Sequence[NDArray[np.int64]], source: str) -> list[Any]:
    """Return the parts that have a row by time; two that overlap are refused with both ranges."""
    filled = sorted((i for i, ts in enumerate(times) if len(ts)), key=lambda i: int(times[i][0]))
    for a, b in pairwise(filled):
        if times[b][0] <= times[a][-1]:
            one, other = (
                f"{format_time(int(times[i][0]))} .. {format_time(int(times[i][-1]))}" for i in (a, b)
            )
            raise DataError(
                f"{source}: two markets overlap, {one} and {other}; slice one of them before the other begins"
            )
    return [parts[i] for i in filled] or list(parts[:1])


def merge_rows(parts: Sequence[Rows], source: str) -> Rows:
    """Return the rows of several pieces of one stream, one after the other."""
    kept = in_order(parts, [rows["local_ts"] for rows in parts], source)
    return kept[0] if len(kept) == 1 else frozen(onwards(np.concatenate(kept)))


def onwards(rows: Rows) -> Rows:
    """Let the exchange time of rows never go back, as if all pieces had been one file."""
    ts = np.maximum.accumulate(rows["ts"])
    rows["ts"] = np.minimum(ts, rows["local_ts"])
    return rows


def merge_books(parts: Sequence[Book], source: str) -> Book:
    """Return the books of several pieces of one stream as one; see `restated` for the seams."""
    if len({book.source for book in parts}) > 1:
        kinds = " and ".join(dict.fromkeys(book.source for book in parts))
        raise ConfigError(f"{source}: {kinds} make no one book; give all parts of one kind")
    kept: list[Book] = in_order(parts, [book.messages["local_ts"][:-1] for book in parts], source)
    if len(kept) == 1:
        return kept[0]
    pieces = list(seamless(kept))
    keys = np.concatenate([k for _, k, _ in pieces])
    ends = np.cumsum([0, *(len(k) for _, k, _ in pieces)])
    for (heads, _, _), end in zip(pieces, ends, strict=False):
        heads["first"] += end
    last = np.array([(NEVER, NEVER, len(keys))], dtype=MESSAGE)
    messages = onwards(np.concatenate([*(heads for heads, _, _ in pieces), last]))
    lots = np.concatenate([n for _, _, n in pieces])
    return Book(frozen(messages), frozen(keys), frozen(lots), kept[0].source, kept[0].seeded)


def seamless(books: Sequence[Book]) -> Iterator[tuple[Rows, Levels, Lots]]:
    """Yield messages (rows counted from 0), keys and lots of each piece, its first message restated."""
    known: dict[int, int] = {}
    for i, book in enumerate(books):
        heads = book.messages[:-1].copy()
        low, high = int(book.messages["first"][0]), int(book.messages["first"][-1])
        heads["first"] -= low
        keys, lots = book.keys[low:high], book.lots[low:high]
        if i:
            end = int(book.messages["first"][1]) - low
            new_keys, new_lots = restated(known, keys[:end], lots[:end], DEPTHS.get(book.source, 0))
            keys, lots = np.concatenate((new_keys, keys[end:])), np.concatenate((new_lots, lots[end:]))
            heads["first"][1:] += len(new_keys) - end
            if book.seeded and not len(new_keys):
                heads = heads[1:]  # a cut's own message that says nothing new was never in the feed
        yield heads, keys, lots
        if i + 1 < len(books):
            known.update(zip(*(side.tolist() for side in book.state_before(len(book))), strict=True))


def restated(known: dict[int, int], keys: Levels, lots: Lots, depth: int) -> tuple[Levels, Lots]:
    """Return what the first message of a later piece changes in the book before it; `known` learns of it.

    A book begins with all that is known of it (a snapshot, or a seed): what is known already is dropped, and
    a level it lacks is gone. Of a book of limited depth, a level beyond the worst one of a full side has left
    the view instead (-1). Keys ascend.
    """
    said = dict(zip(keys.tolist(), lots.tolist(), strict=True))
    changed = {key: size for key, size in said.items() if known.get(key, 0) != size}
    sides = [[key for key, size in said.items() if size > 0 and key % 2 == ask] for ask in (0, 1)]
    for key in [key for key, size in known.items() if size > 0 and key not in said]:
        side = sides[key % 2]
        full = depth > 0 and len(side) >= depth
        beyond = full and (key > max(side) if key % 2 else key < min(side))
        changed[key] = UNKNOWN if beyond else 0
    known.update(changed)
    keys_changed = sorted(changed)  # one net change a level, in no order of the feed
    sizes = [changed[key] for key in keys_changed]
    return np.array(keys_changed, dtype=np.int32), np.array(sizes, dtype=np.int64)


def joined_tapes(pairs: Sequence[tuple[Market, Mapping[int, int]]], ids: Sequence[str]) -> tuple[Tape, ...]:
    """Return the tapes of several markets, instruments renumbered; two of one stream are refused."""
    tapes = [replace(tape, instrument=to[tape.instrument]) for market, to in pairs for tape in market.tapes]
    taken = {(name, to[k]) for m, to in pairs for name in (*STREAMS, "books") for k in getattr(m, name)}
    for tape in tapes:
        key = (tape.stream, tape.instrument)
        if key in taken:
            raise ConfigError(
                f"join: two parts of {ids[tape.instrument]} {tape.stream}, and one of them streamed; load "
                "the whole range in one call"
            )
        taken.add(key)
    return tuple(sorted(tapes, key=lambda tape: (tape.stream, tape.instrument)))


def tick_digests(market: Market) -> Iterator[tuple[str, list[bytes]]]:
    """Yield a header and sha256 of each column of each tick stream, for the digest of a market's content."""
    tapes = {(tape.stream, tape.instrument): tape for tape in market.tapes}
    for name in (*STREAMS, "books"):
        parts = getattr(market, name)
        for k in sorted({*parts, *(j for stream, j in tapes if stream == name)}):
            word = "book" if name == "books" else name
            tape = tapes.get((name, k))
            if tape is not None:
                count = f"{tape.messages} {tape.rows}" if name == "books" else f"{tape.rows}"
                yield f"{word} {k} {count}", tape.column_digests()
                continue
            rows, hashes = parts[k], ColumnHashes(name)
            if name != "books":
                hashes.add(rows)
                yield f"{word} {k} {len(rows)}", hashes.done(len(rows))
                continue
            first = rows.messages["first"]
            low, high = int(first[0]), int(first[-1])
            heads = rows.messages[:-1].copy()
            heads["first"] -= low
            hashes.add(Changes(heads, rows.keys[low:high], rows.lots[low:high]))
            yield f"{word} {k} {len(rows)} {high - low}", hashes.done(high - low)
