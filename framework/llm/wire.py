"""One question over the wire: the key, the retries, the limits. Nothing here judges what the model said.

Retries with full jitter on 408, 409, 429, 5xx and connection errors; `x-should-retry` overrules that for a
single question. `Retry-After` is obeyed up to 120 s, beyond that the relay is left alone. An answer that
cannot be read is a transport fault. A wrong key, no credit, an unknown model or a redirect end the recording;
any other refusal is of that one question.
"""

from __future__ import annotations

import ipaddress
import json
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from framework.errors import ConfigError, VenueError
from framework.llm import streamed
from framework.llm.envelope import Unreadable, kept_headers, read_envelope, usage_in
from framework.llm.limits import Limits, retry_after
from framework.llm.record import Record, Reply, canonical
from framework.llm.redact import Secret, blot
from framework.llm.signal import plain_text
from framework.llm.transport import Answer, Timeouts, TooLarge, Transport, TransportError

KEY_VARIABLE, URL_VARIABLE = "HOLYSHEEP_API_KEY", "HOLYSHEEP_BASE_URL"
DEFAULT_URL, DEFAULT_ALIAS = "https://api.holysheep.ai/v1", "holysheep"

RETRIED = frozenset({408, 409, 429})  # and every 5xx
LONGEST_WAIT = 120.0  # s; a relay that asks for more is not asked again
FIRST_BACKOFF, LAST_BACKOFF = 0.5, 8.0  # s; upper ends of the jitter
BYTES_PER_TOKEN = 4  # of the body, where a relay's limit of tokens is planned for


@dataclass(slots=True)
class Tries:
    """What the failed attempts of one question took."""

    attempts: int = 0  # all that were made
    waited_ns: int = 0  # in them and between them
    faults: tuple[str, ...] = ()  # oldest first
    lost: tuple[Record, ...] = ()  # usage of answers that came, and were paid, and could not be used


class Unanswered(Exception):
    """Every attempt failed (`fault` says how), or it was never asked."""

    def __init__(self, problem: str, fault: str = "") -> None:
        super().__init__(problem)
        self.fault, self.tries = fault, Tries()


