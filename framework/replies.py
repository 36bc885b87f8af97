"""`Replies`: how a model's recorded answers reach the strategy."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from framework.errors import ConfigError, near
from framework.records import ON_INVALID_NAMES
from framework.times import format_interval, parse_duration

LATENCY_NAMES = ("recorded", "with_retries", "resampled")


@dataclass(frozen=True)
class Replies:
    """How a model's recorded answers reach the strategy: when, which of them, and what they are charged.

    latency : "recorded" (wire time of the call that succeeded), "with_retries" (and the failed attempts and
        waits before it), "resampled" (another recorded latency of the run, drawn by hash and `seed`), or a
        fixed length of time, "2s"; "0s" has to be said.
    overlap : a question that is due while an answer is on its way is asked all the same ("all"), left out
        ("skip"), asked when that answer is here ("queue"), or asked and that answer thrown away ("replace").
    max_age : an answer that arrives later than this after its question is not delivered; None = any is.
    stale : "drop" leaves out an answer that comes after the answer to a later question, "keep" delivers it.
    on_invalid : what an invalid, refused or truncated answer does: "hold" nothing, "flat" closes the
        position, "stop" closes all and ends trading.
    charge : False leaves the cost of tokens out of the profit and loss.
    """

    latency: str = "recorded"
    overlap: str = "all"
    max_age: str | int | None = None
    stale: str = "drop"
    on_invalid: str = "hold"
    charge: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name, choices in (
            ("overlap", ("all", "skip", "queue", "replace")),
            ("stale", ("drop", "keep")),
            ("on_invalid", ON_INVALID_NAMES),
        ):
            value = getattr(self, name)
            if value not in choices:
                raise ConfigError(f"Replies({name}={value!r}): {near(str(value), choices)}")
        if not isinstance(self.charge, (bool, np.bool_)):
            raise ConfigError(f"Replies(charge={self.charge!r}): must be True or False")
        if isinstance(self.seed, bool) or not isinstance(self.seed, (int, np.integer)):
            raise ConfigError(f"Replies(seed={self.seed!r}): must be a whole number")
        assert self.fixed_ns is None or self.fixed_ns >= 0  # reading it refuses what is no length of time
        if self.max_age_ns == 0:
            raise ConfigError("Replies(max_age=0) would deliver nothing; give None for no limit")

    @property
    def fixed_ns(self) -> int | None:
        """The fixed latency in ns; None where it is one of the recorded kinds."""
        return None if self.latency in LATENCY_NAMES else length_of("latency", self.latency, LATENCY_NAMES)

    @property
    def max_age_ns(self) -> int | None:
        """`max_age` in ns."""
        return None if self.max_age is None else length_of("max_age", self.max_age, ())


def length_of(name: str, value: Any, choices: tuple[str, ...]) -> int:
    """Return a length of time of `Replies` in ns."""
    try:
        return parse_duration(value)
    except ConfigError:
        words = f"{', '.join(choices)}, or a length of time" if choices else "a length of time"
        raise ConfigError(f'Replies({name}={value!r}): must be {words} like "2s"') from None


def reply_words(replies: Replies) -> dict[str, Any]:
    """Return the choices as plain values for the manifest."""
    found = {one.name: getattr(replies, one.name) for one in fields(replies)}
    for name, ns in (("latency", replies.fixed_ns), ("max_age", replies.max_age_ns)):
        if ns is not None:
            found[name] = format_interval(ns) if ns else "0s"
    return found
