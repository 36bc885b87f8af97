"""From messages to rows by day, and from a journal into the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from framework.data.message_kinds import Disconnect
from framework.data.store_rows import open_part
from framework.data.stream_journal import Journal, Key
from framework.data.stream_rows import Rows, rows_of
from framework.errors import DataError, FrameworkError
from framework.times import DAY, MICROSECOND, format_time

if TYPE_CHECKING:
    from framework.data.store import Part, Store

MOST_GAPS = 1_000  # told in one part
SOURCE = "recorded from tardis-machine"
Say = Callable[[str], None]


@dataclass
class Recorded:
    """What a recording brought.

    parts : what is in the store now. left : what could not be put there, and why (it is kept in the journal).
    """

    parts: list[Part] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    messages: int = 0
    rows: int = 0
    gaps: int = 0
    refused: int = 0


class Sorter:
    """Messages to rows by kind, instrument and day, with the gaps between them."""

    def __init__(self, last: int = -1) -> None:
        self.last = last  # ns; local time of the last message, that never goes back
        self._lost: str | None = None  # why the link was lost, until it is back
        self.clear()

    def clear(self) -> None:
        """Begin a segment."""
        self.rows: dict[Key, Rows] = {}
        self.count = 0
        self.gaps: list[list[Any]] = []  # from, to, why
        self.moved = [0, 0]  # rows whose arrival went back, by at most so many ns

    def take(self, event: Any) -> None:
        """Take a message."""
        if isinstance(event, Disconnect):
            self._lost = self._lost or event.reason
            return
        made = rows_of(event)
        if made is None:
            return
        kind, rows = made
        local = max(event.local_ts, self.last)
        if self._lost is not None:
            self.gaps.append([self.last, local, self._lost])
            self._lost = None
        if local > event.local_ts:
            self.moved = [self.moved[0] + len(rows), max(self.moved[1], local - event.local_ts)]
            rows = [(row[0], local // MICROSECOND, *row[2:]) for row in rows]
        self.last = local
        self.rows.setdefault(Key(kind, event.symbol, local // DAY * DAY), []).extend(rows)
        self.count += len(rows)

    def end(self) -> None:
        """Note a gap that is still open."""
        if self._lost is not None and self.last >= 0:
            self.gaps.append([self.last, None, self._lost])
            self._lost = None

    def facts(self) -> dict[str, Any]:
        """Return what is to be known of this segment beside its rows."""
        return {"last": self.last, "gaps": self.gaps, "moved": self.moved}


def finish(
    store: Store, exchange: str, journal: Journal, keys: Iterable[Key], done: Recorded, say: Say
) -> None:
    """Put rows of a journal into the store; what it refuses stays, and is told."""
    for key in keys:
        name = f"{exchange} {key.kind} {key.symbol} {format_time(key.day)[:10]}"
        try:
            part = put(store, exchange, journal, key)
        except FrameworkError as error:
            done.left.append(f"{name}: {error} (kept in {journal.folder})")
            say(done.left[-1])
            continue
        journal.forget(key)
        done.parts.append(part)
        say(f"{name}: {part.rows} rows in the store")


def put(store: Store, exchange: str, journal: Journal, key: Key) -> Part:
    """Add rows to their day: after those that are there, or as they are. Done twice it is done once."""
    old = store.part(exchange, key.kind, key.symbol, key.day)
    if old is not None and ends_with(store, old, journal, key):  # killed after the rows were in
        return old
    first = first_local(journal, key)
    if old is not None and journal.old(key) is None:
        if first < old.last:
            raise DataError(
                f"the store has rows of this day up to {format_time(old.last)}, and these begin at "
                f"{format_time(first)}; remove the day (sheepfold data rm) and record or import it again"
            )
        open_part(store, old).close()  # refuses a damaged one
        journal.keep_old(key, old)
    remarks = remarks_of(journal, key)
    if (before := journal.old(key)) is not None:
        between = f"gap from {format_time(before['last'])} to {format_time(first)}: nothing was recorded"
        remarks = [*before["remarks"], between, *remarks]
    return store.add_frame(
        exchange, key.kind, key.symbol, key.day, journal.frames(key), source=SOURCE, replace=old is not None,
        remarks=remarks,
    )  # fmt: skip


def first_local(journal: Journal, key: Key) -> int:
    """Return the local time of the first row that is new."""
    frames = journal.frames(key)
    if journal.old(key) is not None:
        next(frames)
    return int(next(frames)["local_timestamp"].to_physical()[0]) * MICROSECOND


def ends_with(store: Store, part: Part, journal: Journal, key: Key) -> bool:
    """True when the last rows of a part are exactly these."""
    import polars as pl

    new = pl.concat(journal.frames(key))
    if part.rows < len(new) or part.last != int(new["local_timestamp"].to_physical()[-1]) * MICROSECOND:
        return False
    old = pl.concat(store.frames(part))
    return bool(old[part.rows - len(new) :].equals(new))


def remarks_of(journal: Journal, key: Key) -> list[str]:
    """Return what is to be known of a recorded day."""
    remarks, gaps = [], 0
    rows = most = 0
    for facts in journal.facts():
        for begin, end, why in facts["gaps"]:
            if begin // DAY * DAY > key.day or (end is not None and end < key.day):
                continue
            gaps += 1
            if gaps <= MOST_GAPS:
                until = format_time(end) if end is not None else "the end"
                since = format_time(begin) if begin >= 0 else "the start"
                remarks.append(f"gap from {since} to {until}: {why}")
        if facts["last"] // DAY * DAY == key.day:
            rows, most = rows + facts["moved"][0], max(most, facts["moved"][1])
    if gaps > MOST_GAPS:
        remarks.append(f"{gaps - MOST_GAPS} more gaps")
    if rows:
        remarks.append(
            f"the clock went back: local times of {rows} rows are later by up to {most / 1e6:g} ms"
        )
    return remarks
