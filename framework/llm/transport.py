"""The only file that knows the HTTP library. One method, bounded in time and size."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

MAX_BODY = 4 * 2**20  # bytes; a reply of 800 tokens is a few thousand
CONNECT_SECONDS = 5.0


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


class Transport:
    """POST over pooled connections, safe for threads; redirects are not followed (they carry the key)."""

    def __init__(self, *, loopback: bool = False) -> None:
        import httpx  # late: a backtest from a cassette needs no HTTP library

        self._httpx = httpx
        # proxies of the environment are for the outside world only
        self._client = httpx.Client(follow_redirects=False, trust_env=not loopback)

    def post(self, url: str, headers: Mapping[str, str], json: str, timeout: float) -> Answer:
        """Send `json` (already encoded) and return the whole answer.

        Parameters
        ----------
        timeout : seconds for connecting (at most 5), for each read, and for the whole

        Raises
        ------
        TransportError
            No connection, no answer in time, or a body that ends early.
        TooLarge
            The body is longer than 4 MiB.
        """
        httpx = self._httpx
        limits = httpx.Timeout(timeout, connect=min(CONNECT_SECONDS, timeout))
        sent = {**headers, "Content-Type": "application/json", "Accept-Encoding": "identity"}
        start = time.perf_counter_ns()
        try:
            data = json.encode("ascii")
            with self._client.stream("POST", url, headers=sent, content=data, timeout=limits) as r:
                body = self._read(r, start, timeout)
                elapsed = time.perf_counter_ns() - start
                return Answer(r.status_code, {k.lower(): v for k, v in r.headers.items()}, body, elapsed)
        except httpx.HTTPError as error:
            raise TransportError(type(error).__name__) from None
        except httpx.InvalidURL:
            raise TransportError("invalid URL") from None

    def _read(self, response: Any, start: int, timeout: float) -> bytes:
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            # a small compressed bomb unpacks to any size
            raise TransportError("compressed although identity was asked for")
        parts, size = [], 0
        for part in response.iter_raw(65_536):
            parts.append(part)
            size += len(part)
            if size > MAX_BODY:
                raise TooLarge
            if time.perf_counter_ns() - start > timeout * 1e9:
                raise TransportError("ReadTimeout")
        return b"".join(parts)

    def close(self) -> None:
        """Close the pooled connections."""
        with contextlib.suppress(Exception):
            self._client.close()
