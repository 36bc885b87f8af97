"""Parts of a market: cutting it in time, joining several, and the digest of its content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from framework import market_bars, market_cover, market_streams, market_tick_parts
from framework.errors import ConfigError, DataError, near
from framework.instruments import Instrument, instrument
from framework.market_bars import Gap
from framework.market_ticks import local_times
from framework.records import BAR, FEATURE, FUNDING, MARK, SIGNAL
from framework.times import format_interval, format_time

if TYPE_CHECKING:
    from framework.market import Market

Rows = NDArray[Any]
K = TypeVar("K")
V = TypeVar("V")

LAYOUTS: dict[str, np.dtype[Any]] = {
    "bar": BAR,
    "funding": FUNDING,
    "mark": MARK,
    "feature": FEATURE,
    "signal": SIGNAL,
}
FIRST, LAST = -(2**62), 2**62  # open ends of a slice

TIES: tuple[tuple[str, str], ...] = (
    ("exchange", "funding"),
    ("exchange", "mark"),
    ("exchange", "trade"),
    ("exchange", "book"),
    ("exchange", "bar close"),
    ("exchange", "liquidation"),
    ("exchange", "bar open"),
    ("exchange", "order arrival"),
    ("strategy", "rows of this local time applied to every view"),
    ("strategy", "equity row"),
    ("strategy", "on_fill, on_order"),
    ("strategy", "on_signal"),
    ("strategy", "on_trade"),
    ("strategy", "on_book"),
    ("strategy", "on_bar"),
    ("strategy", "on_timer"),
)
"""What comes first at one stamp: (side, event), first to last.

Exchange before strategy. At the exchange funding is booked before any fill of its stamp, a bar's inside
matching (bar close) precedes the open of the next bar, and order arrivals come last. Within one kind: file
order for rows, Market order for instruments, shorter interval first for bars. Hooks run only after every row
of their local time is applied.
"""


def nothing(layout: str) -> Rows:
    """Return no rows of a layout: "bar", "funding", "mark", "feature" or "signal"."""
    return market_streams.frozen(np.empty(0, dtype=LAYOUTS[layout]))


def kept(made: dict[K, V], key: K, make: Callable[[], V]) -> V:
    """Return what was made for a key; make it where it was not."""
    if key not in made:
        made[key] = make()
    return made[key]


def as_instrument(what: Instrument | str) -> Instrument:
    """Return an Instrument as it is, an id with the built-in rules of its venue."""
    return what if isinstance(what, Instrument) else instrument(what)


def instrument_number(instruments: Sequence[Instrument], what: int | str | None) -> int:
    """Return the place of an instrument given by number, id or raw symbol; None where there is one."""
    ids = [i.id for i in instruments]
    if what is None:
        if len(ids) == 1:
            return 0
        raise ConfigError(f"instrument: this market has several; say instrument= one of {', '.join(ids)}")
    if isinstance(what, int | np.integer) and not isinstance(what, bool) and 0 <= what < len(ids):
        return int(what)
    found = [k for k, i in enumerate(instruments) if what in (i.id, i.symbol)]
    if len(found) == 1:
        return found[0]
    raise ConfigError(f"instrument: {what!r} names none of this market's; {near(str(what), ids)}")


def gap_words(gap: Gap, what: Instrument) -> str:
    """Return a gap count as one line."""
    places = f"{gap.places} gap{'' if gap.places == 1 else 's'}"
    missing = f"{gap.missing} bar{'' if gap.missing == 1 else 's'} missing"
    first = format_time(gap.first_ts)
    return f"{what.id} {format_interval(gap.interval)}: {places}, {missing}, the first at {first}"


def gaps_of(market: Market) -> tuple[Gap, ...]:
    """Return what is missing between the bars of each loaded stream."""
    found = (
        market_bars.count_gaps(market.bars[k, i], k, i)
        for k, i in sorted(market.bars)
        if (k, i) not in market.derived
    )
    return tuple(gap for gap in found if gap is not None)


def more_features(market: Market, k: int, streams: dict[str, Rows]) -> dict[str, tuple[int, Rows]]:
    """Return a market's features and new ones of instrument `k`; a name that is there already is refused."""
    for name in streams:
        if name in market.features:
            raise ConfigError(f"features: {name!r} is in the market already; rename the column")
    return {**market.features, **{name: (k, rows) for name, rows in streams.items()}}


