"""The connection to a tardis-machine: what is asked, and every message as it comes.

A live link that breaks is made again after 1, 2, 4 .. 32 s (a little longer by chance), and says so with a
`Disconnect`: books are unknown from there to the next snapshot. A replay that breaks is an error, because
what was missed cannot be told.
Close codes of tardis-machine 18.2.0: 1000 the end, 1008 too slow a client, 1011 an error (its reason says
which). Nothing is sent but the options: tardis-machine holds the key itself.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn
from urllib.parse import quote

from framework.data.message_kinds import Disconnect, Event, Refused, Slow
from framework.data.messages import parse
from framework.errors import DataError, VenueError

NORMAL, GOING_AWAY, TOO_SLOW, FAILED = 1000, 1001, 1008, 1011
LONGEST_WAIT = 32.0
LONGEST_MESSAGE = 16 * 2**20
WAITING = (2048, 512)  # messages that wait in the client: reading stops at the first, goes on at the second
MOST_REFUSED = 50  # in a row; then it is no tardis-machine
CHECKS = 4  # of silence, in one timeout
TYPE_IN_TEXT = re.compile(r'"type"\s*:\s*"(\w+)"')
HINT = (
    "is a tardis-machine running there? its WebSocket port is its HTTP port + 1 (default ws://127.0.0.1:8001)"
)

Pair = tuple[Event, str]  # what came, and its text; "" for what the link noticed itself


class Clock:
    """The time and chance of reconnecting; tests give another."""

    def now(self) -> int:
        """Return this machine's time, ns UTC."""
        return time.time_ns()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    def jitter(self) -> float:
        """Return a number from 0 to 1."""
        return random.random()


@dataclass(frozen=True)
class Request:
    """What is asked, and of whom. start, stop: ISO times of a replay, "" = live."""

    url: str
    exchange: str
    symbols: tuple[str, ...]
    types: tuple[str, ...]
    start: str = ""
    stop: str = ""

    @property
    def is_live(self) -> bool:
        """True for a stream of what happens now."""
        return not self.start

    def options(self) -> str:
        """Return the options as JSON."""
        fields: dict[str, Any] = {
            "exchange": self.exchange, "symbols": list(self.symbols), "dataTypes": list(self.types)
        }  # fmt: skip
        if self.is_live:
            fields["withErrorMessages"] = True
        else:
            fields |= {"from": self.start, "to": self.stop, "withDisconnectMessages": True}
        return json.dumps(fields, separators=(",", ":"))

    def target(self) -> str:
        """Return the whole URL."""
        ws = "/ws-stream-normalized" if self.is_live else "/ws-replay-normalized"
        path = ws if self.url.startswith("ws") else "/replay-normalized"
        return f"{self.url}{path}?options={quote(self.options(), safe='')}"


@dataclass
class Stats:
    """Counts of a stream. types: messages by class name."""

    messages: int = 0
    refused: int = 0
    reasons: list[str] = field(default_factory=list)  # of the first ten refused
    gaps: int = 0
    connections: int = 0
    slow: int = 0


class Ended(NamedTuple):
    """Why a connection is over."""

    code: int  # 0 = there was none
    why: str
    is_final: bool = False  # asking again is of no use


