"""The parser of normalized messages: every sample there is, official output, and what it must refuse."""

from __future__ import annotations

import gzip
import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framework.data.message_kinds import (
    BookChange,
    BookSnapshot,
    Disconnect,
    Ticker,
    Trade,
    TradeBar,
    Trouble,
    check_types,
)
from framework.data.message_texts import iso, write
from framework.data.messages import instant, parse
from framework.data.stream_rows import NAMES, check_kept, frames
from framework.errors import ConfigError, DataError
from framework.times import parse_time
from tests import npm_peer
from tests.live_machine import EVERYTHING

TRADE = {
    "type": "trade", "symbol": "XBTUSD", "exchange": "bitmex", "id": "282a", "price": 7996, "amount": 50,
    "side": "sell", "timestamp": "2019-10-23T10:32:49.669Z", "localTimestamp": "2019-10-23T10:32:49.740Z",
}  # fmt: skip
CHANGE = {
    "type": "book_change", "symbol": "XBTUSD", "exchange": "bitmex", "isSnapshot": False, "bids": [],
    "asks": [{"price": 7985, "amount": 283318}], "timestamp": "2019-10-23T11:29:53.469Z",
    "localTimestamp": "2019-10-23T11:29:53.469Z",
}  # fmt: skip


def same_numbers(message: dict[str, Any]) -> Any:
    """Return a message as JSON compares it: 5 and 5.0 are one, order does not matter, µs always 6 digits."""
    text = json.dumps(message, sort_keys=True)
    return json.loads(text, parse_int=float, object_hook=lambda o: {k: six(k, v) for k, v in o.items()})


def six(name: str, value: Any) -> Any:
    """Return a time with 6 digits."""
    return value[:-1] + "000Z" if name.lower().endswith("timestamp") and len(value) == 24 else value


def machine_lines(data_dir: Path) -> list[str]:
    """Return what the real tardis-machine answered."""
    path = data_dir / "tardis-messages/synthetic/machine_18.2.0_expected_2024-03-01.ndjson.gz"
    return gzip.decompress(path.read_bytes()).decode().splitlines()


def test_the_samples_of_the_docs(data_dir: Path) -> None:
    folder = data_dir / "tardis-messages/normalized"
    found = {path.stem: parse(path.read_text()) for path in sorted(folder.glob("*.json"))}
    assert {name: type(event) for name, event in found.items()} == {
        "bar": TradeBar, "book_change": BookChange, "book_snapshot": BookSnapshot, "disconnect": Disconnect,
        "derivative_ticker": Ticker, "trade": Trade,
    }  # fmt: skip
    ts = parse_time("2019-10-23T10:32:49.669Z")
    id = "282a0445-0e3a-abeb-f403-11003204ea1b"
    trade = Trade("bitmex", "XBTUSD", ts, ts + 71_000_000, id, "sell", 7996.0, 50.0)
    assert found["trade"] == trade
    bar = found["bar"]
    assert (bar.interval, bar.kind, bar.trades, bar.vwap) == (10000.0, "time", 9, 7623.327320840309)
    assert found["disconnect"].symbols == ()


def test_every_message_the_official_mappers_make(data_dir: Path) -> None:
    counts: dict[str, int] = {}
    for path in sorted((data_dir / "tardis-messages/native").glob("*.jsonl")):
        for line in path.read_text().splitlines():
            for message in json.loads(line)["normalized"]:
                event = parse(json.dumps(message))
                assert same_numbers(json.loads(write(event))) == same_numbers(message), message
                counts[message["type"]] = counts.get(message["type"], 0) + 1
    assert sum(counts.values()) >= 200
    assert set(counts) == {"trade", "book_change", "derivative_ticker", "book_ticker", "liquidation"}


def test_what_the_real_machine_answered(data_dir: Path) -> None:
    lines = machine_lines(data_dir)
    assert len(lines) == 806
    for line in lines:
        assert same_numbers(json.loads(write(parse(line)))) == same_numbers(json.loads(line))


