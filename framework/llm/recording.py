"""One recording: what is wanted, what of it is ours to ask now, what came and what it cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from framework.errors import BudgetExceeded, DataError, FrameworkError
from framework.llm.asking import ASK, KNOWN, WAIT, Outcome, Patience, send_one
from framework.llm.decision import Prompt
from framework.llm.flight import flight_of
from framework.llm.prices import Price, Spent, price_tokens, tokens_of, worst_of
from framework.llm.record import Record, Reply, canonical, check, judge, key_of, make_record
from framework.llm.redact import secret_in
from framework.llm.turns import Answered, Turn, bytes_of, converse, cost_of_all, tries_of

if TYPE_CHECKING:
    from framework.llm.budget import Budget
    from framework.llm.planned import Way
    from framework.llm.wire import Sent, Wire


class Shelf(Protocol):
    """Where records are kept: text by key."""

    def get(self, key: str) -> str | None: ...

    def set(self, key: str, text: str) -> None: ...


@dataclass(slots=True)
class Till:
    """What all recordings of one client share: its price, its limit, what it has spent and learnt."""

    price: Price
    budget: Budget | None
    spent: Spent
    repairs: int
    factor: float = 1.0  # tokens the relay counts in a prompt for each one we assume, the most seen

    def worst(self, body: Record) -> tuple[float, int]:
        """Return (USD, tokens) of a question at most."""
        tokens = worst_of(bytes_of(body), int(body["max_tokens"]), self.repairs, self.factor)
        return price_tokens(self.price, tokens).usd, tokens.read + tokens.written


class Recording:
    """The questions of one `decide`, as `ask_all` wants them.

    Parameters
    ----------
    wanted : by key: the prompt and its request
    keep : gets each record that is stored, or was stored by another process
    is_new : ask although it is stored (refresh)
    """

    def __init__(self, wire: Wire, patience: Patience, shelf: Shelf, till: Till,
                 wanted: dict[str, tuple[Prompt, Record]], keep: Callable[[str, Record], None], *,
                 analyst: str, is_new: bool = False) -> None:
        self._wire, self._patience, self._shelf, self._till = wire, patience, shelf, till
        self._flight = flight_of(shelf)
        self._wanted, self._keep, self._analyst, self._is_new = wanted, keep, analyst, is_new
        self._claimed: set[str] = set()
        self._entries: dict[str, int] = {}  # reservations by key
        self.failed: dict[str, str] = {}  # key -> why it has no answer

    def claim(self, key: str, flying: int) -> str:
        """Hold a question and reserve its price; see `asking.Work`."""
        if self._wire.halted:
            return ASK  # it gets its reason from the wire
        if not self._flight.take(key):
            return WAIT
        self._claimed.add(key)
        try:
            if not self._is_new and (text := self._shelf.get(key)) is not None:
                self._keep(key, read_record(text, key))
                self._give(key)
                return KNOWN
            self._reserve(key)
        except BudgetExceeded:
            self._give(key)
            if flying:
                return WAIT  # what is in flight may take less than it has reserved
            raise
        return ASK

    def decide(self, way: Way, prompt: Prompt, found: Callable[[str], None]) -> str | None:
        """Ask one question alone, down the ladder; return the rung that answered, None when none did.

        Parameters
        ----------
        found : gets the rung before the answer is stored: who is killed between pays no second time
        """
        from framework.llm import ladder

        rungs: list[str] = []

        def send() -> Sent:
            rung, sent = ladder.decide(self._wire, lambda rung: replace(way, rung=rung).body(prompt))
            rungs.append(rung)
            return sent

        key = self._want(way, prompt)
        self._reserve(key, len(ladder.RUNGS))  # an empty answer steps down, and is paid
        sent = send_one(self._wire, self._patience, send)
        if isinstance(sent, Exception):
            self._raise(self.take(key, sent))
            return None
        found(rungs[0])
        last = self._want(replace(way, rung=rungs[0]), prompt)
        if key in self._entries:
            self._entries[last] = self._entries.pop(key)
        self._raise(self.take(last, self._converse(sent, *self._wanted[last])))
        return rungs[0]

    def _reserve(self, key: str, times: int = 1) -> None:
        till = self._till
        if till.budget is not None:
            usd, tokens = till.worst(self._wanted[key][1]["body"])
            calls = times + till.repairs
            self._entries[key] = till.budget.reserve(usd * times, tokens * times, calls)

    def _want(self, way: Way, prompt: Prompt) -> str:
        request = way.request(prompt)
        key = key_of(request)
        self._wanted[key] = (prompt, request)
        return key

    def _raise(self, error: Exception | None) -> None:
        if error is not None:
            raise error

    def ask(self, key: str) -> Outcome:
        """Send a question, and repair what comes."""
        prompt, request = self._wanted[key]
        first = self._send(request["body"])
        return first if isinstance(first, Exception) else self._converse(first, prompt, request)

    def take(self, key: str, outcome: Outcome) -> Exception | None:
        """Keep an answer, or note that there is none; return what has to end the recording."""
        try:
            if isinstance(outcome, Exception):
                self._pay(key, [], outcome)
                return self._note(key, outcome)
            self._pay(key, outcome.turns, outcome.error)
            if outcome.error is not None and not _is_refusal(outcome.error):
                return self._note(key, outcome.error)
            self._store(key, outcome.turns)
        except FrameworkError as error:
            return error
        finally:
            self._give(key)
        return None

    def wait(self, seconds: float) -> None:
        """Wait for a question somebody else is asking."""
        self._flight.wait(seconds)

    def close(self) -> None:
        """Let go what is still held: the answers in flight are given up."""
        for key in [*self._claimed]:
            self._give(key)

    def _send(self, body: Record) -> Sent | Exception:
        return send_one(self._wire, self._patience, lambda: self._wire.send(body))

    def _converse(self, first: Sent, prompt: Prompt, request: Record) -> Answered:
        return converse(first, request["body"], prompt, self._till.price, self._till.repairs, self._send)

    def _note(self, key: str, error: Exception) -> Exception | None:
        from framework.llm.wire import Refused, Unanswered

        if not isinstance(error, (Refused, Unanswered)):
            return error
        self.failed[key] = str(error)
        return None

    def _pay(self, key: str, turns: list[Turn], error: Exception | None) -> None:
        """Book what was paid, whatever became of it, and settle the reservation."""
        till, body = self._till, self._wanted[key][1]["body"]
        lost = [usage for turn in turns for usage in turn.sent.lost]
        lost += getattr(getattr(error, "tries", None), "lost", ())
        paid = [(turn.tokens, turn.cost) for turn in turns]
        for usage in lost:
            tokens = tokens_of(usage, bytes_of(body), int(body["max_tokens"]))
            paid.append((tokens, price_tokens(till.price, tokens)))
        for tokens, cost in paid:
            till.spent.add(tokens, cost)
        till.spent.repairs += max(0, len(turns) - 1)
        till.spent.lost += len(lost)
        for turn in turns[:1]:
            if not turn.tokens.is_ours:
                till.factor = max(till.factor, turn.tokens.read / worst_of(bytes_of(body), 1).read)
        entry = self._entries.pop(key, None)
        if entry is not None and till.budget is not None:
            usd, read = sum(cost.usd for _, cost in paid), sum(one.read + one.written for one, _ in paid)
            till.budget.settle(entry, usd, read, len(paid))

    def _store(self, key: str, turns: list[Turn]) -> None:
        record = self._record(key, turns)
        text = canonical(record)
        if secret_in(text):  # in pieces that only together make the key: a verdict, or it is asked for ever
            record = self._record(key, turns, Reply("", problem="reply shows the API key"))
            text = canonical(record)
        self._shelf.set(key, text)
        self._keep(key, record)

    def _record(self, key: str, turns: list[Turn], instead: Reply | None = None) -> Record:
        prompt, request = self._wanted[key]
        last, sents = turns[-1], [turn.sent for turn in turns]
        return make_record(
            request, prompt, instead or last.sent.reply, judge(instead, prompt) if instead else last.verdict,
            analyst=self._analyst, stand_in=False, latency_ns=sum(one.latency_ns for one in sents),
            waited_ns=sum(one.waited_ns for one in sents), attempts=sum(one.attempts for one in sents),
            cost=cost_of_all(turns), tries=[] if instead else tries_of(turns),
        )  # fmt: skip

    def _give(self, key: str) -> None:
        if key in self._claimed:
            self._claimed.discard(key)
            self._flight.give(key)


def read_record(text: str, key: str) -> Record:
    """Return a stored record after checking that it is whole and answers `key`."""
    where = f"stored decision {key[:16]}"
    try:
        record: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise DataError(f"{where} is not JSON; use --refresh") from None
    check(record, where)
    if record["key"] != key:
        raise DataError(f"{where} answers another question; use --refresh")
    return dict(record)


def _is_refusal(error: Exception) -> bool:
    from framework.llm.wire import Refused

    return isinstance(error, Refused)
