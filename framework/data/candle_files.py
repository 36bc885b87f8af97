"""Candle, funding and mark files (csv, csv.gz, parquet) to a Market."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.errors import ConfigError, DataError, near
from framework.instruments import Instrument
from framework.market import Market

if TYPE_CHECKING:
    import polars as pl

SUFFIXES = (".csv", ".csv.gz", ".parquet")


def read_frame(path: str | Path) -> pl.DataFrame:
    """Return a file as a polars frame; a cell that does not fit its column leaves the column as text.

    Raises
    ------
    DataError
        No such file (near names of its folder), another kind of file, or one that cannot be read or is empty.
    """
    import polars as pl

    file = check_file(path)
    try:
        if file.name.endswith(".parquet"):
            frame = pl.read_parquet(file, glob=False)
        else:
            frame = read_csv(file)
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"{file}: cannot be read ({reason}); write the file again") from None
    if frame.is_empty():
        raise DataError(f"{file}: holds no row; give a file with a header line and at least one row")
    return frame


def read_csv(file: Path) -> pl.DataFrame:
    """Return a csv or csv.gz file; column types from the first rows, or all rows where those mislead."""
    import polars as pl

    try:
        return pl.read_csv(file, glob=False)
    except pl.exceptions.ComputeError as error:
        if "could not parse" not in str(error):
            raise
        return pl.read_csv(file, glob=False, infer_schema_length=None)


def check_file(path: str | Path) -> Path:
    """Return the path of a file that exists and ends in a known suffix."""
    file = Path(path)
    if not file.is_file():
        if not file.parent.is_dir():
            raise DataError(f"{file}: there is no folder {file.parent}; check the path")
        others = sorted(p.name for p in file.parent.iterdir() if p.name.endswith(SUFFIXES))
        hint = near(file.name, others[:9]) if others else "check the path"
        raise DataError(f"{file}: there is no such file; {hint}")
    if not file.name.endswith(SUFFIXES):
        raise DataError(f"{file}: is no {', '.join(SUFFIXES)} file; convert it to one of them")
    return file


def plain_name(path: str | Path) -> str:
    """Return a file's name without folder and suffix."""
    name = Path(path).name
    return next((name.removesuffix(s) for s in (".csv.gz", ".csv", ".parquet") if name.endswith(s)), name)


def load_candles(
    path: str | Path,
    instrument: Instrument | str,
    interval: str | int | None = None,
    stamp: str | None = None,
    unit: str | None = None,
    time: str | None = None,
    *,
    gaps: str = "report",
    name: str | None = None,
) -> Market:
    """Return the market of one candle file; options and errors as of `Market.from_candles`.

    Examples
    --------
    >>> market = load_candles("BTCUSDT-1h.csv.gz", "binance:BTCUSDT", "1h", stamp="open")  # doctest: +SKIP
    """
    frame = read_frame(path)
    return Market.from_candles(
        frame,
        instrument,
        interval,
        stamp,
        time=time,
        unit=unit,
        gaps=gaps,
        name=name or plain_name(path),
        source=str(path),
    )


def add_files(
    market: Market, funding: str | Path | None = None, mark: str | Path | None = None, **options: Any
) -> Market:
    """Return a market with funding and mark files; options go to `with_funding` and `with_mark`."""
    if unknown := set(options) - {"instrument", "unit"}:
        raise ConfigError(f"add_files: unknown option {sorted(unknown)[0]!r}; choose from instrument, unit")
    if funding is not None:
        market = market.with_funding(read_frame(funding), source=str(funding), **options)
    if mark is not None:
        market = market.with_mark(read_frame(mark), source=str(mark), **options)
    return market
