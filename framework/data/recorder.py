"""`record`: what a stream receives, kept in the store: a live day is tomorrow's backtest.

Every message goes to a journal first (`stream_journal`); rows enter the store when their day is over, and at
the end. What a killed recording left is finished by the next one. A day is the UTC day of local_timestamp. At
midnight the book is written down once more, as Tardis does, so that each day can be read alone. Gaps are
remarks of the day.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Any

from framework.data.message_kinds import BookChange, Disconnect, Refused, Slow, check_types
from framework.data.message_texts import write
from framework.data.messages import parse
from framework.data.stream import Stream, connect
from framework.data.stream_book import LiveBook
from framework.data.stream_journal import Journal, Key, sessions
from framework.data.stream_keep import Recorded, Say, Sorter, finish
from framework.data.stream_rows import check_kept
from framework.errors import DataError
from framework.times import DAY, MICROSECOND, SECOND, parse_duration

if TYPE_CHECKING:
    from framework.data.store import Store

SEGMENT = 200_000  # rows


class Recorder:
    """Takes events with their texts, keeps them, and puts whole days into the store."""

    def __init__(self, store: Store, exchange: str, say: Say | None = None) -> None:
        self.store, self.exchange = store, exchange
        self.say = say or (lambda _: None)
        store.prepare()
        self.journal = Journal.new(store.folder, exchange)
        self.sorter = Sorter()
        self.books: dict[str, LiveBook] = {}
        self.day = -1
        self.done = Recorded()
        self._worker = ThreadPoolExecutor(1, "recorder")
        self._jobs: list[Future[None]] = []

    def take(self, event: Any, text: str) -> None:
        """Keep one event."""
        if isinstance(event, Slow):
            self.say("the disk or this program is slower than the messages; they wait")
            return
        self.done.messages += 1
        loses = not isinstance(event, Refused) or event.is_of_books
        if isinstance(event, Refused | Disconnect):
            event, text = self._gap(event, text)
        elif event.local_ts // DAY > self.day:
            self._roll(event.local_ts // DAY)
        self._keep(event, text, loses)
        if self.sorter.count >= SEGMENT:
            self._settle()

    def _keep(self, event: Any, text: str, loses: bool = True) -> None:
        """Keep a message; `loses`: a gap that makes books unknown."""
        self.journal.write(text)
        self.sorter.take(event)
        if isinstance(event, BookChange):
            self.books.setdefault(event.symbol, LiveBook(event.symbol)).apply(event)
        elif isinstance(event, Disconnect) and loses:
            for symbol in event.symbols or tuple(self.books):
                if symbol.upper() in self.books:
                    self.books[symbol.upper()].lose(event.local_ts)

    def _gap(self, event: Refused | Disconnect, text: str) -> tuple[Disconnect, str]:
        """Return a gap as a message that can be kept."""
        self.done.gaps += 1
        if isinstance(event, Refused):
            self.done.refused += 1
            event = Disconnect(event.exchange, event.local_ts, (), f"refused a {event.why[:200]}")
        self.say(f"gap: {event.reason}")
        local = event.local_ts // MICROSECOND * MICROSECOND
        return event, text if text and event.reason == "exchange" else write(event._replace(local_ts=local))

    def _roll(self, day: int) -> None:
        """Begin a day: the one before is over, and known books are written down at its start."""
        is_first, self.day = self.day < 0, day
        if is_first:
            return
        self._settle()
        keys = [key for key in self.journal.found() if key.day < day * DAY]
        self._jobs.append(self._worker.submit(self._finish, keys))
        for symbol, book in self.books.items():
            if book.is_valid:
                change = book.change(self.exchange, symbol, day * DAY)
                self._keep(change, write(change))

    def _settle(self) -> None:
        self.done.rows += self.sorter.count
        self.journal.settle(self.sorter.rows, self.sorter.facts())
        self.sorter.clear()

    def _finish(self, keys: Iterable[Key]) -> None:
        finish(self.store, self.exchange, self.journal, keys, self.done, self.say)

    def close(self) -> Recorded:
        """Put what came into the store; a day that is not over says so by its first and last row."""
        try:
            self.sorter.end()
            if self.sorter.count or self.journal.left():
                self._settle()
            self._worker.shutdown(wait=True)
            for job in self._jobs:
                job.result()
            self._finish(self.journal.found())
        finally:
            self.journal.close()
        return self.done


def finish_left(store: Store, say: Say | None = None) -> Recorded:
    """Finish what killed recordings left: put it into the store."""
    done, tell = Recorded(), say or (lambda _: None)
    for folder in sessions(store.folder):
        journal = Journal.taken(folder)
        if journal is None:
            continue
        tell(f"finishing the recording in {folder}")
        try:
            recover(journal, done)
            finish(store, folder.parent.name, journal, journal.found(), done, tell)
        finally:
            journal.close()
    return done


def recover(journal: Journal, done: Recorded) -> None:
    """Make rows of the messages a killed recording left."""
    for number in journal.left():
        facts = journal.facts(number)
        sorter = Sorter(facts[-1]["last"] if facts else -1)
        for text in journal.texts(number):
            try:
                sorter.take(parse(text))
                done.messages += 1
            except DataError as error:  # power failed while it was written
                done.refused += 1
                sorter.gaps.append([sorter.last, None, f"journal: {str(error)[:200]}"])
        sorter.gaps.append([sorter.last, None, "the recording was killed"])
        done.rows += sorter.count
        journal.number = number
        journal.settle(sorter.rows, sorter.facts())


def record(
    exchange: str,
    symbols: str | Sequence[str],
    types: str | Sequence[str],
    *,
    url: str | None = None,
    store: Store | str | Path | None = None,
    length: str | int | None = None,
    start: Any = None,
    stop: Any = None,
    say: Say | None = None,
    **more: Any,
) -> Recorded:
    """Record a stream into the store until it ends, Ctrl-C, or `length` is over.

    Parameters
    ----------
    exchange, symbols, types, url, start, stop
        As of `connect`; types are those the store has kinds for.
    store : Store or path, optional
    length : duration, optional
        `"60s"`, `"8h"`; None = until the stream ends.
    say : callable, optional
        Gets lines of progress.
    more : timeout, retries, clock of `connect`.

    Raises
    ------
    ConfigError
        An argument, or a type that is not kept.
    VenueError
        No tardis-machine, or it refused; what came before is in the store.
    """
    from framework.data.store import Store

    check_kept(check_types(types))
    limit = None if length is None else parse_duration(length) / SECOND
    stream = connect(exchange, symbols, types, url=url, start=start, stop=stop, keep=1, **more)
    folder = store if isinstance(store, Store) else Store(store)
    left = finish_left(folder, say)
    recorder = Recorder(folder, exchange, say)
    try:
        with stream:
            follow(stream, recorder, limit)
    except KeyboardInterrupt:
        recorder.say("stopped; putting what came into the store")
    finally:
        done = recorder.close()
    done.parts[:0] = left.parts
    done.left[:0] = left.left
    return done


def follow(stream: Stream, recorder: Recorder, limit: float | None) -> None:
    """Record a stream for so many seconds."""
    end = None if limit is None else time.monotonic() + limit
    while True:
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0.0:
            return
        try:
            pair = stream.wait(left)
        except Empty:
            return
        if pair is None:
            return
        recorder.take(*pair)


__all__ = ["Recorded", "Recorder", "finish_left", "record"]
