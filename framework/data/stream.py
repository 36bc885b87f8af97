"""`connect`: market data as it happens, or as it happened, from a tardis-machine.

    from framework.data import connect

    with connect("binance", "BTCUSDT", "trade,book_change") as stream:
        for event in stream:                    # Trade, BookChange, Disconnect ...
            print(event, stream.state.book())   # the book as of this event

The same stream is an async iterator (`async with`, `async for`). Blocking use runs the connection on a thread
of its own, so that it stays alive while the program computes. Memory is bounded: when the program is slower
than the messages, they wait in the connection, the stream says `Slow`, and the server closes one that stays
so (a gap; nothing is lost in silence).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit

from framework.data.message_kinds import BookChange, Event, Liquidation, Trade, check_types
from framework.data.stream_link import Clock, Link, Pair, Request
from framework.data.stream_state import State
from framework.errors import ConfigError
from framework.times import SECOND, format_time, parse_duration, parse_time

URL = "ws://127.0.0.1:8001"
VARIABLE = "TARDIS_MACHINE_URL"
MOST_WAITING = 50_000  # events between the two threads
PAUSE = 0.002  # s; how often a full queue is looked at
EXCHANGE = re.compile(r"[a-z0-9][a-z0-9-]*")
GRACE = 0.001  # s; see `moments`
ORDER: dict[Any, int] = {Trade: 1, Liquidation: 0, BookChange: 2}


def connect(
    exchange: str,
    symbols: str | Sequence[str],
    types: str | Sequence[str],
    *,
    url: str | None = None,
    start: Any = None,
    stop: Any = None,
    timeout: str | int = "60s",
    retries: int = 20,
    keep: int = 10_000,
    clock: Clock | None = None,
) -> Stream:
    """Return a stream of normalized messages; it connects when it is first read.

    Parameters
    ----------
    exchange : str
        Tardis id: binance, binance-futures, bybit, okex-swap, deribit ...
    symbols : str or list of str
        As the exchange writes them; a str may hold several with commas.
    types : str or list of str
        trade, book_change, derivative_ticker, liquidation, book_ticker, quote, trade_bar_1m,
        book_snapshot_20_100ms ...
    url : str, optional
        WebSocket URL of a tardis-machine (its HTTP port + 1), or its HTTP URL for replays. By default
        TARDIS_MACHINE_URL, else ws://127.0.0.1:8001.
    start, stop : time, optional
        Replay this range (stop exclusive) instead of what happens now.
    timeout : duration
        A connection without a message for so long is cut and made again.
    retries : int
        Failed attempts in a row before it gives up.
    keep : int
        Trades, and bars of each name, kept for `state`.
    clock : Clock, optional
        For tests.

    Raises
    ------
    ConfigError
        Now: an argument. When read: VenueError, no such server, a refusal, or a replay that broke.
    """
    first, last = times_of(start, stop)
    request = Request(
        check_url(url, is_live=not first), check_exchange(exchange), check_symbols(symbols),
        check_types(types), first, last,
    )  # fmt: skip
    limit = parse_duration(timeout) / SECOND
    if limit <= 0.0:
        raise ConfigError(f"timeout: {timeout!r} is no time; write it like 60s")
    if keep < 1 or retries < 0:
        raise ConfigError(f"keep, retries: {keep} and {retries}; give at least 1 and 0")
    return Stream(Link(request, clock or Clock(), limit, retries), keep)


def check_url(url: str | None, is_live: bool) -> str:
    """Return the base URL of a tardis-machine; refuse what is none, and one that holds a password."""
    text = url or os.environ.get(VARIABLE) or URL
    parts = urlsplit(text)
    if "@" in parts.netloc:
        raise ConfigError("url: has a user or password in it; tardis-machine needs none, leave them out")
    if parts.scheme not in ("ws", "wss", "http", "https") or not parts.hostname:
        raise ConfigError(f"url: {text!r} is no URL of a tardis-machine; write it like {URL}")
    if parts.query or parts.fragment or parts.path not in ("", "/"):
        raise ConfigError(f"url: {text!r} has a path; give only scheme, host and port, like {URL}")
    if is_live and parts.scheme in ("http", "https"):
        raise ConfigError(f"url: {text!r} can only replay; for live give the WebSocket port, like {URL}")
    return f"{parts.scheme}://{parts.netloc}"


def check_exchange(exchange: str) -> str:
    """Return an exchange id that can be one."""
    if not isinstance(exchange, str) or not EXCHANGE.fullmatch(exchange):
        raise ConfigError(f"exchange: {exchange!r} is no Tardis id; write it like binance-futures")
    return exchange


def check_symbols(symbols: str | Sequence[str]) -> tuple[str, ...]:
    """Return the symbols, each once."""
    several = symbols.split(",") if isinstance(symbols, str) else list(symbols)
    if not several or not all(isinstance(s, str) and s.strip() == s and s for s in several):
        raise ConfigError(f"symbols: {symbols!r} names no symbol; write it like BTCUSDT or BTCUSDT,ETHUSDT")
    if len(set(several)) < len(several):
        raise ConfigError(f"symbols: {symbols!r} names one twice")
    return tuple(several)


def times_of(start: Any, stop: Any) -> tuple[str, str]:
    """Return the ISO times of a replay, empty for live."""
    if start is None and stop is None:
        return "", ""
    if start is None or stop is None:
        raise ConfigError("start, stop: a replay needs both; leave both out for live")
    first, last = parse_time(start), parse_time(stop)
    if first >= last:
        raise ConfigError(f"start: {format_time(first)} is not before stop {format_time(last)}")
    return format_time(first), format_time(last)


class Stream:
    """Events of one request, blocking or async, and the state they add up to.

    Attributes
    ----------
    state : State
        Books, last trades and bars as of the event that was read last.
    stats : Stats
        Messages, refused ones with the first reasons, gaps, connections.
    """

    def __init__(self, link: Link, keep: int) -> None:
        self.link = link
        self.request, self.stats = link.request, link.stats
        self.state = State(link.request.exchange, keep)
        self._pump: Pump | None = None
        self._source: AsyncGenerator[Pair, None] | None = None

    def __repr__(self) -> str:
        request = self.request
        return f"<Stream {request.exchange} {','.join(request.symbols)} {','.join(request.types)}>"

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Event]:
        for event, _ in self.pairs():
            yield event

    def pairs(self) -> Iterator[tuple[Event, str]]:
        """Yield every event with its text."""
        while (pair := self.wait(None)) is not None:
            yield pair

    def wait(self, timeout: float | None) -> Pair | None:
        """Return the next event and its text, None at the end; `queue.Empty` after `timeout` seconds."""
        pair = self._next(timeout)
        if pair is not None:
            self.state.take(pair[0])
        return pair

    def _next(self, timeout: float | None) -> Pair | None:
        if self._pump is None:
            self._pump = Pump(self.link)
        return self._pump.get(timeout)

    def moments(self, grace: float = GRACE) -> Iterator[tuple[int, list[Event]]]:
        """Yield (local_ts, events) of one arrival time: all are applied, and they stand in hook order.

        A backtest calls its hooks when every row of a local time is applied: trades, then books. Messages of
        one time come one by one here, so the last one waits up to `grace` seconds for another.
        """
        group: list[Event] = []
        while True:
            try:
                pair = self._next(grace if group else None)
                is_over = pair is None
            except Empty:
                pair, is_over = None, False
            if group and (pair is None or pair[0].local_ts != group[0].local_ts):
                for event in group:
                    self.state.take(event)
                yield group[0].local_ts, in_order(group)
                group = []
            if is_over:
                return
            if pair is not None:
                group.append(pair[0])

    def close(self) -> None:
        """End the connection."""
        if self._pump is not None:
            self._pump.close()

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Event:
        if self._source is None:
            self._source = self.link.pairs()
        event, _ = await anext(self._source)
        self.state.take(event)
        return event

    async def aclose(self) -> None:
        """End the connection."""
        if self._source is not None:
            await self._source.aclose()


def in_order(group: list[Event]) -> list[Event]:
    """Return events of one time in the order of hooks; equal ones as they came."""
    return sorted(group, key=lambda event: ORDER.get(type(event), 3)) if len(group) > 1 else group


class Pump:
    """The link on a thread of its own, and a bounded queue from it."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._queue: SimpleQueue[Pair | BaseException | None] = SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(self._run())
        self._over = False
        self._thread = threading.Thread(target=self._turn, name="stream", daemon=True)
        self._thread.start()

    def _turn(self) -> None:
        try:
            with contextlib.suppress(asyncio.CancelledError):
                self._loop.run_until_complete(self._task)
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()
            self._queue.put(None)

    async def _run(self) -> None:
        queue = self._queue
        try:
            async with aclosing(self._link.pairs()) as pairs:
                async for pair in pairs:
                    queue.put(pair)
                    while queue.qsize() >= MOST_WAITING:  # noqa: ASYNC110 - another thread empties it
                        await asyncio.sleep(PAUSE)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # handed to the reading thread
            queue.put(error)

    @property
    def waiting(self) -> int:
        """Events in the queue."""
        return self._queue.qsize()

    def get(self, timeout: float | None) -> Pair | None:
        """Return the next pair, None at the end; raise what ended the link."""
        if self._over:
            return None
        found = self._queue.get(timeout=timeout)
        if found is None or isinstance(found, BaseException):
            self._over = True
            if found is not None:
                raise found
            return None
        return found

    def close(self) -> None:
        """Stop the thread; whoever waits is let go."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: it ended by itself
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()
