"""The page: complete, self-contained, fast, and deaf to what a model or a symbol says (S11)."""

from __future__ import annotations

import base64
import html
import math
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from framework.report import page, plots
from framework.result import Result
from tests.made_result import ID, make

PWN = "document.title='PWNED'"
HOSTILE = [
    f"<script>{PWN}</script>buy",
    f"<img src=x onerror=\"{PWN}\"><svg/onload=\"{PWN}\">",
    f"\"><iframe srcdoc='<script>parent.{PWN}</script>'></iframe>",
    f'<a id="trap" href="javascript:{PWN}">here</a>'
    '<meta http-equiv="refresh" content="0;url=http://127.0.0.1:9/">',
    "{{7*7}} {% raw %} ${7*7} {{ self.__init__.__globals__ }}",
    "safe \u202eexe.txt\u202c \u2066x\u2069 zero\u200bwidth \x1b[31mred\x00 nul",
    "</td></tr></table></body><style>@import url(http://127.0.0.1:9/x.css);*{display:none}</style>",
    "&lt;script&gt; is not what was written; <!-- nor --> ]]> this",
]  # fmt: skip
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def hostile_result() -> Result:
    """A result with hostile text wherever text can come from outside."""
    bad = HOSTILE[0]
    base = make(reasoning=HOSTILE)
    manifest = {
        **base.manifest,
        "strategy": bad,
        "code": HOSTILE[3],
        "analyst": {"name": HOSTILE[1], "stand_in": True},
        HOSTILE[2]: HOSTILE[5],
        "instruments": {f"x:{bad}": {}, ID: {}},
    }
    k = base.trades.height
    return make(
        reasoning=HOSTILE,
        manifest=manifest,
        notes=HOSTILE,
        params={bad: HOSTILE[4]},
        status="incomplete",
        metrics={**base.metrics, HOSTILE[1]: HOSTILE[0]},
        trades=base.trades.with_columns(
            pl.lit(f"x:{bad}").alias("instrument"), pl.lit(HOSTILE[1]).alias("reason")
        ),
        orders=base.orders.with_columns(pl.Series("reason", [HOSTILE[n % 8] for n in range(k)])),
        price=base.price.with_columns(pl.lit(f"x:{bad}$\\frac{{a}}{{b}}$\u4e2d").alias("instrument")),
        bounds={kind: {HOSTILE[0]: HOSTILE[1]} for kind in ("worst", "chosen", "best")},
    )


def browse(path: Path, folder: Path) -> str:
    """Return the DOM that headless Chromium has after loading the page."""
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium: CI installs it, so that this test is never skipped there")
        pytest.skip(
            "no Chromium on this machine (apt install chromium): the page's text was checked, not its run"
        )
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--disable-dev-shm-usage", f"--user-data-dir={folder}", "--dump-dom", path.as_uri(),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def test_chromium_shows_hostile_text_and_runs_nothing(tmp_path: Path) -> None:
    path = hostile_result().report(tmp_path)
    planted = tmp_path / "planted.html"  # the trap works: the same script in a page without our defences
    planted.write_text(f"<title>quiet</title><script>{PWN}</script>")
    dom = browse(path, tmp_path / "profile")
    assert "<title>PWNED</title>" in browse(planted, tmp_path / "profile")
    assert "<title>PWNED" not in dom
    title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
    assert title is not None
    assert title[1].startswith("&lt;script&gt;")
    tags = {tag.lower() for tag in re.findall(r"<\s*([a-zA-Z]+)", dom)}
    assert not tags & {"script", "svg", "iframe", "a", "link", "object", "embed", "form", "base", "input"}
    assert not re.search(r"<[^>]+\son\w+\s*=", dom)
    assert all(src.startswith("data:image/png;base64,") for src in re.findall(r'<img[^>]+src="([^"]*)"', dom))
    assert dom.count("<meta") == 4
    text = html.unescape(re.sub(r"<[^>]*>", "", dom))
    for line in HOSTILE[:5]:
        assert line in text, line
    assert (
        "safe ⟨U+202E⟩exe.txt⟨U+202C⟩ ⟨U+2066⟩x⟨U+2069⟩ zero⟨U+200B⟩width ⟨U+001B⟩[31mred⟨U+0000⟩ nul" in text
    )
    assert not set("\u202e\u2066\u200b\x1b\x00") & set(dom)


