"""The only file that knows the HTTP library. One method, bounded in time and size.

The library's timeouts are for each single read, so a server that sends a byte now and then is never late.
Here an attempt has a deadline: when it is over, its connection is shut under the reader. For that one has to
know the connection, so each attempt has a line of its own: a client with one connection, kept for the next.
"""

from __future__ import annotations

import contextlib
import logging
import math
import re
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from framework.errors import ConfigError
from framework.llm.redact import Discreet

MAX_BODY = 4 * 2**20  # bytes; a reply of 800 tokens is a few thousand
GRACE = 0.5  # s; after the last event of a stream, so that its connection can be kept
LOGGERS = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy")


class TransportError(Exception):
    """No complete answer: connection, timeout, or a cut-off body. The text names no header and no key."""


class TooLarge(Exception):
    """The answer is longer than MAX_BODY; reading stopped there."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds one attempt may take: to connect, from then to the first byte of the body, and in all.

    Raises
    ------
    ConfigError
        One is not a positive number.
    """

    connect: float = 5.0
    first_byte: float = 60.0
    total: float = 120.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            seconds = getattr(self, name)
            if not (math.isfinite(seconds) and seconds > 0.0):
                raise ConfigError(f"{name}={seconds} must be a positive number of seconds")

    @classmethod
    def of(cls, total: float) -> Timeouts:
        """Return the phases of one number: a model that thinks long may do so before its first byte."""
        return cls(min(5.0, total / 2.0), total, total)


