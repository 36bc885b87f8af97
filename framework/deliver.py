"""From recorded decisions to the signals a strategy gets: when each arrives, and which never does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.llm.decision import Decision, decision_rows
from framework.records import OK, SIGNAL_STATUS, WITHHELD
from framework.replies import Replies

YES, SKIPPED, REPLACED, STALE, TOO_OLD, NO = "yes", "skipped", "replaced", "stale", "too old", "no"


def deliver(decisions: Sequence[Decision], replies: Replies) -> tuple[NDArray[Any], list[str]]:
    """Return (SIGNAL rows sorted by arrival, what became of each decision).

    The words are those of the constants above; "no" = there was no valid answer to deliver. A row that is
    not delivered has status "withheld" and is charged all the same, unless it was skipped: then it was never
    asked.
    """
    arrivals = [d.ts for d in decisions]
    words = [NO] * len(decisions)
    took = latencies(decisions, replies)
    for part in by_instrument(decisions):
        schedule(decisions, part, took, replies, arrivals, words)
    return rows_of(decisions, arrivals, words, replies), words


def by_instrument(decisions: Sequence[Decision]) -> list[list[int]]:
    """Return the decisions of each instrument in the order they were asked."""
    parts: dict[int, list[int]] = {}
    for i in sorted(range(len(decisions)), key=lambda i: decisions[i].ts):
        parts.setdefault(decisions[i].instrument, []).append(i)
    return list(parts.values())


def latencies(decisions: Sequence[Decision], replies: Replies) -> list[int]:
    """Return how long each answer takes, ns."""
    pool = sorted(d.latency_ns for d in decisions if d.status != "missing")
    return [latency_of(d, replies, pool) for d in decisions]


def latency_of(decision: Decision, replies: Replies, pool: Sequence[int]) -> int:
    """Return how long an answer takes under the chosen mode, ns; one that is missing takes no time.

    Resampled: one of the pool of recorded latencies, drawn by a hash of key, time and seed, so that neither
    the order of calls nor the number of workers matters.
    """
    if decision.status == "missing":
        return 0
    if replies.fixed_ns is not None:
        return replies.fixed_ns
    if replies.latency == "resampled":
        return pool[draw(decision, replies.seed) % len(pool)]
    return decision.latency_ns + (decision.waited_ns if replies.latency == "with_retries" else 0)


def draw(decision: Decision, seed: int) -> int:
    """Return a number that depends on the decision and the seed only."""
    text = f"{seed}:{decision.key}:{decision.ts}:{decision.instrument}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def schedule(
    decisions: Sequence[Decision], part: Iterable[int], took: Sequence[int], replies: Replies,
    arrivals: list[int], words: list[str],
) -> None:
    """Set arrivals and words of one instrument's decisions, which come in the order they were asked."""
    busy, before = -1, -1  # until when the last question is in flight, and which it is
    for i in part:
        d = decisions[i]
        start, is_busy = d.ts, d.ts < busy
        if d.status == "missing":
            continue
        if is_busy and replies.overlap == "skip":
            words[i] = SKIPPED
            continue
        if is_busy and replies.overlap == "queue":
            start = busy
        if is_busy and replies.overlap == "replace" and words[before] == YES:
            words[before] = REPLACED
        arrivals[i] = start + took[i]
        busy, before = max(busy, arrivals[i]) if replies.overlap == "all" else arrivals[i], i
        if d.status == "ok":
            is_old = replies.max_age_ns is not None and arrivals[i] - d.ts > replies.max_age_ns
            words[i] = TOO_OLD if is_old else YES
    if replies.stale == "drop":
        drop_stale(decisions, arrivals, words, part)


def drop_stale(
    decisions: Sequence[Decision], arrivals: Sequence[int], words: list[str], part: Iterable[int]
) -> None:
    """Mark answers that come after the answer to a later question."""
    latest = -1
    for i in sorted((i for i in part if words[i] == YES), key=lambda i: (arrivals[i], decisions[i].ts)):
        if decisions[i].ts < latest:
            words[i] = STALE
        latest = max(latest, decisions[i].ts)


def rows_of(
    decisions: Sequence[Decision], arrivals: Sequence[int], words: Sequence[str], replies: Replies
) -> NDArray[Any]:
    """Return the decisions as a SIGNAL array sorted by arrival (stable); `id` = row in `decisions`."""
    rows = decision_rows(decisions)
    rows["arrival_ts"] = arrivals
    both = list(zip(decisions, words, strict=True))
    rows["cost"] = [d.cost if replies.charge and word != SKIPPED else 0.0 for d, word in both]
    rows["status"] = [status_of(d, word) for d, word in both]
    return rows[np.argsort(rows["arrival_ts"], kind="stable")]


def status_of(decision: Decision, word: str) -> int:
    """Return the code of what the engine does with a decision."""
    code = SIGNAL_STATUS.index(decision.status)
    return WITHHELD if (code == OK and word != YES) or word == SKIPPED else code
