"""The client of tardis-machine against a server on the loopback: all ways to read, every fault, hooks."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from framework.data import connect, from_tardis
from framework.data import stream as streaming
from framework.data.message_kinds import BookChange, Disconnect, Refused, Slow, Trade
from framework.data.messages import parse
from framework.data.stream_book import LiveBook
from framework.errors import ConfigError, DataError, VenueError
from framework.market_book import Snapshot, book_at
from framework.testing import MachineServer, Play
from tests.live_machine import DAY, EVERYTHING, Instant, basic, live_hooks, machine_texts, replayed


def open_stream(server: MachineServer, types: str = "trade,book_change", **more: Any) -> streaming.Stream:
    """Return a stream of the synthetic instrument."""
    more = {"url": server.url, "timeout": "10s", "clock": Instant(), **more}
    return connect("binance", "btcusdt", types, **more)


async def gathered(stream: streaming.Stream) -> list[Any]:
    """Return all events of the async side."""
    async with stream:
        return [event async for event in stream]


def test_every_way_gives_the_same_messages(data_dir: Path) -> None:
    texts = machine_texts(data_dir)
    wanted = [parse(text) for text in texts]
    with MachineServer(texts) as server:
        for url, when in ((server.url, {}), (server.url, DAY), (server.http_url, DAY)):
            server.position = 0
            with open_stream(server, EVERYTHING, url=url, **when) as stream:
                assert list(stream) == wanted
                assert list(stream) == []
            server.position = 0
            assert asyncio.run(gathered(open_stream(server, EVERYTHING, url=url, **when))) == wanted
    live = {
        "exchange": "binance", "symbols": ["btcusdt"], "dataTypes": EVERYTHING.split(","),
        "withErrorMessages": True,
    }  # fmt: skip
    times = {"from": "2024-03-01T00:00:00Z", "to": "2024-03-02T00:00:00Z"}
    replay = {**live, **times, "withDisconnectMessages": True}
    del replay["withErrorMessages"]
    assert server.requests == [live, live, replay, replay, replay, replay]
    assert not [thread for thread in threading.enumerate() if thread.name == "stream"]


def test_a_live_link_comes_back_and_the_book_with_it(data_dir: Path) -> None:
    texts = basic(data_dir)
    plan = [
        Play(50, "cut"), Play(20, "half"), Play(30, "silent"), Play(10, code=1011, reason="Error: x"),
        Play(20, code=1008, reason="Too much backpressure"), Play(5, code=1001), Play(3, extra={2: "{bad"}),
        Play(status=503), Play(0, "cut"),
    ]  # fmt: skip
    clock = Instant()
    gaps, refused = [], []
    more = {"clock": clock, "timeout": "300ms"}
    with MachineServer(texts, plan=plan) as server, open_stream(server, **more) as stream:
        for event in stream:
            if isinstance(event, Disconnect):
                gaps.append(event.reason)
                with pytest.raises(DataError, match=r"the gap at .*wait for the next snapshot"):
                    stream.state.book("BTCUSDT")
            refused += [event] if isinstance(event, Refused) else []
        assert gaps == [
            "link: the connection was cut (1006)", "link: the connection was cut (1006)",
            "link: no message for 0.3 s", "link: the server failed (1011 Error: x)",
            "link: this program reads too slowly (1008 Too much backpressure)",
            "link: the server goes away (1001 WS stream-normalized finished)",
            "link: a message could not be read",
            "link: no WebSocket (server rejected WebSocket connection: HTTP 503)",
            "link: the connection was cut (1006)",
        ]  # fmt: skip
        assert clock.waits == [1.0] * 8 + [2.0]
        assert ["{bad" in event.why for event in refused] == [True]
        assert (stream.stats.refused, stream.stats.connections, stream.stats.gaps) == (1, 9, 9)
        whole = LiveBook("x")
        for text in texts:
            if isinstance(event := parse(text), BookChange):
                whole.apply(event)
        last, now = whole.snapshot(100), stream.state.book(levels=100)
        assert (now.bids, now.asks) == (last.bids, last.asks)


@pytest.mark.parametrize(("chance", "stretch"), [(0.0, 1.0), (1.0, 1.25)])
def test_waits_grow_and_then_it_gives_up(data_dir: Path, chance: float, stretch: float) -> None:
    clock = Instant(chance)
    plan = [Play(5, "cut"), *[Play(status=502)] * 9]
    with MachineServer(basic(data_dir), plan=plan) as server:
        with open_stream(server, clock=clock, retries=7) as stream, pytest.raises(VenueError) as told:
            list(stream)
        assert "gave up after 8 attempts in a row: no WebSocket (server rejected" in str(told.value)
    assert clock.waits == [wait * stretch for wait in (1, 1, 2, 4, 8, 16, 32, 32)]
    assert stream.stats.messages == 5


def test_a_refusal_at_the_door_is_told_at_once(data_dir: Path) -> None:
    clock = Instant()
    with MachineServer(basic(data_dir)) as server:
        for url, when in ((server.url, {}), (server.url, DAY), (server.http_url, DAY)):
            stream = connect("bitmex", "XBTUSD", "trade", url=url, clock=clock, **when)
            with stream, pytest.raises(VenueError, match="Invalid 'exchange' argument: bitmex"):
                list(stream)
        wrong = open_stream(server, url=server.http_url.replace("http", "ws"))
        with wrong, pytest.raises(VenueError, match="HTTP port"):
            list(wrong)
        gone = server.url
    with pytest.raises(VenueError, match=r"no connection .*is a tardis-machine running there"):
        list(connect("binance", "BTCUSDT", "trade", url=gone, clock=clock))
    assert clock.waits == []


@pytest.mark.parametrize("end", ["cut", "half", "silent"])
@pytest.mark.parametrize("side", ["url", "http_url"])
def test_a_replay_that_breaks_is_an_error(data_dir: Path, end: str, side: str) -> None:
    with MachineServer(basic(data_dir), plan=[Play(40, end)]) as server:
        stream = open_stream(server, url=getattr(server, side), timeout="1s", **DAY)
        with stream, pytest.raises(VenueError, match=r"the replay broke after 40 messages.*start it again"):
            list(stream)
        assert stream.stats.messages == 40


def test_bad_messages_are_counted_and_too_many_refused(data_dir: Path) -> None:
    bad_trade = '{"type":"trade","price":-1}'
    extra = {2: bad_trade, 5: '{"type":"trade"', 9: "[]"}
    texts = basic(data_dir)
    with MachineServer(texts, plan=[Play(extra=extra)]) as server, open_stream(server, **DAY) as stream:
        events = list(stream)  # a replay has no second chance: it goes on, the book waits for a snapshot
        assert [type(e) for e in events].count(Refused) == stream.stats.refused == 3
        assert [e for e in events if not isinstance(e, Refused)] == [parse(t) for t in texts]
        with pytest.raises(DataError, match="not known"):
            stream.state.book("BTCUSDT")
    with MachineServer(texts, plan=[Play(10, extra={3: bad_trade})]) as server, open_stream(server) as stream:
        list(stream)
        assert (stream.stats.connections, stream.stats.refused) == (1, 1)
        assert stream.state.book("BTCUSDT").bids  # a trade that could not be read is no gap of the book
        assert "trade without side" in stream.stats.reasons[0]
    plan = [Play(extra={3: ["[]"] * 60})]
    with MachineServer(texts, plan=plan) as server, open_stream(server, **DAY) as stream:
        with pytest.raises(VenueError, match="51 messages in a row could not be read"):
            list(stream)
        assert len(stream.stats.reasons) == 10


def test_a_slow_program_is_told_and_memory_stays(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "MOST_WAITING", 500)
    trades = [text for text in basic(data_dir) if '"trade"' in text]
    with MachineServer(trades, plan=[Play(end="flood")]) as server, open_stream(server, "trade") as stream:
        next(iter(stream))
        pump = stream._pump
        assert pump is not None
        before, still = -1, 0
        while still < 6:  # until the server has been able to send nothing for a while
            still = still + 1 if server.sent == before and pump.waiting >= 500 else 0
            before = server.sent
            threading.Event().wait(0.05)
        assert pump.waiting == 500
        told = [type(stream.wait(5)[0]) for _ in range(20_000)]  # type: ignore[index]
        assert 1 <= told.count(Slow) <= stream.stats.slow
        assert told.count(Trade) > 10_000


def test_live_hooks_are_the_hooks_of_a_replay(data_dir: Path) -> None:
    folder = data_dir / "tardis-messages/synthetic"
    files = [folder / f"binance_{kind}_2024-03-01_BTCUSDT.csv" for kind in ("trades", "incremental_book_L2")]
    market = from_tardis(files)
    with MachineServer(files) as server, open_stream(server) as stream:
        live = live_hooks(stream)
        book = stream.state.book(levels=100)
        trades = stream.state.trades(30)
    told = replayed(market)
    for here, there in zip(live, told, strict=True):
        assert here[:2] == there[:2]
        if here[0] == "trade":
            assert here == there
        else:
            same_book(here[2], there[2])
    last = book_at(market, None, market.stop).snapshot(100)
    assert (book.bids, book.asks, book.ts, book.local_ts) == (last.bids, last.asks, last.ts, last.local_ts)
    assert trades["id"].is_not_null().sum() == 30
    assert len(told) == 411


def same_book(one: Snapshot, other: Snapshot) -> None:
    """Compare two books: levels are the same, totals but for rounding."""
    assert (one.ts, one.local_ts, one.bids, one.asks) == (other.ts, other.local_ts, other.bids, other.asks)
    assert one.bid_total == pytest.approx(other.bid_total, rel=1e-12)
    assert one.ask_total == pytest.approx(other.ask_total, rel=1e-12)


def test_messages_of_one_moment_are_one(data_dir: Path) -> None:
    head = {"symbol": "BTCUSDT", "exchange": "binance", "timestamp": "2024-03-01T00:00:00.000Z"}
    texts = []
    for second, kinds in ((1, "bt"), (2, "btbt"), (3, "t"), (4, "bb")):
        for kind in kinds:
            stamp = {**head, "localTimestamp": f"2024-03-01T00:00:0{second}.000Z"}
            change = {"isSnapshot": second == 1, "bids": [{"price": second, "amount": 1}], "asks": []}
            trade = {"price": 9, "amount": 1, "side": "buy"}
            fields = {"type": "trade", **trade} if kind == "t" else {"type": "book_change", **change}
            texts.append(json.dumps({**fields, **stamp}))
    with MachineServer(texts) as server, open_stream(server) as stream:
        groups = [(ts, [type(e) for e in events]) for ts, events in stream.moments(grace=0.5)]
    assert [g for _, g in groups] == [
        [Trade, BookChange], [Trade, Trade, BookChange, BookChange], [Trade], [BookChange, BookChange],
    ]  # fmt: skip


def test_state(data_dir: Path) -> None:
    with MachineServer(machine_texts(data_dir)) as server, open_stream(server, EVERYTHING, keep=20) as stream:
        with pytest.raises(ConfigError, match="nothing came yet"):
            stream.state.book()
        list(stream)
        state = stream.state
        assert (len(state.trades(20)), len(state.candles("1m", 5))) == (20, 2)
        assert state.candles("10ticks", 3)["trades"].to_list() == [10, 10, 10]
        bars = state.candles("1m", 1)
        assert bars["close_ts"][0] - bars["open_ts"][0] == 60_000_000_000
        with pytest.raises(ConfigError, match="did you mean"):
            state.candles("2m", 1)
        with pytest.raises(ConfigError, match="ask for 1 to 20"):
            state.trades(21)
        assert len(state.book(levels=20).bids) == 20
    types = "quote,book_snapshot_20_100ms"
    with MachineServer(machine_texts(data_dir)) as server, open_stream(server, types) as stream:
        list(stream)
        assert len(stream.state.book(levels=50).bids) == 20
        stream.state.take(Disconnect("binance", 1, (), "test"))
        with pytest.raises(DataError, match="is not known"):
            stream.state.book("BTCUSDT")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"url": "ws://user:secret@127.0.0.1:1"}, "has a user or password"),
        ({"url": "127.0.0.1:8001"}, "no URL of a tardis-machine"),
        ({"url": "ws://127.0.0.1:8001/ws"}, "has a path"),
        ({"url": "http://127.0.0.1:8000"}, "can only replay"),
        ({"exchange": "Binance Futures"}, "no Tardis id"),
        ({"symbols": ""}, "names no symbol"),
        ({"symbols": ["A", "A"]}, "twice"),
        ({"types": "trades"}, "did you mean trade"),
        ({"start": "2024-03-01"}, "a replay needs both"),
        ({"start": "2024-03-02", "stop": "2024-03-01"}, "is not before stop"),
        ({"timeout": "0"}, "timeout"),
        ({"keep": 0}, "keep, retries"),
    ],
)
def test_arguments(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as told:
        connect(**{"exchange": "binance", "symbols": "BTCUSDT", "types": "trade", **change})
    assert "secret" not in str(told.value)
