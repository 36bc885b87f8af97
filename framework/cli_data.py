"""`sheepfold data`: get market data, keep it, look at it. A `cli_data_*` file does each."""

from __future__ import annotations

import typer

HELP = "Download, store, check and stream market data."

data = typer.Typer(name="data", help=HELP, rich_markup_mode=None, no_args_is_help=True)
