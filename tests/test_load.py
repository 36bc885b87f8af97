"""`load`: stored days are the market one pass over their files makes, in memory and streamed."""

from __future__ import annotations

import gzip
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framework import Instrument, Market, Strategy, backtest, compiled, from_tardis, load
from framework.cli_strategy import load_strategy
from framework.data import loading, pack
from framework.data.checks import Finding, save_verdict
from framework.data.rebuild import PACKED, repack, replay_path
from framework.data.store import Store
from framework.data.waivers import waive
from framework.errors import ConfigError, DataError
from framework.times import format_time
from tests.tick_files import (
    DAY,
    WHAT,
    change_rows,
    csv_text,
    decimal,
    random_changes,
    random_times,
    random_views,
    save,
    trade,
    view_rows,
)  # fmt: skip

LONG = 86_400_000_000  # microseconds of a day
DAYS = ("2023-04-05", "2023-04-06", "2023-04-07", "2023-04-08")
REAL = [
    ("demo", "binance", "2024-08-08", "2024-08-10", "trades,incremental_book_L2"),
    ("demo", "binance", "2024-08-08", "2024-08-10", "trades,book_ticker"),
    ("tardis-form", "binance-futures", "2023-04-04", "2023-04-06",
     "trades,incremental_book_L2,derivative_ticker"),
    ("tardis-form", "binance-futures", "2023-04-04", "2023-04-06", "book_ticker,derivative_ticker"),
]  # fmt: skip


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of a few rows."""
    monkeypatch.setattr(pack, "CHUNK", 7)


def date(n: int) -> str:
    """Day `n` of the made files."""
    return DAYS[n]


def deal_rows(rng: random.Random, files: int, count: int, clock: int) -> list[list[Any]]:
    """Rows of trades, day by day; ids come again, also across midnight, some with other content."""
    result, ids = [], [str(i) for i in range(40)]
    for n in range(files):
        rows = []
        for ts, local in random_times(rng, DAY + n * LONG + 100, count):
            id = rng.choice(("", rng.choice(ids), str(rng.randint(10**6, 10**9))))
            side = rng.choice(("buy", "sell", "unknown", ""))
            rows.append(
                trade(ts, local, id, side, decimal(rng.randint(900, 1100), 1), decimal(rng.randint(0, 9), 3))
            )
        if clock:  # a clock ahead: its last rows carry times of the next day
            rows.append(trade(DAY + (n + 1) * LONG + clock, DAY + (n + 1) * LONG - 5, "", "buy", 99.9, 1))
        result.append(rows)
    return result


def made_days(
    folder: Path, rng: random.Random, kind: str, days: Sequence[int], count: int, full: bool = False
) -> list[Path]:
    """Write day files of a kind; a day without rows is an empty file."""
    clock = rng.choice((0, 0, 150, 2000))
    if kind in ("trades", "liquidations"):
        rows = deal_rows(rng, 4, count, clock)
    elif kind == "incremental_book_L2":
        rows = [change_rows(day) for day in random_changes(rng, 4, count, 8)]
    else:
        levels = 1 if kind in ("quotes", "book_ticker") else int(kind.rsplit("_", 1)[1])
        rows = [view_rows(day, kind) for day in random_views(rng, 4, count, levels)]
    empty = None if full else rng.choice((None, None, *days[1:]))
    return [
        save(folder, kind, b"" if n == empty else csv_text(kind, rows[n]), date(n)) for n in days
    ]


def same(one: Market, other: Market) -> None:
    """Assert that two markets are equal to the bit, and say where they differ."""
    for stream in ("trades", "liquidations", "quotes", "books"):
        mine, its = getattr(one, stream), getattr(other, stream)
        assert mine.keys() == its.keys(), stream
        for k in mine:
            if stream == "books":
                assert mine[k].seeded == its[k].seeded
                for name in ("messages", "keys", "lots"):
                    np.testing.assert_array_equal(getattr(mine[k], name), getattr(its[k], name), name)
            else:
                for name in mine[k].dtype.names:
                    np.testing.assert_array_equal(mine[k][name], its[k][name], f"{stream} {name}")
    assert one.instruments == other.instruments
    assert one.content_hash() == other.content_hash()


@pytest.mark.parametrize("seed_of_case", range(8))
def test_days_are_one_pass_over_their_files(
    seed_of_case: int, seed: int, tmp_path: Path, small: None
) -> None:
    """Random days with silences, repeated ids, a clock ahead at midnight, missing and empty days."""
    rng = random.Random(seed + seed_of_case)
    book = rng.choice(("incremental_book_L2", "incremental_book_L2", "book_snapshot_5", "quotes", "book_ticker"))
    kinds = [book, "trades", *rng.choice(((), ("liquidations",)))]
    days = sorted(rng.sample(range(4), rng.choice((2, 3, 4))))
    files = [f for kind in kinds for f in made_days(tmp_path, rng, kind, days, rng.choice((3, 60)))]
    store = Store(tmp_path / "store")
    store.add_csv(files, instrument=WHAT)
    whole = from_tardis(files, WHAT)
    options: dict[str, Any] = {"store": store, "streams": kinds, "instrument": WHAT}
    span = ("made", "AAABBB", date(0), "2023-04-09")
    memory, streamed = (load(*span, stream=stream, **options) for stream in (False, True))
    same(memory, whole)
    assert streamed.is_streamed
    assert streamed.content_hash() == whole.content_hash()
    same(streamed.loaded(), whole)
    assert memory.notes == streamed.notes
    check_levels(memory, streamed)
    for _ in range(3):
        check_part(rng, whole, files, options)


def check_levels(memory: Market, streamed: Market) -> None:
    """The levels a book says it has are those that occur."""
    for tape in streamed.tapes:
        if tape.stream == "books":
            keys = np.unique(memory.books[0].keys)
            np.testing.assert_array_equal(tape.levels, keys)
            np.testing.assert_array_equal(memory.books[0].levels, keys)


def check_part(rng: random.Random, whole: Market, files: Sequence[Path], options: dict[str, Any]) -> None:
    """Any range is the slice of its days' files, or is refused as that is."""
    times = np.concatenate([
        *(rows["local_ts"] for s in ("trades", "liquidations", "quotes") for rows in getattr(whole, s).values()),
        *(book.messages["local_ts"][:-1] for book in whole.books.values()),
    ])  # fmt: skip
    start, stop = sorted(int(rng.choice(times)) + rng.choice((0, 1, -1, 500)) for _ in range(2))
    first = start if rng.random() < 0.7 else None
    end = stop + 1 if rng.random() < 0.7 else None
    days = [format_time(t)[:10] for t in (start, stop if end else whole.stop)]
    mine = [path for path in files if days[0] <= path.name.split("_")[-2] <= days[1]]
    span = ("made", "AAABBB", first or days[0], end or "2023-04-09")
    print(f"range {span}")
    try:
        wanted = from_tardis(mine, WHAT).slice(first, end)
    except DataError:
        for stream in (False, True):
            with pytest.raises(DataError, match="no (tick|bar) lies in|has no row of"):
                load(*span, stream=stream, **options)
        return
    memory, streamed = (load(*span, stream=stream, **options) for stream in (False, True))
    same(memory, wanted)
    same(streamed.loaded(), wanted)
    assert (streamed.start, streamed.stop) == (wanted.start, wanted.stop)
    assert streamed.content_hash() == wanted.content_hash()


