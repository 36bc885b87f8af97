"""What the loopback HolySheep says: scripted answers, the healthy one, as one envelope or as a stream."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from framework.errors import ConfigError
from framework.llm.record import canonical

BYTES_PER_TOKEN = 4  # of the usage it tells
PIECES = 6  # of a streamed text
NOT_KEY = ("stream", "stream_options")  # how an answer is carried is not what is asked

_PRICE = re.compile(r"^Current price: ([0-9.]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Scripted:
    """One answer. Everything not named is what a healthy relay says.

    Parameters
    ----------
    text : the model's content; None = a valid signal computed from the question
    headers : further headers, or others for ours
    message : further fields of the message: tool_calls, refusal ...
    envelope : further fields of the envelope, or others for ours
    usage : "sizes" = computed from the lengths of the texts; None = none is told
    model : echoed; None = the one that was asked
    hang : never answer (until the server closes): the client has to give up by itself
    cut : announce the whole body but close the connection after this many bytes
    body : raw bytes instead of an envelope or a stream
    charset : encode the envelope in this charset instead of UTF-8
    size : pad the envelope to this many bytes
    endless : send a body without end
    """

    text: str | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    finish_reason: str | None = "stop"
    message: dict[str, Any] = field(default_factory=dict)
    envelope: dict[str, Any] = field(default_factory=dict)
    usage: dict[str, Any] | Literal["sizes"] | None = "sizes"
    model: str | None = None
    hang: bool = False
    cut: int | None = None
    body: bytes | None = None
    charset: str = "utf-8"
    size: int = 0
    endless: bool = False


def scripted(item: object) -> Scripted:
    """Return an item of a plan as a Scripted.

    Raises
    ------
    ConfigError
        It is neither a Scripted nor a str.
    """
    if isinstance(item, str):
        return Scripted(text=item)
    if not isinstance(item, Scripted):
        raise ConfigError(f"plan holds a {type(item).__name__}; give Scripted(...) or a str")
    return item


def key_of_body(body: dict[str, Any]) -> str:
    """Return the sha256 of what is asked, however the answer is to be carried."""
    asked = {name: value for name, value in body.items() if name not in NOT_KEY}
    return hashlib.sha256(canonical(asked).encode("ascii")).hexdigest()


def signal_for(body: dict[str, Any]) -> str:
    """Return a valid signal for a question, a pure function of its text: long, short or neutral."""
    text = str(body["messages"][-1]["content"])
    found = _PRICE.search(text)
    price = float(found.group(1)) if found else 100.0
    draw = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    side = (1, -1, 0)[draw[0] % 3]
    away = price * (0.01 + draw[1] / 255.0 * 0.02)
    signal = {
        "regime": ("trending_up", "trending_down", "ranging")[draw[0] % 3],
        "direction": ("long", "short", "neutral")[draw[0] % 3],
        "confidence": round(0.5 + draw[2] / 255.0 * 0.45, 3),
        "reasoning": "loopback server",
        "suggested_entry": price if side else None,
        "stop_loss": round(price - side * away, 8) if side else None,
        "take_profit": round(price + 1.5 * side * away, 8) if side else None,
        "position_size_pct": 0.2 if side else 0.0,
    }
    return json.dumps(signal)


def usage_for(body: dict[str, Any], text: str) -> dict[str, int]:
    """Return tokens as the sizes of the texts give them."""
    asked = sum(len(str(message.get("content", ""))) for message in body["messages"])
    read, written = asked // BYTES_PER_TOKEN + 4 * len(body["messages"]), len(text) // BYTES_PER_TOKEN + 1
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def refused(status: int, kind: str, text: str) -> bytes:
    """Return the body of an error."""
    return json.dumps({"error": {"type": kind, "message": text, "param": None, "code": None}}).encode()


def _whole(script: Scripted, body: dict[str, Any]) -> dict[str, Any]:
    """Return a chat completion."""
    content = signal_for(body) if script.text is None else script.text
    usage = usage_for(body, content) if script.usage == "sizes" else script.usage
    return {
        "id": "hs-rk-" + key_of_body(body)[:12],
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": script.model or body.get("model"),
        "system_fingerprint": "fp_loopback",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, **script.message},
                "finish_reason": script.finish_reason,
            }
        ],
        **({} if usage is None else {"usage": usage}),
        **script.envelope,
    }


def envelope_for(script: Scripted, body: dict[str, Any]) -> bytes:
    """Return the bytes of a chat completion in one piece, or of an error."""
    if script.body is not None:
        return script.body
    if script.status != 200:
        kind = "rate_limit_error" if script.status == 429 else "api_error"
        error = {"type": kind, "message": script.text or f"scripted {script.status}"}
        return json.dumps({"error": error}).encode(script.charset)
    whole = _whole(script, body)
    data = json.dumps(whole, ensure_ascii=script.charset == "utf-8").encode(script.charset)
    return data + b" " * max(0, script.size - len(data))


def stream_for(script: Scripted, body: dict[str, Any]) -> list[bytes]:
    """Return the events of the same completion as a stream, the last of them `[DONE]`."""
    whole = _whole(script, body)
    (choice,), usage = whole.pop("choices"), whole.pop("usage", None)
    told = bool((body.get("stream_options") or {}).get("include_usage"))
    head: dict[str, Any] = {"object": "chat.completion.chunk"}
    head |= {name: whole[name] for name in ("id", "created", "model", "system_fingerprint") if name in whole}

    def event(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
        part = {"index": 0, "delta": delta, "finish_reason": finish}
        return {**head, "choices": [part], **({"usage": None} if told else {}), **more}

    message = choice["message"]
    content = message.pop("content")
    events = [event({**message, "content": ""}, **{k: v for k, v in whole.items() if k not in head})]
    events += [event({"content": piece}) for piece in _pieces(content)]
    if choice["finish_reason"] is not None:
        events.append(event({}, choice["finish_reason"]))
    if told and usage is not None:
        events.append({**head, "choices": [], "usage": usage})
    return [*(b"data: " + json.dumps(one).encode() + b"\n\n" for one in events), b"data: [DONE]\n\n"]


def _pieces(content: object) -> list[str]:
    """Return a text in pieces; nothing for a message without one."""
    if not isinstance(content, str):
        return []
    size = max(1, -(-len(content) // PIECES))
    return [content[at : at + size] for at in range(0, len(content), size)]
