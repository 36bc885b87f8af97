"""`sheepfold data`: get market data, keep it, look at it. A `cli_data_*` file does each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HELP = "Download, store, check and stream market data."

data = typer.Typer(name="data", help=HELP, rich_markup_mode=None, no_args_is_help=True)

StoreText = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="Folder of the store; default SHEEPFOLD_STORE, else the user's."),
]
From = Annotated[str | None, typer.Option("--from", metavar="DATE", help="First day, UTC.")]
To = Annotated[str | None, typer.Option("--to", metavar="DATE", help="Day before which it ends, UTC.")]
Kinds = Annotated[
    str | None, typer.Option(metavar="KIND,...", help="trades,incremental_book_L2 ...; default all.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@data.command()
def check(
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE|DIR|VENUE:SYMBOL]...", help="By default everything in the store."),
    ] = None,
    start: From = None, stop: To = None, kinds: Kinds = None,
    instrument: Annotated[
        str | None, typer.Option(help="What csv files are of, like binance-futures:BTCUSDT.")
    ] = None,
    store: StoreText = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write check.txt, check.png and check.json there.")
    ] = None,
    as_json: Json = False, debug: Debug = False,
) -> int:  # fmt: skip
    """Look at every row of tick data and say what is wrong; exit code 3 while a refused day is not waived."""
    from framework.cli_data_check import run_check

    return run_check(what, start, stop, kinds, store, instrument, out, as_json)


@data.command()
def waive(
    what: Annotated[str, typer.Argument(metavar="VENUE:SYMBOL", help="An instrument of the store.")],
    why: Annotated[str, typer.Option(help="The reason, in one line; results repeat it.")],
    start: From = None, stop: To = None, kinds: Kinds = None,
    codes: Annotated[
        str | None, typer.Option(metavar="CODE,...", help="Findings; default every refuse and warn.")
    ] = None,
    store: StoreText = None, debug: Debug = False,
) -> int:  # fmt: skip
    """Use days in spite of what the check found; results that use them name the findings and the reason."""
    from framework.cli_data_check import run_waive

    return run_waive(what, why, start, stop, kinds, codes, store)


Instrument = Annotated[str, typer.Argument(metavar="VENUE:SYMBOL", help="An instrument of the store.")]


@data.command("import")
def import_files(
    files: Annotated[list[Path], typer.Argument(metavar="FILE|DIR...", help="csv or csv.gz of Tardis.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of days that came from other files.")
    ] = False,
    instrument: Annotated[
        str | None, typer.Option(help="What the files are of; default their own exchange and symbol.")
    ] = None,
    store: StoreText = None, as_json: Json = False, debug: Debug = False,
) -> int:  # fmt: skip
    """Put csv files of Tardis into the store; a file that is in it already costs nothing."""
    from framework.cli_data_store import run_import

    return run_import(files, replace, instrument, store, as_json)


@data.command("ls")
def list_days(
    what: Annotated[
        str | None, typer.Argument(metavar="[VENUE:SYMBOL]", help="By default every instrument.")
    ] = None,
    start: From = None, stop: To = None, kinds: Kinds = None, store: StoreText = None, as_json: Json = False,
    debug: Debug = False,
) -> int:  # fmt: skip
    """List what is in the store."""
    from framework.cli_data_store import run_ls

    return run_ls(what, start, stop, kinds, store, as_json)


@data.command("rm")
def remove_days(
    what: Instrument, start: From = None, stop: To = None, kinds: Kinds = None, store: StoreText = None,
    debug: Debug = False,
) -> int:  # fmt: skip
    """Remove days of an instrument with everything made from them."""
    from framework.cli_data_store import run_rm

    return run_rm(what, start, stop, kinds, store)


@data.command()
def verify(store: StoreText = None, debug: Debug = False) -> int:
    """Read every byte and value of the store again; exit code 3 where something is not as it was written."""
    from framework.cli_data_store import run_verify

    return run_verify(store)


@data.command()
def export(
    what: Instrument,
    to: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the csv.gz files.")],
    start: From = None, stop: To = None, kinds: Kinds = None, store: StoreText = None, debug: Debug = False,
) -> int:  # fmt: skip
    """Write days of the store as csv.gz files of Tardis again."""
    from framework.cli_data_store import run_export

    return run_export(what, to, start, stop, kinds, store)
