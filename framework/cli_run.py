"""`backtest`, `rerun` and `report` of the command."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.cli_job import Job, check_text
from framework.cli_show import Meter, Voice, bar_count, by_time, is_watched, print_json, summary
from framework.cli_strategy import load_strategy, split_target
from framework.errors import ConfigError, ResultError

if TYPE_CHECKING:
    from framework.market import Market
    from framework.result import Result
    from framework.strategy import Analyst, Strategy

INCOMPLETE = 4  # exit code: decisions are missing
LONGEST = 200  # bytes of a new folder's name: while it is written it has a longer one


@contextlib.contextmanager
def quiet_stdout(wanted: bool) -> Iterator[None]:
    """Send what strategies print to stderr while stdout is for one JSON object."""
    with contextlib.redirect_stdout(sys.stderr) if wanted else contextlib.nullcontext():
        yield


def execute(job: Job, analyst: Analyst | None = None, also: Path | None = None) -> Result:
    """Load the strategy and the market of a job and run it; the manifest keeps the command."""
    voice = Voice()
    options, cls, market = prepare(job, voice, also)
    made = cls(**job.parameters())
    analyst = analyst or job.analyst(cls)
    from framework.backtest import backtest
    from framework.jit import mark_warm

    with Meter(cls.__name__, bar_count(market), "bars") as meter, asking(analyst):
        progress = by_time(meter, market) if is_watched() and not cls.compiled else None
        result = backtest(made, market, analyst=analyst, say=voice, progress=progress, **options)
    mark_warm()
    for words in spending(analyst):
        voice(words)
    result.manifest["command"] = job.words()
    return result


def spending(analyst: Analyst | None) -> Iterator[str]:
    """Say what a recording cost and why it stopped early; nothing where nobody was asked."""
    spent = getattr(analyst, "spent", None)
    if spent is not None and spent.answers:
        tokens = f"{spent.input_tokens:,} tokens in, {spent.output_tokens:,} out"
        priced = f"prices of {spent.prices_date}" if spent.prices_date else "prices as given"
        worst = f", {spent.estimated:,} at our worst case" if spent.estimated else ""
        yield f"spent ${spent.usd:,.4f} on {spent.answers:,} answers ({tokens}; {priced}{worst})"
    yield from getattr(analyst, "alarms", ())
    if stopped := getattr(analyst, "stopped", None):
        yield f"recording stopped early: {stopped}"


def prepare(
    job: Job, voice: Voice, also: Path | None = None
) -> tuple[dict[str, Any], type[Strategy], Market]:
    """Return (options, strategy class, market) of a job; cheap mistakes are found before compiling."""
    options = job.options()
    job.parameters()
    split_target(job.strategy)
    market = job.replayed() if job.market is not None else None
    voice.warn_of_compiling()
    cls = load_strategy(job.strategy, also)
    return options, cls, market or job.replayed(cls)


@contextlib.contextmanager
def asking(analyst: Analyst | None) -> Iterator[None]:
    """Show how many questions are answered while a recording runs."""
    if not (is_watched() and getattr(analyst, "progress", 0) is None):
        yield
        return
    with Meter("asking", 1, "answers") as meter:

        def answered(done: int, total: int) -> None:
            meter.total = total
            meter(done)

        analyst.progress = answered  # type: ignore[union-attr]
        yield


def run_backtest(job: Job, out: Path | None, as_json: bool, report: bool) -> int:
    """Run, print, save; return the exit code."""
    check_out(out, job)
    with quiet_stdout(as_json):
        result = execute(job)
    if not as_json:
        print(result.table(), flush=True)
    folder, refused = save_somewhere(result, out, report, split_target(job.strategy)[0])
    if as_json:
        print_json(summary(result))
    else:
        print(f"saved {folder}{os.sep}" + (f", page {folder / 'report.html'}" if report else ""))
    if refused is not None:
        raise ConfigError(f"{refused}; this one is in {folder}{os.sep}")
    return INCOMPLETE if result.status == "incomplete" else 0


def save_somewhere(
    result: Result, out: Path | None, report: bool, source: Path
) -> tuple[Path, ConfigError | None]:
    """Save a result; where `out` turns out to be taken, beside it: what was run, and paid, is not lost."""
    try:
        return result.save(out, report=report, source=source), None
    except ConfigError as error:
        if out is None:
            raise
        beside = out.with_name(f"{out.name}-{result.fingerprint[:8]}")
        return result.save(beside, report=report, source=source), error


def check_out(out: Path | None, job: Job) -> None:
    """Refuse a folder that holds something else, or cannot be written, before the run and not after it."""
    check_writable(out if out is not None else Path("results") / "run")
    if out is not None and out.is_file():
        raise ConfigError(f"--out {out}: is a file; name a folder")
    if out is None or not out.is_dir():
        return
    if not any(out.iterdir()):
        if out.name in ("", ".."):  # put in place in one step, it would be taken away under who stands in it
            raise ConfigError(f"--out {out}: name a folder that is not the current one")
        return
    from framework.result_store import asked_for, plain, read_manifest

    if not (out / "manifest.json").is_file():
        raise ConfigError(f"--out {out}: holds other files; name a new folder or empty this one")
    try:
        old = read_manifest(out)
    except ResultError as error:
        raise ConfigError(f"--out: {error}; name a new folder or empty this one") from None
    about, source = old["manifest"], split_target(job.strategy)[0]
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    is_same = asked_for(about.get("command")) == asked_for(plain(job.words()))
    if is_same and job.refresh and old["status"] != "incomplete":
        raise ConfigError(f"--out {out}: --refresh asks anew and makes another result; name a new folder")
    if not is_same or about.get("strategy", {}).get("sha256") != digest:
        name = f"{about.get('strategy', {}).get('class')}, {old['fingerprint'][:8]}"
        raise ConfigError(f"--out {out}: holds another result ({name}); name a new folder")


def check_writable(out: Path) -> None:
    """Refuse a path that cannot be made: the nearest folder above it must be there and writable."""
    check_text("--out", str(out), LONGEST)
    try:
        there = next((p for p in out.absolute().parents if p.exists()), None)
    except OSError as error:  # a folder on the way that may not be looked into
        raise ConfigError(f"--out {out}: cannot be written ({error.strerror}); name another") from None
    if there is None or not there.is_dir():
        raise ConfigError(f"--out {out}: cannot be written, {there} is no folder; name another")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"--out {out}: cannot be written (permission denied in {there}); name another")


def kept_source(folder: Path, job: Job, manifest: dict[str, Any]) -> tuple[str, Path]:
    """Return (FILE:Class to run, folder of the original): the saved copy, else the unchanged original."""
    original = Path(
        job.strategy if Path(job.strategy).exists() else job.strategy.rpartition(":")[0] or job.strategy
    )
    about = manifest.get("strategy", {})
    name, wanted = about.get("file") or original.name, about.get("sha256")
    for file in (folder / Path(name).name, original):
        if file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == wanted:
            return f"{file}:{about.get('class')}", original.parent.resolve()
    raise ResultError(
        f"{folder}: the strategy source {name} is missing or altered there, and {original} is another version"
    )


class Unanswered:
    """The analyst of a run in which nothing was answered: every decision stays missing."""

    stand_in = False

    def __init__(self, about: Mapping[str, Any]) -> None:
        self.about = {key: value for key, value in about.items() if key not in ("ask_every", "questions")}
        self.name = str(about.get("name"))
        self.model = str(about.get("model") or self.name)

    def decide(self, prompts: Sequence[Any]) -> list[Any]:
        """Return a missing decision for each prompt."""
        from framework.llm.cutoffs import in_sample
        from framework.llm.record import missing

        why = "was not answered in the saved run"
        return [missing(one, "", self.model, in_sample(self.model, one.ts), why) for one in prompts]

    def describe(self) -> dict[str, Any]:
        """Return what the saved manifest says."""
        return self.about


def tape_of(folder: Path, result: Result) -> Analyst | None:
    """Return who answers a rerun: the saved cassette; None (`Rules` or nobody) where no model was asked."""
    about = result.manifest.get("analyst")
    if not result.cassette:
        return Unanswered(about) if isinstance(about, dict) and not about.get("stand_in") else None
    from framework.llm.replay import CassetteAnalyst

    return CassetteAnalyst(folder / "cassette.jsonl", strict=result.status != "incomplete")


def repeated(folder: Path, saved: Result) -> Result:
    """Run a saved result's command again."""
    job = Job.from_words(saved.manifest.get("command"), str(folder))
    target, also = kept_source(folder, job, saved.manifest)
    again = replace(job, strategy=target, record=False, refresh=False, cassette=None)
    return execute(again, tape_of(folder, saved), also)