@pytest.mark.parametrize(("folder", "venue", "start", "stop", "kinds"), REAL)
def test_real_days(
    folder: str, venue: str, start: str, stop: str, kinds: str, data_dir: Path, real_store: Store
) -> None:
    """Two real days across midnight: one pass over their files, in memory and streamed."""
    chosen = kinds.split(",")
    files = [p for p in sorted((data_dir / folder).glob("*.csv.gz")) if any(f"_{k}_" in p.name for k in chosen)]
    whole = from_tardis(files)
    memory, streamed = (
        load(venue, "BTC-USDT", start, stop, chosen, store=real_store, stream=s) for s in (False, True)
    )
    same(memory, whole)
    assert streamed.content_hash() == whole.content_hash()
    said = {line for line in memory.notes if "never checked" not in line}
    assert said == set(whole.notes)
    cut = start + "T23:59:30.5", stop[:8] + f"{int(stop[8:]) - 1:02d}T00:02"
    part, tape = (load(venue, "BTCUSDT", *cut, chosen, store=real_store, stream=s) for s in (False, True))
    same(part, whole.slice(*cut))
    assert tape.content_hash() == part.content_hash()


@pytest.fixture(scope="module")
def real_store(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The real days, imported."""
    store = Store(tmp_path_factory.mktemp("real"))
    store.add_csv([p for f in ("demo", "tardis-form") for p in sorted((data_dir / f).glob("*_2*T.csv.gz"))
                   if "_1m_" not in p.name])  # fmt: skip
    return store


def test_a_run_is_the_same_streamed(real_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fingerprints of a plain and of a compiled maker, the packs cut small."""
    monkeypatch.setattr(pack, "CHUNK", 5_000)
    for part in real_store.parts("binance-futures"):
        replay_path(part).unlink(missing_ok=True)  # made again in small pieces
    span = ("binance-futures", "BTCUSDT", "2023-04-04", "2023-04-06")
    memory, streamed = (load(*span, store=real_store, stream=s) for s in (False, True))
    assert max(len(tape.chunks) for tape in streamed.tapes) > 20
    for cls in (load_strategy("strategies/imbalance_maker.py"), CompiledMaker):
        one, other = backtest(cls, memory), backtest(cls, streamed)
        assert one.fingerprint == other.fingerprint
        assert len(one.fills) > 10


@compiled
class CompiledMaker(Strategy):
    """Quotes both sides now and then."""

    def setup(self) -> None:
        self.seen = 0

    def on_trade(self, trade, broker) -> None:  # type: ignore[no-untyped-def]
        self.seen += 1
        if self.seen % 50 == 0:
            broker.cancel_all()
            side = 1 if broker.position <= 0.0 else -1
            broker.order(side, qty=0.01, price=trade.price)


def test_grids_that_change(tmp_path: Path, small: None) -> None:
    """A day with finer prices and amounts: all days are on the finest grid."""
    rows = [
        [(DAY + 10, DAY + 20, "true", "bid", "99.5", "2"), (DAY + 10, DAY + 20, "true", "ask", "100", "3"),
         (DAY + 30, DAY + 40, "false", "bid", "99", "1.5")],
        [(DAY + LONG + 10, DAY + LONG + 20, "true", "bid", "99.55", "2.125"),
         (DAY + LONG + 10, DAY + LONG + 20, "true", "ask", "100", "3")],
    ]  # fmt: skip
    trades = [[trade(DAY + 50, DAY + 60, 1, price=99.5, amount=1)],
              [trade(DAY + LONG + 50, DAY + LONG + 60, 1, price=99.55, amount=1),
               trade(DAY + LONG + 50, DAY + LONG + 60, 2, price=99.55, amount="0.0005")]]  # fmt: skip
    files = [save(tmp_path, "incremental_book_L2", csv_text("incremental_book_L2", r), date(n))
             for n, r in enumerate(rows)]  # fmt: skip
    files += [save(tmp_path, "trades", csv_text("trades", r), date(n)) for n, r in enumerate(trades)]
    store = Store(tmp_path / "store")
    store.add_csv(files)
    steps = {(p.kind, p.tick_size, p.lot_size) for p in store.parts()}
    assert len(steps) == 4
    whole = from_tardis(files)
    assert (whole.instruments[0].tick_size, whole.instruments[0].lot_size) == (0.01, 0.0001)
    span = ("made", "AAABBB", date(0), date(2))
    for stream in (False, True):
        same(load(*span, store=store, stream=stream).loaded(), whole)
    fine = Instrument(WHAT.id, "linear", tick_size=0.005, lot_size=0.00005)
    made = load(*span, store=store, instrument=fine)
    same(made, from_tardis(files, fine))
    with pytest.raises(DataError, match=r"2023-04-06.*tick_size 0.01.*tick_size=0.01 \(or None"):
        load(*span, store=store, instrument=Instrument(WHAT.id, "linear", tick_size=0.1, lot_size=0.0001))


def test_several_symbols(tmp_path: Path, seed: int, small: None) -> None:
    """Each symbol is an instrument of one market, in the order asked for."""
    rng = random.Random(seed)
    parts = {}
    for name in ("AAABBB", "CCCBBB"):
        made = made_days(tmp_path, rng, "incremental_book_L2", (0, 1), 40)
        made += made_days(tmp_path, rng, "trades", (0, 1), 40)
        folder = tmp_path / name
        folder.mkdir()
        parts[name] = []
        for path in made:
            text = gzip.decompress(path.read_bytes()).replace(b"AAABBB", name.encode())
            parts[name].append(folder / path.name.replace("AAABBB", name))
            parts[name][-1].write_bytes(gzip.compress(text, 1))
    store = Store(tmp_path / "store")
    rules = [Instrument(f"made:{name}", "linear", 0.1, 0.001) for name in ("CCCBBB", "AAABBB")]
    for one in rules:
        store.add_csv(parts[one.symbol], instrument=one)
    whole = Market.join(*(from_tardis(parts[one.symbol], one) for one in rules))
    span = ("made", ["CCCBBB", "AAABBB"], date(0), date(2))
    for stream in (False, True):
        market = load(*span, store=store, instrument=rules, stream=stream)
        assert market.content_hash() == whole.content_hash()
        same(market.loaded(), whole)


def test_a_long_market_is_streamed(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the number of rows, where nothing is said."""
    store = made_store(tmp_path, seed)
    span = ("made", "AAABBB", date(0), date(2))
    assert not load(*span, store=store).is_streamed
    monkeypatch.setattr(loading, "IN_MEMORY", 50)
    assert load(*span, store=store).is_streamed


def made_store(folder: Path, seed: int) -> Store:
    """A store of two days of a book and trades."""
    rng = random.Random(seed)
    store = Store(folder / "store")
    for kind in ("incremental_book_L2", "trades"):
        made_days(folder, rng, kind, (0, 1), 50, full=True)
    store.add_csv(folder, instrument=WHAT)
    return store


@pytest.mark.parametrize("stream", [False, True])
def test_a_damaged_replay_file_is_made_again(stream: bool, tmp_path: Path, seed: int) -> None:
    """Any bit that is flipped, a cut, another day's file: the same market, and a remark."""
    store = made_store(tmp_path, seed)
    span = ("made", "AAABBB", date(0), date(2))
    good = load(*span, store=store)
    rng = random.Random(seed)
    paths = [replay_path(part) for part in store.parts()]
    assert all(path.exists() for path in paths)
    for n in range(30):
        path = rng.choice(paths)
        content = path.read_bytes()
        at, bit = rng.randrange(len(content)), 1 << rng.randrange(8)
        bad = content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]
        path.write_bytes((content[:at], paths[paths.index(path) - 1].read_bytes(), bad)[min(n, 2)])
        print(f"damage {n}: {path.name}, byte {at} of {len(content)}")
        market = load(*span, store=store, stream=stream)
        assert market.content_hash() == good.content_hash()
        assert [line for line in market.remarks if "made again from the raw rows" in line]
        assert path.read_bytes() == content
        assert load(*span, store=store, stream=stream).remarks == good.remarks


def test_damaged_rows_are_refused(tmp_path: Path, seed: int) -> None:
    """The raw file is named where its rows are needed."""
    store = made_store(tmp_path, seed)
    part = store.parts(kind="trades")[0]
    replay_path(part).unlink()
    content = bytearray(part.path.read_bytes())
    content[len(content) // 2] ^= 1
    part.path.write_bytes(content)
    with pytest.raises(DataError, match=f"{part.path.name}.*import it again"):
        load("made", "AAABBB", date(0), date(2), store=Store(store.folder))


def test_import_and_rebuild_make_the_same_file(tmp_path: Path, seed: int) -> None:
    """What the import packs from text is what is packed from stored rows, for every kind that has a pack."""
    rng = random.Random(seed)
    store = Store(tmp_path / "store")
    for kind in PACKED:
        made_days(tmp_path, rng, kind, (0, 1), 70)
    store.add_csv(tmp_path, instrument=WHAT)
    seen = set()
    for part in store.parts():
        if part.rows:
            made = replay_path(part).read_bytes()
            repack(store, part)
            assert replay_path(part).read_bytes() == made, part.kind
            seen.add(part.kind)
    assert seen == set(PACKED)


def test_days_that_lack(tmp_path: Path, seed: int) -> None:
    """Missing days are told or refused; ranges and names without data say what there is."""
    store = made_store(tmp_path, seed)
    market = load("made", "AAABBB", date(0), "2023-04-12", store=store)
    lacks = "not in the store: 2023-04-07 .. 2023-04-11 (5 days)"
    assert f"made:AAABBB trades: {lacks}" in market.remarks
    with pytest.raises(DataError, match=r"trades: not in the store: 2023-04-07 \(1 day\); download or import"):
        load("made", "AAABBB", date(0), date(3), store=store, gaps="refuse")
    with pytest.raises(DataError, match=r"has no row of made:AAABBB .*it has incremental_book_L2 2023-04-05 \.\."):
        load("made", "AAABBB", date(2), date(3), store=store)
    with pytest.raises(DataError, match="holds nothing of made:AAABBC; did you mean made:AAABBB"):
        load("made", "AAABBC", date(0), date(2), store=store)
    with pytest.raises(DataError, match="holds no liquidations of made:AAABBB; it has"):
        load("made", "AAABBB", date(0), date(2), "liquidations", store=store)
    with pytest.raises(ConfigError, match="streams: unknown 'trade'; did you mean trades"):
        load("made", "AAABBB", date(0), date(2), ["trade"], store=store)
    with pytest.raises(ConfigError, match="stop: 2023-04-05T00:00:00Z is not after start"):
        load("made", "AAABBB", date(1), date(0), store=store)
    with pytest.raises(ConfigError, match="gaps: unknown 'no'"):
        load("made", "AAABBB", date(0), date(2), store=store, gaps="no")
    with pytest.raises(ConfigError, match="one is given twice"):
        load("made", ["AAABBB", "aaabbb"], date(0), date(2), store=store)


def test_what_the_doctor_says(tmp_path: Path, seed: int) -> None:
    """A refused day is not loaded until it is waived; a result tells of the waiver."""
    store = made_store(tmp_path, seed)
    span = ("made", "AAABBB", date(0), date(2))
    part = store.parts(kind="trades")[0]
    save_verdict(store, part, [Finding("crossed", "refuse", 3, 1, -1, "3 rows are crossed")])
    with pytest.raises(DataError, match=f"{part.path.name}: the check of made:AAABBB trades .*3 rows are"):
        load(*span, store=store)
    waive(store, part, "known outage")
    remarks = load(*span, store=store).remarks
    assert "made:AAABBB trades 2023-04-05: waived crossed: known outage" in remarks
    assert any("trades: 1 of 2 days were never checked" in line for line in remarks)
