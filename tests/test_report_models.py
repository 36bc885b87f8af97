"""Who decided is named in every output, and a remembered past is nobody's headline (rules.md 7.4)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from framework.cli_show import print_json, summary
from framework.report import compare, page
from framework.report.words import NO_HEADLINE, analyst_rows, headline
from framework.result import Result
from tests.made_result import ID, make
from tests.test_report import words

CUTOFF = 1_766_966_400_000_000_000
RULES = {"name": "Rules (offline stand-in, no model was asked)", "stand_in": True, "latency_ns": 2 * 10**9}
MODEL = {
    "name": "HolySheep deepseek-v3.2", "model": "deepseek-v3.2", "stand_in": False, "temperature": 0.3,
    "cutoff_ns": CUTOFF, "price": {"input": 0.28, "output": 0.42, "source": "list, 2026-01"}, "questions": 4,
}  # fmt: skip


def asked(analyst: dict[str, Any], **columns: Any) -> Result:
    """A result of four decisions by an analyst; `columns` replace those of the decisions table."""
    base = make(reasoning=["because"] * 4)
    changed = [
        pl.Series(name, values, dtype=base.decisions.schema[name]) for name, values in columns.items()
    ]
    return make(
        decisions=base.decisions.with_columns(changed), manifest={**base.manifest, "analyst": analyst}
    )


def remembered() -> Result:
    return asked(MODEL, in_sample=[True] * 4)


def test_no_output_has_a_headline_of_remembered_decisions(capsys: pytest.CaptureFixture[str]) -> None:
    result = remembered()
    figure = compare.show("total_return", result.metrics["total_return"])
    assert headline(result) == NO_HEADLINE == "no out-of-sample decision"
    assert repr(result).endswith(f"done, decisions by deepseek-v3.2: {NO_HEADLINE}>")
    before = result.table().partition("Total return")[0]
    assert "No out-of-sample decision; figures in-sample:" in before
    assert figure not in before
    shown = result._repr_html_()
    assert f">{NO_HEADLINE}</td>" in shown.partition("Total return")[0]
    assert "Total return (in-sample)" in shown
    assert page._headings(result)[1:] == [NO_HEADLINE, ""]
    print_json(summary(result))
    assert json.loads(capsys.readouterr().out)["headline"] == NO_HEADLINE
    new = asked(MODEL)
    assert compare.show("total_return", new.metrics["total_return"]) in headline(new)
    assert NO_HEADLINE not in repr(new) + new.table() + new._repr_html_()


def test_a_missing_decision_is_no_evidence() -> None:
    late = asked(MODEL, in_sample=[True, True, True, False], status=["ok", "ok", "ok", "missing"])
    assert headline(late) == NO_HEADLINE
    none = asked(MODEL, in_sample=[True] * 4, status=["missing"] * 4)
    assert headline(none) == NO_HEADLINE


def test_who_decided_is_in_every_output(tmp_path: Path) -> None:
    for analyst, name in ((RULES, "Rules (stand-in)"), (MODEL, "deepseek-v3.2")):
        result = asked(analyst)
        assert name in repr(result)
        assert name in result.table().splitlines()[0]
        assert name in result._repr_html_()
        assert name in words(result).partition("fingerprint")[0]
        assert name in page._headings(result)[0]
        assert compare.compare([result, make()])["analyst"].to_list() == [name, None]
    assert "analyst" not in compare.compare([make()]).columns
    assert "decisions by" not in repr(make()) + make().table()


def test_cost_coverage_and_latency_are_told() -> None:
    result = asked(
        MODEL, status=["ok", "ok", "invalid", "missing"], cost=[0.0003, 0.0002, 0.0001, 0.0],
        latency_ns=[1_200_000_000, 1_300_000_000, 900_000_000, 0],
    )  # fmt: skip
    said = "4 asked of deepseek-v3.2, 2 valid (50.00 %), model cost 0.0006 USD, answers after 1.2 s (median)"
    assert f"decisions: {said}" in result.table()
    text = words(result)
    assert said in text
    for part in ("Answer after Cost (USD)", "1.2 s 0.0003 no", "900 ms 0.0001 no"):
        assert part in text, part
    assert compare.show("tokens", 0.0006) == "0.0006"
    assert compare.show("tokens", 12.3456) == "12.35"


def test_units_are_named() -> None:
    manifest = make().manifest | {"settle": "USDT", "leverage": 2.0}
    manifest["instruments"] = {ID: {"multiplier": 0.01}, "x:Y": {"kind": "inverse", "multiplier": 100.0}}
    result = make(manifest=manifest)
    assert "\naccount: 10,000.00 USDT, leverage 2\n" in result.table()
    for part in (
        "Money is in USDT.", f"Quantity of {ID} is in contracts of 0.01 units of the base currency.",
        "Quantity of x:Y is in contracts of 100 units of the quote currency.",
    ):  # fmt: skip
        assert part in words(result)
    assert "Money is in" not in words(make())


def test_times_and_spans_are_words() -> None:
    rows = dict(analyst_rows(MODEL))
    assert rows["analyst.cutoff"] == "2025-12-29 UTC; a decision before it is in-sample"
    assert rows["analyst.price"] == "0.28 in, 0.42 out, USD per million tokens (list, 2026-01)"
    assert dict(analyst_rows({**MODEL, "cutoff_ns": None}))["analyst.cutoff"].startswith("not known; every")
    assert dict(analyst_rows(RULES))["analyst.latency"] == "2 s"
    assert str(CUTOFF) not in words(asked(MODEL))
    assert [compare.span(ns) for ns in (0, 26_649_157, 1_250_000_000, 90 * 10**9, 210 * 10**9)] == [
        "0 ms", "26.6 ms", "1.25 s", "90 s", "3.5 min"
    ]  # fmt: skip
    late = make().trades.with_columns(exit_ts=pl.lit(1_700_000_000_026_649_157))
    assert "22:13:20.026 " in words(make(trades=late))
