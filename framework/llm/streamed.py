"""A streamed chat completion (server-sent events), put together into the whole one it stands for.

A stream that breaks off looks like a short answer. So it counts only with a finish reason and its last event,
`[DONE]`; a line that is none, two choices, text after the finish or an error event make it unreadable.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

DONE = "[DONE]"
END = re.compile(rb"(?:\A|[\r\n])data: ?\[DONE\][ \t]*[\r\n]")  # JSON escapes line ends
_FIELDS = frozenset({"data", "event", "id", "retry"})
_LINE_END = re.compile(r"\r\n|\r|\n")


class Broken(ValueError):
    """The stream is not a whole answer; the text says why in a few words."""


def asked(body: dict[str, Any]) -> dict[str, Any]:
    """Return a body that asks for a stream which tells its usage."""
    return {**body, "stream": True, "stream_options": {"include_usage": True}}


def is_stream(content_type: str) -> bool:
    """True for server-sent events; a relay may answer in one piece although a stream was asked for."""
    return content_type.partition(";")[0].strip().lower() == "text/event-stream"


def whole_of(body: bytes, load: Callable[[str], Any] = json.loads) -> dict[str, Any]:
    """Return the completion a stream stands for, as it would have come in one piece.

    Parameters
    ----------
    load : reads the JSON of one event

    Raises
    ------
    ValueError
        The stream is not UTF-8, not events, holds an error, or ends before it is finished.
    """
    whole, message = dict[str, Any](), dict[str, Any]()
    finish: str | None = None
    is_done = False
    for data in _events(body.decode("utf-8")):
        if is_done:
            raise Broken("the stream goes on after its end")
        if data == DONE:
            is_done = True
            continue
        chunk = load(data)
        choice = _choice(chunk)
        whole.update({name: one for name, one in chunk.items() if name != "choices" and one is not None})
        if choice is None:
            continue
        delta = choice.get("delta") or {}
        if finish is not None and (delta.get("content") or delta.get("tool_calls")):
            raise Broken("the stream goes on after its finish reason")
        finish = choice.get("finish_reason") or finish
        _add(message, delta)
    if finish is None:
        raise Broken("the stream ends without a finish reason")
    if not is_done:
        raise Broken(f"the stream ends without {DONE}")
    if "object" in whole:
        whole["object"] = "chat.completion"
    return {**whole, "choices": [{"index": 0, "message": message, "finish_reason": finish}]}


def _choice(chunk: object) -> dict[str, Any] | None:
    """Return the one choice of a chunk; None when it holds none, as the one with the usage."""
    if not isinstance(chunk, dict):
        raise Broken("an event of the stream is not an object")
    if chunk.get("error"):
        raise Broken("the stream holds an error")
    choices = chunk.get("choices") or []
    if not choices:
        return None
    if len(choices) > 1 or choices[0].get("index", 0) != 0:
        raise Broken("the stream holds more than one choice")
    return dict(choices[0])


def _add(message: dict[str, Any], delta: dict[str, Any]) -> None:
    """Add the pieces of a delta: texts and lists are joined, anything else is replaced."""
    for name, value in delta.items():
        if value is None:
            continue
        before = message.get(name)
        joins = name != "role" and type(before) is type(value) and isinstance(value, (str, list))
        message[name] = before + value if joins else value


def _events(text: str) -> Iterator[str]:
    """Yield the data of each event; one that no blank line ends was cut off and is none."""
    data: list[str] = []
    for line in _LINE_END.split(text.removeprefix("\ufeff")):
        if not line:
            if data:
                yield "\n".join(data)
            data = []
            continue
        if line.startswith(":"):  # a comment: some relays send them to keep the connection alive
            continue
        name, _, value = line.partition(":")
        if name not in _FIELDS:
            raise Broken("a line of the stream is no event")
        if name == "data":
            data.append(value.removeprefix(" "))
    if data == [DONE]:  # nothing can follow it
        yield DONE
