"""How values and foreign text are printed, and results side by side."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl

from framework.records import DIRECTIONS, NEVER, SIGNAL_STATUS
from framework.report import Run
from framework.report.definitions import DEFINITIONS, Definition

KEY = (
    "total_return", "cagr", "sharpe", "sortino", "max_drawdown", "volatility", "trades", "win_rate",
    "profit_factor", "exposure", "fees", "funding", "final_equity",
)  # fmt: skip
MISSING = "–"


# what no page or terminal may take literally: controls, bidirectional and zero-width marks, surrogates
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff\U000e0000-\U000e007f]"
)


def visible(text: object, limit: int = 2_000) -> str:
    """Return text with every control, bidirectional, invisible or surrogate character as ⟨U+202E⟩.

    Line breaks and tabs become spaces; text over `limit` characters is cut and says so.
    """
    line = re.sub(r"\r\n|[\r\n\t]", " ", str(text))
    left = len(line) - limit
    shown = _HIDDEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", line[:limit])
    return f"{shown} … ({left:,} more characters)" if left > 0 else shown


def define(name: str) -> Definition:
    """Return the definition of a metric; an unknown one is printed plainly under its own name.

    `inventory_mean:<id>` is that of a further instrument.
    """
    if found := DEFINITIONS.get(name):
        return found
    of, _, instrument = name.partition(":")
    if instrument and of in DEFINITIONS:
        found = DEFINITIONS[of]
        return found._replace(label=f"{found.label} {instrument}")
    return Definition(name.replace("_", " "), "Other", "ratio", "")


def number(value: float, digits: int = 2) -> str:
    """Return `1,234.50` with a true minus sign, `–` for what is undefined."""
    if not math.isfinite(value):
        return MISSING
    text = f"{value:,.{digits}f}"
    if text.startswith("-") and not text.strip("-0.,"):
        text = text[1:]  # no minus zero
    return text.replace("-", "−")


def decimals(value: float | None) -> int:
    """Return the decimals that show a price or quantity to 8 significant digits, at least 2, at most 8."""
    if value is None or not math.isfinite(value):
        return 2
    most = 8 - len(str(int(abs(value)))) if abs(value) >= 1 else 8
    return max(2, len(f"{value:.{max(2, most)}f}".rstrip("0").partition(".")[2]))


def price(value: float, places: int | None = None) -> str:
    """Return a price or quantity with thousands separators and `places` decimals (default: `decimals`)."""
    return number(value, decimals(value) if places is None else places)


def when(ns: Any) -> str:
    """Return a UTC time as `2024-01-31 13:00` (seconds and milliseconds only when there are any)."""
    if ns is None or isinstance(ns, float) or not 0 <= int(ns) < NEVER:
        return MISSING
    rest = int(ns) // 10**6 % 1_000  # what lies below a millisecond is in the tables, not on a page
    text = str(np.datetime64(int(ns) // 10**9, "s")).replace("T", " ")
    if rest:
        return f"{text}.{rest:03d}"
    return text[:16] if text.endswith(":00") else text


def span(ns: Any) -> str:
    """Return a length of time in words: `850 ms`, `1.25 s`, `3.5 min`."""
    if ns is None or not math.isfinite(ns):
        return MISSING
    for unit, size in (("min", 60 * 10**9), ("s", 10**9), ("ms", 10**6)):
        if abs(ns) >= 2 * size or unit == "ms" or (unit == "s" and abs(ns) >= size):
            return f"{ns / size:,.3g} {unit}"
    return MISSING


def cost(value: float) -> str:
    """Return money paid for answers: cents, and below 1 four digits: an answer costs far less than a cent."""
    if not math.isfinite(value) or not value or abs(value) >= 1.0:
        return number(value)
    return price(float(f"{value:.4g}"))


def flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Return nested settings as (dotted name, text) rows."""
    if isinstance(value, Mapping):
        return [
            row for key, item in value.items() for row in flat(item, f"{name}.{key}" if name else str(key))
        ]
    if value is None:
        return [(name, MISSING)]
    if isinstance(value, list | tuple):
        return [(name, ", ".join(str(item) for item in value) or MISSING)]
    if isinstance(value, int) and value > 10**17 and name.split(".")[-1] in ("start", "stop", "ts"):
        return [(name, when(value))]
    if isinstance(value, float):
        return [(name, f"{value:,}".removesuffix(".0"))]
    return [(name, json.dumps(value) if isinstance(value, bool) else str(value))]


