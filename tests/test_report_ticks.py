"""The page of a run on ticks: its section on execution, its pictures, and none of it on candles."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from framework import tick_metrics
from framework.report import execution, page, words
from framework.result import SCHEMAS, Result
from tests.made_result import make
from tests.made_ticks import SECOND, made_run
from tests.test_report import HOSTILE
from tests.test_report import words as text_of

NO_PICTURES: dict[str, bytes] = {"summary": b"", "inventory": b"", "after": b""}


def drawn(result: Result) -> str:
    """The page without its pictures, which take most of the time."""
    return page.render(result, NO_PICTURES)


def test_page_has_a_section_on_execution(tmp_path: Path) -> None:
    result, _ = made_run(count=1_000)
    text = result.report(tmp_path).read_text(encoding="utf-8")
    for part in ("<h2>Execution</h2>", ">Fill rate<", ">Queue wait, 90 %<", ">Move of the mid after a fill<",
                 'alt="Inventory over time', 'alt="Mean move of the mid', ">Order of events<"):  # fmt: skip
        assert part in text, part
    assert text.count("<img") == 3
    assert "inside a bar" not in text
    assert ">nan" not in text
    for name, value in result.metrics.items():
        if name.startswith("move_1s") and name.endswith("_t"):
            assert f">{value:.2f}<".replace("-", "−") in text
    assert page.title_parts(Result.load(result.save(tmp_path / "x")))[0] == "MadeMaker"
    (again := Result.load(tmp_path / "x")).report(tmp_path / "y")
    assert (tmp_path / "y" / "report.html").read_text(encoding="utf-8") == text
    assert again.price.columns[-1] == "quoted"


def test_candles_have_none() -> None:
    result = make()
    assert execution.section(result) is None
    assert execution.pictures(result) == {}
    assert "Execution" not in text_of(result)
    assert "inside a bar" in text_of(result)
    assert words.headline_names(result) == words.HEADLINE


def test_a_short_run_has_no_yearly_headline() -> None:
    result, _ = made_run(count=500)
    assert "CAGR" not in words.headline(result)
    assert "Fill rate" in words.headline(result)
    table = result.table()
    assert "Queue wait, median" in table
    assert "Ambiguous" not in table
    assert "Sharpe" not in table
    later = result.equity.with_columns(ts=pl.col("ts") + pl.int_range(pl.len()) * 86_400 * SECOND)
    long, _ = made_run(count=500)
    long._tables["equity"] = later
    assert words.headline_names(long) == words.HEADLINE


def test_waits_are_those_of_the_metric() -> None:
    result, outcome = made_run(count=3_000)
    o, f = outcome.order_rows, outcome.fill_rows
    wanted = tick_metrics.queue_waits(o["id"], o["arrival_ts"], f["order_id"], f["ts"], f["maker"]) / SECOND
    assert sorted(execution.waits(result)) == pytest.approx(sorted(wanted))
    assert np.median(execution.waits(result)) == pytest.approx(result.metrics["queue_wait_median"])


@pytest.mark.parametrize("odd", ["no fills", "no rows", "no book", "one wait", "hostile"])
def test_odd_tick_results_still_make_a_page(tmp_path: Path, odd: str) -> None:
    result, _ = made_run(count=500)
    tables: dict[str, Any] = dict(result._tables)
    undefined = {n: math.nan if n.startswith(("move_", "queue_")) else v for n, v in result.metrics.items()}
    if odd in ("no fills", "no rows"):
        tables["fills"] = pl.DataFrame(schema=SCHEMAS["fills"])
    if odd == "no rows":
        for name in ("orders", "equity", "price"):
            tables[name] = pl.DataFrame(schema=SCHEMAS[name])
    if odd == "no book":
        tables["price"] = result.price.with_columns(spread=pl.lit(math.nan), quoted=pl.lit(math.nan))
    if odd == "one wait":
        tables["fills"] = result.fills.filter(pl.col("maker")).head(1)
    if odd == "hostile":
        tables["price"] = result.price.with_columns(instrument=pl.lit(HOSTILE[0] + "$x$"))
        undefined[f"inventory_max:{HOSTILE[0]}"] = 1.0
    made = Result(
        **tables, metrics=undefined, manifest=result.manifest, fingerprint="ab" * 32, params=result.params
    )
    text = made.report(tmp_path).read_text(encoding="utf-8")
    assert text.rstrip().endswith("</html>")
    assert ">nan" not in text
    assert "<script" not in text
    assert "<h2>Execution</h2>" in text
    assert made.table()