def test_what_the_official_client_makes_of_real_captures(data_dir: Path) -> None:
    path = data_dir / "raw-binance/usdm_BTCUSDT_2023-04-04.gz"
    rows = list(islice(npm_peer.capture(path, "btcusdt"), 1000))
    first = rows[0][0] // 60_000_000_000 * 60_000_000_000
    stop = (rows[-1][0] // 60_000_000_000 + 1) * 60_000_000_000
    made = npm_peer.messages(
        npm_peer.sliced(rows), "binance-futures", ["btcusdt"], first, stop,
        ["trade", "book_change", "book_snapshot_25_1s", "trade_bar_10ticks"],
    )  # fmt: skip
    assert {m["type"] for m in made} >= {"trade", "book_change", "book_snapshot", "trade_bar"}
    for message in made:
        assert same_numbers(json.loads(write(parse(json.dumps(message))))) == same_numbers(message)


def test_the_official_client_says_what_the_machine_says(data_dir: Path) -> None:
    made = npm_peer.messages(
        npm_peer.synthetic(data_dir), "binance", ["btcusdt"], "2024-03-01", "2024-03-01T00:03Z",
        EVERYTHING.split(","),
    )  # fmt: skip
    events = [parse(json.dumps(message)) for message in made]
    assert events == [parse(line) for line in machine_lines(data_dir)]


def test_rows_are_those_of_the_csv_files(data_dir: Path) -> None:
    import polars as pl

    made = frames(parse(line) for line in machine_lines(data_dir))
    for kind in ("trades", "incremental_book_L2"):
        frame = made["binance", kind, "BTCUSDT"]
        assert tuple(frame.columns) == NAMES[kind]
        path = data_dir / f"tardis-messages/synthetic/binance_{kind}_2024-03-01_BTCUSDT.csv"
        names = {n: pl.Int64 if n.endswith("timestamp") else t for n, t in frame.schema.items()}
        wanted = pl.read_csv(path, columns=list(NAMES[kind]), schema_overrides=names).cast(frame.schema)
        assert frame.equals(wanted)


def test_thin_books_have_empty_cells() -> None:
    head = {k: TRADE[k] for k in ("symbol", "exchange", "timestamp", "localTimestamp")}
    levels = [{"price": 10 - i, "amount": 1.5} for i in range(3)]
    thin = {
        "type": "book_snapshot", **head, "name": "book_snapshot_5_0ms", "depth": 5, "interval": 0,
        "bids": [*levels, {}, {}], "asks": [{}] * 5,
    }  # fmt: skip
    event = parse(json.dumps(thin))
    assert event.bids == ((10.0, 1.5), (9.0, 1.5), (8.0, 1.5))
    row = frames([event])["bitmex", "book_snapshot_5", "XBTUSD"].row(0, named=True)
    assert (row["bids[2].price"], row["bids[3].price"], row["asks[0].amount"]) == (8.0, None, None)
    thin["bids"] = [{}, *levels]
    with pytest.raises(DataError, match="empty level before a full one"):
        parse(json.dumps(thin))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"type": "trad"}, "unknown type 'trad'; did you mean trade"),
        ({"type": None}, "unknown type"),
        ({"price": 0}, "its price is 0"),
        ({"price": "7996"}, "its price is '7996'"),
        ({"price": True}, "its price is True"),
        ({"price": 10**400}, "is no JSON"),
        ({"amount": -1}, "its amount is -1"),
        ({"side": "bid"}, "its side is 'bid'"),
        ({"id": 7}, "its id is 7"),
        ({"symbol": ""}, "its exchange and symbol"),
        ({"timestamp": "2019-10-23T10:32:49Z"}, "no time like"),
        ({"timestamp": "2019-10-23T10:32:49.66912Z"}, "no time like"),
        ({"timestamp": "2019-10-23T10:32:49.669+"}, "no time like"),
        ({"timestamp": "2019-13-23T10:32:49.669Z"}, "is a trade"),
        ({"timestamp": "2019-10-23T25:32:49.669Z"}, "no time of a day"),
        ({"timestamp": 1571826769669}, "is a trade"),
        ({"timestamp": None}, "is a trade"),
    ],
)
def test_refused_fields(change: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words) as told:
        parse(json.dumps({**TRADE, **change}))
    assert "it reads {" in str(told.value)
    for name in change:
        short = {k: v for k, v in TRADE.items() if k != name}
        if name not in ("id", "type"):
            with pytest.raises(DataError, match=f"trade without {name}"):
                parse(json.dumps(short))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", "null", '"trade"', '{"type":"trade"}', '{"price":NaN}', "[" * 100_000, "\x00\xff"],
)
def test_refused_texts(text: str) -> None:
    with pytest.raises(DataError, match=r"^message: ") as told:
        parse(text)
    assert len(str(told.value)) < 500


@pytest.mark.parametrize("bad", [[{}], [{"price": 1}], [{"price": 1, "amount": None}], {}, None, [[1, 2]]])
def test_refused_changes(bad: Any) -> None:
    with pytest.raises(DataError, match="book_change"):
        parse(json.dumps({**CHANGE, "bids": bad}))


def test_errors_and_gaps() -> None:
    stamp = "2024-03-01T00:00:00.000001Z"
    ts = parse_time(stamp)
    head = {"type": "error", "exchange": "okex", "localTimestamp": stamp}
    text = json.dumps({**head, "details": "no", "subSequentErrorsCount": 3})
    assert parse(text) == Trouble("okex", ts, "no", 3)
    gap = Disconnect("okex", ts, ("BTC-USDT",), "link: cut")
    assert parse(write(gap)) == gap


@given(st.integers(0, 9_000_000_000 * 10**6 - 1))
def test_times_there_and_back(us: int) -> None:
    assert instant(iso(us * 1000)) == us * 1000


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda b: b.decode("latin-1")))
def test_no_text_is_read_as_something(text: str) -> None:
    with pytest.raises(DataError):
        parse(text)


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["price", "amount", "bids", "asks", "side", "id", "depth", "name", "symbols"]), inner, max_size=4),
    max_leaves=8), st.sampled_from(sorted(TRADE | CHANGE)))  # fmt: skip
def test_any_value_of_any_field_is_read_or_refused(value: Any, name: str) -> None:
    for message in (TRADE, CHANGE):
        try:
            event = parse(json.dumps({**message, name: value}))
        except DataError:
            continue
        assert parse(write(event)) == event


def test_types() -> None:
    good = "trade,book_change,trade_bar_10ms,trade_bar_2vol,book_snapshot_20_grouped10_100ms,quote_10s,quote"
    assert check_types(good) == tuple(good.split(","))
    for bad, words in (
        ("trades", "did you mean trade"), ("trade_bar_1h", "trade_bar_60m"), ("trade,trade", "once"),
        ("", "unknown data type"), ("option_summary", "unknown data type"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=words):
            check_types(bad)
    kept = check_kept(("trade", "quote_10s", "book_snapshot_25_0ms"))
    assert kept == {"trade": "trades", "quote_10s": "quotes", "book_snapshot_25_0ms": "book_snapshot_25"}
    for types, words in ((("trade_bar_1m",), "bars are made"), (("quote", "quote_1s"), "record one of them"),
                         (("book_snapshot_20_0ms",), "not kept")):  # fmt: skip
        with pytest.raises(ConfigError, match=words):
            check_kept(types)
