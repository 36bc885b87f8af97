"""Many questions over one wire: threads that send, one collector that keeps, and when to give up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeAlias

from framework.errors import VenueError
from framework.llm.record import Record

if TYPE_CHECKING:
    from framework.llm.wire import Refused, Sent, Wire

Outcome: TypeAlias = "Sent | Exception"

REFUSALS = 3  # the same refusal so often before anything was answered: the request itself is wrong
FAILURES = 5  # questions in a row whose every attempt failed: the relay is down
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


def ask_all(wire: Wire, patience: Patience, bodies: Mapping[str, Record], threads: int,
            take: Callable[[str, Outcome], Exception | None],
            progress: Callable[[int, int], None] | None) -> None:
    """Send every body; hand each outcome to `take` in this thread, as it comes.

    An error that `take` returns ends the recording: nothing more is sent, what is in flight is paid and so
    collected, then it is raised. Ctrl-C keeps what has arrived and waits for nothing.
    """
    todo, done = SimpleQueue[tuple[str, Record]](), SimpleQueue[tuple[str, Outcome]]()
    for item in bodies.items():
        todo.put(item)
    for _ in range(min(threads, len(bodies))):
        # daemons: whoever presses Ctrl-C does not wait for the answers in flight
        threading.Thread(target=_send_all, args=(wire, patience, todo, done), daemon=True).start()
    error: Exception | None = None
    held: tuple[str, Outcome] | None = None
    try:
        for count in range(1, len(bodies) + 1):
            held = _next(done)
            found, held = take(*held), None
            error = error or found
            if error is not None:
                wire.halt()
            if progress is not None:
                progress(count, len(bodies))
    except BaseException:
        wire.halt()
        if held is not None:  # interrupted while it was being stored
            take(*held)
        while not done.empty():
            take(*done.get())
        raise
    if error is not None:
        raise error


def _next(done: SimpleQueue[tuple[str, Outcome]]) -> tuple[str, Outcome]:
    """Return the next outcome. Never waits long at once: an untimed wait can sleep through a signal."""
    while True:
        try:
            return done.get(timeout=GLANCE)
        except Empty:
            continue


def _send_all(wire: Wire, patience: Patience, todo: SimpleQueue[tuple[str, Record]],
              done: SimpleQueue[tuple[str, Outcome]]) -> None:
    """Send until nothing is left to do; every question gets exactly one outcome."""
    while True:
        try:
            key, body = todo.get_nowait()
        except Empty:
            return
        try:
            done.put((key, _send(wire, patience, body)))
        except Exception as error:
            done.put((key, error))


def _send(wire: Wire, patience: Patience, body: Record) -> Outcome:
    from framework.llm.wire import Refused, Unanswered

    try:
        sent = wire.send(body)
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
