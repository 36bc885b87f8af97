"""The only file that knows the HTTP library. One method, bounded in time and size.

The library's timeouts are for each single read, so a server that sends a byte now and then is never late.
Here an attempt has a deadline: when it is over, its connection is shut under the reader. For that one has to
know the connection, so each attempt has a line of its own: a client with one connection, kept for the next.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from framework.llm.redact import Discreet

MAX_BODY = 4 * 2**20  # bytes; a reply of 800 tokens is a few thousand
CONNECT_SECONDS = 5.0
LOGGERS = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy")


class TransportError(Exception):
    """No complete answer: connection, timeout, or a cut-off body. The text names no header and no key."""


class TooLarge(Exception):
    """The answer is longer than MAX_BODY; reading stopped there."""


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
        self.is_late = False  # its connection was shut, it is good for nothing
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._turn = 0  # an alarm that comes too late must not shut the next attempt's connection

    @contextlib.contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """Shut the connection when the block takes longer than `seconds`."""
        alarm = threading.Timer(seconds, self._ring, (self._turn,))
        alarm.daemon = True
        alarm.start()
        try:
            yield
        finally:
            alarm.cancel()
            with self._lock:
                self._turn += 1

    def watch(self, event: str, info: Mapping[str, Any]) -> None:
        """Take note of the connection as it is made (the library's trace hook)."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            with self._lock:
                self._socket = info["return_value"].get_extra_info("socket")
                if self.is_late:
                    self._shut()

    def _ring(self, turn: int) -> None:
        with self._lock:
            if turn == self._turn:
                self.is_late = True
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


class Transport:
    """POST over kept connections, safe for threads; redirects are not followed (they carry the key)."""

    def __init__(self, *, loopback: bool = False) -> None:
        import httpx  # late: a backtest from a cassette needs no HTTP library

        self._httpx, self._loopback = httpx, loopback
        # proxies and certificates of the environment are for the outside world only
        self._verify = httpx.create_ssl_context(trust_env=not loopback)
        for name in LOGGERS:  # a relay may echo the key in a header or a reason phrase
            log = logging.getLogger(name)
            if not any(isinstance(one, Discreet) for one in log.filters):
                log.addFilter(Discreet())
        self._idle: list[Line] = []  # append and pop are safe for threads
        self._is_open = True

    def post(self, url: str, headers: Mapping[str, str], json: str, timeout: float) -> Answer:
        """Send `json` (already encoded) and return the whole answer.

        Parameters
        ----------
        timeout : seconds for the whole attempt, however slowly the bytes come. Looking up the host's name,
            and addresses after the first that do not answer, may add to it.

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
            with line.limited(timeout):
                answer = self._send(line, url, headers, json.encode("ascii"), timeout)
            is_done = True
            return answer
        except httpx.HTTPError as error:
            raise TransportError("ReadTimeout" if line.is_late else type(error).__name__) from None
        except httpx.InvalidURL:
            raise TransportError("invalid URL") from None
        finally:
            if is_done and self._is_open and not line.is_late:
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

    def _send(self, line: Line, url: str, headers: Mapping[str, str], data: bytes, timeout: float) -> Answer:
        # connecting and the TLS handshake have half of the time each: nothing can be shut before them
        limits = self._httpx.Timeout(timeout, connect=min(CONNECT_SECONDS, timeout / 2.0))
        sent = {**headers, "Content-Type": "application/json", "Accept-Encoding": "identity"}
        hook = {"trace": line.watch}
        start = time.perf_counter_ns()
        with line.client.stream(
            "POST", url, headers=sent, content=data, timeout=limits, extensions=hook
        ) as response:
            body = _read(response, line)
            elapsed = time.perf_counter_ns() - start
            names = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status_code, names, body, elapsed)

    def close(self) -> None:
        """Close the kept connections."""
        self._is_open = False
        while self._idle:
            self._idle.pop().close()


def _read(response: Any, line: Line) -> bytes:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        # a small compressed bomb unpacks to any size
        raise TransportError("compressed although identity was asked for")
    body = bytearray()  # one buffer: a list of one-byte chunks would be a hundred times the body
    for part in response.iter_raw():  # as they come; a size would wait until it is full
        body += part
        if len(body) > MAX_BODY:
            raise TooLarge
        if line.is_late:
            raise TransportError("ReadTimeout")
    if line.is_late:  # a body without a length ends where the connection was shut
        raise TransportError("ReadTimeout")
    return bytes(body)
