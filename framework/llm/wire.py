"""One question over the wire: the key, the retries, the envelope. Nothing here judges what the model said.

Retries with full jitter on 408, 409, 429, 5xx and connection errors; `Retry-After` is obeyed up to 120 s,
beyond that the relay is left alone. An envelope that cannot be read is a transport fault. A wrong key, no
credit, an unknown model or a redirect end the recording; any other refusal is of that one question.
"""

from __future__ import annotations

import email.utils
import ipaddress
import json
import math
import os
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from framework.errors import ConfigError, VenueError
from framework.llm.record import Record, Reply, canonical
from framework.llm.redact import Secret, blot, clean
from framework.llm.signal import plain_text
from framework.llm.transport import Answer, TooLarge, Transport, TransportError

KEY_VARIABLE, URL_VARIABLE = "HOLYSHEEP_API_KEY", "HOLYSHEEP_BASE_URL"
DEFAULT_URL, DEFAULT_ALIAS = "https://api.holysheep.ai/v1", "holysheep"

RETRIED = frozenset({408, 409, 429})  # and every 5xx
LONGEST_WAIT = 120.0  # s; a relay that asks for more is not asked again
FIRST_BACKOFF, LAST_BACKOFF = 0.5, 8.0  # s; upper ends of the jitter

_ENVELOPE = frozenset({"choices", "model", "system_fingerprint", "id", "usage"})


class Unanswered(Exception):
    """Every attempt failed (`fault` says how), or it was never asked."""

    def __init__(self, problem: str, fault: str = "") -> None:
        super().__init__(problem)
        self.fault = fault


