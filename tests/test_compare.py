"""Results side by side, numbers as they are printed, and a light import."""

from __future__ import annotations

import math
import subprocess
import sys

from framework.report.compare import DEFINITIONS, cell, compare, price, show, visible, when
from tests.test_result import T0, make


def test_numbers_as_printed() -> None:
    assert show("total_return", -0.12345) == "−12.35 %"
    assert show("total_return", math.nan) == "–"
    assert show("trades", 12345) == "12,345"
    assert show("fees", -0.001) == "0.00"
    assert show("max_drawdown_days", 3.25) == "3.2 days"
    assert show("unheard_of", 1.5) == "1.50"
    assert price(0.00001234) == "0.00001234"
    assert price(43_210.5) == "43,210.50"
    assert price(1.1, 4) == "1.1000"
    assert cell(None) == "–"
    assert when(T0) == "2023-11-14 22:00"
    assert when(T0 + 5 * 10**9) == "2023-11-14 22:00:05"
    assert when(T0 + 1) == "2023-11-14 22:00:00.000000001"
    assert when(2**62) == "–"
    assert visible("a\nb\x00", 10) == "a b⟨U+0000⟩"
    assert visible("x" * 12, 10) == "x" * 10 + " … (2 more characters)"
    assert visible("\ud800") == "⟨U+D800⟩"


def test_compare() -> None:
    one, other = make(), make(params={"fast": 9, "slow": 48, "share": 0.1 + 0.2}, fingerprint="cd" * 32)
    table = compare([one, other])
    assert table["name"].to_list() == ["EmaCross-abababab", "EmaCross-cdcdcdcd"]
    assert table["fast"].to_list() == [12, 9]
    assert "slow" not in table.columns
    assert table["sharpe"][0] == one.metrics["sharpe"]
    assert compare({"a": one}).select("name", "fingerprint").row(0) == ("a", "ab" * 32)
    assert compare([]).height == 0


def test_every_metric_is_defined_and_imports_stay_light() -> None:
    assert all(row.text and row.label for row in DEFINITIONS.values())
    code = (
        "import sys, framework.result; "
        "print([m for m in ('matplotlib', 'jinja2', 'pandas', 'PIL', 'numba') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
