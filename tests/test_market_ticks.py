"""Markets of ticks: cut and joined, their time and their hash, and what a reader is told."""

from __future__ import annotations

import numpy as np
import pytest

from framework.errors import ConfigError, DataError
from framework.instruments import Instrument
from framework.market import Market
from framework.market_ticks import Book, local_times
from framework.times import DAY, HOUR, MINUTE, SECOND
from tests.market_frames import ID, PERP, candles, market
from tests.tick_frames import T0, book_of, coin, ms, random_feed, tick_market


def states(book: Book) -> list[tuple[int, dict[int, int]]]:
    """Reference: (local_ts, sizes above zero by key) after each message, by a dict."""
    known, found = {}, []
    for i, head in enumerate(book.messages[:-1]):
        first, end = head["first"], book.messages["first"][i + 1]
        known.update(zip(book.keys[first:end].tolist(), book.lots[first:end].tolist(), strict=True))
        found.append((int(head["local_ts"]), {k: n for k, n in known.items() if n > 0}))
    return found


def at(history: list[tuple[int, dict[int, int]]], now: int) -> dict[int, int]:
    """Reference: the book of the messages with local_ts <= now."""
    return ([{}] + [state for ts, state in history if ts <= now])[-1]


def random_market(rng, **more) -> Market:
    messages, trades = random_feed(rng, unseen=0.1)
    return tick_market(messages, trades, **more)


# cutting and joining


def test_a_sliced_book_begins_with_what_was_known(seed):
    rng = np.random.default_rng(seed)
    m = random_market(rng)
    whole = m.books[0]
    history = states(whole)
    for _ in range(40):
        start, stop = np.sort(rng.integers(m.start - 9, m.stop + 9, 2)).tolist()
        try:
            part = m.slice(start, stop)
        except DataError:
            inside = [ts for ts in whole.messages["local_ts"][:-1].tolist() if start <= ts < stop]
            assert not inside
            continue
        book = part.books[0]
        mine = states(book)
        for now in [start, *book.messages["local_ts"][:-1].tolist()]:
            assert at(mine, now) == at(history, now)
        ts, local = book.messages["ts"][:-1], book.messages["local_ts"][:-1]
        assert (np.diff(ts) >= 0).all()
        assert (ts <= local).all()
        kept = (m.trades[0]["local_ts"] >= start) & (m.trades[0]["local_ts"] < stop)
        assert np.array_equal(part.trades[0], m.trades[0][kept])
        assert part.stop <= stop
        if book.seeded:
            seed_keys = book.keys[: book.messages["first"][1]]
            assert local[0] == start
            assert (np.diff(seed_keys) > 0).all()
            assert (book.lots[: len(seed_keys)] > 0).all()
        else:
            assert start <= whole.messages["local_ts"][0]
            assert np.shares_memory(book.keys, whole.keys)


def test_the_stamps_of_a_seed():
    rows = [
        (ms(0), ms(1), [("bid", 99, 5), ("ask", 101, 3), ("bid", 98, 2)]),
        (ms(2), ms(8), [("bid", 98, 0)]),
    ]
    m = tick_market(rows)
    part = m.slice(ms(4)).books[0]
    assert part.messages["local_ts"].tolist()[:2] == [ms(4), ms(8)]
    assert part.messages["ts"].tolist()[:2] == [ms(2), ms(2)], "never later than what follows"
    assert part.keys.tolist() == [196, 198, 203, 196]
    assert part.lots.tolist() == [2, 5, 3, 0]
    with pytest.raises(DataError, match="no tick lies in"):
        m.slice(ms(9))
    alone = tick_market(rows, [(ms(20), ms(20), 99, 1, -1)]).slice(ms(9)).books[0]
    assert (alone.messages["ts"][0], alone.messages["local_ts"][0], len(alone)) == (ms(9), ms(9), 1)


