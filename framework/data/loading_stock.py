"""What the store has of one instrument in a range: days there, missing, empty, not to be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import gcd
from pathlib import Path
from typing import Any, NamedTuple

from framework.data.careful import Grid
from framework.data.loading_notes import day_lines, missing_lines
from framework.data.pack import Damaged, Pack
from framework.data.rebuild import PACKED, repack, replay_path
from framework.data.schema import BOOK_KINDS, KINDS, QUOTE_KINDS
from framework.data.tardis_csv import grid_lines
from framework.errors import DataError, near
from framework.instruments import Instrument
from framework.instruments import instrument as known_instrument
from framework.times import DAY, format_time

SIDES = ("funding", "mark")  # streams that are a part of derivative_ticker
DEFAULT = ("trades", "book", "derivative_ticker")


class Asked(NamedTuple):
    """A range, [start, stop) ns, and the streams that are wanted of it; None = what there is."""

    start: int
    stop: int
    gaps: str
    streams: tuple[str, ...] | None

    def days(self) -> range:
        """Return the midnights of the days that overlap the range."""
        return range(self.start // DAY * DAY, self.stop, DAY)


class Stock:
    """The stored days of one instrument.

    Attributes
    ----------
    kinds : tuple of str
        Kinds that are loaded; `bars`: intervals of candles.
    book, quote : str
        The kinds that make the book and the quotes, "" for none.
    parts : dict of kind to list of Part
        Days of the range that have rows.
    what : Instrument
        With the grids its rows are loaded with.
    remarks : list of str
    """

    def __init__(
        self, store: Any, venue: str, symbol: str, rules: Instrument | str | None, asked: Asked
    ) -> None:
        self.store, self.venue, self.symbol, self.asked = store, venue, symbol, asked
        self.id = f"{venue}:{symbol}"
        self.remarks: list[str] = []
        self.stored: dict[str, dict[int, Any]] = {
            kind: {} for kind in KINDS if any(store.place(venue, kind, symbol).glob("*.json"))
        }
        for part in store.parts(venue, None, symbol, asked.start, asked.stop):
            self.stored.setdefault(part.kind, {})[part.day] = part
        if not self.stored:
            raise DataError(f"{store.folder}: holds nothing of {self.id}; {self.others()}")
        self.bars = [name.partition(":")[2] for name in asked.streams or () if name.startswith("bars:")]
        self.kinds = self.chosen()
        self.parts = {kind: self.days_of(kind) for kind in self.kinds}
        if self.bars and "trades" not in self.kinds:
            said = len(self.remarks)
            self.days_of("trades")  # refuses what is not to be trusted
            del self.remarks[said:]  # the maker of bars tells the same
        if not self.bars and not any(self.parts.values()):
            raise DataError(f"{store.folder}: has no row of {self.id} {self.words()}; {self.covered()}")
        self.what = self.described(rules)

    def words(self) -> str:
        """Return the range that is asked for."""
        return f"in {format_time(self.asked.start)} .. {format_time(self.asked.stop)}"

    def others(self) -> str:
        """Return near ids that are stored."""
        ids = sorted({f"{part.venue}:{part.symbol}" for part in self.store.parts()})
        return near(self.id, ids) if ids else "download or import some days first"

    def covered(self) -> str:
        """Return the days that are stored, kind by kind."""
        days: dict[str, list[int]] = {}
        for part in self.store.parts(self.venue, None, self.symbol):
            days.setdefault(part.kind, []).append(part.day)
        spans = [
            f"{kind} {format_time(min(found))[:10]} .. {format_time(max(found))[:10]}"
            for kind, found in sorted(days.items())
        ]
        return f"it has {', '.join(spans)}"

    def best_book(self) -> str:
        """Return the kind the book is made of: the one with the most days of the range, of those the best."""
        days = set(self.asked.days())
        counts = {kind: len(days & self.stored[kind].keys()) for kind in BOOK_KINDS if kind in self.stored}
        return max(counts, key=lambda kind: counts[kind], default="")

    def chosen(self) -> tuple[str, ...]:
        """Return the kinds that are loaded; refuse what is not stored."""
        wanted = self.asked.streams
        kinds = []
        for stream in DEFAULT if wanted is None else wanted:
            kind = "trades" if stream.startswith("bars:") else stream
            kind = "derivative_ticker" if kind in SIDES else self.best_book() if kind == "book" else kind
            if kind not in self.stored and wanted is not None:
                raise DataError(f"{self.store.folder}: holds no {stream} of {self.id}; {self.covered()}")
            if kind in self.stored and not stream.startswith("bars:"):
                kinds.append(kind)
        self.book = next((kind for kind in BOOK_KINDS if kind in kinds), "")
        self.quote = next((kind for kind in QUOTE_KINDS if kind in kinds), "")
        unused = [kind for kind in kinds if kind in BOOK_KINDS and kind not in (self.book, self.quote)]
        for kind in unused:
            better = self.quote if kind in QUOTE_KINDS else self.book
            self.remarks.append(f"{self.id} {kind}: not read, {better} is used instead")
        return tuple(kind for kind in dict.fromkeys(kinds) if kind not in unused)

    def days_of(self, kind: str) -> list[Any]:
        """Return the parts of a kind that have rows; tell or refuse what is wrong with the days."""
        there = self.stored[kind]
        wanted = self.asked.days()
        label = f"{self.id} {kind}"
        missing = [day for day in wanted if day not in there]
        lines = missing_lines(label, missing)
        if missing and self.asked.gaps == "refuse":
            raise DataError(f'{lines[0]}; download or import them, or say gaps="report"')
        self.remarks += lines
        found = [there[day] for day in wanted if day in there]
        for part in found:
            self.remarks += day_lines(label, part)
        self.remarks += self.judged(label, found)
        return [part for part in found if part.rows]

    def judged(self, label: str, parts: Sequence[Any]) -> list[str]:
        """Refuse what the doctor refused; return what was waived and how much was never checked."""
        from framework.data.checks import verdict_of
        from framework.data.waivers import standing, waiver_of

        lines, unchecked, doubtful = [], 0, 0
        for part in parts:
            verdict = verdict_of(self.store, part)
            unchecked += verdict is None
            doubtful += verdict is not None and verdict.verdict == "warn"
            if found := standing(self.store, part):
                day = format_time(part.day)[:10]
                raise DataError(
                    f"{part.path}: the check of {label} {day} says refuse ({found[0].words}); get the day "
                    "again, leave it out of the range, or waive it with a reason (sheepfold data check)"
                )
            waiver = waiver_of(self.store, part)
            lines += [waiver.line()] if waiver else []
        if unchecked:
            count = f"{unchecked} of {len(parts)} days"
            lines.append(f"{label}: {count} were never checked (sheepfold data check)")
        if doubtful:
            lines.append(f"{label}: the check of {doubtful} of {len(parts)} days says warn")
        return lines

    def described(self, rules: Instrument | str | None) -> Instrument:
        """Return the instrument with the grids all its days are on."""
        if isinstance(rules, Instrument) and rules.tick_size and rules.lot_size:
            return rules
        first = min((parts[0].day for parts in self.parts.values() if parts), default=self.asked.start)
        what = rules if isinstance(rules, Instrument) else known_instrument(rules or self.id, as_of=first)
        parts = [part for kind in self.kinds if kind in PACKED for part in self.parts[kind]]
        made = {}
        for name in ("tick_size", "lot_size"):
            own = getattr(what, name)
            fixed = isinstance(rules, Instrument) and own
            made[name] = own if fixed or not parts else common_step([getattr(p, name) for p in parts], name)
        final = replace_grids(what, **made)
        self.remarks += grid_lines(what, final)
        return final

    def packs(self, kind: str) -> list[Pack]:
        """Return the packs of a kind's days; one that is absent, damaged or of other rows is made anew."""
        return [self.pack(part) for part in self.parts[kind]]

    def pack(self, part: Any) -> Pack:
        """Return the pack of a part."""
        path = replay_path(part)
        if path.exists():
            try:
                pack = Pack(path)
                if is_of(pack, part):
                    return pack
                why = "is of other rows"
            except Damaged as error:
                why = error.what
            return self.mend(part, why)
        repack(self.store, part)
        return Pack(path)

    def mend(self, part: Any, why: str) -> Pack:
        """Make a pack anew and say so."""
        day = format_time(part.day)[:10]
        words = f"the replay file {why}: made again from the raw rows"
        self.remarks.append(f"{self.id} {part.kind} {day}: {words}")
        return Pack(repack(self.store, part))

    def part_of(self, path: Path) -> Any:
        """Return the part whose pack lies at a path, None where it is none of these."""
        every = (part for parts in self.parts.values() for part in parts)
        return next((part for part in every if replay_path(part) == path), None)


def is_of(pack: Pack, part: Any) -> bool:
    """True when a pack was made of the rows of a part."""
    label = pack.label
    mine = (label.venue, label.kind, label.symbol, label.day, label.tick_size, label.lot_size, label.content)
    return mine == (
        part.venue, part.kind, part.symbol, part.day, part.tick_size, part.lot_size, part.content_sha256,
    )  # fmt: skip


def common_step(steps: Sequence[float], name: str) -> float:
    """Return the largest step whose multiples hold all of these."""
    grids = [Grid.of(step, name, True) for step in set(steps)]
    scale = max(grid.scale for grid in grids)
    unit = gcd(*(grid.unit * 10 ** (scale - grid.scale) for grid in grids))
    return Grid(name, scale, unit).step


def replace_grids(what: Instrument, tick_size: float, lot_size: float) -> Instrument:
    """Return an instrument with these grids."""
    if (what.tick_size, what.lot_size) == (tick_size, lot_size):
        return what
    return replace(what, tick_size=tick_size, lot_size=lot_size)

