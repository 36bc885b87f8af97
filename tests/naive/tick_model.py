"""The words of the tick twin: raw rows as a venue sends them, and a case with books and trades."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from tests.naive.model import Case, Options

BID, ASK = 0, 1


class L2(NamedTuple):
    """One row of an incremental book file; `lots` is the new size of the level, 0 = gone."""

    ts: int
    local_ts: int
    snapshot: bool
    side: int  # BID or ASK
    tick: int
    lots: int


class Shot(NamedTuple):
    """One row of a file of whole books (book_snapshot_N, quotes), best level first."""

    ts: int
    local_ts: int
    bids: tuple[tuple[int, int], ...]  # (tick, lots)
    asks: tuple[tuple[int, int], ...]


class Trade(NamedTuple):
    """One trade; side is the taker's, 0 = unknown."""

    ts: int
    local_ts: int
    tick: int
    lots: int
    side: int


class Message(NamedTuple):
    """What one message changes: (side, tick, new lots), -1 = the level left the view."""

    ts: int
    local_ts: int
    rows: tuple[tuple[int, int, int], ...]


@dataclass
class Feed:
    """The book files of one instrument, in order; `depth` = levels a Shot shows of each side."""

    files: list[list[L2]] = field(default_factory=list)
    shots: list[Shot] = field(default_factory=list)
    depth: int = 25
    built: list[Message] = field(default_factory=list, compare=False, repr=False)  # see tick_book.messages


@dataclass
class TickOptions(Options):
    """Options that mean something on books and trades only. `sample` in ns."""

    queue: str = "risk_averse"
    partial: bool = True
    trigger: str = "trade"
    sample: int = 1_000_000_000


@dataclass
class TickCase(Case):
    """A case with feeds; an instrument without book and trades has bars."""

    books: list[Feed | None] = field(default_factory=list)
    trades: list[list[Trade]] = field(default_factory=list)
