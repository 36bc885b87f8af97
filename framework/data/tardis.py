"""Download Tardis' csv files, in the order and with the patience of the official clients.

    from framework import data
    data.download("binance-futures", "BTCUSDT", ["trades", "incremental_book_L2"], "2024-08-01", "2024-08-03")
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from framework.data.tardis_fetch import Failure, Fetcher, File, run_apart
from framework.data.tardis_files import LARGEST, check_folder
from framework.data.tardis_http import Patience
from framework.data.tardis_names import (
    DATASETS,
    KEY_VARIABLE,
    Wanted,
    api_key,
    base_of,
    hidden,
    store_folder,
)
from framework.data.tardis_plan import Plan, plan_of
from framework.data.tardis_progress import Meter, size
from framework.errors import ConfigError, FrameworkError, VenueError

MOST_WORKERS = 60
SHOWN = 12  # failures that are told one by one
Say = Callable[[str], None]


@dataclass(frozen=True)
class Downloads:
    """What a download brought.

    Attributes
    ----------
    files : the files that are here, in their order (symbol, kind, day)
    failures : the files that could not be had, with the reason
    refused : files that are here and could not be imported, with the reason (data refused)
    gaps : incidents the exchange's metadata reports in the range
    remarks : what was assumed
    bytes : received
    sizes : {wanted file: bytes} the service told beforehand (dry run)
    keyed_days : days that need a key
    stored : files that are not fetched because the store has their day (and the csv is gone)
    dry : True when nothing was fetched
    imported : number of files the store took in
    """

    files: list[File] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    refused: list[tuple[Path, str]] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    wanted: list[Wanted] = field(default_factory=list)
    sizes: dict[Wanted, int] = field(default_factory=dict)
    keyed_days: list[str] = field(default_factory=list)
    stored: list[Wanted] = field(default_factory=list)
    bytes: int = 0
    dry: bool = False
    imported: int = 0

    @property
    def paths(self) -> list[Path]:
        """The files' paths."""
        return [file.path for file in self.files]

    @property
    def complete(self) -> bool:
        """True when every file is here and none was refused."""
        return not self.failures and not self.refused and (self.dry or len(self.files) == len(self.wanted))

    def check(self) -> Downloads:
        """Return itself; VenueError names the files that could not be had."""
        if not self.complete:
            raise VenueError("; ".join(self.problems()))
        return self

    def problems(self) -> list[str]:
        """Return what failed, a line each."""
        lines = [f"{one.wanted}: {one.words}" for one in self.failures[:SHOWN]]
        if len(self.failures) > SHOWN:
            lines.append(f"and {len(self.failures) - SHOWN} more files")
        return lines + [f"{path}: {words}" for path, words in self.refused]

    def words(self) -> str:
        """Return the outcome as one line."""
        fetched = sum(file.fetched for file in self.files)
        kept = len(self.files) - fetched
        parts = [f"{fetched} files fetched ({size(self.bytes)})"]
        parts += [f"{kept} were here already"] if kept else []
        parts += [f"{len(self.stored)} are in the store"] if self.stored else []
        parts += [f"{self.imported} imported"] if self.imported else []
        parts += [f"{len(self.failures)} could not be had"] if self.failures else []
        parts += [f"{len(self.refused)} refused"] if self.refused else []
        return ", ".join(parts)

    def __repr__(self) -> str:
        return f"<Downloads: {self.words()}>"


