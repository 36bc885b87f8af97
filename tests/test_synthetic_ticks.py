"""The SYNTHETIC tick samples: the same everywhere, and books that could be real ones."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from framework import samples
from framework.data.synthetic_flow import KEPT
from framework.data.synthetic_ticks import PERP_FLOW, flow, ticks, ticks_hedge
from framework.errors import ConfigError
from framework.market import Market
from framework.records import NEVER
from framework.times import HOUR, MINUTE, SECOND

SHA = {
    "ticks": "ea3e3fb5f1da0c386665b2e47fd15dfc611be215fc4c047f7d75ecde9382441e",
    "ticks-hedge": "d87bbbfc55bd1ee0863cecd5e523da84d704c39d1596127e0069e92bb054b80e",
}
MINUTE_SHA = "835189451348bfbba9d66b3fc5730dbd4e8b0c762467eb07ab897bc82bb7fe61"


def digest(market: Market) -> str:
    """Return sha256 over every number of a tick market, little-endian."""
    h = hashlib.sha256()
    for k, book in market.books.items():
        tables = [market.trades[k], book.messages, market.mark.get(k), market.funding.get(k)]
        columns = [t[name] for t in tables if t is not None for name in t.dtype.names]
        for column in (*columns, book.keys, book.lots):
            h.update(np.ascontiguousarray(column, column.dtype.newbyteorder("<")).tobytes())
    return h.hexdigest()


def replayed(market: Market, k: int) -> Iterator[tuple[int, dict[int, int], dict[int, int]]]:
    """Yield (message number, bids, asks) after each message: the book of a plain dict."""
    book = market.books[k]
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    keys, lots, first = book.keys.tolist(), book.lots.tolist(), book.messages["first"].tolist()
    for m, (start, end) in enumerate(pairwise(first)):
        seen = set()
        for key, size in zip(keys[start:end], lots[start:end], strict=True):
            levels = sides[key & 1]
            assert size >= 0
            assert levels.get(key >> 1, 0) != size, "a row in vain"
            assert key not in seen, "a level twice in a message"
            seen.add(key)
            levels[key >> 1] = size
            if size == 0:
                del levels[key >> 1]
        yield m, *sides


@pytest.fixture(scope="module")
def short() -> Market:
    """Two minutes of both instruments."""
    return ticks_hedge(2)


def test_equal_everywhere() -> None:
    for name, wanted in SHA.items():
        assert digest(samples.load(name)) == wanted, name
    assert digest(ticks(1)) == MINUTE_SHA
    assert digest(ticks(1)) == MINUTE_SHA != digest(ticks(1, seed=8))


def first_rows() -> str:
    """Return sha256 of ten seconds of order flow."""
    made = flow({**PERP_FLOW, "start": 0}, np.full(100, 42_000.0), seed=7, stream=11)
    tables = (made.trades["lots"], made.messages["local_ts"], made.keys, made.sizes)
    return hashlib.sha256(b"".join(table.tobytes() for table in tables)).hexdigest()


PLAIN = "from tests import test_synthetic_ticks as t; print(t.first_rows())"


def test_equal_without_a_compiler() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PLAIN],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, cwd=Path(__file__).parent.parent,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == first_rows()


def test_they_say_what_they_are() -> None:
    for name, ids in (
        ("ticks", ["synthetic:BTCUSDT-PERP"]),
        ("ticks-hedge", ["synthetic:BTCUSDT-PERP", "synthetic:BTCUSDT"]),
    ):
        market = samples.load(name)
        assert market.name == f"SYNTHETIC {name}"
        assert [what.id for what in market.instruments] == ids
        assert all(any(i in line and "SYNTHETIC" in line for line in market.notes) for i in ids)
        assert {what.settle for what in market.instruments} == {"USDT"}
        rows = sum(len(market.books[k].keys) + len(market.trades[k]) for k in range(len(ids)))
        assert 200_000 < rows < 500_000
    assert [what.kind for what in market.instruments] == ["linear", "spot"]
    one, two = samples.load("ticks"), samples.load("ticks-hedge")
    assert np.array_equal(one.trades[0], two.trades[0])
    assert np.array_equal(one.books[0].lots, two.books[0].lots)


def test_rows_in_order() -> None:
    market = samples.load("ticks-hedge")
    for k in (0, 1):
        rows, book, trades = market.books[k].messages[:-1], market.books[k], market.trades[k]
        assert tuple(book.messages[-1]) == (NEVER, NEVER, len(book.keys))
        assert (np.diff(rows["local_ts"]) > 0).all()
        assert (np.diff(rows["first"]) > 0).all()
        assert rows["first"][0] == 0
        assert (np.diff(trades["local_ts"]) >= 0).all()
        assert np.array_equal(trades["ts"], trades["raw_ts"])
        for table in (rows, trades):
            assert (np.diff(table["ts"]) >= 0).all()
            late = table["local_ts"] - table["ts"]
            assert late.min() >= 2_000_000
            assert 3_000_000 < np.median(late) < 6_000_000
            assert 20_000_000 < late.max() < 1_000_000_000  # jams
        assert (trades["lots"] > 0).all()
        assert set(np.unique(trades["side"])) == {-1, 1}
        for table in (book.messages, book.keys, book.lots, trades):
            assert not table.flags.writeable
    start, marks = market.books[0].messages["ts"][0], market.mark[0]
    assert np.array_equal(marks["ts"], start + np.arange(20 * 60) * SECOND)
    assert market.funding[0]["ts"].tolist() == [start + 10 * MINUTE]
    assert market.funding[0]["ts"][0] % (8 * HOUR) == 0


def test_the_book_is_never_crossed_and_deep(short: Market) -> None:
    for k in (0, 1):
        spreads = []
        for m, bids, asks in replayed(short, k):
            spreads.append(min(asks) - max(bids))
            assert min(len(bids), len(asks)) >= KEPT, m
        assert min(spreads) == 1
        lasting = np.diff(short.books[k].messages["ts"][:-1])
        assert 0.95 < lasting[np.array(spreads[:-1]) == 1].sum() / lasting.sum() < 0.995


def test_trades_take_what_the_book_has(short: Market) -> None:
    """A trade is at the best price shown before it; a level it went through is gone at its very time."""
    for k in (0, 1):
        trades, stamps = short.trades[k], short.books[k].messages["ts"][:-1]
        begins = np.append(True, np.diff(trades["ts"]) != 0)
        before = np.searchsorted(stamps, trades["ts"], side="left")  # messages applied before it
        todo = list(zip(before.tolist(), trades.tolist(), begins.tolist(), strict=True))
        met = passed = 0
        bids: dict[int, int] = {}
        asks: dict[int, int] = {}
        reach: list[tuple[int, int, int]] = []  # (ts, side, last tick) of market orders until the message
        for m, now_bids, now_asks in replayed(short, k):
            while todo and todo[0][0] == m:
                _, (ts, _, _, _, tick, side), first = todo.pop(0)
                best = min(asks) if side > 0 else max(bids)
                assert tick == best if first else (tick - best) * side >= 0
                reach.append((ts, side, tick))
                met += 1
            for ts, side, tick in reach:
                levels = now_asks if side > 0 else now_bids
                if ts == stamps[m]:
                    inside = [t for t in levels if (tick - t) * side > 0]
                    assert not inside, "traded through, and still there"
                    passed += 1
            reach = []
            bids, asks = dict(now_bids), dict(now_asks)
        assert met == len(trades)
        assert passed > 100


def test_traded_lots_leave_the_level(short: Market) -> None:
    """Over the messages in which a level was traded at, it falls by what was traded, others' orders aside."""
    trades, book = short.trades[0], short.books[0]
    stamps, size, fell, traded = book.messages["ts"], {}, [], []
    m_of = np.searchsorted(stamps[:-1], trades["ts"], side="left")
    took: dict[tuple[int, int], int] = {}
    for m, lots, tick, side in zip(m_of, trades["lots"], trades["tick"], trades["side"], strict=True):
        key = (int(m), 2 * int(tick) + (1 if side > 0 else 0))
        took[key] = took.get(key, 0) + int(lots)
    for m, (start, end) in enumerate(pairwise(book.messages["first"].tolist())):
        for key, lots in zip(book.keys[start:end].tolist(), book.lots[start:end].tolist(), strict=True):
            if (m, key) in took:
                fell.append(size.get(key, 0) - lots)
                traded.append(took[m, key])
            size[key] = lots
    slope, _ = np.polyfit(traded, fell, 1)
    assert len(fell) > 300
    assert 0.8 < slope < 1.1
    assert np.corrcoef(traded, fell)[0, 1] > 0.4


