"""Result: everything a run left behind, to look at, save, load and compare."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import polars as pl

from framework.errors import ResultError
from framework.report import compare, page, text
from framework.result_diff import different, flat, table_difference
from framework.result_store import FRAMES, TABLES, publish, read_files, write_files

if TYPE_CHECKING:
    from framework.market import Market

Bounds = Mapping[str, Mapping[str, Any]]
Table = pl.DataFrame | Callable[[], pl.DataFrame] | None

_KINDS = {"i": pl.Int64, "f": pl.Float64, "s": pl.String, "b": pl.Boolean}
_COLUMNS = {
    "orders": "id:i ts:i arrival_ts:i end_ts:i instrument:s side:s type:s tif:s qty:f price:f status:s "
    "filled_qty:f avg_price:f last_fill_ts:i maker:b n_fills:i reason:s",
    "fills": "order_id:i ts:i seen_ts:i bar_open_ts:i instrument:s side:s price:f qty:f fee:f maker:b",
    "trades": "instrument:s side:s qty:f entry_ts:i exit_ts:i entry_bar:i exit_bar:i entry_price:f "
    "exit_price:f gross:f fees:f funding:f pnl:f reason:s",
    "equity": "ts:i equity:f cash:f position:f realised:f unrealised:f fees:f funding:f tokens:f",
    "decisions": "ts:i instrument:s status:s regime:s direction:s confidence:f entry:f stop:f target:f "
    "size:f latency_ns:i cost:f in_sample:b model:s reasoning:s key:s arrival_ts:i delivered:s repairs:s "
    "sample:i",
    "price": "ts:i close:f instrument:s",
}
SCHEMAS: dict[str, dict[str, Any]] = {
    table: {name: _KINDS[kind] for name, kind in (column.split(":") for column in text.split())}
    for table, text in _COLUMNS.items()
}
"""Columns of the result tables, times int64 ns UTC; what a table without rows has."""
SPREADS = ("spread", "quoted")  # the price table's further columns in a run on ticks
POSITION = "position:"  # and an id: the equity table's further columns where there are several instruments


class Result:
    """What a run did and how that is known.

    Parameters
    ----------
    orders, fills, trades, equity, decisions, price : polars frames with the columns of `SCHEMAS`, None for no
        rows, or functions without arguments that build them when first asked for.
    metrics : name to number; undefined is NaN. params : the strategy's parameters.
    manifest : code digest, data, costs, latency, fills, versions, analyst, seed. fingerprint : hex sha256.
    status : "done", "bust" or "incomplete". bounds : {"worst": metrics, "chosen": ..., "best": ...} or None.
    notes : what a reader must know. cassette : the recorded decisions as canonical JSON lines.
    market : what was replayed, queue : rows of an order's place in its queue, by its id (`explain`); neither
        is saved.
    """

    def __init__(
        self,
        *,
        orders: Table = None,
        fills: Table = None,
        trades: Table = None,
        equity: Table = None,
        decisions: Table = None,
        metrics: Mapping[str, float | int | str | None] | Callable[[], Mapping[str, Any]] | None = None,
        params: Mapping[str, Any] | None = None,
        manifest: Mapping[str, Any] | None = None,
        fingerprint: str | Callable[[], str] = "",
        status: str = "done",
        price: Table = None,
        bounds: Bounds | Callable[[], Bounds | None] | None = None,
        notes: Sequence[str] = (),
        cassette: bytes | str | Callable[[], bytes] = b"",
        market: Market | None = None,
        queue: Callable[[int], Iterable[Any]] | None = None,
    ) -> None:
        tables = {"orders": orders, "fills": fills, "trades": trades, "equity": equity}
        self._tables: dict[str, Table] = {**tables, "decisions": decisions, "price": price}
        self._metrics = metrics
        self.params: dict[str, Any] = dict(params or {})
        self.manifest: dict[str, Any] = dict(manifest or {})
        self._fingerprint = fingerprint
        self.status = status
        self._bounds = bounds
        self.notes: list[str] = list(notes)
        self._cassette = cassette.encode() if isinstance(cassette, str) else cassette
        self._market, self._queue = market, queue
        self.folder: Path | None = None

    def _table(self, name: str) -> pl.DataFrame:
        found = self._tables[name]
        if not isinstance(found, pl.DataFrame):
            found = pl.DataFrame(schema=SCHEMAS[name]) if found is None else found()
            self._tables[name] = found
        return found

    @property
    def orders(self) -> pl.DataFrame:
        """One row per order, in the order of their ids."""
        return self._table("orders")

    @property
    def fills(self) -> pl.DataFrame:
        """One row per fill, in time order."""
        return self._table("fills")

    @property
    def trades(self) -> pl.DataFrame:
        """One row per round trip, first in first out."""
        return self._table("trades")

    @property
    def equity(self) -> pl.DataFrame:
        """One row per bar close (or sample) with the account as the strategy knew it."""
        return self._table("equity")

    @property
    def decisions(self) -> pl.DataFrame:
        """One row per question put to the analyst."""
        return self._table("decisions")

    @property
    def price(self) -> pl.DataFrame:
        """Closes per instrument (ts, close, instrument), thinned for the page.

        Of a run on ticks mids, with the market's spread and the own quoted one (spread, quoted) since the row
        before.
        """
        return self._table("price")

    @cached_property
    def metrics(self) -> dict[str, float | int | str | None]:
        """Every metric by name (framework.metrics.summary); undefined is NaN."""
        found = self._metrics() if callable(self._metrics) else self._metrics
        return dict(found or {})

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over orders, fills, final ledger and the market's content."""
        return self._fingerprint() if callable(self._fingerprint) else self._fingerprint

    @cached_property
    def bounds(self) -> dict[str, dict[str, Any]] | None:
        """[worst, chosen, best]: key metrics under each intrabar rule; None where the run has no candles."""
        found = self._bounds() if callable(self._bounds) else self._bounds
        return {name: dict(row) for name, row in found.items()} if found else None

    @cached_property
    def cassette(self) -> bytes:
        """The recorded decisions as canonical JSON lines."""
        return self._cassette() if callable(self._cassette) else self._cassette

    @property
    def name(self) -> str:
        """`<class>-<fingerprint8>`, safe as a folder's name."""
        safe = re.sub(r"[^A-Za-z0-9_-]", "_", compare.strategy_name(self.manifest))[:60]
        return f"{safe or 'run'}-{self.fingerprint[:8] or 'none'}"

    def save(
        self, folder: str | Path | None = None, *, report: bool = False, source: Path | None = None
    ) -> Path:
        """Write the result's folder in one step and return it; with `report` the page and picture as well.

        Default folder: `results/<class>-<fingerprint8>`. A saved result of the same fingerprint is replaced,
        and an incomplete one of the same command. `source` is the strategy's file, kept beside the tables.
        Raises ConfigError when something else is there, ResultError when it cannot be written.
        """
        target = Path(folder) if folder is not None else Path("results") / self.name
        doc = {
            "fingerprint": self.fingerprint, "status": self.status, "notes": self.notes,
            "params": self.params, "bounds": self.bounds, "manifest": self.manifest,
        }  # fmt: skip

        def fill(fresh: Path) -> None:
            frames = {name: self._table(name) for name in FRAMES}
            if source is not None:
                (fresh / source.name).write_bytes(source.read_bytes())
            if report:
                try:
                    page.write(self, fresh)
                except OSError:  # no space for it: nothing is changed
                    raise
                except Exception as error:  # a page that cannot be drawn must not cost the run
                    undrawn.append(error)
            write_files(fresh, doc, self.metrics, frames, self.cassette)

        undrawn: list[Exception] = []
        publish(target, self.fingerprint, fill, self.manifest.get("command"))
        self.folder = target
        if undrawn:
            raise undrawn[0]
        return target

    @classmethod
    def load(cls, folder: str | Path) -> Result:
        """Read a saved result, equal to the bit; ResultError names a missing, damaged or altered file.

        Every table is read from its .parquet; a .csv that was changed makes the folder a damaged one too, and
        the error says that the .parquet is intact.
        """
        place = Path(folder)
        doc, metrics, frames, cassette = read_files(place)
        for name, frame in frames.items():
            check_columns(place, name, frame)
        bounds = doc.get("bounds")
        result = cls(
            **cast("dict[str, Any]", frames),
            metrics=_undefined(metrics),
            params=doc["params"],
            manifest=doc["manifest"],
            fingerprint=doc["fingerprint"],
            status=doc["status"],
            bounds={name: _undefined(row) for name, row in bounds.items()} if bounds else None,
            notes=doc["notes"],
            cassette=cassette,
        )
        result.folder = place
        return result

    def report(self, folder: str | Path | None = None) -> Path:
        """Write report.html and report.png and return the page's path.

        Default: the folder saved to or loaded from, else `results/<class>-<fingerprint8>`.
        """
        place = Path(folder) if folder is not None else self.folder or Path("results") / self.name
        try:
            place.mkdir(parents=True, exist_ok=True)
            return page.write(self, place)
        except OSError as error:
            raise ResultError(f"{place}: cannot write the report ({error.strerror or error})") from error

    def diff(self, other: Result) -> list[str]:
        """Return the first difference of each part in words, nothing when the results are equal to the bit.

        Compared: fingerprint, status, the tables, metrics; where those differ, parameters and manifest too
        (they may say why; versions alone are no difference).
        """
        found = different({"fingerprint": self.fingerprint}, {"fingerprint": other.fingerprint})
        found += different({"status": self.status}, {"status": other.status})
        for name in TABLES:
            found += table_difference(name, self._table(name), other._table(name))
        found += different(flat(self.metrics, "metrics"), flat(other.metrics, "metrics"))[:1]
        if found:
            found += different(flat(self.params, "params"), flat(other.params, "params"))
            found += different(flat(self.manifest, "manifest"), flat(other.manifest, "manifest"))
        return found

    def explain(self, order_id: int) -> str:
        """Return why an order filled or did not, as text: its life, what the market did, and the rule.

        A result read from a folder has no market: only its tables are told. `sheepfold explain DIR ORDER_ID`
        runs the saved command again to tell the rest.
        """
        from framework.order_story import explain

        queue = self._queue(order_id) if self._queue is not None else None
        return explain(self.orders, self.fills, order_id, self._market, queue)

    def table(self) -> str:
        """Return what a researcher reads first, as plain text of a few lines."""
        return text.table(self, self.folder)

    def __repr__(self) -> str:
        return text.one_line(self, self.name)

    def _repr_html_(self) -> str:
        """Return a small table and the equity curve for notebooks; every text escaped, nothing fetched."""
        return text.notebook(self)


def check_columns(place: Path, name: str, frame: pl.DataFrame) -> None:
    """Refuse a table whose columns or their types are not those of `SCHEMAS`.

    The equity table of several instruments has one `position:<id>` column more for each but the first, the
    price of a run on ticks the market's and the own spread.
    """
    if name == "decisions":  # an analyst of one's own may add columns
        return
    wanted, found = SCHEMAS[name], dict(frame.schema)
    more = frame.columns[len(wanted) :]
    if name == "equity":
        wanted = wanted | {c: pl.Float64 for c in more if c.startswith(POSITION) and c != POSITION}
    if name == "price" and tuple(more) == SPREADS:
        wanted = wanted | dict.fromkeys(more, pl.Float64)
    if list(found.items()) == list(wanted.items()):
        return
    odd = next((f"{c}:{t}" for c, t in found.items() if wanted.get(c) != t), None)
    lacks = next((c for c in wanted if c not in found), None)
    why = f"column {odd}" if odd else f"no column {lacks}" if lacks else "their order"
    raise ResultError(f"{place / name}.parquet: columns are not those of the {name} table ({why})")


def _undefined(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return metrics with JSON's null read back as NaN."""
    return {name: math.nan if value is None else value for name, value in metrics.items()}