def test_join_of_a_split_is_the_whole(seed):
    rng = np.random.default_rng(seed)
    for i in range(12):
        m = random_market(rng, quotes=[(ms(t), ms(t), 99.0, 1.0, 101.0, 2.0) for t in range(0, 200, 7)])
        a, b = m.split(float(rng.uniform(0.1, 0.9)))
        c, d = b.split(int(rng.choice(np.unique(np.concatenate(local_times(b, 0)))[2:])))
        for parts in ((a, b), (b, a), (d, a, c), (a + c, d)):
            made = Market.join(*parts)
            assert made.content_hash() == m.content_hash(), i
            assert np.array_equal(made.books[0].messages, m.books[0].messages)
            assert not made.books[0].seeded
        assert (c + d).content_hash() == b.content_hash()
        assert (c + d).books[0].seeded


def test_join_with_a_side_that_lacks_a_stream():
    m = tick_market(
        [(ms(10), ms(10), [("bid", 99, 5)]), (ms(11), ms(12), [("bid", 99, 0)])],
        [(ms(1), ms(1), 99, 1, -1), (ms(30), ms(30), 99, 2, 1)],
    )
    for cut in (ms(2), ms(10), ms(11), ms(12), ms(13), ms(20)):
        parts = m.split(cut)
        assert Market.join(*parts).content_hash() == m.content_hash(), cut
    empty = m.slice(ms(20))
    assert len(empty.books[0]) == 1, "known to be empty is not the same as not known"
    assert len(empty.books[0].keys) == 0
    for fraction in (0.0, 1.0, 1.5):
        with pytest.raises(ConfigError, match="split"):
            m.split(fraction)


def test_join_of_two_days_restates_the_snapshot():
    day = [(ms(0), ms(1), [("bid", 99, 5), ("bid", 98, 4), ("ask", 101, 3)])]
    following = [
        (DAY + ms(0), DAY + ms(1), [("ask", 102, 7), ("bid", 99, 5), ("ask", 101, 2)]),
        (DAY + ms(2), DAY + ms(3), [("bid", 98, 1)]),
    ]
    book = (tick_market(day) + tick_market(following)).books[0]
    assert book.keys.tolist() == [198, 196, 203, 196, 203, 205, 196]
    assert book.lots.tolist() == [5, 4, 3, 0, 2, 7, 1]
    assert book.messages["first"].tolist() == [0, 3, 6, 7]
    same = [(DAY + ms(0), DAY + ms(1), day[0][2])]
    still = (tick_market(day) + tick_market(same)).books[0]
    assert still.messages["first"].tolist() == [0, 3, 3], "a message of the feed stays, even without a row"