class Answer(NamedTuple):
    """One complete HTTP answer."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes
    elapsed_ns: int  # from sending to the last byte

    def __repr__(self) -> str:
        return f"Answer(status={self.status}, {len(self.body)} bytes)"  # it may echo the key


class Line:
    """One client with at most one connection, and the deadline of the attempt that uses it."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.late = ""  # why its connection was shut; it is good for nothing then
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._turn = 0  # an alarm that comes too late must not shut the next attempt's connection
        self._alarm: threading.Timer | None = None
        self.start, self._last, self._is_waiting = 0, 0, False  # of the attempt: ns, ns, no byte came yet

    def begin(self, timeouts: Timeouts) -> None:
        """Start the clock of an attempt."""
        self.start = time.perf_counter_ns()
        self._last = self.start + round(timeouts.total * 1e9)
        self._is_waiting = timeouts.first_byte < timeouts.total
        if self._is_waiting:
            self.arm(timeouts.first_byte, "ReadTimeout, no first byte")
        else:
            self.arm(timeouts.total, "ReadTimeout")

    def hear(self) -> None:
        """Note that the body has begun to come."""
        if self._is_waiting:
            self._is_waiting = False
            self.arm((self._last - time.perf_counter_ns()) / 1e9, "ReadTimeout")

    def arm(self, seconds: float, late: str) -> None:
        """Shut the connection when the next so many seconds are over; an alarm before it is off."""
        self.disarm()
        self._alarm = threading.Timer(max(seconds, 0.0), self._ring, (self._turn, late))
        self._alarm.daemon = True
        self._alarm.start()

    def disarm(self) -> None:
        """Put the alarm off."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        with self._lock:
            self._turn += 1

    def watch(self, event: str, info: Mapping[str, Any]) -> None:
        """Take note of the connection as it is made (the library's trace hook)."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            with self._lock:
                self._socket = info["return_value"].get_extra_info("socket")
                if self.late:
                    self._shut()

    def _ring(self, turn: int, late: str) -> None:
        with self._lock:
            if turn == self._turn:
                self.late = late
                self._shut()

    def _shut(self) -> None:
        """Shut both directions: whoever reads wakes up, whatever the server goes on sending."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # below TLS, which is for its reader

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(Exception):
            self.client.close()


@lru_cache(maxsize=2)
def _certificates(trust_env: bool) -> Any:
    """Return whom to trust; reading the certificates takes as long as a hundred calls on loopback."""
    import httpx

    return httpx.create_ssl_context(trust_env=trust_env)


class Transport:
    """POST over kept connections, safe for threads; redirects are not followed (they carry the key)."""

    def __init__(self, *, loopback: bool = False) -> None:
        import httpx  # late: a backtest from a cassette needs no HTTP library

        self._httpx, self._loopback = httpx, loopback
        # proxies and certificates of the environment are for the outside world only
        self._verify = _certificates(not loopback)
        for name in LOGGERS:  # a relay may echo the key in a header or a reason phrase
            log = logging.getLogger(name)
            if not any(isinstance(one, Discreet) for one in log.filters):
                log.addFilter(Discreet())
        self._idle: list[Line] = []  # append and pop are safe for threads
        self._is_open = True

    def post(self, url: str, headers: Mapping[str, str], json: str, timeouts: Timeouts,
             end: re.Pattern[bytes] | None = None) -> Answer:
        """Send `json` (already encoded) and return the whole answer.

        Parameters
        ----------
        timeouts : for the attempt, however slowly the bytes come. Looking up the host's name, and addresses
            after the first that do not answer, may add to it.
        end : what ends a streamed body; the answer is complete there, whatever the server does then

        Raises
        ------
        TransportError
            No connection, no answer in time, or a body that ends early.
        TooLarge
            The body is longer than 4 MiB.
        """
        httpx, line = self._httpx, self._line()
        is_done = False
        try:
            answer = self._send(line, url, headers, json.encode("ascii"), timeouts, end)
            is_done = True
            return answer
        except httpx.HTTPError as error:
            raise TransportError(line.late or type(error).__name__) from None
        except httpx.InvalidURL:
            raise TransportError("invalid URL") from None
        finally:
            line.disarm()
            if is_done and self._is_open and not line.late:
                self._idle.append(line)
            else:
                line.close()

    def _line(self) -> Line:
        try:
            return self._idle.pop()
        except IndexError:
            pass
        limits = self._httpx.Limits(max_connections=1)
        client = self._httpx.Client(
            follow_redirects=False, trust_env=not self._loopback, verify=self._verify, limits=limits
        )
        return Line(client)

    def _send(self, line: Line, url: str, headers: Mapping[str, str], data: bytes, timeouts: Timeouts,
              end: re.Pattern[bytes] | None) -> Answer:
        # connecting and the TLS handshake have half of the time each: nothing can be shut before them
        connect = min(timeouts.connect, timeouts.total / 2.0)
        limits = self._httpx.Timeout(timeouts.total, connect=connect)
        sent = {**headers, "Content-Type": "application/json", "Accept-Encoding": "identity"}
        hook = {"trace": line.watch}
        line.begin(timeouts)
        with line.client.stream(
            "POST", url, headers=sent, content=data, timeout=limits, extensions=hook
        ) as response:
            body, elapsed = self._read(response, line, end)
            names = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status_code, names, body, elapsed)

    def _read(self, response: Any, line: Line, end: re.Pattern[bytes] | None) -> tuple[bytes, int]:
        """Return the body and the ns the attempt took up to its last byte."""
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            # a small compressed bomb unpacks to any size
            raise TransportError("compressed although identity was asked for")
        body, ended = bytearray(), 0  # one buffer: a list of one-byte chunks would be a hundred times it
        try:
            for part in response.iter_raw():  # as they come; a size would wait until it is full
                line.hear()
                body += part
                if len(body) > MAX_BODY:
                    raise TooLarge
                if line.late:
                    break
                if end is not None and not ended and end.search(body, max(0, len(body) - len(part) - 32)):
                    ended = time.perf_counter_ns()
                    line.arm(GRACE, "ended")
        except self._httpx.HTTPError:
            if not ended:
                raise
            line.late = line.late or "ended"  # complete, but its connection is not
        if line.late and not ended:  # a body without a length ends where the connection was shut
            raise TransportError(line.late)
        return bytes(body), (ended or time.perf_counter_ns()) - line.start

    def close(self) -> None:
        """Close the kept connections."""
        self._is_open = False
        while self._idle:
            self._idle.pop().close()
