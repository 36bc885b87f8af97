"""Tardis files into the store, the store into a Market and through a run; peers' loaders in the same call."""

from __future__ import annotations

import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import bench_stream
from .environments import python_of, script
from .measure import child, forget_peak, high_rss_mb, machine, peak_rss_mb, rss_mb, timed

TITLE = "Data: 5,000,000 rows of Tardis csv.gz (85 % levels, 15 % trades)"
VENUE, SYMBOL, DAY, COPIES = "binance-futures", "MADE", "2024-01-01", 10
READERS = ("inflate only, zlib", "inflate only, isal", "polars, its defaults", "polars, typed columns")
OURS = ("csv.gz to store", "store to Market", "store to Market, streamed")
PEERS = {"hftbacktest convert": ("hftbacktest", "convert"), "nautilus loader": ("nautilus", "load")}
GOALS = (  # part, field, limit, words
    ("csv.gz to store", "wall_s", 1.2, "wall s"), ("csv.gz to store", "cpu_s", 2.0, "CPU s"),
    ("csv.gz to store", "peak_rss_mb", 600, "MB"), ("store to Market", "wall_s", 0.1, "wall s"),
)  # fmt: skip


# --- the measured processes -------------------------------------------------------------------
def feed_files() -> list[Path]:
    """Return the feed's two csv.gz files."""
    from .tick_feed import folder

    return sorted(folder().glob("*.csv.gz"))


def what() -> Any:
    """Return the feed's instrument."""
    from framework import Instrument

    from .tick_feed import LOT, TICK

    return Instrument(f"{VENUE}:{SYMBOL}", "linear", TICK, LOT)


@contextmanager
def new_folder() -> Iterator[Path]:
    """Lend a folder beside the feed: on the same disk, and gone afterwards."""
    from .tick_feed import folder

    place = Path(tempfile.mkdtemp(dir=folder().parent))
    try:
        yield place
    finally:
        shutil.rmtree(place)


def inflate(new: Callable[[int], Any]) -> int:
    """Inflate the files and drop what comes out."""
    total = 0
    for path in feed_files():
        unpack = new(31)
        with open(path, "rb") as file:
            while piece := file.read(1 << 18):
                total += len(unpack.decompress(piece))
    return total


def polars(typed: bool) -> int:
    """Read the files as polars does, all columns or those a book needs with their types."""
    import polars as pl

    rows = 0
    for path in feed_files():
        if not typed:
            rows += pl.read_csv(path).height
            continue
        names = ["timestamp", "local_timestamp", "side", "price", "amount"]
        kinds: dict[str, Any] = {"timestamp": pl.Int64, "local_timestamp": pl.Int64, "side": pl.Categorical}
        kinds |= {"price": pl.Float64, "amount": pl.Float64}
        rows += pl.read_csv(path, columns=names, schema_overrides=kinds).height
    return rows


def reader(name: str) -> dict[str, Any]:
    """Measure a bare reader."""
    if name == READERS[0]:
        call: Callable[[], Any] = lambda: inflate(zlib.decompressobj)  # noqa: E731
    elif name == READERS[1]:
        from isal import isal_zlib

        call = lambda: inflate(isal_zlib.decompressobj)  # noqa: E731
    else:
        call = lambda: polars(name == READERS[3])  # noqa: E731
    return {**timed(call, 5), "peak_rss_mb": peak_rss_mb()}


def store_in(place: Path) -> Any:
    """Return a store with the feed in it."""
    from framework.data import Store

    store = Store(place)
    store.add_csv(feed_files(), instrument=what())
    return store


def importing() -> dict[str, Any]:
    """Measure the import, each time into an empty store."""
    with new_folder() as place:
        count = iter(range(100))
        figures = timed(lambda: store_in(place / str(next(count))), 5)
        size = sum(f.stat().st_size for f in (place / "0").rglob("*") if f.is_file())
        return {**figures, "peak_rss_mb": peak_rss_mb(), "disk_mb": size / 1e6}


def loading(stream: bool) -> dict[str, Any]:
    """Measure `load` of what was imported."""
    from framework.data import load

    with new_folder() as place:
        store = store_in(place)
        span = (VENUE, SYMBOL, DAY, "2024-01-02")
        figures = timed(lambda: load(*span, store=store.folder, instrument=what(), stream=stream), 7)
        return {**figures, "peak_rss_mb": peak_rss_mb()}


def later_days(place: Path) -> Any:
    """Return a store with the feed on ten days, one after the other."""
    import polars as pl

    from framework.times import DAY as LENGTH
    from framework.times import parse_time

    store = store_in(place)
    for kind in ("trades", "incremental_book_L2"):
        day = parse_time(DAY)
        first = store.part(VENUE, kind, SYMBOL, day)
        for k in range(1, COPIES):
            shift = pl.duration(days=k)
            frames = (
                f.with_columns(pl.col("timestamp") + shift, pl.col("local_timestamp") + shift)
                for f in store.frames(first)
            )
            store.add_frame(VENUE, kind, SYMBOL, day + k * LENGTH, frames, source=f"copy {k}")
    return store