def test_an_unescaped_page_would_still_run_nothing(tmp_path: Path) -> None:
    """The second wall: with the escaping torn down by hand the Content-Security-Policy holds."""
    path = make().report(tmp_path)
    torn = path.read_text(encoding="utf-8").replace("</header>", "".join(HOSTILE[:2]) + "</header>")
    path.write_text(torn, encoding="utf-8")
    dom = browse(path, tmp_path / "profile")
    assert "<script>" in dom
    assert "<title>PWNED" not in dom


def test_page_is_one_file_that_fetches_nothing(tmp_path: Path) -> None:
    text = make(reasoning=["because"]).report(tmp_path).read_text(encoding="utf-8")
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in text
    assert not re.search(r"https?://|url\(|<script|<link|@import", text)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.png"]
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
    for data in re.findall(r'src="data:image/png;base64,([^"]+)"', text):
        assert base64.b64decode(data, validate=True).startswith(b"\x89PNG")


def drawn(result: Result) -> str:
    """Return the page without its pictures, which take most of the time."""
    return page.render(result, {"summary": b"", "trades": b""})


def words(result: Result) -> str:
    text = drawn(result)
    return " ".join(html.unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", text, flags=re.DOTALL)).split())


def test_page_says_it_all() -> None:
    result = make(reasoning=["the range holds"])
    text = words(result)
    for part in (
        "EmaCross", ID, "Total return", "buy and hold", "Monthly returns", "Sortino ratio",
        "Mean / std (ddof 1) of daily returns × √365.", "costs.maker 0.0002", "latency orders 20ms",
        "fills.intrabar worst", "worst chosen best", "4 ambiguous bars", "rejected insufficient margin 1",
        "cancelled position closed 1", "the range holds", "data.name demo", "fingerprint " + "ab" * 32,
        "short positions on a spot instrument", "3 gaps", "fast 12",
    ):  # fmt: skip
        assert part in text, part
    for absent in ("Synthetic", "Incomplete", "Stand-in", "Bust"):
        assert f" {absent} " not in text
    assert "72 trades" not in text  # fewer than 100: all of them are shown
    assert "left out" not in text


def test_long_tables_say_what_is_left_out() -> None:
    text = words(make(rows=3_000, reasoning=[f"reason {n} end" for n in range(150)]))
    trades = len(range(0, 2_997, 7))
    assert f"{trades - 100} trades left out here; all {trades} are in trades.csv" in text
    assert "50 decisions left out here; all 150 are in decisions.csv" in text
    assert "reason 49 end" in text
    assert "reason 50 end" not in text
    assert "reason 99 end" not in text
    assert "reason 100 end" in text


@pytest.mark.parametrize(
    ("change", "label"),
    [
        ({"notes": ["SYNTHETIC perpetual"]}, "Synthetic"),
        ({"status": "incomplete"}, "Incomplete"),
        ({"status": "bust"}, "Bust"),
        ({"manifest": {"strategy": "X", "analyst": {"name": "Rules", "stand_in": True}}}, "Stand-in analyst"),
    ],
)
def test_banners(change: dict[str, Any], label: str) -> None:
    result = make(reasoning=["because"], **change)
    assert f"<b>{label}</b>" in drawn(result)
    assert label.upper() in result.table()
    assert label in result._repr_html_()


def test_no_headline_without_an_out_of_sample_decision() -> None:
    result = make(reasoning=["because"])
    remembered = result.decisions.with_columns(in_sample=pl.lit(True))
    text = drawn(make(decisions=remembered))
    assert "No out-of-sample decision" in text
    assert 'aria-label="Headline"' not in text


def one_row(name: str) -> pl.DataFrame:
    return getattr(make(rows=30), name).head(1)


@pytest.mark.parametrize(
    "result",
    [
        Result(),
        make(rows=30, trades=None, orders=None, fills=None, price=None),
        make(equity=one_row("equity"), trades=one_row("trades"), price=one_row("price")),
        make(equity=make().equity.with_columns(equity=pl.lit(10_000.0))),
        make(equity=make().equity.with_columns(equity=pl.lit(0.0)), status="bust"),
        make(price=make().price.with_columns(close=pl.col("close") * 1e-9)),
        make(price=make().price.with_columns(close=pl.lit(7.0)), metrics={"sharpe": math.nan, "odd": None}),
        make(equity=make().equity.with_columns(equity=pl.col("equity") - 10_500.0)),
    ],
    ids=["nothing", "no trades", "one row", "constant", "zero", "tiny prices", "flat price", "negative"],
)
def test_odd_results_still_make_a_page(tmp_path: Path, result: Result) -> None:
    text = result.report(tmp_path).read_text(encoding="utf-8")
    assert text.rstrip().endswith("</html>")
    assert ">nan" not in text
    assert ">inf" not in text
    assert result.table()
    assert result._repr_html_()


def test_many_instruments(tmp_path: Path) -> None:
    base = make()
    names = [f"bitstamp:{name}USD" for name in ("BTC", "ETH", "LTC", "XRP")]
    price = pl.concat([base.price.with_columns(instrument=pl.lit(name)) for name in names])
    result = make(price=price, manifest={"strategy": "Pairs"})
    result.report(tmp_path)
    text = words(result)
    assert "bitstamp:BTCUSD, bitstamp:ETHUSD, bitstamp:LTCUSD, bitstamp:XRPUSD" in text
    assert "Instrument" in text


def test_thin_keeps_ends_and_extremes() -> None:
    seed = int(np.random.default_rng().integers(2**31))
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    for n in (0, 1, 5, 1_999, 2_000, 2_001, 3_999, 20_111, 525_600):
        values = rng.normal(size=n).cumsum()
        rows = plots.thin(values)
        assert len(rows) <= 2_000
        assert (np.diff(rows) > 0).all()
        if n:
            assert (rows[0], rows[-1]) == (0, n - 1)
            assert values[rows].min() == values.min()
            assert values[rows].max() == values.max()
    assert len(plots.thin(np.zeros(100), 10)) <= 10


def test_trade_returns_by_kind() -> None:
    trades = make().trades.head(2)
    trades = trades.with_columns(
        instrument=pl.Series(["a", "b"]), qty=pl.lit(2.0), entry_price=pl.lit(50.0), pnl=pl.lit(1.0)
    )
    rules = {"a": {"kind": "linear", "multiplier": 0.1}, "b": {"kind": "inverse", "multiplier": 100}}
    assert plots.trade_returns(trades, {"instruments": rules}).tolist() == [0.1, 0.25]
    listed = [{"id": name, **row} for name, row in rules.items()]
    assert plots.trade_returns(trades, {"instruments": listed}).tolist() == [0.1, 0.25]
    assert plots.trade_returns(trades, {}).tolist() == [0.01, 0.01]


def test_page_leaves_matplotlib_alone(tmp_path: Path) -> None:
    import matplotlib as mpl

    result = make(rows=20_000, reasoning=["because"] * 500)
    before = dict(mpl.rcParams)
    result.report(tmp_path)
    assert dict(mpl.rcParams) == before


def test_same_result_same_page(tmp_path: Path) -> None:
    one, two = make(rows=50).report(tmp_path / "a"), make(rows=50).report(tmp_path / "b")
    assert one.read_bytes() == two.read_bytes()


def test_saved_with_report_and_in_default_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = make(rows=50)
    folder = result.save(report=True)
    assert folder == Path("results/EmaCross-abababab")
    assert (folder / "report.html").is_file()
    assert (folder / "report.png").is_file()
    again = Result.load(folder)
    assert again.report() == folder / "report.html"
    assert page.title_parts(again)[0] == "EmaCross"
