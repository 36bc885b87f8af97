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
    from framework.llm.wire import Sent, Tries, Wire

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
        As `Wire.send`; `tries` of the first two are those of all rungs.
    """
    from framework.llm.wire import Refused, Tries, Unanswered

    above = Tries()
    for rung in RUNGS:
        is_last = rung == RUNGS[-1]
        try:
            sent = wire.send(body_of(rung), may_step=not is_last)
        except (Refused, Unanswered) as error:
            error.tries = above = _sum(above, error.tries)
            if is_last or not (isinstance(error, Refused) and error.status in STEPS_DOWN):
                raise
            if error.status != 500:  # those are faults already
                above.faults += (f"HTTP {error.status}",)
            continue
        if is_last or not is_empty(sent.reply):
            break
        used = (sent.reply.usage,) if sent.reply.usage else ()
        took = Tries(sent.attempts, sent.waited_ns + sent.latency_ns, (*sent.faults, "empty answer"),
                     sent.lost + used)  # fmt: skip
        above = _sum(above, took)
    whole = _sum(above, Tries(sent.attempts, sent.waited_ns, sent.faults, sent.lost))
    return rung, replace(
        sent, attempts=whole.attempts, waited_ns=whole.waited_ns, faults=whole.faults, lost=whole.lost
    )


def is_empty(reply: Reply) -> bool:
    """True for a reply that ended of itself and says nothing: some servers answer so what they cannot do."""
    return reply.finish_reason == "stop" and not (reply.text.strip() or reply.tool_calls or reply.problem)


def _sum(one: Tries, other: Tries) -> Tries:
    """Return what both took."""
    from framework.llm.wire import Tries

    return Tries(one.attempts + other.attempts, one.waited_ns + other.waited_ns, one.faults + other.faults,
                 one.lost + other.lost)  # fmt: skip