def replaying() -> dict[str, Any]:
    """A compiled maker over one day and over ten, in memory and streamed: time, and what is held."""
    from framework import backtest
    from framework.data import load

    from .bench_ticks import options, strategy
    from .tick_feed import ROWS

    maker, idle = strategy("maker"), strategy("wake-ups only")
    with new_folder() as place:
        store = later_days(place)

        def market(days: int, stream: bool) -> Any:
            stop = f"2024-01-{1 + days:02d}"
            return load(VENUE, SYMBOL, DAY, stop, store=store.folder, instrument=what(), stream=stream)

        one, streamed = market(1, False), market(1, True)
        prints = {backtest(maker, feed, **options()).fingerprint for feed in (one, streamed)}
        assert len(prints) == 1, "streamed is not as in memory"
        out: dict[str, Any] = {"events": ROWS, "copies": COPIES}
        for how, feed in (("memory", one), ("streamed", streamed)):
            out[f"1 day, {how}"] = timed(lambda f=feed: backtest(maker, f, **options()), 5)
        del one
        many = market(COPIES, True)
        for days, feed in ((1, streamed), (COPIES, many)):
            held, told = rss_mb(), forget_peak()
            backtest(idle, feed, **options())  # orders take memory by themselves
            out[f"memory of {days}"] = (high_rss_mb() if told else peak_rss_mb()) - held
        for how, feed in (("memory", market(COPIES, False)), ("streamed", many)):
            out[f"{COPIES} days, {how}"] = timed(lambda f=feed: backtest(maker, f, **options()), 2)
        return out


def bars() -> dict[str, Any]:
    """The kernels that make bars of trades, and beside them what else makes bars."""
    from .bars_speed import rows

    return {"lines": [f"{row.what}: {row.rate:.1f} M trades/s. {row.note}" for row in rows()]}


def measure(name: str) -> dict[str, Any]:
    """Return the figures of one part in this process."""
    if name in READERS:
        return reader(name)
    if name in OURS[1:]:
        return loading(name == OURS[2])
    return {"csv.gz to store": importing, "replay": replaying, "bars": bars}[name]()


def part(name: str) -> dict[str, Any]:
    """Measure one part in a process of its own."""
    return child([sys.executable, "-m", "benchmarks.bench_data", name])


def peer(name: str, how: str) -> dict[str, Any] | None:
    """Measure a peer's loader in its environment; None when it is missing."""
    from .tick_feed import folder

    python = python_of(name)
    if python is None:
        return None
    answer = child([python, "-W", "ignore", script(name), how, str(folder())])
    if "error" in answer:
        print(f"{name} left out: {answer['error']}", file=sys.stderr)
        return None
    return answer


def run(peers: bool) -> dict[str, Any]:
    """Take every figure; what is missing is None."""
    part("csv.gz to store")  # makes the feed and compiles, where that was not done yet
    rows: dict[str, Any] = {name: part(name) for name in (*READERS, *OURS)}
    rows |= {name: peer(*how) if peers else None for name, how in PEERS.items()}
    more = {name: part(name) for name in ("replay", "bars")}
    return {"machine": machine(), "rows": rows, **more, "stream": bench_stream.run(peers)}


# --- in words ---------------------------------------------------------------------------------
def table(rows: dict[str, Any]) -> list[str]:
    """Return the table of readers."""
    out = ["| reader | wall s | CPU s | M rows/s | MB |", "|---|---|---|---|---|"]
    for name, row in rows.items():
        if row is None:
            continue
        if "error" in row:
            out.append(f"| {name} | {row['error']} | | | |")
            continue
        speed = 5.0 / row["cpu_s"]
        out.append(
            f"| {name} | {row['wall_s']:.3f} | {row['cpu_s']:.3f} | {speed:.1f} | {row['peak_rss_mb']:.0f} |"
        )
    return out


def replay_lines(found: dict[str, Any]) -> list[str]:
    """Return what streaming costs."""
    if "error" in found:
        return [f"Replay: {found['error']}"]
    out = []
    for days in ("1 day", f"{found['copies']} days"):
        memory, streamed = (found[f"{days}, {how}"] for how in ("memory", "streamed"))
        more = streamed["wall_min_s"] / memory["wall_min_s"] - 1.0
        out.append(
            f"* compiled maker, {days}: in memory {memory['wall_min_s']:.3f} s, streamed from the store "
            f"{streamed['wall_min_s']:.3f} s ({more:+.0%}; CPU s {memory['cpu_min_s']:.3f} and "
            f"{streamed['cpu_min_s']:.3f})"
        )
    few, many = (found[f"memory of {days}"] for days in (1, found["copies"]))
    rows = found["events"] * found["copies"]
    out.append(
        f"* wake-ups only, streamed: {found['events']:,} rows {few:+.0f} MB over the process, {rows:,} rows "
        f"{many:+.0f} MB (an equity row a second included)"
    )
    return out


def goals(rows: dict[str, Any]) -> Iterator[str]:
    """Yield each goal and whether it was met."""
    for name, key, limit, words in GOALS:
        row = rows[name]
        if "error" not in row:
            met = "met" if row[key] <= limit else "MISSED"
            yield f"* {name}, {words}: {row[key]:.3g} (goal {limit:g}): {met}"


def lines(figures: dict[str, Any]) -> list[str]:
    """Return the figures as Markdown."""
    rows = figures["rows"]
    disk = rows[OURS[0]].get("disk_mb")
    out = [*table(rows), "", "Seconds are medians; M rows/s is of CPU seconds; MB the process's peak."]
    if disk:
        packed = sum(f.stat().st_size for f in feed_files()) / 1e6
        out[-1] += f" The store takes {disk:.0f} MB for {packed:.0f} MB of csv.gz, engine form included."
    out += ["", *replay_lines(figures["replay"]), ""]
    made = figures["bars"]
    out += [f"* {line}" for line in made.get("lines", [made.get("error")])]
    return [*out, "", *goals(rows), "", "The live stream:", "", *bench_stream.lines(figures["stream"])]


if __name__ == "__main__":
    import json

    print(json.dumps(measure(sys.argv[1])))