def word(name: str, value: Any) -> str:
    """Return the word of a code, should the table hold codes."""
    if isinstance(value, int) and name == "direction":
        return {code: word for word, code in DIRECTIONS.items()}.get(value, str(value))
    if isinstance(value, int) and name == "status":
        return SIGNAL_STATUS[value] if 0 <= value < len(SIGNAL_STATUS) else str(value)
    return MISSING if value is None else str(value)


def cell(value: Any, places: int | None = None) -> str:
    """Return a table cell: numbers as `price` prints them, yes and no, lists joined, `–` for nothing."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return price(float(value), places)
    if isinstance(value, list | tuple | pl.Series):
        return "; ".join(str(item) for item in value)
    return str(value)


def show(name: str, value: Any) -> str:
    """Return the value of metric `name` as printed: percent, money, days, counts; `–` for undefined."""
    if value is None or isinstance(value, str):
        return value or MISSING
    unit = define(name).unit
    if unit == "fraction":
        text = number(100.0 * value)
        return text if text == MISSING else f"{text} %"
    if unit == "cost":
        return cost(value)
    if unit == "quantity":
        return cost(value) if abs(value) < 1.0 else price(value)
    if unit == "seconds":
        return span(value * 1e9)
    if unit in ("bps", "ticks"):
        text = number(value, 3 if unit == "bps" else 2)
        return text if text == MISSING else f"{text} {unit}"
    if unit == "days" and 0.0 < value < 0.1:
        return span(value * 86_400e9)
    if unit == "days":
        text = number(value, 1)
        return text if text == MISSING else f"{text} days"
    return number(value, 0 if unit == "count" or isinstance(value, int) else 2)


def rate(value: Any) -> str:
    """Return a fee as `0.05 %`."""
    return f"{100.0 * float(value):.6g} %".replace("-", "−")


def fees(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the fees really used, per instrument, in words; nothing where the manifest has none."""
    found = manifest.get("fees")
    if not isinstance(found, Mapping):
        return {}
    return {
        str(name): f"maker {rate(row['maker'])}, taker {rate(row['taker'])}"
        for name, row in found.items()
        if isinstance(row, Mapping) and {"maker", "taker"} <= row.keys()
    }


def latency(value: Any) -> str:
    """Return the latency of a manifest in words."""
    found = value if isinstance(value, Mapping) else {}
    words = {"0": "at once", "table": "by the table"}
    what = {"order": "orders", "response": "answers", "feed": "bars"}
    said = [f"{who} {words.get(str(found[key]), found[key])}" for key, who in what.items() if key in found]
    if found.get("venues"):
        said.append(f"others at {', '.join(str(venue) for venue in found['venues'])}")
    return ", ".join(said)


def strategy_name(manifest: Mapping[str, Any]) -> str:
    """Return the strategy's class name as the manifest has it."""
    found = manifest.get("strategy") or "run"
    if isinstance(found, Mapping):
        found = found.get("class") or found.get("name") or "run"
    return str(found)


def who(manifest: Mapping[str, Any]) -> str:
    """Return who decided, `deepseek-v3.2` or `Rules (stand-in)`; nothing where nobody was asked."""
    analyst = manifest.get("analyst")
    if not isinstance(analyst, Mapping):
        return ""
    if analyst.get("stand_in"):
        return f"{str(analyst.get('name') or 'Rules').partition(' (')[0]} (stand-in)"
    return str(analyst.get("model") or analyst.get("name") or "an analyst without a name")


def compare(results: Iterable[Run] | Mapping[str, Run]) -> pl.DataFrame:
    """Return one row per result: name, status, differing parameters, who decided, key metrics, fingerprint.

    `results` is an iterable of results (named `<class>-<fingerprint8>`) or a mapping of names to them.
    """
    if isinstance(results, Mapping):
        named = list(results.items())
    else:
        named = [(f"{strategy_name(run.manifest)}-{run.fingerprint[:8]}", run) for run in results]
    params = list(dict.fromkeys(key for _, run in named for key in run.params))
    differing = [key for key in params if len({repr(run.params.get(key)) for _, run in named}) > 1]
    columns: dict[str, list[Any]] = {
        "name": [name for name, _ in named],
        "status": [run.status for _, run in named],
    }
    columns |= {key: [_plain(run.params.get(key)) for _, run in named] for key in differing}
    if any(who(run.manifest) for _, run in named):
        columns["analyst"] = [who(run.manifest) or None for _, run in named]
    columns |= {key: [_value(run.metrics.get(key)) for _, run in named] for key in KEY}
    columns["fingerprint"] = [run.fingerprint for _, run in named]
    return pl.DataFrame(columns, strict=False)


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str | None) else repr(value)


def _value(value: Any) -> float | None:
    return None if value is None or isinstance(value, str) else float(value)
