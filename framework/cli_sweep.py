"""`sweep`, `check` and `samples` of the command."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.cli_ask import (
    Asking,
    Listener,
    analysts_of,
    asking,
    listeners,
    need_limit,
    spending,
    who_decided,
)
from framework.cli_job import Job, pairs
from framework.cli_run import check_writable, prepare, quiet_stdout
from framework.cli_show import Meter, Voice, is_watched, print_json
from framework.errors import ConfigError, StrategyError, near

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from framework.strategy import Strategy

UNPROVED, DIFFERS = 4, 5  # exit codes: incomplete, result differs
SHOWN = 10  # rows printed
MOST = 1_000_000  # values of one parameter
COLUMNS = ("final_equity", "total_return", "sharpe", "max_drawdown", "trades")


def values_of(name: str, text: str, kind: type) -> list[Any]:
    """Return the values of `5:25`, `30:70:4` (half-open, as range), `1,2,3`, or one value.

    Raises
    ------
    ConfigError
        A bound that is no number, a step of 0, a range without a value.
    """
    if kind not in (int, float) or ":" not in text:
        return text.split(",")
    try:
        bounds = [float(part) for part in text.split(":")]
    except ValueError:
        bounds = []
    if len(bounds) not in (2, 3) or not all(math.isfinite(b) for b in bounds):
        raise ConfigError(
            f"-p {name}={text}: a range is start:stop or start:stop:step, like 5:25 or 0.01:0.05:0.01"
        )
    if len(bounds) == 2 and not all(b.is_integer() for b in bounds):
        tenth = (bounds[1] - bounds[0]) / 10
        raise ConfigError(f"-p {name}={text}: say the step as well, like {name}={text}:{tenth:g}")
    start, stop, step = (*bounds, 1.0)[:3]
    if step == 0.0:
        raise ConfigError(f"-p {name}={text}: the step is 0")
    count = math.ceil((stop - start) / step - 1e-9)
    if not 0 < count <= MOST:
        raise ConfigError(
            f"-p {name}={text}: holds {'no value' if count <= 0 else f'{count:,} values'}; stop is exclusive"
        )
    return [round(start + i * step, 12) for i in range(count)]


def grid_of(cls: type[Strategy], given: tuple[str, ...]) -> dict[str, Any]:
    """Return the values of each swept parameter by its declared type."""
    from framework.strategy import checked, parameters_of

    known = parameters_of(cls)
    found: dict[str, Any] = {}
    for name, text in pairs(given, "-p").items():
        if name not in known:
            raise ConfigError(f"{cls.__name__} has no parameter '{name}': {near(name, known)}")
        kind = known[name][0]
        found[name] = [checked(cls.__name__, name, kind, value) for value in values_of(name, text, kind)]
    if not found:
        raise ConfigError(f"-p: say what to sweep, like -p {next(iter(known), 'name')}=5:25")
    return found


def with_analyst(table: pl.DataFrame, heard: Sequence[Listener]) -> pl.DataFrame:
    """Return a sweep's table with a column that names who decided, before the fingerprint."""
    if len(heard) != 1:
        return table
    import polars as pl

    name = "analyst" if "analyst" not in table.columns else "metric_analyst"  # a parameter's own name stays
    at = table.columns.index("fingerprint")
    return table.insert_column(at, pl.Series(name, [heard[0].words] * table.height, dtype=pl.String))


def heats_of(text: str | None) -> list[float]:
    """Return the temperatures of `0,0.3`."""
    try:
        return [float(part) for part in text.split(",")] if text is not None else []
    except ValueError:
        raise ConfigError(f"--temperature {text}: write numbers, like 0,0.3") from None


def run_sweep(
    job: Job, models: Sequence[str], heats: str | None, workers: int | None, best: str, out: Path | None,
    as_json: bool,
) -> int:  # fmt: skip
    """Run a sweep; print its best rows, or all as JSON; return the exit code."""
    if out is not None and out.suffix not in (".csv", ".parquet"):
        raise ConfigError(f"--out {out}: a table is written as .csv or .parquet")
    if out is not None:
        check_writable(out)
    voice = Voice()
    options, cls, market = prepare(job, voice)
    values = grid_of(cls, job.params)
    from framework import sweep
    from framework.jit import mark_warm

    need_limit(job, cls)
    asked = Asking(job, listeners(cls, market, analysts_of(job, cls, models, heats_of(heats))), voice)
    sets = math.prod(len(one) for one in values.values()) * max(len(asked.heard), 1)
    with quiet_stdout(as_json), asking(asked.heard), Meter(cls.__name__, sets, "sets") as meter:
        progress = (lambda done, total: meter(done)) if is_watched() else None
        table = sweep(
            cls, market, workers=workers, analyst=asked.analyst, confirm=asked, progress=progress, **options,
            **values,
        )  # fmt: skip
    for one in asked.heard:
        for words in spending(one):
            voice(words)
    table = with_analyst(table, asked.heard)
    mark_warm()
    if best not in table.columns:
        raise ConfigError(f"--best: there is no column '{best}': {near(best, table.columns)}")
    if out is not None:
        write_table(table, out)
    show_sweep(table, list(values), best, out, as_json, asked)
    return exit_code(table)


