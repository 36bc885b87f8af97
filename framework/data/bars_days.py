"""Where the trades of an instrument's days lie: Tardis csv files, or the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from framework import symbols
from framework.data.bars import Trades
from framework.data.bars_sources import frame_trades, tick_trades
from framework.data.careful import Finer, Grid, Place
from framework.data.reader import Reader
from framework.data.schema import gather
from framework.data.tardis_csv import describe, first_row, with_grids
from framework.errors import ConfigError, DataError, near
from framework.instruments import Instrument

Take = Callable[["Day", Trades], bool]
COLUMNS = ["timestamp", "local_timestamp", "id", "side", "price", "amount"]


@dataclass(frozen=True)
class Day:
    """The trades of one day; `day` is None for a file whose name tells none."""

    day: int | None
    name: str
    source: Any


class Days(Protocol):
    """Where the days of one instrument's trades lie."""

    id: str
    days: list[Day]

    def read(self, chosen: Sequence[Day], take: Take) -> None:
        """Give `take` the trades of days, chunk by chunk, until it returns False."""
        ...

    def refine(self, finer: Finer) -> None:
        """Read with a finer grid the next time."""
        ...

    def of_kinds(self, kinds: Sequence[str]) -> dict[str, list[Day]]:
        """Return the days of other kinds."""
        ...


def source_of(venue: str, symbol: str, store: Any, files: Any) -> Days:
    """Return the days of an instrument's trades in csv files or in the store."""
    if files is not None and store is not None:
        raise ConfigError("files: give files= or store=, not both")
    id = instrument_id(venue, symbol)
    return FileDays(id, files) if files is not None else StoreDays(id, store)


def instrument_id(venue: str, symbol: str) -> str:
    """Return the id a symbol stands for; at a venue whose spelling is not known, the symbol as it is."""
    if venue in symbols.FORMS or venue.startswith("okx"):
        return symbols.resolve(symbol, venue)
    return f"{venue}:{symbol.upper()}"


def venue_hint(id: str) -> str:
    """Return the near names of a venue that is not known."""
    venue = id.partition(":")[0]
    hint = near(venue, symbols.FORMS)
    return f"; of the venue {venue!r} nothing is known, {hint}" if venue not in symbols.FORMS else ""


class FileDays(Days):
    """Tardis csv files."""

    def __init__(self, id: str, files: Any) -> None:
        self.id = id
        try:
            found, _ = gather(files, id, None)
        except DataError as error:
            raise DataError(f"{error}{venue_hint(id)}") from None
        self.found = {
            kind: [Day(file.day, file.path.name, file) for file in several] for kind, several in found.items()
        }
        self.days = self.found.get("trades", [])

        self.given: dict[str, Grid] = {}

    def refine(self, finer: Finer) -> None:
        """Read with a finer grid the next time."""
        self.given[finer.name] = finer.grid

    def of_kinds(self, kinds: Sequence[str]) -> dict[str, list[Day]]:
        """Return the days of other kinds."""
        return {kind: self.found.get(kind, []) for kind in kinds}

    def read(self, chosen: Sequence[Day], take: Take) -> None:
        """Read files with the grids of the instrument; ids and late rows go on from file to file."""
        if not self.days:
            raise DataError(f"files: there is no trades file of {self.id} among them; give its trades files")
        held = [day for day in chosen if first_row(day.source) is not None]
        if not held:
            return
        what, given = describe(self.id, {"trades": [day.source for day in held]}, None)
        given |= self.given
        what = with_grids(what, given)
        reader = Reader("trades", what, given["tick_size"], given["lot_size"], None)
        for day in held:
            taker = Taker(reader, what, day, take)
            for _ in reader.blocks_of(day.source, taker):
                if taker.has_enough:
                    return


class Taker:
    """Passes on the rows of a file."""

    def __init__(self, reader: Reader, what: Instrument, day: Day, take: Take) -> None:
        self.reader, self.what, self.day, self.pass_on = reader, what, day, take
        self.has_enough = False

    def begin_file(self) -> None:
        """Nothing: bars go on."""

    def end_file(self, place: Place) -> None:
        """Nothing."""

    def take(self, count: int) -> None:
        """Pass on the first `count` rows of the block."""
        if not self.has_enough:
            trades = tick_trades(self.reader.feed.deals[:count], self.what)
            self.has_enough = not self.pass_on(self.day, trades)


class StoreDays(Days):
    """Days of the store."""

    def __init__(self, id: str, store: Any) -> None:
        from framework.data.store import Store

        self.id = id
        self.store = store if isinstance(store, Store) else Store(store)
        venue, _, symbol = id.partition(":")
        parts = self.store.parts(venue, None, symbol)
        if not parts:
            others = sorted({f"{part.venue}:{part.symbol}" for part in self.store.parts()})
            hint = near(id, others) if others else "download or import some"
            raise DataError(f"store: it holds nothing of {id}; {hint}{venue_hint(id)}")
        self.days = [Day(p.day, p.path.name, p) for p in parts if p.kind == "trades"]

    def of_kinds(self, kinds: Sequence[str]) -> dict[str, list[Day]]:
        """Return the days of other kinds."""
        venue, _, symbol = self.id.partition(":")
        return {
            kind: [Day(part.day, part.path.name, part) for part in self.store.parts(venue, kind, symbol)]
            for kind in kinds
        }

    def refine(self, finer: Finer) -> None:
        """Stored prices and amounts need no grid."""

    def read(self, chosen: Sequence[Day], take: Take) -> None:
        """Read the parts row group by row group."""
        if not self.days:
            raise DataError(f"store: it holds no trades of {self.id}; download or import some")
        for day in chosen:
            for frame in self.store.frames(day.source, COLUMNS):
                if not take(day, frame_trades(frame, None, str(day.source.path))):
                    return
