"""Find the one JSON object of a model's reply, or say why there is none.

Accepted: one object, bare or in one fence. Repaired and counted: prose or thinking around it.
Refused: two objects, duplicate keys, non-finite numbers, anything a reader would have to guess at.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from framework.errors import SignalError

PARSER = 1  # version of all rules by which a reply is read, here and in signal.py: recorded with each verdict
MAX_CHARACTERS = 1_000_000

_FENCE = re.compile(r"\A```(?:json)?[ \t]*\r?\n(.*?)\s*```\Z", re.DOTALL | re.IGNORECASE)
_THINK_OPEN = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
_THINK_CLOSE = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_SPACE = " \t\r\n"  # what JSON calls white space


def read_object(text: str) -> tuple[dict[str, Any], list[str]]:
    """Return (object, repairs).

    Raises
    ------
    SignalError
        The reply does not hold exactly one JSON object; the message is the problem in a few words.
    """
    if len(text) > MAX_CHARACTERS or len(text.encode("utf-8", "surrogatepass")) > MAX_CHARACTERS:
        raise SignalError("reply is larger than 1 MB")
    body = text.strip(_SPACE)
    if not body:
        raise SignalError("reply is empty")
    found = _clean(body)
    if found is not None:
        return found, []
    repairs = []
    thought = _without_thinking(body)
    if thought != body:
        repairs.append("thinking around the object")
        found = _clean(thought)
        if found is not None:
            return found, repairs
    return _within_prose(thought), [*repairs, "prose around the object"]


def _clean(body: str) -> dict[str, Any] | None:
    """Return the object when the text is nothing else, bare or in one fence; None when there is more."""
    fence = _FENCE.match(body)
    inner = fence.group(1).strip(_SPACE) if fence else body
    if not inner or inner[0] not in '{["' or (inner[0] == '"' and inner[-1] != '"'):
        return None
    value, end = _decode(inner, 0)
    if end != len(inner):
        return None
    if not isinstance(value, dict):
        raise SignalError(f"reply is a JSON {'array' if isinstance(value, list) else 'text'}, not an object")
    return value


def _without_thinking(body: str) -> str:
    """Drop one thinking block that stands before the object; some models send only its closing tag."""
    opened, closed, brace = _THINK_OPEN.search(body), _THINK_CLOSE.search(body), body.find("{")
    if opened and 0 <= brace < opened.start():
        return body  # the object comes first, so the tag is in it or after it
    if opened and not closed:
        raise SignalError("thinking never ends, so the object may be part of it")
    if not closed:
        return body
    return (body[: opened.start() if opened else 0] + body[closed.end() :]).strip(_SPACE)


def _within_prose(body: str) -> dict[str, Any]:
    start = body.find("{")
    if start < 0:
        raise SignalError("no JSON object in the reply")
    value, end = _decode(body, start)
    before, after = body[:start], body[end:]
    again = after.find("{")
    if again >= 0 and _decodes(after, again):
        raise SignalError("two JSON objects in the reply")
    if "{" in after or "}" in before + after:
        raise SignalError("braces outside the JSON object")
    if before.rstrip().endswith("["):
        raise SignalError("the object stands in an array")
    if not isinstance(value, dict):  # a text that starts with a brace decodes to nothing else
        raise SignalError("no JSON object in the reply")
    return value


def _decodes(body: str, start: int) -> bool:
    try:
        _decode(body, start)
    except SignalError:
        return False
    return True


def _decode(body: str, start: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(body, start)
    except RecursionError:
        raise SignalError("JSON is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise SignalError(f"not JSON: {error.msg} at character {error.pos}") from None
    except ValueError:  # a number with thousands of digits
        raise SignalError("not JSON: a number is too long") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise SignalError(f"duplicate key {twice[:40]!r}")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise SignalError("a number is not finite")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_finite)