def explain_order(folder: Path, order_id: int) -> int:
    """Print why an order of a saved result filled or did not; what no command made, from its tables alone."""
    saved = load_result(folder)
    text = saved.explain(order_id)  # refuses an id that is not there before anything is run
    if saved.manifest.get("command") is not None:
        with quiet_stdout(True):
            again = repeated(folder, saved)
        if first := difference(saved, again):
            raise ResultError(f"{folder}: the rerun differs, so it explains nothing: {first}")
        text = again.explain(order_id)
    print(text)
    return 0


def run_again(folder: Path, as_json: bool) -> int:
    """Run a saved result's command again and compare; ResultError (exit 5) with the first difference."""
    saved = load_result(folder)
    with quiet_stdout(as_json):
        again = repeated(folder, saved)
    first = difference(saved, again)
    if as_json:
        print_json(
            {
                "same": first is None,
                "difference": first,
                "fingerprint": again.fingerprint,
                "saved": saved.fingerprint,
                "status": saved.status,
            }
        )
    if first is not None:
        raise ResultError(f"{folder}: the rerun differs: {first}")
    if not as_json:
        print(
            f"same result: fingerprint {again.fingerprint}, {saved.equity.height:,} equity rows equal to the "
            "bit" + (", INCOMPLETE as it was: decisions are missing" if saved.status == "incomplete" else "")
        )
    return 0


