"""What asks for a client: its wire, its patience with the relay, its budget."""

from __future__ import annotations

import contextlib
import hashlib
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from framework.errors import BudgetExceeded, ConfigError
from framework.llm import canary
from framework.llm.asking import POLL, Patience, ask_all
from framework.llm.decision import Prompt
from framework.llm.flight import flight_of
from framework.llm.planned import Way
from framework.llm.prompt import when
from framework.llm.record import Record
from framework.llm.recording import Recording, Shelf, Till
from framework.llm.redact import secret_in
from framework.llm.wire import Wire

if TYPE_CHECKING:
    from framework.llm.budget import Budget
    from framework.llm.client import HolySheep

Keep = Callable[[str, Record], None]


class Sender:
    """Asks for one client; opened when it is needed."""

    def __init__(self, client: HolySheep, shelf: Shelf, keep: Keep) -> None:
        assert client.price is not None
        self._client, self._shelf, self._keep, self._patience = client, shelf, keep, Patience()
        self._wire: Wire | None = None
        self._till = Till(client.price, _budget(client.budget, shelf), client.spent, client.repairs)
        self.stopped = ""  # why the last recording gave up before it had asked everything

    def open(self) -> Wire:
        """Return the open wire. While the relay is down, a question gets one attempt."""
        from framework.llm.limits import Limits
        from framework.llm.transport import Timeouts

        client = self._client
        if self._wire is None:
            self._wire = Wire(
                client.url, timeouts=Timeouts.of(client.timeout), retries=client.retries,
                loopback=client.is_loopback, stream=client.stream, limits=Limits(client.rpm, client.tpm),
            )  # fmt: skip
            weakref.finalize(self, self._wire.close)  # a client that nobody closed
        self.stopped = ""
        self._wire.retries = 0 if self._patience.is_lost else client.retries
        return self._wire

    def ask(self, wanted: dict[str, tuple[Prompt, Record]]) -> dict[str, str]:
        """Ask what is wanted, by key; return key -> problem of what stayed unanswered."""
        check_prompts(prompt for prompt, _ in wanted.values())
        client = self._client
        if not canary.is_due(client, len(wanted)):
            return self._ask(wanted, self._keep, client.progress)
        watch = canary.Canary(self._turn, self._shelf, f"canary:{client.endpoint}:{client.model}")
        watch.turn()
        failed = self._ask(wanted, self._keep, client.progress)
        with contextlib.suppress(BudgetExceeded):  # what was asked is kept, and counts
            watch.turn()
        client.alarms = watch.alarms
        return failed

    def _turn(self, sample: int) -> list[Record | None]:
        """Ask the canary's questions anew."""
        wanted, told = canary.requests(self._client, sample), dict[str, Record]()
        self._ask(wanted, told.__setitem__, None)
        return [told.get(key) for key in wanted]

    def _ask(self, wanted: dict[str, tuple[Prompt, Record]], keep: Keep,
             progress: Callable[[int, int], None] | None) -> dict[str, str]:
        client, recording = self._client, self._recording(wanted, keep)
        threads = 1 if client.mode == "live" else client.concurrency
        try:
            ask_all(self.open(), recording, wanted, threads, progress)
        finally:
            self._end(recording)
        return recording.failed

    def find_rung(self, prompts: Sequence[Prompt], way: Way, known: Callable[[], str | None],
                  found: Callable[[str], None]) -> dict[str, str]:
        """Ask one prompt after the other, alone, until one shows how the endpoint can be asked.

        One process of all does; the others wait for what it finds. Returns key -> problem as `ask` does.
        """
        check_prompts(prompts)
        flight = flight_of(self._shelf)
        lock = hashlib.sha256(f"rung:{way.endpoint}:{way.model}".encode()).hexdigest()
        while not flight.take(lock):
            flight.wait(POLL)
        recording = self._recording({}, self._keep)
        try:
            for prompt in prompts:
                if known() is not None:
                    break
                recording.decide(way, prompt, found)
        finally:
            flight.give(lock)
            self._end(recording)
        return recording.failed

    def close(self) -> None:
        """Close the connections."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _recording(self, wanted: dict[str, tuple[Prompt, Record]], keep: Keep) -> Recording:
        client = self._client
        return Recording(
            self.open(), self._patience, self._shelf, self._till, wanted, keep,
            analyst=client.name, is_new=client.mode == "refresh",
        )  # fmt: skip

    def _end(self, recording: Recording) -> None:
        recording.close()
        if self._wire is not None:
            self.stopped = self._wire.why
            if self._wire.halted:
                self.close()


def check_prompts(prompts: Iterable[Prompt]) -> None:
    """Refuse a question that holds a secret: it would be stored, and shipped with the run."""
    for prompt in prompts:
        if variable := secret_in(f"{prompt.system} {prompt.text}"):
            raise ConfigError(
                f"the question for {prompt.brief.symbol} at {when(prompt.ts)} holds the secret of "
                f"{variable}; nothing was asked, take it out of the prompt"
            )


def _budget(given: Budget | float | None, shelf: Shelf) -> Budget | None:
    """Return the budget; a number is a new one, beside the store."""
    if given is None or not isinstance(given, (int, float)):
        return given
    from framework.llm.budget import Budget

    folder = getattr(shelf, "folder", None)
    return Budget(given, folder=folder if isinstance(folder, Path) else None)
