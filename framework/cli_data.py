"""`sheepfold data`: get market data, keep it, look at it. A `cli_data_*` file does each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HELP = "Download, store, check and stream market data."

data = typer.Typer(name="data", help=HELP, rich_markup_mode=None, no_args_is_help=True)

Store = Annotated[Path | None, typer.Option(metavar="DIR", help="Default SHEEPFOLD_STORE, else your home's.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@data.command()
def record(
    exchange: Annotated[str, typer.Argument(help="Tardis id, like binance-futures.")],
    symbols: Annotated[str, typer.Argument(help="With commas, like BTCUSDT,ETHUSDT.")],
    types: Annotated[str, typer.Argument(help="trade,book_change,derivative_ticker,quote ...")],
    url: Annotated[
        str | None, typer.Option(help="A tardis-machine; default TARDIS_MACHINE_URL, else ws://127.0.0.1:8001.")
    ] = None,
    length: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="60s, 8h; default until it ends or Ctrl-C.")
    ] = None,
    start: Annotated[str | None, typer.Option("--from", metavar="TIME", help="Replay from here.")] = None,
    stop: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Replay up to here.")] = None,
    store: Store = None, debug: Debug = False,
) -> int:  # fmt: skip
    """Keep what a tardis-machine sends: a live day is tomorrow's backtest."""
    from framework.cli_data_live import run_record

    return run_record(exchange, symbols, types, url, length, store, start, stop)
