"""The figures of the tick benchmark in words."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any] | None
HEADS = ("engine", "wall s", "CPU s", "M events/s", "x HashMap", "x ROIVector", "MB", "orders", "fills",
         "position", "fees")  # fmt: skip
HASHMAP, ROI = "hftbacktest, HashMap", "hftbacktest, ROIVector"
SAME = ("orders", "fills", "position", "fees")
READ_S, READ_MB, SECOND_S, WHOLE_S = 1.5, 700.0, 1.5, 2.0


def cpu(row: Row) -> float | None:
    """Least CPU seconds of a row's repeats."""
    return None if row is None else row.get("cpu_min_s", row.get("cpu_s"))


def speed(row: Row) -> float | None:
    """Events a CPU second."""
    seconds = cpu(row)
    return row["events"] / seconds if row and seconds else None


def over(one: float | None, other: float | None) -> float | None:
    """One divided by another, where both are known."""
    return one / other if one and other else None


def cell(value: Any, form: str) -> str:
    """A number, or a dash."""
    return "-" if value is None else format(value, form)


def verdict(found: float | None, goal: float, least: bool = True) -> str:
    """`: met`, `: MISSED`, or nothing where it was not measured."""
    if found is None:
        return ""
    return ": met" if (found >= goal if least else found <= goal) else ": MISSED"


def lines(figures: dict[str, Any]) -> list[str]:
    """Return the figures as Markdown."""
    rows = figures["rows"]
    out = ["| " + " | ".join(HEADS) + " |", "|---" * len(HEADS) + "|"]
    out += ["| " + " | ".join([name, *cells(row, rows)]) + " |" for name, row in rows.items()]
    out += ["", "CPU s is the least of the repeats; events/s and ratios are of it (each engine runs one "
            "thread). MB is the process's peak, its feed included."]  # fmt: skip
    parts = (same_lines(rows), process_lines(figures["processes"]), reading_lines(figures["reading"]),
             long_lines(figures["long"]), goals(figures))  # fmt: skip
    return out + [line for part in parts for line in ("", *part)]


def cells(row: Row, rows: dict[str, Row]) -> list[str]:
    """One engine's figures as text."""
    if row is None or "error" in row:
        return [row["error"] if row else "not run", *["-"] * (len(HEADS) - 2)]
    mine = speed(row)
    ratios = [cell(over(mine, speed(rows.get(name))), ".2f") for name in (HASHMAP, ROI)]
    ends = [cell(row.get(name), form) for name, form in zip(SAME, (",", ",", ".3f", ",.4f"), strict=True)]
    return [f"{row['wall_s']:.3f}", cell(cpu(row), ".4f"), cell(mine and mine / 1e6, ".1f"), *ratios,
            f"{row['peak_rss_mb']:.0f}", *ends]  # fmt: skip


def same_lines(rows: dict[str, Row]) -> list[str]:
    """Whether our maker and the peer's did the same."""
    words = []
    pairs = (("maker", HASHMAP), ("maker", ROI), ("maker, plain class", "hftbacktest, plain Python"),
             ("maker, two instruments", "hftbacktest, two instruments"),
             ("maker, four instruments", "hftbacktest, four instruments"))  # fmt: skip
    for ours, theirs in pairs:
        a, b = rows[ours], rows[theirs]
        if a and b and "error" not in a:
            apart = [k for k in SAME if abs(a[k] - b[k]) > 2e-6 * max(1.0, abs(a[k]))]
            words.append(f"{theirs}: {'different in ' + ', '.join(apart) if apart else 'the same'}")
    return ["Orders, fills, position and fees beside ours: " + ("; ".join(words) or "not run") + "."]


def process_lines(found: dict[str, Row]) -> list[str]:
    """What the first call costs, which compiles."""
    words = []
    for name, row in found.items():
        if row is None or "error" in row:
            words.append(f"{name} {row['error'] if row else 'not run'}")
        elif "first_s" in row:
            words.append(f"{name} {row['first_s']:.2f} s")
        else:
            words.append(f"{name} {row['wall_s']:.2f} s ({row['cpu_s']:.2f} CPU)")
    return ["First call of a process (ours: the whole backtest of the feed; hftbacktest's: 50,000 rows): "
            + "; ".join(words) + "."]  # fmt: skip


def reading_lines(found: dict[str, Row]) -> list[str]:
    """The Tardis files read by both."""
    words = []
    for name, row in found.items():
        if row is None or "error" in row:
            words.append(f"{name} {row['error'] if row else 'not run'}")
        else:
            words.append(f"{name} {cell(cpu(row), '.2f')} CPU s, {row['peak_rss_mb']:.0f} MB")
    return ["Tardis csv.gz of the feed to what a run needs: " + "; ".join(words) + "."]


def long_lines(found: dict[str, Any]) -> list[str]:
    """The long run's memory."""
    if "error" in found:
        return [f"Long run: not run ({found['error']})."]
    words = []
    for name in ("wake-ups only", "maker"):
        row = found[name]
        added = row["run_rss_mb"] - row["market_rss_mb"]
        each = f" ({added * 2**20 / row['orders']:.0f} bytes an order)" if row["orders"] else ""
        words.append(f"{name} {row['cpu_s']:.2f} CPU s, {row['orders']:,} orders, {added:+.0f} MB{each}")
    held = found["wake-ups only"]["market_rss_mb"]
    return [f"{found['events']:,} events in one run, {held:.0f} MB with the market made: {'; '.join(words)}."]


def goals(figures: dict[str, Any]) -> list[str]:
    """Each goal, and whether it is met here."""
    rows, runs = figures["rows"], figures["processes"]
    of = {name: speed(row) for name, row in rows.items() if row and "error" not in row}
    maker, least = of.get("maker"), max((of.get(n) or 0.0 for n in (HASHMAP, ROI)), default=0.0)
    out = []
    for name, found, goal, form in (
        ("maker over hftbacktest's best", over(maker, least), 4.0, ".2f"),
        ("plain class, M events/s", of.get("maker, plain class", 0.0) / 1e6, 12.0, ".1f"),
        ("wake-ups only, M events/s", of.get("wake-ups only", 0.0) / 1e6, 120.0, ".0f"),
        ("two instruments over one", over(of.get("maker, two instruments"), maker), 0.7, ".2f"),
        ("four instruments over one", over(of.get("maker, four instruments"), maker), 0.7, ".2f"),
    ):  # fmt: skip
        out.append(f"* {name}: {cell(found, form)} (goal {goal:g}){verdict(found, goal)}")
    second, whole = runs["maker, second process"] or {}, runs["plain class, whole process"] or {}
    compiles = second["first_s"] - rows["maker"]["wall_min_s"] if "first_s" in second else None
    read = figures["reading"]["ours"]
    for name, found, goal in (
        ("compile of a second process, s", compiles, SECOND_S),
        ("plain class, whole process, s", whole.get("wall_s"), WHOLE_S),
        ("reading, CPU s", cpu(read), READ_S),
        ("reading, MB", read.get("peak_rss_mb"), READ_MB),
    ):
        said = verdict(found, goal, least=False)
        out.append(f"* {name}: {cell(found, '.2f')} (goal at most {goal:g}){said}")
    return out
