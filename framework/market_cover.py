"""How far streams cover the time that is traded, bars or ticks: what is refused, what a reader is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.errors import ConfigError, DataError
from framework.market_source import tape_of
from framework.market_streams import merge_events
from framework.market_ticks import has_ticks, tick_range
from framework.times import DAY, MINUTE, Times, format_interval, format_time

if TYPE_CHECKING:
    from framework.market import Market

Rows = NDArray[Any]
STREAMS = ("funding", "mark")
WORDS = {"funding": ("funding boundary", "funding boundaries"), "mark": ("mark price", "mark prices")}
SLACK = 20  # stamps jitter: a twentieth of the spacing more or less is the same spacing
SCHEDULE = 6  # as many equal longer steps in a row are another schedule (8h after 4h), not holes
APART = 2  # bars: instruments that end farther apart than this are told


class Span(NamedTuple):
    """What one stream covered as it was loaded, before any slice: first and last time, usual spacing (ns)."""

    first: int
    last: int
    step: int  # 0 = not known, a single row


def usual_step(ts: Times) -> int:
    """Return the median spacing of a stream in ns, 0 for less than two rows."""
    return int(np.median(np.diff(ts))) if len(ts) > 1 else 0


def span_of(market: Market, stream: str, k: int) -> Span | None:
    """Return what a stream covered when it was loaded; None when it never had a row."""
    rows: Rows = getattr(market, stream)[k]
    kept = market.spans.get((stream, k))
    if not len(rows):
        return kept
    here = Span(int(rows["ts"][0]), int(rows["ts"][-1]), 0)
    if kept is None:
        return here._replace(step=usual_step(rows["ts"]))
    return Span(min(here.first, kept.first), max(here.last, kept.last), kept.step or usual_step(rows["ts"]))


def spans(market: Market) -> dict[tuple[str, int], Span]:
    """Return the spans of all funding and mark streams."""
    found = {(s, k): span_of(market, s, k) for s in STREAMS for k in getattr(market, s)}
    return {key: span for key, span in found.items() if span is not None}


def joined_spans(pairs: Sequence[tuple[Market, Mapping[int, int]]]) -> dict[tuple[str, int], Span]:
    """Return the spans of several markets in one, instruments renumbered."""
    found: dict[tuple[str, int], Span] = {}
    for market, to in pairs:
        for (stream, k), span in spans(market).items():
            old = found.get((stream, to[k]), span)
            step = old.step or span.step
            found[stream, to[k]] = Span(min(old.first, span.first), max(old.last, span.last), step)
    return found


def traded(market: Market, k: int) -> tuple[int, int] | None:
    """Return the first open and last close of an instrument's bars; of its ticks, where it has them, the
    first arrival and the ns after the last.
    """
    if has_ticks(market, k):
        return tick_range(market, k)
    bars = market.match_bars(k)
    return (int(bars["open_ts"][0]), int(bars["close_ts"][-1])) if len(bars) else None


def rows_word(market: Market, k: int) -> str:
    """Return what an instrument is traded on, in a word."""
    return "ticks" if has_ticks(market, k) else "bars"


def inside(market: Market, stream: str, k: int) -> Times:
    """Return the times of a stream's rows within the instrument's bars or ticks."""
    ts: Times = getattr(market, stream)[k]["ts"]
    found = traded(market, k)
    if found is None:
        return ts[:0]
    return ts[np.searchsorted(ts, found[0]) : np.searchsorted(ts, found[1], side="right")]


def covered(market: Market, stream: str, k: int) -> Market:
    """Return the market; refuse a funding or mark stream that has nothing to do with the time of its bars or
    ticks.

    Raises
    ------
    DataError
        No row, or none within a day (or its own spacing) of them; both ranges are named.
    """
    span, found, what = span_of(market, stream, k), traded(market, k), market.instruments[k].id
    if span is None:
        raise DataError(f"{what}: the {stream} stream has no row; leave it out, or give its rows")
    if found is not None and max(span.first - found[1], found[0] - span.last) >= max(span.step, DAY):
        rows = rows_word(market, k)
        raise DataError(
            f"{what}: no row of the {stream} stream lies inside the {rows}: it covers {format_span(span)}, "
            f"the {rows} {format_span(found)}; give the {stream} of that time, or leave it out"
        )
    return market


def format_span(span: tuple[int, ...]) -> str:
    """Return the first and the last time in words."""
    return f"{format_time(span[0])} .. {format_time(span[1])}"


def holes(ts: Times, step: int) -> int:
    """Return how many rows a regular stream lacks between its first and last; 0 for an irregular one."""
    apart = np.diff(ts)
    if not len(apart) or np.mean(np.abs(apart - step) <= step / SLACK) < 0.5:
        return 0
    steps = np.rint(apart / step).astype(np.int64)
    first = np.flatnonzero(np.append(True, steps[1:] != steps[:-1]))
    runs = np.diff(np.append(first, len(steps)))
    length = np.repeat(runs, runs)
    return int((steps - 1)[(steps > 1) & (length < SCHEDULE)].sum())


def beyond(gap: int, step: int) -> int:
    """Return how many rows belong into a gap at one end of a stream."""
    return max((gap - step // SLACK - 1) // step, 0)


def lack_words(market: Market, stream: str, k: int) -> str | None:
    """Return how much of a stream is missing, by its own usual spacing; None for nothing."""
    if stream == "mark" and market.has_ticks(k):
        return None  # marks of ticks are written down when they change: they have no spacing
    ts, span, found = inside(market, stream, k), span_of(market, stream, k), traded(market, k)
    if span is None or found is None:
        return None
    if not len(ts):
        if found[1] - found[0] < span.step:
            return None  # a piece between two rows
        what, covers, rows = market.instruments[k].id, format_span(span), rows_word(market, k)
        return f"{what}: no row of the {stream} stream lies inside the {rows}: it covers {covers}"
    if not span.step:
        return None
    first, last = int(ts[0]), int(ts[-1])
    counts = {
        f"before the first, {format_time(first)}": beyond(first - found[0], span.step),
        "between": holes(ts, span.step),
        f"after the last, {format_time(last)}": beyond(found[1] - last, span.step),
    }
    total = sum(counts.values())
    if not total:
        return None
    one, many = WORDS[stream]
    where = "; ".join(f"{count:,} {place}" for place, count in counts.items() if count)
    rest = "; no funding is paid there" if stream == "funding" else ""
    verb = f"{one} is" if total == 1 else f"{many} are"
    usual = format_interval(span.step)
    return f"{market.instruments[k].id}: {total:,} {verb} missing at a spacing of {usual} ({where}){rest}"


def unmarked_words(market: Market, k: int) -> list[str]:
    """Return how many funding boundaries have no mark price of their time."""
    due, marks, span = inside(market, "funding", k), market.mark[k]["ts"], span_of(market, "mark", k)
    if not len(due) or not len(marks) or span is None:
        return []
    first, last, what = int(marks[0]), int(marks[-1]), market.instruments[k].id
    early, late = int((due < first - span.step).sum()), int((due > last + span.step).sum())
    found = []
    if early:
        words = f"{what}: {early:,} of {len(due):,} funding boundaries lie before the first mark price"
        found.append(f"{words} ({format_time(first)}) and are priced at {unmarked_price(market, k)}")
    if late:
        words = f"{what}: {late:,} of {len(due):,} funding boundaries lie after the last mark price"
        found.append(f"{words} ({format_time(last)}) and are priced at it")
    return found


def unmarked_price(market: Market, k: int) -> str:
    """Return in words what funding is priced at without a mark price."""
    if not has_ticks(market, k):
        return "the bar's open"
    return "the book's mid" if tick_stream(market, "books", k) else "the last trade"


def stream_notes(market: Market) -> list[str]:
    """Return what a reader must know of the funding and mark streams, one line each."""
    lines = []
    for k, one in enumerate(market.instruments):
        if one.kind != "spot" and k not in market.funding:
            lines.append(f"{one.id}: no funding stream; positions pay no funding")
        elif k in market.funding and k not in market.mark:
            lines.append(f"{one.id}: no mark stream; funding is priced at {unmarked_price(market, k)}")
        lines += [w for s in STREAMS if k in getattr(market, s) and (w := lack_words(market, s, k))]
        if k in market.funding and k in market.mark:
            lines += unmarked_words(market, k)
    return lines


def end_notes(market: Market) -> list[str]:
    """Return that the bars or ticks of several instruments end at clearly different times."""
    ends, longest = {}, 0
    for k, one in enumerate(market.instruments):
        if found := traded(market, k):
            ends[found[1]] = one.id
            longest = max(longest, MINUTE if has_ticks(market, k) else market.loaded_intervals(k)[0])
    if len(ends) < 2:
        return []
    first, last = min(ends), max(ends)
    if last - first <= APART * longest:
        return []
    rows, kept = ("ticks", "price") if market.is_ticks else ("bars", "close")
    return [
        f"{rows} end at different times: those of {ends[first]} at {format_time(first)}, those of "
        f"{ends[last]} at {format_time(last)}; a position keeps its last {kept} from there on"
    ]


def tick_notes(market: Market) -> list[str]:
    """Return where an instrument's tick streams and bars do not cover each other's time, one line each."""
    lines = []
    for k, one in enumerate(market.instruments):
        span = tick_range(market, k)
        if not has_ticks(market, k) or span is None:
            continue
        if not tick_stream(market, "trades", k):
            lines.append(
                f"{one.id}: no trades beside the book; limits fill only when the book reaches them, and "
                "stops that wait for a trade never trigger"
            )
        lines += [
            f"{one.id}: {words}" for words in (*lag_words(market, k, span), *shown_words(market, k, span))
        ]
    return lines


def lag_words(market: Market, k: int, span: tuple[int, int]) -> list[str]:
    """Return which streams begin or end clearly inside the time of an instrument's ticks.

    Clearly: by more than a minute, and by more than the longest pause within the stream.
    """
    found, (first, last) = [], (span[0], span[1] - 1)
    for name, begins, ends, pause in main_times(market, k):
        usual = max(MINUTE, pause)
        s = "s" if name == "book" else ""
        if begins - first > usual:
            begin = format_time(begins)
            found.append(f"the {name} begin{s} at {begin}, the ticks at {format_time(first)}")
        if last - ends > usual:
            found.append(f"the {name} end{s} at {format_time(ends)}, the ticks at {format_time(last)}")
    return found


def main_times(market: Market, k: int) -> Iterator[tuple[str, int, int, int]]:
    """Yield name, first and last arrival and longest pause of the book, trades and quotes of an instrument,
    where they have a row.
    """
    for stream in ("books", "trades", "quotes"):
        name = "book" if stream == "books" else stream
        rows, tape = getattr(market, stream).get(k), tape_of(market, stream, k)
        if tape is not None:
            yield name, tape.first_local, tape.last_local, tape.pause
        elif rows is not None and len(rows):
            ts = (rows.messages if stream == "books" else rows)["local_ts"][: len(rows)]
            yield name, int(ts[0]), int(ts[-1]), int(np.diff(ts).max(initial=0))


def tick_stream(market: Market, stream: str, k: int) -> bool:
    """True when a market has a tick stream of an instrument, in memory or as a tape."""
    return k in getattr(market, stream) or tape_of(market, stream, k) is not None


def shown_words(market: Market, k: int, span: tuple[int, int]) -> list[str]:
    """Return that an instrument's bars go beyond its ticks, where they are shown and never traded."""
    bars = market.match_bars(k)
    outside = int(((bars["close_ts"] <= span[0]) | (bars["open_ts"] >= span[1])).sum())
    if not outside:
        return []
    return [
        f"{outside:,} of {len(bars):,} bars lie outside the ticks, {format_span(span)}: shown, not traded"
    ]


def with_funding(market: Market, k: int, rates: Rows, source: str) -> Market:
    """Return a market with more FUNDING rows of an instrument; spot pays none."""
    if market.instruments[k].kind == "spot":
        raise ConfigError(
            f"{source}: {market.instruments[k].id} is spot and pays no funding; leave the funding out, or "
            'name the perpetual (kind="linear" or "inverse")'
        )
    parts = [market.funding[k], rates] if k in market.funding else [rates]
    made = replace(market, funding={**market.funding, k: merge_events(parts, source)})
    return covered(made, "funding", k)


def with_mark(market: Market, k: int, prices: Rows, source: str) -> Market:
    """Return a market with more MARK rows of an instrument."""
    parts = [market.mark[k], prices] if k in market.mark else [prices]
    made = replace(market, mark={**market.mark, k: merge_events(parts, source)})
    return covered(made, "mark", k)
