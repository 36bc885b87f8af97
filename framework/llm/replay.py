"""`CassetteAnalyst`: a recorded run answers again, strictly, with neither network nor key."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from framework.errors import CacheMiss, ConfigError, DataError, near
from framework.llm import cutoffs
from framework.llm.cassette import read_cassette
from framework.llm.decision import Decision, Prompt
from framework.llm.prompt import when
from framework.llm.record import Record, canonical, key_of, missing, to_decision


class CassetteAnalyst:
    """Answers from a cassette only.

    Parameters
    ----------
    path : .jsonl or .jsonl.gz
    model : which model, when the cassette holds several
    strict : a prompt that was never recorded is a CacheMiss; False gives a "missing" decision instead

    Raises
    ------
    DataError
        The cassette is empty, altered or damaged.
    ConfigError
        It holds decisions asked in several ways (models, temperatures) and none was chosen.
    """

    spent_usd = 0.0  # a cassette asks nobody

    def __init__(self, path: str | os.PathLike[str], *, model: str | None = None,
                 strict: bool = True) -> None:
        self.path, self.strict = Path(path), strict
        self._records = {row["key"]: row for row in read_cassette(path)}
        if not self._records:
            raise DataError(f"{self.path}: the cassette is empty; record the run again")
        first = self._choose(model)
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

    def _choose(self, model: str | None) -> Record:
        rows = list(self._records.values())
        models = sorted({str(row["request"]["body"]["model"]) for row in rows})
        if model is not None:
            rows = [row for row in rows if row["request"]["body"]["model"] == model]
            if not rows:
                raise ConfigError(f"{self.path} holds no decision of {model!r}; {near(model, models)}")
        ways = {canonical(_without_messages(row["request"])) for row in rows}
        if len(ways) > 1:
            raise ConfigError(
                f"{self.path} holds decisions asked in {len(ways)} ways (models {', '.join(models)}); "
                "choose one model, or cut the cassette to one run"
            )
        return rows[0]

    def _decide(self, prompt: Prompt) -> Decision:
        request = self._request_of(prompt)
        key = key_of(request)
        seen = 0 if self.stand_in else cutoffs.in_sample(self.model, prompt.ts)
        record = self._records.get(key)
        if record is not None:
            return to_decision(record, prompt, seen)
        if self.strict:
            raise CacheMiss(self._miss(prompt, request))
        return missing(prompt, key, self.model, seen, "not in the cassette")

    def _request_of(self, prompt: Prompt) -> Record:
        content = {"system": prompt.system, "user": prompt.text}
        body = self._request["body"]
        asked = [{"role": m["role"], "content": content.get(m["role"], "")} for m in body["messages"]]
        return {**self._request, "body": {**body, "messages": asked}}

    def _miss(self, prompt: Prompt, request: Record) -> str:
        asked = _text_lines(request)
        wanted = set(asked)
        rows = (self._records[key] for key in sorted(self._records))
        recorded = (_text_lines(row["request"]) for row in rows)
        nearest = max(recorded, key=lambda lines: len(wanted.intersection(lines)))
        return (
            f"{self.path}: the decision for {prompt.brief.symbol} at {when(prompt.ts)} was never recorded; "
            f"the nearest recorded prompt differs in {_difference(nearest, asked)}; run with --record to ask"
        )


def _without_messages(request: Record) -> Record:
    body = {name: value for name, value in request["body"].items() if name != "messages"}
    return {**request, "body": body, "roles": [m["role"] for m in request["body"]["messages"]]}


def _text_lines(request: Record) -> list[str]:
    return [line for m in request["body"]["messages"] for line in m["content"].split("\n")]


def _difference(recorded: Sequence[str], asked: Sequence[str]) -> str:
    """Return the number of differing lines and the first pair, in one line."""
    pairs = []
    matcher = difflib.SequenceMatcher(None, recorded, asked, autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag != "equal":
            pairs.append((_joined(recorded[a:b]), _joined(asked[c:d])))
    if not pairs:
        return "nothing that is shown"
    more = f" and {len(pairs) - 1} more places" if len(pairs) > 1 else ""
    return f"{pairs[0][0]!r} (recorded) against {pairs[0][1]!r} (asked){more}"


def _joined(lines: Sequence[str]) -> str:
    return " / ".join(lines)[:160] or "nothing"