def rows_between(rows: Rows, low: str, high: str, start: int, stop: int) -> Rows:
    """Return the rows with rows[low] >= start and rows[high] <= stop, as a view."""
    first = int(np.searchsorted(rows[low], start))
    return rows[first : max(first, int(np.searchsorted(rows[high], stop, side="right")))]


def feature_between(rows: Rows, start: int, stop: int) -> Rows:
    """Return the rows of [start, stop) and the last row before, whose value is still known, as a view."""
    first = int(np.searchsorted(rows["ts"], start))
    if first == len(rows) or rows["ts"][first] > start:
        first = max(first - 1, 0)
    return rows[first : max(first, int(np.searchsorted(rows["ts"], stop)))]


def sliced_streams(market: Market, start: int, stop: int) -> dict[str, Any]:
    """Return the event streams of a market within [start, stop)."""
    return {
        "funding": {k: rows_between(rows, "ts", "ts", start, stop - 1) for k, rows in market.funding.items()},
        "mark": {k: rows_between(rows, "ts", "ts", start, stop - 1) for k, rows in market.mark.items()},
        "features": {n: (k, feature_between(rows, start, stop)) for n, (k, rows) in market.features.items()},
        "signals": rows_between(market.signals, "arrival_ts", "arrival_ts", start, stop - 1),
        **market_tick_parts.sliced_ticks(market, start, stop),
    }


def has_rows(market: Market) -> bool:
    """True when something lies in a market that its orders meet: a bar to match on, or a tick of the feed."""
    ticking = {k for k in range(len(market.instruments)) if market.has_ticks(k)}
    if any(len(rows) for (k, _), rows in market.bars.items() if k not in ticking):
        return True
    seeds = sum(book.seeded for book in market.books.values())  # a cut's own messages
    return bool(market.tapes) or sum(len(ts) for k in ticking for ts in local_times(market, k)) > seeds


def cut_at(market: Market, fraction: float) -> int:
    """Return the time that splits a market at a fraction of its bars, or of its time where it has ticks."""
    if market.is_ticks:
        at = market.start + int((market.stop - market.start) * fraction)
        if 0.0 < fraction < 1.0 and market.start < at:
            return at
        raise ConfigError(
            f"split: {fraction} leaves one side without a tick; give a fraction between 0 and 1"
        )
    rows = market.match_bars(0)
    cut = int(len(rows) * fraction)
    if not 0.0 < fraction < 1.0 or not 0 < cut < len(rows):
        raise ConfigError(f"split: {fraction} leaves one side without a bar; give a fraction between 0 and 1")
    return int(rows["open_ts"][cut])


def resampled(market: Market, length: int, chosen: Sequence[int]) -> dict[str, Any]:
    """Return the fields of a market that change when it is resampled; see `Market.resample`."""
    bars, remarks, added = dict(market.bars), list(market.remarks), set(market.derived)
    for k in chosen:
        loaded = market.loaded_intervals(k)
        if (k, length) in bars or not loaded:
            continue
        finest, what = loaded[0], market.instruments[k].id
        bars[k, length], partial = market_bars.resample(bars[k, finest], finest, length, what)
        added.add((k, length))
        if partial:
            words = f"{format_interval(length)} bars lack some {format_interval(finest)} bars"
            remarks.append(f"{what}: {partial} of {len(bars[k, length])} resampled {words}")
    return {"bars": bars, "remarks": tuple(remarks), "derived": frozenset(added)}