def test_join_of_books_of_limited_depth_keeps_what_left_the_view():
    sides = {
        name: [(name, 100 + sign * i, 4) for i in range(1, 6)] for name, sign in (("bid", -1), ("ask", 1))
    }
    day = book_of([(ms(0), ms(1), sides["bid"] + sides["ask"] + [("bid", 90, 8)])])
    higher = [("bid", 100 - i, 4) for i in range(5)] + [("ask", 101, 4), ("ask", 104, 4)]
    after = book_of([(DAY + ms(0), DAY + ms(1), higher)])
    parts = [
        Market((coin(),), books={0: Book(b.messages, b.keys, b.lots, "book_snapshot_5")})
        for b in (day, after)
    ]
    book = Market.join(*parts).books[0]
    end = int(book.messages["first"][1])
    rows = dict(zip((k // 2 for k in book.keys[end:].tolist()), book.lots[end:].tolist(), strict=True))
    assert rows == {100: 4, 90: -1, 95: -1, 102: 0, 103: 0, 105: 0}, "a thin side is known whole"
    with pytest.raises(ConfigError, match="incremental_book_L2 and book_snapshot_5 make no one book"):
        tick_market([(ms(0), ms(1), [("bid", 99, 5)])]) + parts[1]


def test_join_lets_exchange_time_go_on():
    one = tick_market(trades=[(ms(5), ms(6), 99, 1, 1)])
    two = tick_market(trades=[(ms(3), ms(7), 99, 2, 1), (ms(8), ms(9), 99, 3, 1)])
    assert (two + one).trades[0]["ts"].tolist() == [ms(5), ms(5), ms(8)]
    assert (two + one).trades[0]["raw_ts"].tolist() == [ms(5), ms(3), ms(8)]


def test_overlaps_are_refused_with_both_ranges():
    m = random_market(np.random.default_rng(1))
    with pytest.raises(DataError, match=r"made:AAA trades: two markets overlap, 2024-.* \.\. .* and 2024-"):
        m + m
    books = tick_market([(ms(i), ms(i), [("bid", 99, 5 + i)]) for i in range(9)])
    with pytest.raises(
        DataError, match=r"books: two markets overlap, .*00:00:00Z \.\. .*0.008Z and .*0.003Z"
    ):
        books + books.slice(ms(3))


def test_markets_of_two_instruments_lie_beside_each_other(seed):
    rng = np.random.default_rng(seed)
    spot = random_market(rng, what=coin("made:SPOT", kind="spot"))
    perp = random_market(rng)
    bars = market(30)
    m = Market.join(spot, bars, perp)
    assert [one.id for one in m.instruments] == ["made:SPOT", ID, "made:AAA"]
    assert (sorted(m.trades), sorted(m.books)) == ([0, 2], [0, 2])
    assert np.array_equal(m.trades[2], perp.trades[0])
    assert [m.has_ticks(k) for k in range(3)] == [True, False, True]
    assert (m.is_ticks, bars.is_ticks) == (True, False)
    joined = m.joined(None)
    assert [end - first for first, end in joined.match] == [0, 30, 0]
    a, b = m.split(ms(100))
    assert (a.bars[0 + 1, MINUTE].size, b.bars[1, MINUTE].size) == (0, 29), "bars that open and close inside"


# time, hash, bars beside ticks


def test_start_and_stop():
    m = tick_market([(ms(3), ms(4), [("bid", 99, 5)])], [(ms(1), ms(2), 99, 1, 1), (ms(7), ms(9), 99, 1, 1)])
    assert (m.start, m.stop) == (ms(2), ms(9) + 1)
    assert repr(m) == "<Market ticks: made:AAA, 2024-01-01T00:00:00.002Z .. 2024-01-01T00:00:00.009000001Z>"
    assert m.slice(m.start, m.stop).content_hash() == m.content_hash()
    both = m + market(600, id=PERP)
    assert (both.start, both.stop) == (T0, T0 + 600 * MINUTE)
    assert (Market((coin(),)).start, Market((coin(),)).stop) == (0, 0)


def test_loaded_bars_of_an_instrument_with_ticks_are_shown_and_not_traded():
    what = Instrument(ID, tick_size=0.01, lot_size=0.001)
    hours = Market.from_candles(candles(48, HOUR, start=T0 - 40 * HOUR), what, "1h", "open")
    ticks = tick_market(
        trades=[(T0 + i * MINUTE, T0 + i * MINUTE, 9_000, 5, 1) for i in range(90)], what=what
    )
    m = hours + ticks
    assert (m.start, m.stop) == (T0, T0 + 89 * MINUTE + 1)
    assert len(m.match_bars(0)) == 48
    assert m.joined(None).match == [(0, 0)]
    assert m.joined(None).intervals == [HOUR]
    rows, times = m.shown_bars(0, "1h")
    assert rows is m.bars[0, HOUR]
    assert np.array_equal(times, rows["close_ts"])
    assert len(m.shown_bars(0, "4h")[0]) == 12, "made of the loaded ones"
    assert len(m.shown_bars(0, "30m")[0]) == 2, "the loaded ones are too long: made of the trades"
    assert m.notes == (
        f"{ID}: 46 of 48 bars lie outside the ticks, 2024-01-01T00:00:00Z .. 2024-01-01T01:29:00.000000001Z: "
        "shown, not traded",
    )
    with pytest.raises(DataError, match="no tick lies in"):
        m.slice(None, T0 - DAY)
    candle = m.as_candles("1m")
    assert sorted(candle.bars) == [(0, MINUTE)]
    assert "bars of its trades take the place of the loaded bars" in candle.notes[0]


def test_the_hash_covers_every_tick_and_leaves_candles_alone():
    assert market(60).content_hash() == "ad55abb842d1e117ce7541c42a4280ed89d88122dc9142654e12c3a226d3e25e"
    messages, trades = random_feed(np.random.default_rng(3), 60)
    quotes = [(ms(1), ms(2), 99.0, 1.0, 101.0, 2.0)]
    made = {"quotes": quotes, "liquidations": trades[:1]}
    hashes = {tick_market(messages, trades, **made).content_hash()}
    for i, field in enumerate(("ts", "local_ts", "tick", "lots", "side", "raw_ts")):
        row = [*trades[3], trades[3][0]]
        row[i] += 1
        hashes.add(tick_market(messages, [*trades[:3], row, *trades[4:]], **made).content_hash())
        assert len(hashes) == i + 2, field
    head, rows = messages[5][:2], list(messages[5][2])
    side, tick, size = rows[-1]
    for other in (
        (head[0] - 1, head[1], rows),
        (*head, [*rows[:-1], (side, tick, size + 1)]),
        (*head, rows[:-1]),
    ):
        changed = [*messages[:5], other, *messages[6:]]
        hashes.add(tick_market(changed, trades, check=False, **made).content_hash())
    hashes.add(tick_market(messages, trades, quotes=quotes).content_hash())
    hashes.add(tick_market(messages, trades, liquidations=trades[:1]).content_hash())
    moved = [*messages[:5], (*head, [*rows, messages[6][2][0]]), (*messages[6][:2], messages[6][2][1:])]
    hashes.add(tick_market([*moved, *messages[7:]], trades, **made).content_hash())
    assert len(hashes) == 13
    m = tick_market(messages, trades)
    assert m.as_trades().content_hash() == tick_market(None, trades).content_hash()


# notes


def test_notes_of_streams_that_do_not_cover_each_other():
    def book(first, last):
        return [(t, t, [("bid", 99, 5 + t // SECOND)]) for t in range(first, last, SECOND)]

    def trades(first, last):
        return [(t, t, 99, 1, 1) for t in range(first, last, SECOND)]

    spot = coin(kind="spot")
    hour = T0 + HOUR
    assert tick_market(book(T0, hour), trades(T0 + 5 * SECOND, hour), what=spot).notes == ()
    assert tick_market(book(T0, T0 + 600 * SECOND), trades(T0 + 300 * SECOND, hour), what=spot).notes == (
        "made:AAA: the book ends at 2024-01-01T00:09:59Z, the ticks at 2024-01-01T00:59:59Z",
        "made:AAA: the trades begin at 2024-01-01T00:05:00Z, the ticks at 2024-01-01T00:00:00Z",
    )
    rare = [(T0 + i * 600 * SECOND, T0 + i * 600 * SECOND, 99, 1, 1) for i in range(1, 6)]
    assert tick_market(book(T0, hour), rare, what=spot).notes == (), "no farther than its own pauses"
    assert tick_market(book(T0, hour), what=spot).notes == (
        "made:AAA: no trades beside the book; limits fill only when the book reaches them, and stops that "
        "wait for a trade never trigger",
    )


def test_funding_and_marks_are_measured_against_the_ticks():
    day = [(T0 + i * MINUTE, T0 + i * MINUTE, 99, 1, 1) for i in range(24 * 60)]
    m = tick_market(trades=day)
    assert m.notes == ("made:AAA: no funding stream; positions pay no funding",)
    paid = {"ts": [T0 + 8 * HOUR * i for i in range(3)], "rate": [0.0] * 3}
    assert m.with_funding(paid, unit="ns").notes == (
        "made:AAA: no mark stream; funding is priced at the last trade",
    )
    with pytest.raises(
        DataError, match=r"lies inside the ticks: it covers .*, the ticks 2024-01-01T00:00:00Z"
    ):
        m.with_funding({"ts": [T0 + 9 * DAY], "rate": [0.0]}, unit="ns")
    half = {"ts": paid["ts"][:2], "rate": [0.0] * 2}
    assert m.with_funding(half, unit="ns").notes[-1] == (
        "made:AAA: 1 funding boundary is missing at a spacing of 8h (1 after the last, 2024-01-01T08:00:00Z)"
        "; no funding is paid there"
    )
    two = Market.join(m, tick_market(trades=day[:600], what=coin("made:B", kind="spot")))
    assert two.notes[-1] == (
        "ticks end at different times: those of made:B at 2024-01-01T09:59:00.000000001Z, those of made:AAA "
        "at 2024-01-01T23:59:00.000000001Z; a position keeps its last price from there on"
    )
