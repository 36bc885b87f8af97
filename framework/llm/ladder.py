"""How the shape of a reply is asked for: a strict schema, "a JSON object", or only the words of the prompt.

Not every endpoint knows all three, and the one that is sent is part of the key. So an undecided (endpoint,
model) is asked one question alone, from the top rung down; the caller remembers the rung that answered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from framework.records import DIRECTIONS, REGIMES

if TYPE_CHECKING:
    from framework.llm.record import Record, Reply
    from framework.llm.wire import Refused, Sent, Wire

RUNGS = ("json_schema", "json_object", "text")
STEPS_DOWN = frozenset({400, 415, 422, 500})  # 500 only when it comes twice: some servers say it for a schema

_LEVEL = {"type": ["number", "null"]}
_FIELDS: dict[str, dict[str, Any]] = {
    "regime": {"type": "string", "enum": [*REGIMES]},
    "direction": {"type": "string", "enum": [*DIRECTIONS]},
    "confidence": {"type": "number"},
    "reasoning": {"type": "string"},
    "suggested_entry": _LEVEL,
    "stop_loss": _LEVEL,
    "take_profit": _LEVEL,
    "position_size_pct": {"type": "number"},
}
_SCHEMA = {  # strict: every field is required and no other allowed
    "type": "object",
    "properties": _FIELDS,
    "required": [*_FIELDS],
    "additionalProperties": False,
}
_FORMATS: dict[str, Record | None] = {
    "json_schema": {
        "type": "json_schema",
        "json_schema": {"name": "trading_signal", "strict": True, "schema": _SCHEMA},
    },
    "json_object": {"type": "json_object"},
    "text": None,
}


def formats(rung: str) -> Record | None:
    """Return the `response_format` of a rung (do not change it); None = the field is not sent.

    Raises
    ------
    KeyError
        Not one of RUNGS.
    """
    return _FORMATS[rung]


def decide(wire: Wire, body_of: Callable[[str], Record]) -> tuple[str, Sent]:
    """Ask one question from the top rung down; return the rung that answered and its answer.

    400, 415, 422, a 500 that comes twice, or an empty answer step down. A relay that is busy or down (429,
    502, 503, 504, no connection) decides nothing: its error is raised. So is what the bottom rung refuses.

    Parameters
    ----------
    body_of : the body of the question for a rung

    Returns
    -------
    rung : one of RUNGS
    sent : its answer; `attempts`, `waited_ns`, `faults` and `lost` are those of all rungs

    Raises
    ------
    Unanswered, Refused, VenueError
        As `Wire.send`.
    """
    from framework.llm.wire import Refused

    passed: list[Refused | Sent] = []
    for rung in RUNGS[:-1]:
        try:
            sent = wire.send(body_of(rung), may_step=True)
        except Refused as error:
            if error.status not in STEPS_DOWN:
                raise
            passed.append(error)
            continue
        if not is_empty(sent.reply):
            return rung, _with(passed, sent)
        passed.append(sent)
    return RUNGS[-1], _with(passed, wire.send(body_of(RUNGS[-1])))


def is_empty(reply: Reply) -> bool:
    """True for a reply that ended of itself and says nothing: some servers answer so what they cannot do."""
    return reply.finish_reason == "stop" and not (reply.text.strip() or reply.tool_calls or reply.problem)


def _with(passed: list[Refused | Sent], last: Sent) -> Sent:
    """Return `last` with what the rungs above it took."""
    from framework.llm.wire import Sent

    attempts, waited = last.attempts, last.waited_ns
    faults, lost = [*last.faults], [*last.lost]
    for one in reversed(passed):
        tries = one if isinstance(one, Sent) else one.tries
        attempts, waited = attempts + tries.attempts, waited + tries.waited_ns
        if not isinstance(one, Sent):
            faults[:0] = [*tries.faults, *([f"HTTP {one.status}"] if one.status != 500 else [])]
            lost[:0] = tries.lost
        else:
            waited += one.latency_ns
            faults[:0] = [*one.faults, "empty answer"]
            lost[:0] = [*one.lost, *([one.reply.usage] if one.reply.usage else [])]
    return replace(last, attempts=attempts, waited_ns=waited, faults=tuple(faults), lost=tuple(lost))
