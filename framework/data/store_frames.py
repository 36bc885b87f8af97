"""Rows from elsewhere into the store: frames with the raw columns of a kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace as with_
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from framework.data.careful import TRADE_ID, decimals
from framework.data.rebuild import DEAL_KINDS, PACKED, repack
from framework.data.rows import dtypes
from framework.data.store_commit import Facts, commit, day_path, stage, writer
from framework.data.store_files import day_name, staging
from framework.data.store_parts import Key, Part
from framework.errors import ConfigError, DataError
from framework.instruments import Instrument
from framework.times import DAY, MICROSECOND, format_time

if TYPE_CHECKING:
    import polars as pl

    from framework.data.store import Store


def add_frame(
    store: Store,
    key: Key,
    frames: Iterable[pl.DataFrame],
    source: str,
    replace: bool,
    remarks: tuple[str, ...],
    instrument: Instrument | None,
) -> Part:
    """See `Store.add_frame`."""
    path = day_path(store, key)
    if key[3] % DAY:
        raise ConfigError(f"day: {format_time(key[3])} is no UTC midnight; give a date such as 2023-04-05")
    store.prepare()
    refuse_second(store, key, replace)
    look = Look(key)

    def facts() -> Facts:
        return Facts((look.first, look.last), look.steps(instrument) if key[1] in PACKED else (0.0, 0.0))

    with writer(store, path.parent):
        refuse_second(store, key, replace)  # another writer was faster
        with staging(path) as folder:
            staged = stage(store, key, folder, look.checked(frames), source, facts, remarks)
            if staged.part.rows and key[1] in PACKED:
                repack(store, with_(staged.part, path=staged.rows), staged.pack)
            return commit(store, staged)


def refuse_second(store: Store, key: Key, replace: bool) -> None:
    """Refuse a day that is there."""
    before = store.part(*key)
    if before is not None and not replace:
        raise DataError(f"{before.path}: {before} is there from {before.source}; say replace=True")


class Look:
    """What is seen of frames on their way: order, day, and the decimals of prices and amounts."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.first = self.last = -1
        self.rows = 0
        self.scales = {"price": 0, "amount": 0}

    def checked(self, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Yield the frames with the types of the store; refuse rows of another day or out of order."""
        wanted: Any = dtypes(self.key[1])
        for frame in frames:
            if list(frame.columns) != list(wanted):
                missing = [name for name in wanted if name not in frame.columns]
                what = f"lacks {missing[0]}" if missing else f"has other columns than {', '.join(wanted)}"
                raise DataError(f"{' '.join(self.key[:3])}: the frame {what}")
            one = frame.cast(wanted)
            if len(one):
                self.times(one)
                self.cells(one)
                self.decimals(one)
                yield one
            self.rows += len(one)

    def times(self, frame: pl.DataFrame) -> None:
        """Check the arrivals."""
        local = frame["local_timestamp"].to_physical().to_numpy()
        low, high = self.key[3], self.key[3] + DAY
        bad = (local[1:] < local[:-1]).nonzero()[0]
        row = int(bad[0]) + 1 if len(bad) else 0
        if len(bad) or local[0] * MICROSECOND < self.last:
            raise DataError(f"{' '.join(self.key[:3])}: row {self.rows + row + 1}: local_timestamp goes back")
        if local[0] * MICROSECOND < low or local[-1] * MICROSECOND >= high:
            raise DataError(f"{' '.join(self.key[:3])}: a row lies outside {day_name(low)}; give one UTC day")
        self.first = int(local[0]) * MICROSECOND if self.first < 0 else self.first
        self.last = int(local[-1]) * MICROSECOND

    def cells(self, frame: pl.DataFrame) -> None:
        """Check ids, and that every number is one."""
        import polars as pl

        deal = self.key[1] in DEAL_KINDS or self.key[1] == "incremental_book_L2"
        for name, kind in frame.schema.items():
            column = frame[name]
            if name == "id":
                bad = ~column.fill_null("").str.contains(f"^(?:{TRADE_ID.pattern})$")
            elif kind == pl.Float64:
                bad = ~column.is_finite() if not deal else ~column.is_finite() | (column < 0.0)
                bad = bad.fill_null(deal)
            else:
                bad = column.is_null() & (name != "funding_timestamp")
            if bad.any():
                row = bad.arg_max()
                assert row is not None
                text = f"{name} = {column[row]!r}"
                raise DataError(
                    f"{' '.join(self.key[:3])}: row {self.rows + row + 1}: {text} cannot be stored"
                )

    def decimals(self, frame: pl.DataFrame) -> None:
        """Note how many decimals prices and amounts have."""
        for name in frame.columns:
            scale = "price" if name.endswith("price") else "amount" if name.endswith("amount") else None
            if scale is None or self.key[1] == "derivative_ticker":
                continue
            for value in frame[name].drop_nulls().unique().to_list():
                self.scales[scale] = max(self.scales[scale], decimals(Decimal(repr(value))))

    def steps(self, instrument: Instrument | None) -> tuple[float, float]:
        """Return tick and lot size: the instrument's, else the powers of ten that hold every value."""
        tick, lot = (float(Decimal(1).scaleb(-self.scales[name])) for name in ("price", "amount"))
        if instrument is None:
            return tick, lot
        return instrument.tick_size or tick, instrument.lot_size or lot


__all__ = ["add_frame"]
