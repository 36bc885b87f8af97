"""HTTP for Tardis: redirects that never carry the key away, answers bounded in time and size, and waits.

The rules of retrying are those of the official clients: 400, 401, 403 and 404 are final; 429 waits as long as
Retry-After says (more than 300 s = the quota is used up, final); every other fault doubles the wait.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from framework.data.tardis_names import Base, on_loopback
from framework.llm.redact import Discreet, Secret, blot

TRIES = 30
QUOTA_SECONDS = 300.0  # a longer Retry-After means that the plan's quota is used up
MOST_WAITING = 3_600.0  # s of waits for one file, all together
REDIRECTS = 5
UNHEARD = 4  # attempts at a service that has never answered
MOST_ERROR = 65_536  # bytes of an error's body that are read
LOGGERS = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy")
AGENT = "Mozilla/5.0 (compatible; sheepfold)"  # the form that gateways before such services let through
FINAL = (400, 401, 403, 404)


class Failed(Exception):
    """One attempt failed.

    Attributes
    ----------
    status : HTTP status; 0 = no complete answer
    after : seconds the service asks to wait, None = it does not say
    is_final : asking again will not help
    is_body : an answer came, and its content cannot be trusted
    """

    def __init__(
        self, words: str, status: int = 0, after: float | None = None, *, final: bool = False,
        body: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(words)
        self.status, self.after, self.is_body = status, after, body
        self.is_final = final or (status == 429 and after is not None and after > QUOTA_SECONDS)

    @property
    def is_quota(self) -> bool:
        """True when the plan's quota is used up: nothing more comes today."""
        return self.status == 429 and self.is_final


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one waits. `unit` is the length of a second of waiting: tests have shorter ones."""

    tries: int = TRIES
    unit: float = 1.0
    connect: float = 15.0
    silence: float = 60.0  # s without a byte
    grace: float = 60.0  # s before an answer can be too slow
    slowest: float = 1_000.0  # bytes/s on average

    def wait(self, attempt: int, failed: Failed) -> float:
        """Return the seconds before the next attempt; `attempt` counts from 1."""
        draw = random.random()
        seconds = min(2.0**attempt, 120.0) + 0.5 * draw
        if failed.status == 429:
            seconds = seconds + 60.0 if failed.after is None else failed.after + draw
        elif failed.status >= 500:
            seconds *= 2.0
        return seconds * self.unit


class Client:
    """GET and HEAD at one service, with its key."""

    def __init__(self, base: Base, key: Secret | None, patience: Patience, workers: int = 1) -> None:
        import httpx  # late: whoever downloads nothing needs no HTTP library

        self.base, self.key, self.patience = base, key, patience
        self.is_there = False  # the service has answered, if only with an error
        self._errors = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)
        for name in LOGGERS:  # a server may echo the key in a header or a reason phrase
            log = logging.getLogger(name)
            if not any(isinstance(one, Discreet) for one in log.filters):
                log.addFilter(Discreet())
        # proxies and certificates of the environment are for the outside world only
        outside = not base.is_loopback
        self._client = httpx.AsyncClient(
            follow_redirects=False, trust_env=outside, verify=tls(outside),
            limits=httpx.Limits(max_connections=workers, max_keepalive_connections=workers),
            timeout=httpx.Timeout(patience.silence, connect=patience.connect, pool=None),
        )  # fmt: skip

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    @contextlib.asynccontextmanager
    async def opened(self, method: str, url: str) -> AsyncIterator[Any]:
        """Yield the good answer to a request; its body is not read yet.

        Raises
        ------
        Failed
            No answer, an error, or a redirect to where it must not lead.
        """
        try:
            for _ in range(REDIRECTS + 1):
                request = self._client.build_request(method, url, headers=self._headers(url))
                response = await self._client.send(request, stream=True)
                self.is_there = True
                try:
                    if not response.has_redirect_location:
                        if response.status_code != 200:
                            raise await refusal(response)
                        yield response
                        return
                    url = self._target(url, response.headers["location"])
                finally:
                    await response.aclose()
            raise Failed("redirects go round in a circle", final=True)
        except self._errors as error:
            raise Failed(blot(f"{type(error).__name__}: {plain(str(error))}".rstrip(": "))) from None

    def _headers(self, url: str) -> dict[str, str]:
        """Return a request's headers: the key only where it belongs."""
        headers = {"Accept-Encoding": "gzip", "User-Agent": AGENT}
        if self.key is not None and origin_of(url) == self.base.origin:
            headers["Authorization"] = Secret(f"Bearer {self.key}")
        return headers

    def _target(self, url: str, location: str) -> str:
        """Return where a redirect leads; plain http and this machine only from this machine."""
        try:
            target = urljoin(url, location)
            scheme, host, _ = origin_of(target)
        except ValueError:
            target, scheme, host = "", "", ""
        inside = on_loopback(host)
        if not host or scheme not in ("http", "https") or (scheme == "http" and not inside):
            raise Failed("is redirected to a URL that is not https; this is not followed", final=True)
        if inside and not self.base.is_loopback:
            raise Failed("is redirected to this machine; this is not followed", final=True)
        return target


@functools.cache
def tls(outside: bool) -> Any:
    """Return the certificates connections are checked with: loading them takes longer than a small file."""
    import httpx

    return httpx.create_ssl_context(trust_env=outside)


def origin_of(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of a URL."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


async def refusal(response: Any) -> Failed:
    """Return what an error answer says, on one line and without the key."""
    body = b""
    async for part in response.aiter_raw():
        body += part
        if len(body) > MOST_ERROR:
            break
    status = response.status_code
    words = f"HTTP {status}"
    if said := blot(plain(message_of(body)))[:200]:
        words += f": {said}"
    final = status in FINAL and not (status == 400 and "ISO 8601 format" in said)
    asked = response.headers.get("retry-after", "").strip()
    after = float(asked) if asked.isdecimal() and len(asked) < 9 else None
    return Failed(words, status, after, final=final or (300 <= status < 400))


def message_of(body: bytes) -> str:
    """Return the message of an error's body: JSON {code, message}, or its text."""
    with contextlib.suppress(Exception):
        body = unzipped(body, MOST_ERROR)
    text = body[:MOST_ERROR].decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return str(value.get("message", "")) if isinstance(value, dict) else text


def plain(text: str) -> str:
    """Return a text on one line, control characters left out."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def unzipped(body: bytes, most: int) -> bytes:
    """Return a body without the gzip around it; ValueError for what is longer than `most` or damaged."""
    if body[:2] != b"\x1f\x8b":
        return body
    import zlib

    inflate = zlib.decompressobj(31)
    try:
        data = inflate.decompress(body, most + 1)
    except zlib.error as error:
        raise ValueError(f"damaged gzip ({error})") from None
    if len(data) > most or not inflate.eof:
        raise ValueError("too long or cut off")
    return data


async def read_json(client: Client, url: str, most: int) -> Any:
    """Return a JSON answer of at most `most` bytes, packed and unpacked."""
    async with client.opened("GET", url) as response:
        body = bytearray()
        async for part in response.aiter_raw():
            body += part
            if len(body) > most:
                raise Failed(f"the answer is longer than {most:,} bytes", final=True)
    try:
        return json.loads(unzipped(bytes(body), most))
    except (ValueError, RecursionError) as error:
        raise Failed(f"the answer is no JSON: {blot(plain(str(error)))[:100]}", body=True) from None
