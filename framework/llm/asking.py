"""Many questions over one wire: threads that send, one collector that keeps, and when to give up."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol, TypeAlias

from framework.errors import VenueError

if TYPE_CHECKING:
    from framework.llm.turns import Answered
    from framework.llm.wire import Refused, Sent, Wire

Outcome: TypeAlias = "Answered | Exception"

ASK, WAIT, KNOWN = "ask", "wait", "known"

REFUSALS = 3  # the same refusal so often before anything was answered: the request itself is wrong
FAILURES = 5  # questions in a row whose every attempt failed: the relay is down
POLL = 0.05  # s; how often a question that another process asks is looked for
GLANCE = 0.2  # s; Ctrl-C and SIGTERM are noticed between two waits


class Patience:
    """What a client has learnt of its relay. Each sender tells it before it sends the next question."""

    def __init__(self) -> None:
        self.failures = 0  # questions in a row without an answer
        self._refusals, self._status, self._is_answered = 0, 0, False
        self._lock = threading.Lock()

    @property
    def is_lost(self) -> bool:
        """True when the relay is down as far as we know: a question gets one attempt and no retries."""
        return self.failures >= FAILURES

    def answer(self) -> None:
        """Note an answer."""
        with self._lock:
            self.failures, self._is_answered = 0, True

    def fail(self, fault: str) -> str:
        """Note a question that failed; return why the recording has to stop, or ""."""
        with self._lock:
            self.failures += 1
        return f"{self.failures} questions in a row got no answer ({fault})" if self.is_lost else ""

    def refuse(self, error: Refused) -> VenueError | None:
        """Note a refused question; return the error when it is not this question but every one."""
        with self._lock:
            self.failures = 0
            self._refusals = self._refusals + 1 if error.status == self._status else 1
            self._status = error.status
        if self._is_answered or self._refusals < REFUSALS:
            return None
        return VenueError(
            f"{error.said}; {self._refusals} questions in a row and none answered, so correct the request"
        )


class Work(Protocol):
    """What `ask_all` asks: questions by key."""

    def claim(self, key: str, flying: int) -> str:
        """Return ASK (now ours to send), WAIT (not now, come again) or KNOWN (nothing to send).

        An exception ends the recording. `flying` are in flight already.
        """
        ...

    def ask(self, key: str) -> Outcome:
        """Send a claimed question. Called in a thread."""
        ...

    def take(self, key: str, outcome: Outcome) -> Exception | None:
        """Keep an outcome; return what has to end the recording."""
        ...

    def wait(self, seconds: float) -> None:
        """Wait for a question somebody else is asking, at most so long."""
        ...


def ask_all(wire: Wire, work: Work, keys: Iterable[str], threads: int,
            progress: Callable[[int, int], None] | None) -> None:
    """Ask every key; hand each outcome to `take` in this thread, as it comes.

    An error of `claim` or `take` ends the recording: nothing more is sent, what is in flight is paid and so
    collected, then it is raised. Ctrl-C keeps what has arrived and waits for nothing.
    """
    _Round(wire, work, deque(keys), threads, progress).run()


class _Round:
    """Threads that send, and the loop that hands out, collects and keeps."""

    def __init__(self, wire: Wire, work: Work, waiting: deque[str], threads: int,
                 progress: Callable[[int, int], None] | None) -> None:
        self.wire, self.work, self.waiting, self.progress = wire, work, waiting, progress
        self.total, self.flying, self.threads = len(waiting), 0, min(threads, len(waiting))
        self.todo, self.done = SimpleQueue[str | None](), SimpleQueue[tuple[str, Outcome]]()
        self.error: Exception | None = None
        self.held: tuple[str, Outcome] | None = None

    def run(self) -> None:
        """Ask everything."""
        for _ in range(self.threads):
            # daemons: whoever presses Ctrl-C does not wait for the answers in flight
            threading.Thread(target=_ask_all, args=(self.work, self.todo, self.done), daemon=True).start()
        try:
            while self.flying or (self.waiting and self.error is None):
                if self.waiting and self.error is None:
                    self._hand_out()
                self._collect()
        except BaseException:
            self.wire.halt()
            if self.held is not None:  # interrupted while it was being stored
                self.work.take(*self.held)
            while not self.done.empty():
                self.work.take(*self.done.get())
            raise
        finally:
            for _ in range(self.threads):
                self.todo.put(None)
        if self.error is not None:
            raise self.error

    def _hand_out(self) -> None:
        """Give free threads the next questions that are ours to ask."""
        before = len(self.waiting) + self.flying
        try:
            for _ in range(len(self.waiting)):
                if self.flying >= self.threads:
                    break
                key = self.waiting.popleft()
                claim = self.work.claim(key, self.flying)
                if claim == WAIT:
                    self.waiting.append(key)
                elif claim == ASK:
                    self.todo.put(key)
                    self.flying += 1
        except Exception as error:  # no budget, a damaged store: what is in flight is still kept
            self._fail(error)
        if len(self.waiting) + self.flying < before:
            self._tell()

    def _collect(self) -> None:
        """Wait for the next outcome and keep it; not long while a thread is free and questions wait."""
        if not self.flying:
            if self.waiting and self.error is None:
                self.work.wait(POLL)
            return
        is_short = self.waiting and self.flying < self.threads and self.error is None
        try:
            # never long at once: an untimed wait can sleep through a signal
            self.held = self.done.get(timeout=POLL if is_short else GLANCE)
        except Empty:
            return
        self.flying -= 1
        error, self.held = self.work.take(*self.held), None
        if error is not None:
            self._fail(error)
        self._tell()

    def _fail(self, error: Exception) -> None:
        self.error = self.error or error
        self.wire.halt()

    def _tell(self) -> None:
        if self.progress is not None:
            self.progress(self.total - len(self.waiting) - self.flying, self.total)


def _ask_all(work: Work, todo: SimpleQueue[str | None], done: SimpleQueue[tuple[str, Outcome]]) -> None:
    """Ask until told to stop; every question gets exactly one outcome."""
    while (key := todo.get()) is not None:
        try:
            done.put((key, work.ask(key)))
        except Exception as error:
            done.put((key, error))


def send_one(wire: Wire, patience: Patience, send: Callable[[], Sent]) -> Sent | Exception:
    """Send one question and tell `patience` how it went."""
    from framework.llm.wire import Refused, Unanswered

    try:
        sent = send()
    except Refused as error:
        last = patience.refuse(error)
        if last is not None:
            wire.halt()
        return last or error
    except Unanswered as error:
        why = patience.fail(error.fault) if error.fault else ""
        if why:
            wire.halt(why)
        return error
    patience.answer()
    return sent
