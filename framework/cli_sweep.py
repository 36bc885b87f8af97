"""`sweep`, `check` and `samples` of the command."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.cli_job import Job, pairs
from framework.cli_run import check_writable, prepare, quiet_stdout
from framework.cli_show import Meter, Voice, is_watched, print_json
from framework.errors import ConfigError, StrategyError, near

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from framework.market import Market
    from framework.strategy import Analyst, Strategy

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


class Listener:
    """An analyst that hands questions on and notes whether any decision lies after the model's cutoff."""

    def __init__(self, analyst: Analyst) -> None:
        self.name, self.model, self.stand_in = analyst.name, analyst.model, analyst.stand_in
        self._analyst, self._seen = analyst, set[bool]()

    def decide(self, prompts: Sequence[Any]) -> list[Any]:
        """Answer prompts in order."""
        decisions = list(self._analyst.decide(prompts))
        self._seen |= {bool(one.in_sample) for one in decisions if one.status != "missing"}
        return decisions

    @property
    def in_sample_only(self) -> bool:
        """True when there were decisions and the model may remember the time of each."""
        return self._seen == {True}

    @property
    def words(self) -> str:
        """Who decided, as every output has it."""
        from framework.report.compare import who

        return who({"analyst": self.fields})

    @property
    def fields(self) -> dict[str, Any]:
        """Who decided, as --json has it."""
        return {"name": self.name, "model": self.model, "stand_in": self.stand_in}

    @property
    def line(self) -> str:
        """Who decided, as it is printed."""
        return f"decisions by {self.words}" + (", not a language model" if self.stand_in else "")


def listener(job: Job, cls: type[Strategy], market: Market) -> Listener | None:
    """Return who answers a sweep's questions; None where nobody is asked."""
    analyst = job.analyst(cls)
    if not callable(getattr(cls, "ask", None)) or len(market.signals):
        return None
    if analyst is None:
        from framework.llm.rules import Rules

        analyst = Rules()
    return Listener(analyst)


def with_analyst(table: pl.DataFrame, heard: Listener | None) -> pl.DataFrame:
    """Return a sweep's table with a column that names who decided, before the fingerprint."""
    if heard is None:
        return table
    import polars as pl

    name = "analyst" if "analyst" not in table.columns else "metric_analyst"  # a parameter's own name stays
    at = table.columns.index("fingerprint")
    return table.insert_column(at, pl.Series(name, [heard.words] * table.height, dtype=pl.String))


def run_sweep(job: Job, workers: int | None, best: str, out: Path | None, as_json: bool) -> int:
    """Run a sweep; print its best rows, or all as JSON; return the exit code."""
    if out is not None and out.suffix not in (".csv", ".parquet"):
        raise ConfigError(f"--out {out}: a table is written as .csv or .parquet")
    if out is not None:
        check_writable(out)
    options, cls, market = prepare(job, Voice())
    values = grid_of(cls, job.params)
    from framework import sweep
    from framework.jit import mark_warm

    heard = listener(job, cls, market)
    sets = math.prod(len(one) for one in values.values())
    with quiet_stdout(as_json), Meter(cls.__name__, sets, "sets") as meter:
        progress = (lambda done, total: meter(done)) if is_watched() else None
        table = sweep(cls, market, workers=workers, analyst=heard, progress=progress, **options, **values)
    table = with_analyst(table, heard)
    mark_warm()
    if best not in table.columns:
        raise ConfigError(f"--best: there is no column '{best}': {near(best, table.columns)}")
    if out is not None:
        write_table(table, out)
    show_sweep(table, list(values), best, out, as_json, heard)
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
    table: pl.DataFrame, swept: list[str], best: str, out: Path | None, as_json: bool, heard: Listener | None
) -> None:
    """Print the best rows as a plain table, or every row as JSON."""
    from framework.report.words import NO_HEADLINE

    if as_json:
        who = heard and heard.fields
        headline = NO_HEADLINE if heard and heard.in_sample_only else None
        file = str(out) if out else None
        print_json({"rows": table.to_dicts(), "file": file, "analyst": who, "headline": headline})
        return
    from framework.report.compare import show

    ordered = table.sort(best, descending=True, nulls_last=True).head(SHOWN)
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
    if heard:
        print(heard.line)
    if heard and heard.in_sample_only:
        print(f"{NO_HEADLINE}: none is known to lie after the model's cutoff; figures are in-sample")
    for line in cells:
        print(
            "  ".join(text.rjust(width) for text, width in zip(line, widths, strict=False)) + "  " + line[-1]
        )
    if failed := table["error"].drop_nulls().len():
        print(f"{failed:,} of {table.height:,} sets failed; their reason is in the column error")


def run_check(job: Job, cuts: int, scrambles: int, as_json: bool) -> int:
    """Rehearse a strategy and look for the future in its decisions."""
    options, cls, market = prepare(job, Voice())
    made = cls(**job.parameters())
    heard = listener(job, cls, market)
    who = {"analyst": heard and heard.fields}
    from framework import check_lookahead, check_strategy

    with quiet_stdout(as_json):
        rehearsal = check_strategy(made, market, **options)
    if not as_json:
        print(rehearsal, flush=True)
        if heard:
            print(heard.line, flush=True)
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
