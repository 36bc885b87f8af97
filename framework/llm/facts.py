"""What a strategy may add to a brief: facts with the time they were known, and unchanging instructions.

A number formatted by hand could come from anywhere in time. So a value enters a prompt as `AsOf(value,
known_ts)` only, is refused when it was known after the question, and is written by the one renderer.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from framework.errors import SignalError
from framework.llm.written import fixed, need_known, need_name, price_decimals, when

if TYPE_CHECKING:
    from framework.llm.decision import Prompt

Fact = tuple[str, int | float | str, str]  # name, value, unit
Facts = Mapping[str, "AsOf"]

UNITS = ("", "price", "volume")
LONGEST_TEXT, LONGEST_INSTRUCTIONS = 500, 8_000
LARGEST = 10**15
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


@dataclass(frozen=True, slots=True)
class AsOf:
    """A value and the moment it was known.

    Parameters
    ----------
    value : a finite number (of Python or numpy), or a text on one line of at most 500 characters
    known_ts : ns UTC at which it could be known; a question before that is refused
    unit : "price" or "volume" for a number of that unit, so that it is scaled where a prompt is masked

    Raises
    ------
    SignalError
        The value is not finite, a text is not on one line, or a unit is unknown.
    """

    value: int | float | str
    known_ts: int
    unit: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", _plain(self.value))
        if isinstance(self.known_ts, bool) or not isinstance(self.known_ts, (int, np.integer)):
            raise SignalError(f"known_ts={self.known_ts!r} of a fact must be whole ns since the epoch")
        object.__setattr__(self, "known_ts", int(self.known_ts))
        if self.unit not in UNITS or (self.unit and isinstance(self.value, str)):
            raise SignalError(f"unit={self.unit!r} of a fact must be 'price' or 'volume' of a number, or ''")


def _plain(value: object) -> int | float | str:
    """Return a number or text as Python's own."""
    if isinstance(value, str):
        if not value or len(value) > LONGEST_TEXT or not value.isprintable():
            raise SignalError(
                f"fact {value[:40]!r} must be a text of 1 to {LONGEST_TEXT} printable characters on one line"
            )
        return str(value)
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise SignalError(f"a fact must be a number or a text, not a {type(value).__name__}")
    number = int(value) if isinstance(value, (int, np.integer)) else float(value)
    if not abs(number) < LARGEST:  # nor NaN
        raise SignalError(f"{str(number)[:20]} cannot be written into a prompt; leave the fact out")
    return number


def known_facts(facts: Facts | None, ts: int) -> tuple[Fact, ...]:
    """Return the facts of a question, sorted by name.

    Raises
    ------
    SignalError
        A value without `AsOf`, or one known only after `ts` (named, with its time).
    """
    rows: list[Fact] = []
    for name, fact in sorted((facts or {}).items()):
        if not isinstance(fact, AsOf):
            raise SignalError(
                f"fact {name} is a plain {type(fact).__name__}; write AsOf(value, known_ts), "
                "so that nothing later than the question can enter it"
            )
        need_known(f"fact {name}", fact.known_ts, ts)
        rows.append((need_name(name), fact.value, fact.unit))
    return tuple(rows)


def fact_lines(facts: Iterable[Fact], price: float) -> list[str]:
    """Return one line for each fact."""
    return [f"{name}: {_written(value, unit, price)}" for name, value, unit in facts]


def _written(value: int | float | str, unit: str, price: float) -> str:
    if unit == "price":
        return fixed(value, price_decimals(price))  # type: ignore[arg-type]
    if unit == "volume":
        return fixed(value, 4)  # type: ignore[arg-type]
    if isinstance(value, (str, int)):
        return str(value)
    return fixed(value, price_decimals(abs(value)) if value else 6)


def need_instructions(text: str | None) -> str:
    """Return the user's own part of the system message; "" for none.

    Raises
    ------
    SignalError
        Not a text, too long, or with control characters.
    """
    if text is None:
        return ""
    if not isinstance(text, str) or not text.strip() or len(text) > LONGEST_INSTRUCTIONS:
        raise SignalError(f"instructions must be a text of 1 to {LONGEST_INSTRUCTIONS:,} characters")
    lines = [line.rstrip() for line in text.strip().split("\n")]
    if not all(line.isprintable() for line in lines):
        raise SignalError("instructions hold control characters; use plain text and line feeds")
    return "\n".join(lines)


def need_version(version: str | None) -> str:
    """Return the name of a version of the instructions; "" for none; SignalError where it is no plain name.
    """
    if version is None:
        return ""
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise SignalError(f"version={version!r} must be a plain name like 'calm-2', at most 40 characters")
    return version


def need_static(prompts: Iterable[Prompt]) -> None:
    """Refuse instructions that change with time: through them the future could enter a prompt.

    Raises
    ------
    SignalError
        Two prompts of one instrument and version have other instructions.
    """
    first: dict[tuple[int, str], Prompt] = {}
    for prompt in prompts:
        before = first.setdefault((prompt.instrument, prompt.version), prompt)
        if before.brief.instructions != prompt.brief.instructions:
            raise SignalError(
                f"instructions at {when(prompt.ts)} differ from those at {when(before.ts)}; they must stay "
                "the same over a run: what changes goes in as facts={name: AsOf(value, known_ts)}, another "
                "wording under another version"
            )


def described(prompts: Iterable[Prompt]) -> dict[str, Any]:
    """Return what a manifest pins of the prompts: versions and digests of the instructions."""
    found = {(p.version, p.brief.instructions) for p in prompts}
    return {
        "versions": sorted({version for version, _ in found if version}),
        "instructions": sorted({hashlib.sha256(t.encode()).hexdigest()[:16] for _, t in found if t}),
    }
