"""What is known before anything is asked: how a question is put, and what a recording would cost at most."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from framework.errors import CacheMiss
from framework.llm.decision import SIGNAL_KIND, Decision, Prompt
from framework.llm.ladder import RUNGS, formats
from framework.llm.prompt import when
from framework.llm.record import Record, key_of, messages_of, missing, request_of, to_decision


@dataclass(frozen=True, slots=True)
class Way:
    """How questions are put: all that is sent but the words."""

    endpoint: str  # alias, never the URL
    model: str
    temperature: float
    max_tokens: int
    rung: str  # of the ladder: how the shape of the reply is asked for
    sample: int = 0

    def body(self, prompt: Prompt) -> Record:
        """Return the body of a question, exactly as it is sent."""
        body: Record = {
            "model": self.model, "messages": messages_of(prompt), "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }  # fmt: skip
        # the strict schema is that of a signal
        is_other = self.rung == RUNGS[0] and prompt.kind != SIGNAL_KIND
        shape = formats(RUNGS[1] if is_other else self.rung)
        return body if shape is None else {**body, "response_format": shape}

    def request(self, prompt: Prompt) -> Record:
        """Return the key material of a question."""
        return request_of(self.endpoint, self.body(prompt), self.sample)


@dataclass(frozen=True, slots=True)
class Planned:
    """What a recording would do. `str()` is the line a user is asked about."""

    prompts: int
    unique: int
    cached: int  # of the unique ones: answered before, free
    to_ask: int
    worst_usd: float  # with every repair turn; NaN when no price is known
    priced: bool
    model: str
    source: str = ""  # of the price
    date: str = ""

    def __str__(self) -> str:
        counts = f"{self.prompts:,} prompts, {self.cached:,} cached, {self.to_ask:,} to ask"
        if not self.priced:
            return f"{counts}, price of {self.model} unknown"
        cents = 2 if self.worst_usd >= 0.1 or not self.worst_usd else 4
        dated = f"prices of {self.date}, {self.source}" if self.date else f"prices {self.source}"
        return f"{counts}, at most ${self.worst_usd:.{cents}f} ({dated})"


class RecordedAnalyst:
    """Answers from records alone, for workers: no key, no socket, no store; it can be pickled.

    Parameters
    ----------
    way : how the questions were put
    records : by key
    failed : key -> problem of questions that stayed unanswered
    about : what `describe` says
    edge : ns from which on the model cannot remember; None = unknown
    """

    def __init__(self, way: Way, records: Mapping[str, Record], failed: Mapping[str, str],
                 about: Mapping[str, Any], edge: int | None) -> None:
        self.name, self.model, self.stand_in = str(about["name"]), way.model, False
        self._way, self._records, self._failed = way, dict(records), dict(failed)
        self._about, self._edge = dict(about), edge

    def __repr__(self) -> str:
        return f"RecordedAnalyst({self.model!r}, records={len(self._records)})"

    def decide(self, prompts: Sequence[Prompt]) -> list[Decision]:
        """Return the recorded decision of each prompt, in order.

        Raises
        ------
        CacheMiss
            A prompt was not among those that were recorded.
        """
        return [self._decide(prompt) for prompt in prompts]

    def records(self, keys: Iterable[str] | None = None) -> list[Record]:
        """Return the records of the given keys (default all), sorted by key."""
        chosen = self._records if keys is None else {key for key in keys if key in self._records}
        return [self._records[key] for key in sorted(chosen)]

    def describe(self) -> dict[str, Any]:
        """Return what a manifest pins, as the client that recorded says it."""
        return dict(self._about)

    def close(self) -> None:
        """Do nothing: the records are in memory."""

    def _decide(self, prompt: Prompt) -> Decision:
        key = key_of(self._way.request(prompt))
        seen = 1 if self._edge is None or prompt.ts < self._edge else 0
        if key in self._records:
            return to_decision(self._records[key], prompt, seen)
        if key in self._failed:
            return missing(prompt, key, self.model, seen, self._failed[key])
        raise CacheMiss(
            f"the decision for {prompt.brief.symbol} at {when(prompt.ts)} is not among the "
            f"{len(self._records)} that were recorded; enumerate its prompt before the run and record again"
        )