def download(
    venue: str,
    symbols: str | Sequence[str],
    kinds: str | Sequence[str],
    start: Any,
    stop: Any,
    *,
    key: str | None = None,
    store: str | Path | None = None,
    to: str | Path | None = None,
    workers: int = 20,
    import_: bool = True,
    replace: bool = False,
    dry_run: bool = False,
    say: Say | None = None,
    progress: Callable[[Meter], None] | None = None,
    patience: Patience | None = None,
    largest: int = LARGEST,
) -> Downloads:
    """Fetch the day files of a range from Tardis, and import them into the store.

    Files that are here and whole are not fetched again, so a download that was stopped or killed goes on
    where it was. Without a key only the first day of each month is free.

    Parameters
    ----------
    venue : str
        Tardis exchange id, such as `binance-futures`.
    symbols, kinds : str or list of str
        `BTCUSDT` or `BTCUSDT,ETHUSDT`; grouped files by their name (PERPETUALS ...). Kinds as in
        `from_tardis`.
    start, stop : date, str or ns
        UTC; `stop` is exclusive. Whole days are fetched.
    key : str, optional
        Default TARDIS_API_KEY. Sent to the service's own host only.
    store : folder of the store; files go to its `_csv`
    to : folder, optional
        Put the files there instead, and import nothing.
    workers : files at a time
    import_ : import the files into the store
    replace : let them take the place of days the store has from other files; else those are refused
    dry_run : fetch nothing; say which files, which sizes are known, which days need a key
    say : told in sentences what is found and what goes wrong
    progress : called with a `Meter` as bytes come
    patience, largest : waits, and the most bytes of one file

    Returns
    -------
    Downloads
        With `failures`: a file that cannot be had ends the others only where the key or the quota does.

    Raises
    ------
    ConfigError
        What is asked for is impossible (told by the exchange's metadata), or the folder cannot be written.
        Nothing has been fetched then.
    """
    key, tell = hidden(key), say or silent
    secret, base = api_key(key), base_of(DATASETS)
    if isinstance(workers, bool) or not isinstance(workers, int) or not 1 <= workers <= MOST_WORKERS:
        raise ConfigError(f"workers: {workers!r} is no number from 1 to {MOST_WORKERS}")
    home = store_folder(store)
    plan = plan_of(venue, symbols, kinds, start, stop, home, tell)
    folder = Path(to).expanduser() if to is not None else home / "_csv"
    stored = in_store(plan, home, folder) if import_ and to is None else []
    plan = plan.without(stored)
    fetcher = Fetcher(
        base, secret, folder, workers, patience or Patience(), largest, tell, progress or silent
    )  # fmt: skip
    for words in foreword(plan, secret is not None):
        tell(words)
    if dry_run:
        return dataclasses.replace(rehearsed(plan, fetcher), stored=stored)
    check_folder(folder)
    run_apart(lambda: fetcher.run(plan.series))
    done = dataclasses.replace(outcome(plan, fetcher), stored=stored)
    if import_ and to is None:
        done = imported(done, home, replace)
    for words in done.problems():
        tell(words)
    return done


def silent(_: Any) -> None:
    """Say nothing."""


def foreword(plan: Plan, has_key: bool) -> list[str]:
    """Return what is told before a download starts."""
    lines = plan.gaps()
    days = plan.keyed_days
    if days and not has_key:
        which = days[0] if len(days) == 1 else f"{days[0]} .. {days[-1]} ({len(days)} days)"
        lines.append(f"{which} need a key and {KEY_VARIABLE} is not set; the first day of a month is free")
    return lines


def rehearsed(plan: Plan, fetcher: Fetcher) -> Downloads:
    """Return what a download would do: files that lie here, and the sizes the service tells of the others."""
    here = [
        File(wanted, path, path.stat().st_size, False)
        for wanted in plan.files
        if (path := wanted.path(fetcher.folder)).is_file()
    ]
    there = {file.wanted for file in here}
    fetcher.patience = dataclasses.replace(fetcher.patience, tries=1)
    sizes = run_apart(lambda: fetcher.sizes([wanted for wanted in plan.files if wanted not in there]))
    return Downloads(
        here, gaps=plan.gaps(), remarks=plan.remarks, wanted=plan.files, sizes=sizes,
        keyed_days=plan.keyed_days, dry=True,
    )  # fmt: skip


def outcome(plan: Plan, fetcher: Fetcher) -> Downloads:
    """Return what came, in the order of symbol, kind and day whatever came first."""
    order = sorted(plan.files, key=lambda wanted: (wanted.symbol, wanted.kind, wanted.day))
    place = {wanted: n for n, wanted in enumerate(order)}
    return Downloads(
        sorted(fetcher.files, key=lambda file: place[file.wanted]),
        sorted(fetcher.failures, key=lambda one: place[one.wanted]),
        gaps=plan.gaps(), remarks=plan.remarks, wanted=plan.files, keyed_days=plan.keyed_days,
        bytes=fetcher.meter.bytes,
    )  # fmt: skip


def in_store(plan: Plan, home: Path, folder: Path) -> list[Wanted]:
    """Return the files whose day the store has from a csv that is gone: whoever deletes those wants room."""
    try:
        from framework.data.store import Store
    except ImportError:
        return []
    store = Store(home)
    found = []
    for wanted in plan.files:
        if not wanted.path(folder).exists():
            part = store.part(wanted.venue, wanted.kind, wanted.symbol, wanted.day)
            if part is not None and part.source.endswith((".csv.gz", ".csv")):
                found.append(wanted)
    return found


def imported(done: Downloads, home: Path, replace: bool) -> Downloads:
    """Import the files that are here into the store, one by one: a bad day does not keep the others out."""
    try:
        from framework.data.store import Store
    except ImportError:  # a package without the store keeps the files as they are
        return done
    store, count, refused = Store(home), 0, []
    for file in done.files:
        try:
            added = store.add_csv([file.path], replace=replace)
            count += sum(one.how != "same" for one in added)
        except FrameworkError as error:
            refused.append((file.path, str(error)))
    return dataclasses.replace(done, imported=count, refused=refused)