def joined_fields(markets: Sequence[Market]) -> dict[str, Any]:
    """Return the fields of one market made of several; see `Market.join`."""
    if not markets:
        raise ConfigError("join: there is no market; give at least one")
    known: dict[str, Instrument] = {}
    for market in markets:
        for item in market.instruments:
            if known.setdefault(item.id, item) != item:
                raise ConfigError(
                    f"join: {item.id} has other rules in {market.name}; use one Instrument for both"
                )
    ids = list(known)
    maps = [{k: ids.index(item.id) for k, item in enumerate(market.instruments)} for market in markets]
    pairs = list(zip(markets, maps, strict=True))
    loaded = {(to[k], i) for m, to in pairs for k, i in m.bars if (k, i) not in m.derived}
    bars = collect([{(to[k], i): rows for (k, i), rows in m.bars.items()} for m, to in pairs])
    funding = collect([{to[k]: rows for k, rows in m.funding.items()} for m, to in pairs])
    mark = collect([{to[k]: rows for k, rows in m.mark.items()} for m, to in pairs])
    return {
        "instruments": tuple(known.values()),
        "bars": {
            key: market_streams.merge_bars(parts, f"{ids[key[0]]} bars")
            for key, parts in sorted(bars.items())
        },
        "funding": {
            k: market_streams.merge_events(parts, f"{ids[k]} funding") for k, parts in funding.items()
        },
        "mark": {k: market_streams.merge_events(parts, f"{ids[k]} mark") for k, parts in mark.items()},
        "features": joined_features(pairs),
        "signals": joined_signals(pairs),
        "name": " + ".join(dict.fromkeys(market.name for market in markets)),
        "remarks": tuple(dict.fromkeys(line for market in markets for line in market.remarks)),
        "derived": frozenset(key for key in bars if key not in loaded),
        "spans": market_cover.joined_spans(pairs),
        **market_tick_parts.joined_ticks(pairs, ids),
        "tapes": market_tick_parts.joined_tapes(pairs, ids),
    }


def collect(parts: Sequence[Mapping[Any, Rows]]) -> dict[Any, list[Rows]]:
    """Return the pieces of each stream under its key, empty ones left out unless there is no other."""
    found: dict[Any, list[Rows]] = {}
    for part in parts:
        for key, rows in part.items():
            found.setdefault(key, []).append(rows)
    return {key: [rows for rows in pieces if len(rows)] or pieces[:1] for key, pieces in found.items()}


def joined_features(pairs: Sequence[tuple[Market, Mapping[int, int]]]) -> dict[str, tuple[int, Rows]]:
    """Return the feature streams of several markets; one name must mean one instrument."""
    owners: dict[str, int] = {}
    for market, to in pairs:
        for name, (k, _) in market.features.items():
            owner = to.get(k, -1)
            if owners.setdefault(name, owner) != owner:
                raise ConfigError(
                    f"join: the feature {name!r} belongs to two instruments; rename one of them"
                )
    streams = collect([{name: rows for name, (_, rows) in market.features.items()} for market, _ in pairs])
    return {name: (owners[name], market_streams.merge_features(parts)) for name, parts in streams.items()}


def joined_signals(pairs: Sequence[tuple[Market, Mapping[int, int]]]) -> Rows:
    """Return the signals of several markets by arrival, their instruments renumbered."""
    parts = []
    for market, to in pairs:
        rows = market.signals.copy()
        rows["instrument"] = [to.get(k, k) for k in rows["instrument"].tolist()]
        parts.append(rows)
    rows = np.concatenate(parts)
    return market_streams.frozen(rows[np.argsort(rows["arrival_ts"], kind="stable")])


class Joined(NamedTuple):
    """Bars of all instruments in one array, and the rows [first, end) that are whose.

    An instrument with ticks has none: its bars are shown (`Market.shown_bars`) and never matched.
    """

    bars: Rows
    match: list[tuple[int, int]]  # an instrument's match bars
    shown: list[tuple[int, int]]  # those its on_bar gets: often the same
    intervals: list[int]  # of the shown ones, ns; 0 = none was loaded or asked for


