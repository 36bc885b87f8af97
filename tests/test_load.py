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
from framework.data.rebuild import replay_path
from framework.data.store import Store
from framework.errors import DataError
from framework.times import format_time
from tests.stored_days import LONG, date, made_days, made_store, same
from tests.tick_files import DAY, WHAT, csv_text, save, trade

LEVELS = "incremental_book_L2"
BOOKS = (LEVELS, LEVELS, "book_snapshot_5", "quotes", "book_ticker")
STREAMS = ("trades", "liquidations", "quotes")
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


@pytest.mark.parametrize("seed_of_case", range(8))
def test_days_are_one_pass_over_their_files(
    seed_of_case: int, seed: int, tmp_path: Path, small: None
) -> None:
    """Random days with silences, repeated ids, a clock ahead at midnight, missing and empty days."""
    rng = random.Random(seed + seed_of_case)
    book = rng.choice(BOOKS)
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
        *(rows["local_ts"] for s in STREAMS for rows in getattr(whole, s).values()),
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
            with pytest.raises(DataError, match=r"no (tick|bar) lies in|has no row of"):
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
    found = sorted((data_dir / folder).glob("*.csv.gz"))
    files = [path for path in found if any(f"_{kind}_" in path.name for kind in chosen)]
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
