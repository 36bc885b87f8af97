"""The command `sheepfold`.

Exit codes: 0 done; 1 an unexpected error (a defect: please report it); 2 the user's mistake; 3 data refused;
4 incomplete; 5 the result differs; 130 interrupted (Ctrl-C or SIGTERM). An error is one line on stderr;
`--debug` shows where it came from.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from framework.cli_cassette import cassette
from framework.cli_data import data
from framework.errors import FrameworkError

INTERRUPTED = 130
HELP = """Replay markets through strategies, and show what happened so that anyone can do it again.

Exit codes: 0 done, 1 an unexpected error, 2 a mistake in what was given, 3 data refused, 4 incomplete,
5 the result differs, 130 interrupted.
"""

app = typer.Typer(
    name="sheepfold", help=HELP, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
app.add_typer(data)
app.add_typer(cassette)

File = Annotated[
    str, typer.Argument(metavar="FILE[:Class]", help="Strategy file, with :Class when it holds several.")
]
Params = Annotated[
    list[str] | None, typer.Option("-p", "--param", metavar="NAME=VALUE", help="A parameter; repeat it.")
]
Cash = Annotated[float, typer.Option(help="Start in the settlement currency.")]
Maker = Annotated[
    float | None, typer.Option(help="Maker fee, a fraction; default the instrument's, else 0.001.")
]
Taker = Annotated[
    float | None, typer.Option(help="Taker fee, a fraction; default the instrument's, else 0.001.")
]
Slippage = Annotated[float | None, typer.Option(help="Per side, a fraction; default 0.0005.")]
LatencyText = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="20ms for order and response, or order=20ms,response=30ms,feed=5ms."),
]
FillsText = Annotated[
    str | None,
    typer.Option(
        metavar="RULES",
        help="A preset (backtesting.py, vectorbt, backtrader), or at=close,intrabar=best, or both.",
    ),
]
Leverage = Annotated[float, typer.Option(help="Position value per unit of equity.")]
Margin = Annotated[str, typer.Option(help="cross or isolated.")]
Seed = Annotated[int, typer.Option(help="Kept in the manifest; the engine draws nothing.")]
Strict = Annotated[bool, typer.Option("--strict", help="Check the books after every event.")]
MarketText = Annotated[
    str | None,
    typer.Option(
        metavar="SOURCE",
        help="sample:NAME, candles:PATH, tardis:PATHS or store:VENUE:SYMBOL; default the class's.",
    ),
]
InstrumentText = Annotated[
    str | None, typer.Option(help="What the candles (or ticks) are of, like binance-futures:BTCUSDT.")
]
Interval = Annotated[str | None, typer.Option(help="Length of a bar: 1m, 1h, 1d, 1mo.")]
Stamp = Annotated[str | None, typer.Option(help="Which end of the bar its time is: open or close.")]
Unit = Annotated[str | None, typer.Option(help="Unit of integer times: s, ms, us, ns.")]
Time = Annotated[str | None, typer.Option(metavar="COLUMN", help="Name of the time column.")]
Funding = Annotated[str | None, typer.Option(metavar="PATH", help="File of funding rates.")]
Mark = Annotated[str | None, typer.Option(metavar="PATH", help="File of mark prices.")]
Start = Annotated[str | None, typer.Option("--from", metavar="DATE", help="First day or time, UTC.")]
Stop = Annotated[
    str | None, typer.Option("--to", metavar="DATE", help="Day or time before which it ends, UTC.")
]
Streams = Annotated[
    str | None,
    typer.Option(metavar="KINDS", help="Of a store: trades,book,funding,mark,bars:1m or kinds of files."),
]
StoreFolder = Annotated[
    str | None, typer.Option("--store", metavar="DIR", help="Folder of the store; default the user's own.")
]
Model = Annotated[
    str | None, typer.Option(help="Answers of this model, from the store; without it the offline Rules.")
]
Models = Annotated[
    list[str] | None, typer.Option("--model", help="As in backtest; repeat it to compare several.")
]
Temperature = Annotated[float | None, typer.Option(help="Of the model's sampling, 0 to 2; default 0.3.")]
Temperatures = Annotated[
    str | None, typer.Option("--temperature", metavar="NUMBERS", help="One or several: 0,0.3.")
]
Record = Annotated[
    bool, typer.Option("--record", help="Ask what is not in the store. Spends money: HOLYSHEEP_API_KEY.")
]
Replay = Annotated[
    bool, typer.Option("--replay", help="Answers from the store alone: no key, no network, no spending.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Spend what the plan says without being asked.")]
Budget = Annotated[float | None, typer.Option(metavar="USD", help="Ask nothing beyond this.")]
Concurrency = Annotated[int | None, typer.Option(help="Questions in flight at once; default 4.")]
RepliesText = Annotated[
    str | None,
    typer.Option(metavar="RULES", help="How answers arrive, like latency=2s,overlap=skip,max_age=1m."),
]
Refresh = Annotated[
    bool, typer.Option("--refresh", help="Ask everything again. Spends money: HOLYSHEEP_API_KEY.")
]
Cassette = Annotated[
    str | None, typer.Option(metavar="FILE", help="Answers from a saved run's cassette.")
]
Futures = Annotated[int, typer.Option(min=0, max=10_000, help="Other futures of each kind to try.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a saved run.")]


Ranges = Annotated[
    list[str] | None,
    typer.Option("-p", "--param", metavar="NAME=VALUES", help="5:25 (half-open), 30:70:4, 1,2,3; repeat it."),
]
Workers = Annotated[int | None, typer.Option(help="Threads; default one for each core.")]
Best = Annotated[str, typer.Option(metavar="COLUMN", help="What the printed rows are ordered by.")]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="Default results/<class>-<fingerprint8>.")]
Table = Annotated[Path | None, typer.Option(metavar="FILE", help="Write every row: .csv or .parquet.")]
ProbeTests = Annotated[
    str | None, typer.Option("--tests", metavar="NAMES", help="Of masked,mirrored,shuffled,deletion,"
                             "samples,recall,reidentify; default all.")
]  # fmt: skip
ProbeSamples = Annotated[int, typer.Option("--samples", help="How often each question is asked as it is.")]
ProbeLimit = Annotated[int, typer.Option("--limit", help="Questions looked at, evenly over the market.")]
ProbeBudget = Annotated[
    float | None, typer.Option("--budget", metavar="USD", help="Refuse a probe that may cost more.")
]
NoReport = Annotated[bool, typer.Option("--no-report", help="No page, no picture.")]


@app.command()
def backtest(
    strategy: File, params: Params = None, market: MarketText = None, instrument: InstrumentText = None,
    interval: Interval = None, stamp: Stamp = None, unit: Unit = None, time: Time = None,
    funding: Funding = None, mark: Mark = None, start: Start = None, stop: Stop = None,
    streams: Streams = None, store: StoreFolder = None,
    cash: Cash = 10_000.0, maker: Maker = None, taker: Taker = None, slippage: Slippage = None,
    latency: LatencyText = None, fills: FillsText = None, leverage: Leverage = 1.0, margin: Margin = "cross",
    seed: Seed = 0, strict: Strict = False, model: Model = None, temperature: Temperature = None,
    record: Record = False, refresh: Refresh = False, replay: Replay = False, cassette: Cassette = None,
    replies: RepliesText = None, yes: Yes = False, budget: Budget = None, concurrency: Concurrency = None,
    out: Out = None, no_report: NoReport = False, as_json: Json = False, debug: Debug = False,
) -> int:  # fmt: skip
    """Run a strategy over a market, print the result, and save it with its page and tables."""
    given = locals()
    from framework.cli_job import Job
    from framework.cli_run import run_backtest

    return run_backtest(Job.of(given), out, as_json, not no_report)


@app.command()
def sweep(
    strategy: File,  params: Ranges = None, market: MarketText = None, instrument: InstrumentText = None,
    interval: Interval = None, stamp: Stamp = None, unit: Unit = None, time: Time = None,
    funding: Funding = None, mark: Mark = None, start: Start = None, stop: Stop = None,
    streams: Streams = None, store: StoreFolder = None,
    cash: Cash = 10_000.0, maker: Maker = None, taker: Taker = None, slippage: Slippage = None,
    latency: LatencyText = None, fills: FillsText = None, leverage: Leverage = 1.0, margin: Margin = "cross",
    seed: Seed = 0, strict: Strict = False, models: Models = None, temperatures: Temperatures = None,
    record: Record = False, refresh: Refresh = False, replay: Replay = False, cassette: Cassette = None,
    replies: RepliesText = None, yes: Yes = False, budget: Budget = None, concurrency: Concurrency = None,
    workers: Workers = None, best: Best = "final_equity", out: Table = None, as_json: Json = False,
    debug: Debug = False,
) -> int:  # fmt: skip
    """Backtest every combination of parameter values; each row is a backtest with its fingerprint."""
    given = locals()
    from framework.cli_job import Job
    from framework.cli_sweep import run_sweep

    return run_sweep(Job.of(given), models or [], temperatures, workers, best, out, as_json)


@app.command()
def check(
    strategy: File, params: Params = None, market: MarketText = None, instrument: InstrumentText = None,
    interval: Interval = None, stamp: Stamp = None, unit: Unit = None, time: Time = None,
    funding: Funding = None, mark: Mark = None, start: Start = None, stop: Stop = None,
    streams: Streams = None, store: StoreFolder = None,
    cash: Cash = 10_000.0, maker: Maker = None, taker: Taker = None, slippage: Slippage = None,
    latency: LatencyText = None, fills: FillsText = None, leverage: Leverage = 1.0, margin: Margin = "cross",
    cuts: Futures = 20, scrambles: Futures = 20, as_json: Json = False, debug: Debug = False,
) -> int:  # fmt: skip
    """Rehearse a strategy both ways, compiled and as written, and prove that it cannot see the future."""
    given = locals()
    from framework.cli_job import Job
    from framework.cli_sweep import run_check

    return run_check(Job.of(given), cuts, scrambles, as_json)


@app.command()
def probe(
    strategy: File, params: Params = None, market: MarketText = None, instrument: InstrumentText = None,
    interval: Interval = None, stamp: Stamp = None, unit: Unit = None, time: Time = None,
    start: Start = None, stop: Stop = None, streams: Streams = None, store: StoreFolder = None,
    latency: LatencyText = None, seed: Seed = 0, model: Model = None, record: Record = False,
    cassette: Cassette = None, tests: ProbeTests = None, samples: ProbeSamples = 3, limit: ProbeLimit = 40,
    budget: ProbeBudget = None, yes: Yes = False, as_json: Json = False, debug: Debug = False,
) -> int:  # fmt: skip
    """Does the model read its brief, or remember the market? Asks it other versions of the questions."""
    given = locals()
    from framework.cli_job import Job
    from framework.cli_probe import run_probe

    return run_probe(Job.of(given), tests, samples, limit, budget, yes, as_json)


@app.command()
def rerun(folder: Folder, as_json: Json = False, debug: Debug = False) -> int:
    """Run a saved result again: the same fingerprint and tables, or the first difference and exit code 5."""
    from framework.cli_run import run_again

    return run_again(folder, as_json)


@app.command()
def report(folder: Folder, debug: Debug = False) -> int:
    """Write report.html and report.png of a saved result again."""
    from framework.cli_run import write_report

    return write_report(folder)


@app.command()
def explain(
    folder: Folder, order: Annotated[int, typer.Argument(metavar="ORDER_ID", help="Its id in orders.csv.")],
    debug: Debug = False,
) -> int:  # fmt: skip
    """Tell why an order of a saved run filled or did not; runs it again to know what the market did."""
    from framework.cli_run import explain_order

    return explain_order(folder, order)


@app.command()
def samples(debug: Debug = False) -> int:
    """List the bundled markets."""
    from framework.cli_sweep import list_samples

    return list_samples()


@app.command()
def version(debug: Debug = False) -> int:
    """Print the version."""
    from framework import __version__

    print(f"sheepfold {__version__}")
    return 0


@contextlib.contextmanager
def stopped_in_order() -> Iterator[None]:
    """Make SIGTERM what Ctrl-C is while the command runs: both keep what is done."""
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers belong to the main thread
        return
    before = signal.getsignal(signal.SIGTERM)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    if argv is None:
        gc.set_threshold(
            100_000, 20, 20
        )  # a short-lived process: the collector would walk its imports again and again
    given = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="replace"
            )  # a terminal that cannot show a sign loses the sign, not the run
    try:
        with stopped_in_order():
            code: Any = typer.main.get_command(app).main(
                given or ["--help"], prog_name="sheepfold", standalone_mode=False
            )
            sys.stdout.flush()
        if code == INTERRUPTED:  # typer of some versions makes it of Ctrl-C
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        print("sheepfold: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except Exception as error:
        if "--debug" in given:
            traceback.print_exc()
        words, code = told(error)
        print(f"sheepfold: error: {words}", file=sys.stderr)
        return int(code)


def told(error: Exception) -> tuple[str, int]:
    """Return an error as one line, and its exit code."""
    if isinstance(error, FrameworkError):
        return one_line(str(error)), error.exit_code
    usage = getattr(error, "format_message", None)
    if callable(usage):  # typer's own: a wrong option or value
        return one_line(usage()), 2
    words = one_line(f"{type(error).__name__}: {error}").rstrip(": ")
    return f"unexpected {words}; this is a defect: run it again with --debug and report it", 1


def one_line(text: str) -> str:
    """Return text on one line, control characters shown."""
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in line)


if __name__ == "__main__":
    sys.exit(main())