def end_to_end(parts: Sequence[Rows], dtype: np.dtype[Any]) -> tuple[Rows, list[tuple[int, int]]]:
    """Return parts end to end (the part itself when there is one) and their row spans."""
    kept = [p for p in parts if len(p)]
    ends = [0, *accumulate(len(p) for p in parts)]
    spans = list(pairwise(ends))
    if not kept:
        return np.zeros(0, dtype), spans
    return (np.ascontiguousarray(kept[0]) if len(kept) == 1 else np.concatenate(kept)), spans


def join_bars(market: Market, interval: int | None) -> Joined:
    """Return the bars a run reads; where `interval` was not loaded it is resampled."""
    count = len(market.instruments)
    others: dict[int, Rows] = {}  # what on_bar gets where it is not the match bars
    intervals = []
    for k in range(count):
        loaded = market.loaded_intervals(k)
        if market.has_ticks(k) or not loaded:
            intervals.append(interval or min(loaded, default=0))
            continue
        is_same = interval is None or (len(loaded) == 1 and interval == loaded[0])
        intervals.append(min(loaded) if is_same or interval is None else interval)
        if not is_same and interval is not None:
            has = interval in market.intervals(k)
            others[k] = (market if has else market.resample(interval, k)).bars[k, interval]
    match = [nothing("bar") if market.has_ticks(k) else market.match_bars(k) for k in range(count)]
    for k, rows in others.items():
        if len(rows) and len(match[k]) and rows[-1]["close_ts"] + intervals[k] <= match[k][-1]["close_ts"]:
            words, ends = format_interval(intervals[k]), format_time(int(rows[-1]["close_ts"]))
            raise ConfigError(
                f"bars: the {words} bars of {market.instruments[k].id} end at {ends}, finer ones go on; "
                "leave them out of the market, and they are made of the finer ones"
            )
    bars, spans = end_to_end([*match, *others.values()], BAR)
    shown = dict(zip(others, spans[count:], strict=True))
    return Joined(bars, spans[:count], [shown.get(k, spans[k]) for k in range(count)], intervals)


def content_digest(market: Market) -> str:
    """Return sha256 (hex) over every stream: a header line, then each field's little-endian numbers.

    Of a field of ticks its own sha256 enters, which can be taken piece by piece.
    """
    digest = hashlib.sha256(b"sheepfold market 1\n")
    streams: list[tuple[str, Rows]] = [(f"bar {k} {i}", market.bars[k, i]) for k, i in sorted(market.bars)]
    streams += [(f"funding {k}", market.funding[k]) for k in sorted(market.funding)]
    streams += [(f"mark {k}", market.mark[k]) for k in sorted(market.mark)]
    streams += [(f"feature {k} {name}", rows) for name, (k, rows) in sorted(market.features.items())]
    streams += [("signal", market.signals)] if len(market.signals) else []
    tables = [(f"{head} {len(rows)}", [rows[n] for n in rows.dtype.names or ()]) for head, rows in streams]
    for header, columns in tables:
        digest.update(f"{header}\n".encode())
        for cells in columns:
            digest.update(np.ascontiguousarray(cells, dtype=cells.dtype.newbyteorder("<")).data)
    for header, digests in market_tick_parts.tick_digests(market):
        digest.update(f"{header}\n".encode())
        for one in digests:
            digest.update(one)
    return digest.hexdigest()


def refuse_empty(market: Market, start: int, stop: int) -> DataError:
    """Return the error for a range without anything that can be traded."""
    asked = f"{format_time(start)} .. {format_time(stop)}"
    real = f"{format_time(market.start)} .. {format_time(market.stop)}"
    what = "tick" if market.is_ticks else "bar"
    return DataError(f"{market.name}: no {what} lies in {asked}; the market covers {real}")