class Refused(Exception):
    """The relay will not answer this one question, however often it is asked."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"{said}; this question stays unanswered")
        self.status, self.said, self.tries = status, said, Tries()


@dataclass(frozen=True, slots=True)
class Sent:
    """A complete answer and what it took."""

    reply: Reply
    latency_ns: int  # wire time of the successful attempt
    waited_ns: int  # failed attempts, the waiting between them, and for limits
    attempts: int
    faults: tuple[str, ...] = ()  # of the failed attempts, oldest first
    lost: tuple[Record, ...] = ()  # usage of answers that came, and were paid, and could not be used


class _Retry(Exception):
    def __init__(self, problem: str, after: float | None = None, *, is_final: bool = False,
                 lost: tuple[Record, ...] = ()) -> None:
        super().__init__(problem)
        self.after, self.is_final, self.lost = after, is_final, lost


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
    """Sends bodies to one endpoint; safe for threads. `halt()` ends all waiting.

    Parameters
    ----------
    url : base URL, without `/chat/completions`
    timeouts : of one attempt
    retries : further attempts after a failed one
    loopback : the endpoint is this machine: proxies and certificates of the environment are not for it
    stream : ask for a stream; it is put together, and the reply is the same either way
    limits : how fast may be asked; learnt from the headers where the user says nothing
    """

    def __init__(self, url: str, *, timeouts: Timeouts | None = None, retries: int = 3,
                 loopback: bool = False, stream: bool = False, limits: Limits | None = None) -> None:
        self.url, self.timeouts, self.retries = url, timeouts or Timeouts(), retries
        self.stream, self.limits = stream, limits or Limits()
        self._transport = Transport(loopback=loopback)
        self._halted, self.why = threading.Event(), ""  # why it was halted
        self._random = random.Random()  # spreads retries of many clients; never part of a result
        self.pause: Callable[[float], object] = self._halted.wait  # tests put their own in

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

    def send(self, body: Record, *, may_step: bool = False) -> Sent:
        """Send one body until it is answered.

        Parameters
        ----------
        may_step : another way of asking is left (see `ladder`): a 500 that comes twice refuses this one

        Raises
        ------
        Unanswered
            The last retry failed, or the relay asked to wait longer than two minutes (this halts the wire).
        Refused
            The relay will not answer this question: its filter, its length, a request it cannot read.
        VenueError
            The relay will answer none: wrong key, unknown model, no credit, a redirect (this halts the wire).
        """
        start, tries = time.perf_counter_ns(), Tries()
        text = canonical(streamed.asked(body) if self.stream else body)
        tokens = len(text) // BYTES_PER_TOKEN + int(body.get("max_tokens") or 0)
        try:
            while True:
                is_late = self._take_turn(tokens) > 0.0 or tries.attempts > 0
                tries.attempts += 1
                try:
                    reply, elapsed = self._attempt(text)
                except _Retry as fault:
                    tries.faults, tries.lost = (*tries.faults, str(fault)), tries.lost + fault.lost
                    is_500 = may_step and str(fault) == "HTTP 500"
                    if is_500 and tries.faults.count("HTTP 500") == 2:
                        raise Refused(500, "HolySheep answers HTTP 500, twice") from None
                    self._wait(fault, tries.attempts, max(self.retries, int(is_500)))
                    continue
                waited = time.perf_counter_ns() - start - elapsed if is_late else 0
                return Sent(reply, elapsed, waited, tries.attempts, tries.faults, tries.lost)
        except VenueError:
            self.halt()  # the next question would get the same answer
            raise
        except (Unanswered, Refused) as error:
            tries.waited_ns = time.perf_counter_ns() - start
            error.tries = tries
            raise

    def _take_turn(self, tokens: int) -> float:
        """Wait until one may send; return the seconds it took."""
        seconds = self.limits.wait(tokens, self.pause)
        if self._halted.is_set():
            self.limits.learn(0, {})
            why = f": {self.why}" if self.why else ""
            raise Unanswered(f"the recording stopped before it was asked{why}; run again")
        return seconds

    def _attempt(self, text: str) -> tuple[Reply, int]:
        kind = "text/event-stream" if self.stream else "application/json"
        headers = {"Authorization": Secret(f"Bearer {api_key()}"), "Accept": kind}
        start, end, answer = time.perf_counter_ns(), streamed.END if self.stream else None, None
        url = f"{self.url}/chat/completions"
        try:
            answer = self._transport.post(url, headers, text, self.timeouts, end)
        except TransportError as error:
            raise _Retry(f"no answer: {error}") from None
        except TooLarge:
            return Reply("", problem="reply is larger than 4 MiB"), time.perf_counter_ns() - start
        finally:
            self.limits.learn(*((answer.status, answer.headers) if answer else (0, {})))
        _check_status(answer)
        try:
            reply = read_envelope(answer.body, streamed.is_stream(answer.headers.get("content-type", "")))
        except Unreadable as error:
            raise _Retry(str(error), lost=usage_in(answer.body)) from None
        return replace(reply, headers=kept_headers(answer.headers)), answer.elapsed_ns

    def _wait(self, fault: _Retry, attempt: int, retries: int) -> None:
        if fault.after is not None and fault.after > LONGEST_WAIT:
            why = f"the relay asks to wait {fault.after:.0f} s"
            self.halt(why)
            raise Unanswered(f"{fault}; {why}, run again later")
        if fault.is_final or attempt > retries:
            tried = f"{fault}, after {attempt} attempt{'s' * (attempt > 1)}"
            if fault.is_final:
                tried += "; the relay says not to try again"
            raise Unanswered(f"{tried}; run again to ask only what is missing", str(fault))
        seconds = self._random.uniform(0.0, min(LAST_BACKOFF, FIRST_BACKOFF * 2.0 ** (attempt - 1)))
        if fault.after:
            seconds = fault.after + min(seconds, 0.25 * fault.after)
        if fault.after or str(fault) == "HTTP 429":  # not this question is too many, but any
            self.limits.close(seconds)
        self.pause(seconds)


def _check_status(answer: Answer) -> None:
    status, wish = answer.status, answer.headers.get("x-should-retry", "").strip().lower()
    if status == 200:
        return
    after = retry_after(answer.headers, time.time())
    if status in RETRIED or status >= 500:
        raise _Retry(f"HTTP {status}", after, is_final=wish == "false")
    if status in (401, 403):
        raise VenueError(f"HolySheep refuses the key in {KEY_VARIABLE} (HTTP {status}); set a valid key")
    if 300 <= status < 400:
        raise VenueError(f"HolySheep redirects (HTTP {status}), not followed; correct {URL_VARIABLE}")
    said = f"HolySheep answers HTTP {status}: {_error_text(answer.body)}"
    if status in (402, 404):
        raise VenueError(f"{said}; {'pay in credit' if status == 402 else 'correct model or URL'}")
    if wish == "true":
        raise _Retry(f"HTTP {status}", after)
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