class Refused(Exception):
    """The relay will not answer this one question, however often it is asked."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"{said}; this question stays unanswered")
        self.status, self.said = status, said


@dataclass(frozen=True, slots=True)
class Sent:
    """A complete answer and what it took."""

    reply: Reply
    latency_ns: int  # wire time of the successful attempt
    waited_ns: int  # failed attempts and the waiting between them
    attempts: int


class _Retry(Exception):
    def __init__(self, problem: str, after: float | None = None) -> None:
        super().__init__(problem)
        self.after = after


def endpoint() -> tuple[str, str, bool]:
    """Return (base URL, alias for keys, is loopback) from HOLYSHEEP_BASE_URL.

    Raises
    ------
    ConfigError
        Not https (plain http only to this machine), or a URL that carries a password or a query.
    """
    url = os.environ.get(URL_VARIABLE, "").strip().rstrip("/") or DEFAULT_URL
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ConfigError(f"{URL_VARIABLE} is not a URL; write it like {DEFAULT_URL}") from None
    loopback = _is_loopback(host)
    if not host or parts.query or parts.fragment or "@" in parts.netloc or not url.isprintable():
        raise ConfigError(f"{URL_VARIABLE} must be a plain URL without password or query, like {DEFAULT_URL}")
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
        raise ConfigError(f"{URL_VARIABLE}: plain http is for this machine only; use https://{host}")
    return url, DEFAULT_ALIAS if url == DEFAULT_URL else host + parts.path, loopback


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def api_key() -> Secret:
    """Return the key from HOLYSHEEP_API_KEY.

    Raises
    ------
    ConfigError
        Not set, or not one word of printable ASCII (the value is never shown).
    """
    value = os.environ.get(KEY_VARIABLE, "").strip()
    if not value:
        raise ConfigError(f"{KEY_VARIABLE} is not set: asking HolySheep needs it; replay and Rules do not")
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise ConfigError(f"{KEY_VARIABLE} holds characters a key cannot have; copy it again")
    return Secret(value)


class Wire:
    """Sends bodies to one endpoint; safe for threads. `halt()` ends all waiting."""

    def __init__(self, url: str, *, timeout: float, retries: int, loopback: bool = False) -> None:
        self.url, self.timeout, self.retries = url, timeout, retries
        self._transport = Transport(loopback=loopback)
        self._halted, self.why = threading.Event(), ""  # why it was halted
        self._random = random.Random()  # spreads retries of many clients; never part of a result
        self.pause = self._halted.wait  # tests put their own in

    @property
    def halted(self) -> bool:
        """True after `halt()`."""
        return self._halted.is_set()

    def halt(self, why: str = "") -> None:
        """Send nothing more and wake whoever waits for a retry."""
        self.why = self.why or why
        self._halted.set()

    def close(self) -> None:
        """Close connections."""
        self._transport.close()

    def send(self, body: Record) -> Sent:
        """Send one body until it is answered.

        Raises
        ------
        Unanswered
            The last retry failed, or the relay asked to wait longer than two minutes (this halts the wire).
        Refused
            The relay will not answer this question: its filter, its length, a request it cannot read.
        VenueError
            The relay will answer none: wrong key, unknown model, no credit, a redirect (this halts the wire).
        """
        start, text = time.perf_counter_ns(), canonical(body)
        for attempt in range(1, self.retries + 2):
            if self._halted.is_set():
                why = f": {self.why}" if self.why else ""
                raise Unanswered(f"the recording stopped before it was asked{why}; run again")
            try:
                reply, elapsed = self._attempt(text)
            except _Retry as fault:
                self._wait(fault, attempt)
                continue
            except VenueError:
                self.halt()  # the next question would get the same answer
                raise
            waited = time.perf_counter_ns() - start - elapsed
            return Sent(reply, elapsed, waited if attempt > 1 else 0, attempt)
        raise Unanswered("no attempt was made")  # pragma: no cover

    def _attempt(self, text: str) -> tuple[Reply, int]:
        headers = {"Authorization": Secret(f"Bearer {api_key()}"), "Accept": "application/json"}
        start = time.perf_counter_ns()
        try:
            answer = self._transport.post(f"{self.url}/chat/completions", headers, text, self.timeout)
        except TransportError as error:
            raise _Retry(f"no answer: {error}") from None
        except TooLarge:
            return Reply("", problem="reply is larger than 4 MiB"), time.perf_counter_ns() - start
        _check_status(answer)
        return read_envelope(answer.body), answer.elapsed_ns

    def _wait(self, fault: _Retry, attempt: int) -> None:
        if fault.after is not None and fault.after > LONGEST_WAIT:
            why = f"the relay asks to wait {fault.after:.0f} s"
            self.halt(why)
            raise Unanswered(f"{fault}; {why}, run again later")
        if attempt > self.retries:
            tried = f"{fault}, after {attempt} attempt{'s' * (attempt > 1)}"
            raise Unanswered(f"{tried}; run again to ask only what is missing", str(fault))
        seconds = self._random.uniform(0.0, min(LAST_BACKOFF, FIRST_BACKOFF * 2.0 ** (attempt - 1)))
        if fault.after:
            seconds = fault.after + min(seconds, 0.25 * fault.after)
        self.pause(seconds)


def _check_status(answer: Answer) -> None:
    status = answer.status
    if status == 200:
        return
    if status in RETRIED or status >= 500:
        raise _Retry(f"HTTP {status}", retry_after(answer.headers, time.time()))
    if status in (401, 403):
        raise VenueError(f"HolySheep refuses the key in {KEY_VARIABLE} (HTTP {status}); set a valid key")
    if 300 <= status < 400:
        raise VenueError(f"HolySheep redirects (HTTP {status}), not followed; correct {URL_VARIABLE}")
    said = f"HolySheep answers HTTP {status}: {_error_text(answer.body)}"
    if status in (402, 404):
        raise VenueError(f"{said}; {'pay in credit' if status == 402 else 'correct model or URL'}")
    raise Refused(status, said)


def _error_text(body: bytes) -> str:
    text = body[:65_536].decode("utf-8", "replace")
    try:
        message = json.loads(text)["error"]
        text = message["message"] if isinstance(message, dict) else message
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    # once more after what cannot be seen is dropped, and before it is cut: half a key is a key too
    return plain_text(blot(plain_text(blot(str(text)), 2000)), 200) or "no text"


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds a relay asks to wait: `retry-after-ms`, or `retry-after` as seconds or HTTP date.

    Negative is 0; None when absent or unreadable. `now` is seconds since the epoch.
    """
    text = headers.get("retry-after-ms")
    scale = 0.001
    if text is None:
        text, scale = headers.get("retry-after"), 1.0
    if text is None:
        return None
    try:
        seconds = float(text) * scale
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - now
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
    return None if math.isnan(seconds) else max(0.0, seconds)


def read_envelope(body: bytes) -> Reply:
    """Return the reply inside a chat completion; what cannot be read is worth a retry.

    The body must be UTF-8 JSON with exactly one choice; fields nobody asked for are kept in `extra`. Every
    text is freed of our key first: relays echo headers, and the reply is stored.
    """
    try:
        whole = json.loads(body.decode("utf-8"), parse_float=_finite, parse_constant=_finite)
        whole = clean(whole)
        (choice,) = whole["choices"]
        message = choice["message"]
        return _reply(whole, choice, message)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _Retry(f"unreadable answer ({type(error).__name__})") from None


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


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number