class Link:
    """Events of one request, over as many connections as it takes.

    Parameters
    ----------
    request : Request
    timeout : float
        Seconds without a message after which a connection counts as dead.
    retries : int
        Failed attempts in a row after which it gives up.
    """

    def __init__(self, request: Request, clock: Clock, timeout: float, retries: int) -> None:
        self.request, self.clock, self.timeout, self.retries = request, clock, timeout, retries
        self.stats = Stats()
        self._came = 0  # messages of this connection
        self._bad = 0  # refused in a row
        self._doubt = ""  # why what came after a refused message cannot be trusted
        self._silent = False

    async def pairs(self) -> AsyncGenerator[Pair, None]:
        """Yield every event with its text."""
        if self.request.url.startswith("http"):
            from framework.data.stream_http import lines

            async with aclosing(lines(self.request, self.timeout)) as source:
                async for text in source:
                    yield self._read(text)
            return
        failures = 0
        while True:
            async with aclosing(self._connection()) as connection:
                async for pair in connection:
                    if isinstance(pair, Ended):
                        ended = pair
                        break
                    yield pair
            if self._is_end(ended):
                return
            failures = 0 if self._came else failures + 1
            self._check(ended, failures)
            self.stats.gaps += 1
            lost = Disconnect(self.request.exchange, self.clock.now(), (), f"link: {ended.why}")
            yield lost, ""
            await self.clock.sleep(self.wait(failures))

    def wait(self, failures: int) -> float:
        """Return the seconds before the next attempt."""
        return min(2.0 ** max(failures - 1, 0), LONGEST_WAIT) * (1.0 + self.clock.jitter() / 4.0)

    def _is_end(self, ended: Ended) -> bool:
        is_whole = not self._doubt or not self.request.is_live
        return ended.code == NORMAL and not self._silent and is_whole

    def _check(self, ended: Ended, failures: int) -> None:
        """Raise when connecting again is of no use."""
        never = self.stats.messages == 0 and self.stats.gaps == 0
        if not self.request.is_live:
            self._fail(f"the replay broke after {self.stats.messages} messages: {ended.why}; start it again")
        if never and (ended.is_final or ended.code in (0, FAILED)):
            self._fail(ended.why + ("" if ended.code else f"; {HINT}"))
        if failures > self.retries:
            self._fail(f"gave up after {failures} attempts in a row: {ended.why}")

    def _fail(self, why: str) -> NoReturn:
        raise VenueError(f"{self.request.url}: {why}")

    async def _connection(self) -> AsyncGenerator[Pair | Ended, None]:
        """Yield the events of one connection, then why it ended."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

        self._came, self._silent, self._doubt = 0, False, ""
        watch: asyncio.Task[None] | None = None
        try:
            async with connect(
                self.request.target(), compression=None, max_size=LONGEST_MESSAGE, max_queue=WAITING,
                open_timeout=self.timeout, close_timeout=1.0, proxy=None,
            ) as socket:  # fmt: skip
                self.stats.connections += 1
                watch = asyncio.create_task(self._watch(socket))
                try:
                    async with aclosing(self._messages(socket)) as messages:
                        async for pair in messages:
                            yield pair
                except ConnectionClosed:
                    pass
                finally:
                    watch.cancel()
            ended = self._closed(socket)
        except (InvalidHandshake, InvalidURI) as error:
            ended = Ended(0, f"no WebSocket ({error})", is_final=True)
        except (OSError, TimeoutError) as error:
            ended = Ended(0, f"no connection ({error.strerror if isinstance(error, OSError) else 'timeout'})")
        yield ended

    async def _messages(self, socket: Any) -> AsyncGenerator[Pair, None]:
        """Yield the events of a connection that stands."""
        is_slow = False
        async for text in socket:
            self._came += 1
            if socket.transport.is_reading():
                is_slow = False
            elif not is_slow:
                is_slow = True
                self.stats.slow += 1
                yield Slow(self.request.exchange, self.clock.now()), ""
            yield self._read(text)
            if self._doubt and self.request.is_live:
                return

    def _read(self, text: str | bytes) -> Pair:
        """Return the event of a text; a refused one may have been a change of a book."""
        self.stats.messages += 1
        try:
            if isinstance(text, bytes):
                raise DataError("message: is binary; tardis-machine sends text")
            event = parse(text)
            self._bad = 0
            return event, text
        except DataError as error:
            return self._refuse(str(error), text if isinstance(text, str) else "")

    def _refuse(self, why: str, text: str) -> Pair:
        stats = self.stats
        stats.refused += 1
        self._bad += 1
        if len(stats.reasons) < 10:
            stats.reasons.append(why)
        if self._bad > MOST_REFUSED:
            self._fail(f"{self._bad} messages in a row could not be read; the last: {why}")
        kind = TYPE_IN_TEXT.search(text[:400])
        is_of_books = kind is None or kind[1] == "book_change"
        if is_of_books:
            self._doubt = "a message could not be read"
        return Refused(self.request.exchange, self.clock.now(), why, is_of_books), text

    async def _watch(self, socket: Any) -> None:
        """Cut a connection that has been silent for too long."""
        quiet, before = 0, -1
        while quiet < CHECKS:
            quiet, before = (quiet + 1 if before == self._came else 0), self._came
            await asyncio.sleep(self.timeout / CHECKS)
        self._silent = True
        socket.transport.abort()

    def _closed(self, socket: Any) -> Ended:
        """Say why a connection ended."""
        code, reason = socket.close_code or 1006, socket.close_reason or ""
        if self._doubt:
            return Ended(code, self._doubt)
        if self._silent:
            return Ended(code, f"no message for {self.timeout:g} s")
        words = {
            GOING_AWAY: "the server goes away", TOO_SLOW: "this program reads too slowly",
            FAILED: "the server failed", 1006: "the connection was cut",
        }  # fmt: skip
        return Ended(code, f"{words.get(code, 'closed')} ({code}{' ' + reason if reason else ''})")
