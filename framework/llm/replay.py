"""`CassetteAnalyst`: a recorded run answers again, strictly, with neither network nor key."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from framework.errors import CacheMiss, ConfigError, DataError, near
from framework.llm import cutoffs
from framework.llm.cassette import read_cassette
from framework.llm.decision import Decision, Prompt
from framework.llm.nearest import nearest_words, said, way_of
from framework.llm.prompt import when
from framework.llm.record import Record, canonical, key_of, missing, to_decision


class CassetteAnalyst:
    """Answers from a cassette only.

    Parameters
    ----------
    source : .jsonl, .jsonl.gz, a run's folder, or records
    model : which model, when the cassette holds several
    strict : a prompt that was never recorded is a CacheMiss; False gives a "missing" decision instead
    way : what else tells apart the ways in which it was asked: temperature=, sample=, max_tokens=, ...

    Raises
    ------
    DataError
        The cassette is empty, altered or damaged.
    ConfigError
        It holds decisions asked in several ways (models, temperatures) and not one was chosen.
    """

    spent_usd = 0.0  # a cassette asks nobody

    def __init__(self, source: str | os.PathLike[str] | Iterable[Record], *, model: str | None = None,
                 strict: bool = True, **way: Any) -> None:
        self.path, self.strict = Path("cassette"), strict
        if isinstance(source, (str, os.PathLike)):
            self.path = Path(source)
            source = read_cassette(source)
        first = self._choose(list(source), {"model": model, **way})
        self.model = str(first["request"]["body"]["model"])
        self.name, self.stand_in = str(first["analyst"]), bool(first["stand_in"])
        self._request: Record = first["request"]  # everything but the messages is shared by the whole run

    def __repr__(self) -> str:
        return f"CassetteAnalyst({str(self.path)!r}, model={self.model!r}, records={len(self._records)})"

    def decide(self, prompts: Sequence[Prompt]) -> list[Decision]:
        """Return the recorded decision of each prompt, in order.

        Raises
        ------
        CacheMiss
            A prompt was never recorded; shows how it differs from the nearest one that was.
        """
        return [self._decide(prompt) for prompt in prompts]

    def records(self, keys: Iterable[str] | None = None) -> list[Record]:
        """Return the records of the given keys (default all), sorted by key."""
        chosen = self._records if keys is None else {key for key in keys if key in self._records}
        return [self._records[key] for key in sorted(chosen)]

    def describe(self) -> dict[str, Any]:
        """Return what a manifest pins. JSON-serialisable."""
        body = {name: value for name, value in self._request["body"].items() if name != "messages"}
        edge = cutoffs.cutoff_ns(self.model)
        return {"name": self.name, "stand_in": self.stand_in, **body, "cutoff_ns": edge}

    def close(self) -> None:
        """Do nothing: the cassette is in memory."""

    def _choose(self, rows: Sequence[Record], wanted: Record) -> Record:
        """Keep the records of the way that is meant and return one of them."""
        if not rows:
            raise DataError(f"{self.path}: the cassette is empty; record the run again")
        by_way: dict[str, list[Record]] = {}
        for row in rows:
            by_way.setdefault(canonical(way_of(row["request"])), []).append(row)
        groups = list(by_way.values())
        ways = [way_of(group[0]["request"]) for group in groups]
        chosen = groups[choose(ways, wanted, str(self.path))]
        self._records = {row["key"]: row for row in chosen}
        return chosen[0]

    def _decide(self, prompt: Prompt) -> Decision:
        request = request_like(self._request, prompt)
        key = key_of(request)
        seen = 0 if self.stand_in else cutoffs.in_sample(self.model, prompt.ts)
        record = self._records.get(key)
        if record is not None:
            return to_decision(record, prompt, seen)
        if self.strict:
            raise CacheMiss(self._miss(prompt, request))
        return missing(prompt, key, self.model, seen, "not in the cassette")

    def _miss(self, prompt: Prompt, request: Record) -> str:
        words = nearest_words(request, (self._records[key]["request"] for key in sorted(self._records)))
        return (
            f"{self.path}: the decision for {prompt.brief.symbol} at {when(prompt.ts)} was never recorded; "
            f"{words}; run with --record to ask"
        )


def choose(ways: Sequence[Record], wanted: Mapping[str, Any], name: str) -> int:
    """Return the number of the one way that has all that is wanted (None = anything).

    Raises
    ------
    ConfigError
        No way has it, or several have; shows what tells them apart.
    """
    fits = list(range(len(ways)))
    for field, value in wanted.items():
        if value is None:
            continue
        if not any(field in way for way in ways):
            raise ConfigError(f"{field}: {name} was not asked with any; {near(field, sorted(ways[0]))}")
        known = sorted({said(ways[number].get(field)) for number in fits})
        fits = [number for number in fits if _is_said(ways[number].get(field), value)]
        if not fits:
            raise ConfigError(f"{name} holds no decision of {field} {value!r}; {near(str(value), known)}")
    if len(fits) > 1:
        told = [field for field in ways[0] if len({said(ways[n].get(field)) for n in fits}) > 1]
        each = "; ".join(", ".join(f"{f}={said(ways[n].get(f))}" for f in told) for n in fits)
        raise ConfigError(
            f"{name} holds decisions asked in {len(fits)} ways; choose one: {each}"
        )
    return fits[0]


def request_like(request: Record, prompt: Prompt) -> Record:
    """Return the request of a prompt asked in the way of another request."""
    content = {"system": prompt.system, "user": prompt.text}
    body = request["body"]
    asked = [{"role": m["role"], "content": content.get(m["role"], "")} for m in body["messages"]]
    return {**request, "body": {**body, "messages": asked}}


def _is_said(value: Any, wanted: Any) -> bool:
    return bool(value == wanted) or said(value) == said(wanted)