def test_bursts_and_imbalance() -> None:
    """Trades cluster; the thicker side says where the next second goes, a little."""
    market = samples.load("ticks")
    counts = np.bincount((market.trades[0]["ts"] - market.trades[0]["ts"][0]) // SECOND)
    assert counts.var() > 5.0 * counts.mean()  # Poisson: equal
    tops = [(max(bids), min(asks), bids[max(bids)], asks[min(asks)]) for _, bids, asks in replayed(market, 0)]
    bid, ask, bid_lots, ask_lots = np.array(tops, dtype=np.float64).T
    stamps = market.books[0].messages["ts"][:-1]
    mid, imbalance = (bid + ask) / 2, (bid_lots - ask_lots) / (bid_lots + ask_lots)
    later = np.minimum(np.searchsorted(stamps, stamps + SECOND, side="right") - 1, len(mid) - 1)
    assert 0.07 < np.corrcoef(imbalance, mid[later] - mid)[0, 1] < 0.3


def test_the_spot_follows() -> None:
    market = samples.load("ticks-hedge")
    last = [
        rows["tick"][np.searchsorted(rows["ts"], market.mark[0]["ts"][60:], side="right") - 1]
        for rows in market.trades.values()
    ]
    basis = last[0] - last[1]
    assert 5 < basis.mean() < 20
    assert 1 < basis.std() < 6


def test_lengths_that_are_none() -> None:
    for minutes in (0, 1441, 1.5, True):
        with pytest.raises(ConfigError, match="minutes"):
            ticks(minutes)
    assert ticks(1, start="2025-03-01 13:00:30").books[0].messages["ts"][0] % HOUR == 0
    assert len(ticks(1, start="2025-03-01 13:00").funding[0]) == 0
