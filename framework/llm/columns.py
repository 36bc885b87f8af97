"""The cassette as columns: 100,000 recorded decisions become SIGNAL rows without rendering a question.

Each line is verified as everywhere (checksum and key). Its recorded signal is taken as it stands where a few
comparisons show that a replay takes it too; any other line gets the replay's own verdict.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from framework.errors import DataError
from framework.llm import cutoffs
from framework.llm.cassette import short, whole
from framework.llm.cassette_file import Lines, locate
from framework.llm.nearest import way_of
from framework.llm.record import Record, canonical, check, key_of, to_decision
from framework.llm.replay import CassetteAnalyst, choose, request_like
from framework.llm.reply import PARSER
from framework.records import DIRECTIONS, NEVER, REGIMES, SIGNAL, SIGNAL_STATUS

if TYPE_CHECKING:
    from framework.llm.decision import Prompt
    from framework.llm.store import Store

    Source: TypeAlias = str | os.PathLike[str] | bytes | Store | Iterable[Record]

NONE = (math.nan, math.nan, math.nan)
NOTHING = (REGIMES.index("uncertain"), 0, 0.0, *NONE, 0.0, math.nan)  # what a row has that is not ok
_KEY = re.compile("[0-9a-f]{64}")
_REGIME = {name: code for code, name in enumerate(REGIMES)}
_STATUS = {name: code for code, name in enumerate(SIGNAL_STATUS)}
_BATCH = 8192  # rows that are tuples at a time


Found: TypeAlias = "tuple[Record, bytes, bytes | None]"  # record, request, line; None = it is whole


class Named(Protocol):
    """An instrument: what a record may call it."""

    @property
    def symbol(self) -> str: ...

    @property
    def id(self) -> str: ...


def columns(source: Source, *, instruments: Sequence[Named | str],
            prompts: Sequence[Prompt] | None = None, **way: Any) -> NDArray[Any]:
    """Return recorded decisions as a SIGNAL array sorted by arrival, for `Market.with_signals`.

    Parameters
    ----------
    source : a cassette (file, run's folder, plain bytes), a store or its folder, or records
    instruments : those of the market; a record belongs to the one whose id or symbol it names
    prompts : the questions; each gets its row, as `CassetteAnalyst.decide` answers it, `id` = its place.
        Without them every record is one row at the time it was first asked, `id` = its place by that time:
        the rows of a run that never asked the same text twice.
    way : model=, temperature=, sample=, ... when the source holds decisions asked in several ways

    Raises
    ------
    DataError
        A record is damaged or altered, names no such instrument, or was asked through a mask.
    ConfigError
        The source holds several ways and not one was chosen.
    CacheMiss
        A prompt was never recorded.
    """
    if not isinstance(source, (str, bytes, os.PathLike)) and not hasattr(source, "items"):
        source = list(source)
    table = _Table(instruments, _Verified(source))
    table.fill()
    name = str(source) if isinstance(source, (str, os.PathLike)) else "cassette"
    chosen = table.chosen(way, name)
    if prompts is None:
        return table.rows_by_time(chosen)

    def replay() -> CassetteAnalyst:
        analyst = CassetteAnalyst(records_of(source), **way)
        analyst.path = Path(name)
        return analyst

    return table.rows_of(chosen, prompts, replay)


def records_of(source: Source) -> list[Record]:
    """Return the verified records of any source, sorted by key."""
    verified = _Verified(source)
    return [row if line is None else whole(line, verified.where) for row, _, line in verified]


class _Table:
    def __init__(self, instruments: Sequence[Named | str], source: _Verified) -> None:
        self.source = source
        self.given = [one if isinstance(one, str) else one.id for one in instruments]
        self.places: dict[str, int] = {}
        for index, one in enumerate(instruments):
            names = (one.partition(":")[2] or one, one) if isinstance(one, str) else (one.symbol, one.id)
            for name in names:
                self.places.setdefault(name, index)
        self.parts: list[NDArray[Any]] = []
        self.batch: list[tuple[Any, ...]] = []
        self.keys: list[str] = []
        self.unknown: dict[int, str] = {}  # row: what is wrong with its instrument
        self.frames: dict[bytes, int] = {}  # request without its messages: way
        self.ways: dict[str, int] = {}
        self.requests: list[Record] = []  # the first of each way
        self.edges: list[int] = []  # ns from which on the model of a way cannot remember

    def fill(self) -> None:
        """Read the source to its end."""
        for row, request, line in self.source:
            way = self._way(row, request, line)
            ts, latency = self._times(row)
            place = self.places.get(row["symbol"], -1)
            if place < 0:
                self.unknown[len(self.keys)] = f"{self.source.where}: is about {row['symbol']!r}"
            status, signal = self._verdict(row, line)
            cost, seen = float(row["cost"]["usd"]), ts < self.edges[way]
            self.batch.append((ts, ts + latency, place, *signal, cost, seen, status, way))
            self.keys.append(row["key"])
            if len(self.batch) == _BATCH:
                self._flush()

    def chosen(self, way: Mapping[str, Any], name: str) -> NDArray[np.intp]:
        """Return the rows of the one way that is meant, in the order of their keys."""
        if not self.keys:
            raise DataError(f"{name}: the cassette is empty; record the run again")
        self._flush()
        rows = np.concatenate(self.parts)
        self.parts, number = [rows], choose([way_of(one) for one in self.requests], way, name)
        self.request = self.requests[number]
        return np.flatnonzero(rows["id"] == number)

    def rows_by_time(self, chosen: NDArray[np.intp]) -> NDArray[Any]:
        """Return a row for each record."""
        for index in chosen if self.unknown else ():
            if index in self.unknown:
                known = ", ".join(self.given)
                raise DataError(f"{self.unknown[index]}; instruments has only {known}: add it, or prune it")
        rows = self.parts[0][chosen]
        rows = rows[np.lexsort((rows["instrument"], rows["ts"]))]
        rows["id"] = np.arange(len(rows))
        return rows[np.argsort(rows["arrival_ts"], kind="stable")]

    def rows_of(self, chosen: NDArray[np.intp], prompts: Sequence[Prompt], analyst: Any) -> NDArray[Any]:
        """Return a row for each prompt."""
        place = {self.keys[index]: index for index in chosen}
        wanted = [place.get(key_of(request_like(self.request, prompt)), -1) for prompt in prompts]
        if -1 in wanted:
            analyst().decide([prompts[wanted.index(-1)]])  # raises with the nearest recorded prompt
        rows = self.parts[0][wanted]
        latency = rows["arrival_ts"] - rows["ts"]
        rows["ts"] = [prompt.ts for prompt in prompts]
        rows["arrival_ts"] = rows["ts"] + latency
        rows["instrument"] = [prompt.instrument for prompt in prompts]
        rows["in_sample"] = rows["ts"] < self.edges[self.ways[canonical(way_of(self.request))]]
        rows["id"] = np.arange(len(rows))
        return rows[np.argsort(rows["arrival_ts"], kind="stable")]

    def _flush(self) -> None:
        self.parts.append(np.array(self.batch, dtype=SIGNAL))
        self.batch = []

    def _way(self, row: Record, request: bytes, line: bytes | None) -> int:
        """Return the number of the way a record was asked; told by the bytes around its messages."""
        start = request.find(b'"messages":[')
        end = request.find(b'}],"', start)
        frame = request[:start] + request[end:] if 0 < start < end else request
        number = self.frames.get(frame)
        if number is None:
            number = self.frames[frame] = self._new_way(self._whole(row, line))
        return number

    def _new_way(self, record: Record) -> int:
        text = canonical(way_of(record["request"]))
        if text not in self.ways:
            self.ways[text] = len(self.ways)
            self.requests.append(record["request"])
            edge = cutoffs.cutoff_ns(str(record["request"]["body"]["model"]))
            self.edges.append(-NEVER if record["stand_in"] else NEVER if edge is None else edge)
        return self.ways[text]

    def _times(self, row: Record) -> tuple[int, int]:
        ts, latency = row["ts"], row["latency_ns"]
        if not (type(ts) is type(latency) is int and abs(ts) < NEVER and 0 <= latency < NEVER):
            raise DataError(
                f"{self.source.where}: ts or latency_ns is no time; record it again with --refresh"
            )
        if row["masked"] is not None:
            raise DataError(
                f"{self.source.where}: was asked through a mask, its levels are not the market's; "
                "replay the run"
            )
        return ts, latency

    def _verdict(self, row: Record, line: bytes | None) -> tuple[int, tuple[Any, ...]]:
        """Return status and signal fields of a record, as a replay has them."""
        status = _STATUS.get(row["status"])
        if status is None:
            raise DataError(
                f"{self.source.where}: status {row['status']!r} is unknown; another version wrote it"
            )
        if status:
            return status, NOTHING
        signal = _plain(row["signal"]) if row["parser"] == PARSER else None
        return (0, signal) if signal is not None else _judged(self._whole(row, line))

    def _whole(self, row: Record, line: bytes | None) -> Record:
        return row if line is None else whole(line, self.source.where)


def _plain(signal: Any) -> tuple[Any, ...] | None:
    """Return the fields of a signal that keeps its rules; None where the replay has to judge."""
    try:
        regime, side = _REGIME[signal["regime"]], DIRECTIONS[signal["direction"]]
        confidence, size = signal["confidence"], signal["position_size_pct"]
        entry, stop, target = signal["suggested_entry"], signal["stop_loss"], signal["take_profit"]
        if not (type(confidence) is type(size) is float and 0.0 <= confidence <= 1.0 and 0.0 <= size <= 1.0):
            return None
        if side == 0:
            fits = entry is None and stop is None and target is None
            return (regime, 0, confidence, *NONE, size, math.nan) if fits else None
        if not (type(entry) is type(stop) is type(target) is float and size > 0.0):
            return None
        if not (0.0 < stop < entry < target if side > 0 else 0.0 < target < entry < stop):
            return None
    except (KeyError, TypeError):
        return None
    reward = abs(target - entry) / abs(entry - stop)
    return regime, side, confidence, entry, stop, target, size, reward


def _judged(record: Record) -> tuple[int, tuple[Any, ...]]:
    """Return what the replay makes of a record."""
    from types import SimpleNamespace

    from framework.llm.decision import SIGNAL_KIND, signal_rows

    about: Any = SimpleNamespace(symbol=record["symbol"], price=record["price"])
    asked: Any = SimpleNamespace(ts=record["ts"], instrument=0, brief=about, kind=SIGNAL_KIND)
    (row,) = signal_rows([to_decision(record, asked, 0)])
    names = ("regime", "direction", "confidence", "entry", "stop", "target", "size", "risk_reward")
    return int(row["status"]), tuple(row[name].item() for name in names)


# ---------------------------------------------------------------------------------------------- sources


class _Verified:
    """Every record of a source, verified; `where` names the one at hand."""

    def __init__(self, source: Source) -> None:
        self.source, self.place, self.lines = source, "", Lines(b"")

    @property
    def where(self) -> str:
        """What an error names."""
        return self.place or self.lines.where

    def __iter__(self) -> Iterator[Found]:
        source = self.source
        if isinstance(source, (str, os.PathLike)):
            if (Path(source) / "cache.db").is_file():
                from framework.llm.store import Store

                with Store(source) as store:
                    yield from self._stored(store)
                return
            source = locate(source)
        if isinstance(source, (bytes, Path)):
            self.lines = Lines(source)
            for line in self.lines:
                yield self._found(line)
        elif hasattr(source, "items"):
            yield from self._stored(source)
        else:
            yield from self._given(source)

    def _found(self, line: bytes) -> Found:
        found = short(line)
        if found is not None:
            return (*found, line)
        record = whole(line, self.where)
        return record, _request(record), None

    def _stored(self, store: Any) -> Iterator[Found]:
        """Yield the records of a store; it keeps other texts too, under other kinds of keys."""
        for key, text in store.items():
            if _KEY.fullmatch(key):
                self.place = f"{store}: row {key[:16]}"
                found = self._found(text.encode("ascii", "replace"))
                if found[0]["key"] != key:
                    raise DataError(f"{self.place}: does not answer its own key; use --refresh")
                yield found

    def _given(self, records: Iterable[Record]) -> Iterator[Found]:
        for number, record in enumerate(records, 1):
            self.place = f"record {number}"
            check(record, self.place)
            yield record, _request(record), None


def _request(record: Record) -> bytes:
    return canonical(record["request"]).encode("ascii")


__all__ = ["columns", "records_of"]
