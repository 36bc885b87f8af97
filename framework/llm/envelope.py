"""What stands around a reply: one chat completion, whole or streamed, and the headers that are kept of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from framework.llm import streamed
from framework.llm.record import Record, Reply
from framework.llm.redact import blot, clean
from framework.llm.signal import plain_text

HEADERS = ("x-request-id", "openai-processing-ms", "openai-version", "openai-model", "server-timing")
HEADER_GROUP, MOST_HEADERS = "x-ratelimit-", 24

_ENVELOPE = frozenset({"choices", "model", "system_fingerprint", "id", "usage"})


class Unreadable(Exception):
    """The answer is not one chat completion; the text says why in a few words."""


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the few headers a record keeps, free of our key and cut.

    Those that name the account (openai-organization, -project) are not among them: cassettes are shared.
    """
    names = [name for name in sorted(headers) if name in HEADERS or name.startswith(HEADER_GROUP)]
    return {blot(name): plain_text(blot(headers[name])) for name in names[:MOST_HEADERS]}


def read_envelope(body: bytes, is_stream: bool = False) -> Reply:
    """Return the reply inside a chat completion; what cannot be read is worth a retry.

    The body must be UTF-8 JSON with exactly one choice; fields nobody asked for are kept in `extra`. Every
    text is freed of our key first: relays echo headers, and the reply is stored.

    Raises
    ------
    Unreadable
        It is anything else.
    """
    try:
        whole = clean(streamed.whole_of(body, _load) if is_stream else _load(body.decode("utf-8-sig")))
        (choice,) = whole["choices"]
        message = choice["message"]
        return _reply(whole, choice, message)
    except streamed.Broken as error:
        raise Unreadable(f"unreadable answer: {error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unreadable(f"unreadable answer ({type(error).__name__})") from None


def _reply(whole: dict[str, Any], choice: dict[str, Any], message: dict[str, Any]) -> Reply:
    content = message.get("content")
    if isinstance(content, list):  # parts, as some upstreams write it
        content = "".join(part["text"] for part in content if part.get("type") == "text")
    finish = choice.get("finish_reason")
    usage = whole.get("usage")
    extra = {name: value for name, value in whole.items() if name not in _ENVELOPE}
    inner = {name: value for name, value in message.items() if name not in ("content", "role")}
    if inner:
        extra["message"] = inner
    return Reply(
        text=content if isinstance(content, str) else "",
        finish_reason="content_filter" if message.get("refusal") else None if finish is None else str(finish),
        tool_calls=bool(message.get("tool_calls") or message.get("function_call")),
        model=str(whole.get("model") or ""),
        fingerprint=str(whole.get("system_fingerprint") or ""),
        id=str(whole.get("id") or ""),
        usage=usage if isinstance(usage, dict) else None,
        extra=extra,
    )


def _load(text: str) -> Any:
    return json.loads(text, parse_float=_finite, parse_constant=_finite)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number


def usage_in(body: bytes) -> tuple[Record, ...]:
    """Return what an answer that cannot be used says it cost, or nothing."""
    try:
        usage = clean(_load(body.decode("utf-8-sig")))["usage"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ()
    return (usage,) if isinstance(usage, dict) else ()
