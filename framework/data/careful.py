"""The slow look at one csv row the kernels did not take: refused with its reason, or written plainly."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from framework.data.parse import DIGITS, EARLIEST, LATEST, TOP_TICK
from framework.data.schema import COLUMNS, short
from framework.errors import DataError
from framework.times import MICROSECOND, format_time

LONGEST = 1 << 16  # bytes of a line; a row of book_snapshot_25 has about 2,000
DECIMAL = re.compile(r"\d{1,400}(?:\.\d{1,400})?(?:[eE][+-]?\d{1,3})?")
TRADE_ID = re.compile(r"[!-+\--~]{0,64}")
WORDS = {"is_snapshot": ("true", "false"), "side": ("bid", "ask"), "taker": ("buy", "sell", "unknown", "")}


class Finer(Exception):
    """A price or amount between two steps of a grid that is not fixed: read again with this grid."""

    def __init__(self, name: str, grid: Grid) -> None:
        super().__init__(name)
        self.name, self.grid = name, grid


@dataclass(frozen=True)
class Grid:
    """Steps of a price or an amount: unit / 10^scale.

    Attributes
    ----------
    fixed : bool
        False = what lies between two steps makes the grid finer.
    parameter : str
        Name of the Instrument's parameter.
    """

    parameter: str
    scale: int = 0
    unit: int = 1
    fixed: bool = False

    @staticmethod
    def of(step: float, parameter: str, fixed: bool) -> Grid:
        """Return the grid of a step; 0.0 = not known yet."""
        if step == 0.0:
            return Grid(parameter)
        _, digits, exponent = Decimal(repr(step)).normalize().as_tuple()
        number = int("".join(map(str, digits)))
        power = int(exponent)
        return Grid(parameter, max(-power, 0), number * 10 ** max(power, 0), fixed)

    @property
    def step(self) -> float:
        """The step as a float."""
        return float(Decimal(self.unit).scaleb(-self.scale))

    def finer(self, value: Decimal) -> Grid:
        """Return the grid of powers of ten that also holds a value."""
        return Grid(self.parameter, max(self.scale, decimals(value)), 1, False)


def decimals(value: Decimal) -> int:
    """Return how many decimals a value needs."""
    return max(-int(value.normalize().as_tuple().exponent), 0) if value else 0


@dataclass
class Place:
    """Where a row stands and what it must agree with.

    Attributes
    ----------
    low, high : int
        local_timestamp lies in [low, high), microseconds; `span` says why.
    row : int
        Number of the row in its file, 1 = first below the header.
    local : int
        local_timestamp of the row before.
    """

    path: Path
    kind: str
    venue: str
    symbol: str
    low: int = EARLIEST
    high: int = LATEST
    span: str = ""
    row: int = 0
    local: int = 0
    columns: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.columns = COLUMNS[self.kind]

    def error(self, what: str) -> DataError:
        """Return the error of this row."""
        return DataError(f"{self.path}: row {self.row}: {what}")

    def cell_error(self, column: str, text: str, what: str) -> DataError:
        """Return the error of one cell of this row."""
        return self.error(f"{column} = {short(text, 60) or '(empty)'}: {what}")


def split_row(place: Place, line: bytes) -> list[str]:
    """Return the cells of a line (without its end); refuse what is no plain csv row of the kind."""
    line = line.removesuffix(b"\r")
    if len(line) > LONGEST:
        raise place.error(f"is longer than {LONGEST} bytes; the file is damaged, download it again")
    if not line:
        raise place.error("is an empty line; the file is damaged, download it again")
    odd = next((b for b in line if b < 32 or b > 126), None)
    if odd is not None:
        raise place.error(f"holds the byte 0x{odd:02x}, no text; the file is damaged, download it again")
    text = line.decode("ascii")
    if '"' in text:
        raise place.error("has quoted cells: another program has rewritten the file; take the original")
    cells = text.split(",")
    if len(cells) != len(place.columns):
        raise place.error(
            f"has {len(cells)} cells, not {len(place.columns)}: {short(text, 100)}; the row is cut or damaged"
        )
    return cells


def check_head(place: Place, cells: list[str]) -> None:
    """Refuse another exchange or symbol, and stamps that are none, go back or lie outside the day."""
    for column, text, wanted in zip(("exchange", "symbol"), cells, (place.venue, place.symbol), strict=False):
        if text != wanted:
            fix = "read one instrument a call" if text else "mend the row"
            raise place.cell_error(column, text, f"is not {wanted}; {fix}")
    stamp(place, "timestamp", cells[2])
    local = stamp(place, "local_timestamp", cells[3])
    if not place.low <= local < place.high:
        shown = format_time(local * MICROSECOND)
        what = f"({shown}) is not in {place.span}; check the file"
        raise place.cell_error("local_timestamp", cells[3], what)
    if local < place.local:
        what = f"is before the row above ({place.local}); files are in order of arrival"
        raise place.cell_error("local_timestamp", cells[3], what)


def stamp(place: Place, column: str, text: str) -> int:
    """Return a stamp in microseconds; refuse another unit and what is no whole number."""
    if not (text.isascii() and text.isdigit()):
        raise place.cell_error(column, text, "is no whole number of microseconds; mend the row")
    value = int(text[:30])
    if len(text) != 16 or not EARLIEST <= value < LATEST:
        raise place.cell_error(column, text, "is no time in microseconds (16 digits); mend the row")
    return value


def decimal(place: Place, column: str, text: str) -> Decimal:
    """Return a decimal above or equal to zero; refuse NaN, infinity, signs and words."""
    if not DECIMAL.fullmatch(text):
        what = "is negative" if re.fullmatch(r"-[\d.]+(?:[eE][+-]?\d+)?", text) else "is no finite number"
        raise place.cell_error(column, text, f"{what}; mend the row")
    return Decimal(text)


def on_grid(place: Place, column: str, text: str, grid: Grid) -> str:
    """Return a price or amount in plain digits; refuse (or ask for a finer grid) what lies between steps."""
    value = decimal(place, column, text)
    is_price = "price" in column
    if is_price and not value:
        raise place.cell_error(column, text, "is no price above zero; mend the row")
    size = value.adjusted() + 1 if value else 1
    if max(size, 1) + max(grid.scale, decimals(value)) > DIGITS:
        raise place.cell_error(column, text, f"has more than {DIGITS} digits; mend the row")
    steps = value.scaleb(grid.scale) / grid.unit
    if steps != int(steps):
        if not grid.fixed:
            raise Finer(grid.parameter, grid.finer(value))
        fine = grid.finer(value).step
        raise place.cell_error(
            column, text, f"is between two steps of {grid.parameter} {grid.step:g}; mend the row, or give an "
            f"Instrument with {grid.parameter}={fine:g} (or None: read from the files)",
        )  # fmt: skip
    if is_price and steps > TOP_TICK:
        raise place.cell_error(
            column, text, f"is more than {TOP_TICK} steps of tick_size {grid.step:g}; give an Instrument "
            "with a larger tick_size",
        )  # fmt: skip
    return format(value, "f")


def word(place: Place, column: str, text: str, choices: str) -> str:
    """Return a cell that must be one of a few words."""
    if text not in WORDS[choices]:
        names = ", ".join(name or "(empty)" for name in WORDS[choices])
        raise place.cell_error(column, text, f"is unknown; Tardis writes {names}")
    return text


def plain_row(place: Place, line: bytes, price: Grid, amount: Grid) -> bytes:
    """Return a row as the kernels take it, or raise DataError (file, row, column, value) or Finer."""
    cells = split_row(place, line)
    check_head(place, cells)
    own = cells[4:]
    if place.kind == "incremental_book_L2":
        words = word(place, "is_snapshot", own[0], "is_snapshot"), word(place, "side", own[1], "side")
        own = [*words, on_grid(place, "price", own[2], price), on_grid(place, "amount", own[3], amount)]
    elif place.kind in ("trades", "liquidations"):
        words = trade_id(place, own[0]), word(place, "side", own[1], "taker")
        own = [*words, on_grid(place, "price", own[2], price), on_grid(place, "amount", own[3], amount)]
    else:
        own = level_cells(place, own, price, amount)
    return (",".join([*cells[:4], *own]) + "\n").encode()


def trade_id(place: Place, text: str) -> str:
    """Return an id; refuse odd and endless ones."""
    if not TRADE_ID.fullmatch(text):
        raise place.cell_error("id", text, "is no id of at most 64 letters, digits and signs; mend the row")
    return text


def level_cells(place: Place, own: list[str], price: Grid, amount: Grid) -> list[str]:
    """Return the cells of quotes and book snapshots; a side goes from best to worst, without holes."""
    names = place.columns[4:]
    plain = [
        text and on_grid(place, name, text, price if "price" in name else amount)
        for name, text in zip(names, own, strict=True)
    ]
    given = dict(zip(names, plain, strict=True))
    for side in ("ask", "bid"):
        prices = [name for name in names if name.startswith(side) and name.endswith("price")]
        before: str | None = None
        for name in prices:
            other = name.replace("price", "amount")
            if bool(given[name]) != bool(given[other]):
                empty, full = (name, other) if given[other] else (other, name)
                raise place.cell_error(empty, "", f"and {full} = {given[full]}; mend the row")
            if given[name] and before is not None:
                check_next(place, side, name, given[name], before)
            before = given[name]
    return plain


def check_next(place: Place, side: str, name: str, text: str, before: str) -> None:
    """Refuse a level that is not behind the level before it on its side."""
    if not before:
        raise place.cell_error(name, text, "stands behind an empty level; mend the row")
    rises = Decimal(text) > Decimal(before)
    if Decimal(text) == Decimal(before) or rises != (side == "ask"):
        raise place.cell_error(name, text, f"is not behind {before}, the level before it; mend the row")


def ticker_row(place: Place, line: bytes) -> tuple[bytes, list[float]]:
    """Return a derivative_ticker row as the kernel takes it, its own cells empty, and their values.

    An empty cell is NaN: no value.
    """
    cells = split_row(place, line)
    check_head(place, cells)
    values = [ticker_cell(place, *pair) for pair in zip(place.columns[4:], cells[4:], strict=True)]
    return (",".join(cells[:4]) + "," * len(values) + "\n").encode(), values


def ticker_cell(place: Place, column: str, text: str) -> float:
    """Return a number of a derivative ticker; refuse what cannot be one."""
    if not text:
        return math.nan
    if column == "funding_timestamp":
        return float(stamp(place, column, text))
    sign = text.startswith("-") and column.endswith("rate")
    value = float(decimal(place, column, text[1:] if sign else text))
    if not math.isfinite(value):
        raise place.cell_error(column, text, "is no finite number; mend the row")
    if column.endswith("rate") and value >= 1.0:
        raise place.cell_error(column, text, "is no fraction of notional between -1 and 1; mend the row")
    if column == "mark_price" and value == 0.0:
        raise place.cell_error(column, text, "is no price above zero; mend the row")
    return (-value if sign else value) + 0.0