def exit_code(table: pl.DataFrame) -> int:
    """Return 4 when decisions are missing, 2 when no set could be run, else 0."""
    reasons = table["error"].drop_nulls()
    if reasons.str.starts_with("INCOMPLETE").any():
        return 4
    return 2 if len(reasons) == table.height else 0


def write_table(table: pl.DataFrame, out: Path) -> None:
    """Write the whole table."""
    from framework.result_store import neutral

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".parquet":
            table.write_parquet(out)
        else:
            neutral(table).write_csv(out)
    except OSError as error:
        raise ConfigError(f"--out {out}: cannot be written ({error.strerror or error})") from None


def show_sweep(
    table: pl.DataFrame, swept: list[str], best: str, out: Path | None, as_json: bool, asked: Asking
) -> None:
    """Print the best rows as a plain table, or every row as JSON."""
    if as_json:
        show_json(table, out, asked)
        return
    from framework.report.compare import show

    ordered = table.sort(best, descending=True, nulls_last=True).head(SHOWN)
    if len(asked.heard) > 1:
        swept = [*swept, *(name for name in ("model", "temperature") if name in table.columns)]
    shown = list(dict.fromkeys((*swept, best, *(c for c in COLUMNS if c in table.columns))))
    cells = [[*shown, "fingerprint"]]
    for row in ordered.to_dicts():
        texts = [str(row[n]) if n in swept or isinstance(row[n], str) else show(n, row[n]) for n in shown]
        cells.append([*texts, row["error"] or str(row["fingerprint"])[:8]])
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]) - 1)]
    print(
        f"{table.height:,} backtests; best {min(SHOWN, table.height)} by {best}"
        + (f"; all in {out}" if out else "")
    )
    for words in asked.lines:
        print(words)
    for line in cells:
        print(
            "  ".join(text.rjust(width) for text, width in zip(line, widths, strict=False)) + "  " + line[-1]
        )
    if failed := table["error"].drop_nulls().len():
        print(f"{failed:,} of {table.height:,} sets failed; their reason is in the column error")


def show_json(table: pl.DataFrame, out: Path | None, asked: Asking) -> None:
    """Print every row, who decided, and how often a prompt was used."""
    from framework.report.words import NO_HEADLINE

    who: Any = [one.fields for one in asked.heard]
    print_json({
        "rows": table.to_dicts(), "file": str(out) if out else None,
        "analyst": who if len(who) > 1 else who[0] if who else None,
        "questions": asked.counts if who else None,
        "headline": NO_HEADLINE if asked.in_sample_only else None,
    })  # fmt: skip


def run_check(job: Job, cuts: int, scrambles: int, as_json: bool) -> int:
    """Rehearse a strategy and look for the future in its decisions."""
    options, cls, market = prepare(job, Voice())
    made = cls(**job.parameters())
    heard = listeners(cls, market, [None])
    who = {"analyst": heard[0].fields if heard else None}
    from framework import check_lookahead, check_strategy

    with quiet_stdout(as_json):
        rehearsal = check_strategy(made, market, **options)
    if not as_json:
        print(rehearsal, flush=True)
        if heard:
            print(who_decided(heard), flush=True)
    if not rehearsal.ok:
        if as_json:
            print_json({"rehearsal": asdict(rehearsal), "lookahead": None, **who})
        raise StrategyError(rehearsal.problems[0])
    with quiet_stdout(as_json):
        proof = check_lookahead(made, market, cuts=cuts, scrambles=scrambles, **options)
    if as_json:
        print_json({"rehearsal": asdict(rehearsal), "lookahead": asdict(proof), **who})
    else:
        print(proof)
    return 0 if proof.ok else UNPROVED if proof.verdict == "UNPROVED" else DIFFERS


def list_samples() -> int:
    """Print the bundled markets."""
    from framework import samples
    from framework.times import format_interval, format_time

    for name in samples.names():
        market = samples.load(name)
        ids = ", ".join(one.id for one in market.instruments)
        steps = [format_interval(i) for i in market.intervals(0)]
        steps += [word for word, rows in (("trades", market.trades), ("book", market.books)) if rows]
        more = "; ".join(note for note in market.notes if "SYNTHETIC" in note)
        days = f"{format_time(market.start)[:10]} to {format_time(market.stop)[:10]}"
        print("; ".join(filter(None, (f"{name}: {ids}", ", ".join(steps), days, more))))
    return 0