def difference(saved: Result, again: Result) -> str | None:
    """Return the first difference in words: the market, then the tables, then the fingerprint alone."""
    was, now = (one.manifest.get("data", {}).get("hash") for one in (saved, again))
    if was != now:
        return f"the market has other content now (hash {str(now)[:16]}, saved {str(was)[:16]})"
    skipped: tuple[str, ...] = ("params", "manifest")  # they may say why, but are no difference
    if saved.status == "incomplete":
        skipped = (*skipped, "decisions")  # what is missing has another reason now: it was not asked
    found = [line for line in saved.diff(again) if not line.startswith(skipped)]
    if not found:
        return None
    words = next((line for line in found if not line.startswith("fingerprint")), found[0])
    return words.replace(" here, ", " saved, ").replace(" there", " now")


def write_report(folder: Path) -> int:
    """Write the page and picture of a saved result."""
    page = load_result(folder).report()
    print(f"page {page}, picture {page.with_name('report.png')}")
    return 0


def load_result(folder: Path) -> Result:
    """Read a saved result; no such folder is the user's mistake, a damaged one a ResultError."""
    from framework.errors import near
    from framework.result import Result

    check_text("DIR", str(folder))
    if not folder.is_dir():
        runs = sorted(str(path.parent) for path in folder.parent.glob("*/manifest.json"))
        raise ConfigError(
            f"{folder}: there is no such folder; {near(str(folder), runs[:20]) if runs else 'check the path'}"
        )
    return Result.load(folder)
