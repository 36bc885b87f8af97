"""`python -m benchmarks [candles ...] [--json] [--peers]`: measure, print, rewrite results/benchmarks.md."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
from typing import Any

from . import __path__ as here
from .measure import ROOT

PAGE = ROOT / "results" / "benchmarks.md"
HEAD = "# Benchmarks\n\nWritten by `python -m benchmarks`. On a busy machine compare CPU seconds.\n"


def names() -> list[str]:
    """Return the benchmarks there are."""
    found = [m.name for m in pkgutil.iter_modules(here)]
    return sorted(n.removeprefix("bench_") for n in found if n.startswith("bench_"))


def section(name: str, title: str, machine: dict[str, Any], lines: list[str]) -> str:
    """Return one benchmark as a section of the page."""
    words = ", ".join(f"{k} {v}" for k, v in machine.items())
    return "\n".join([f"## {name}", "", f"{title}. {words}.", "", *lines, ""])


def rewrite(sections: dict[str, str]) -> None:
    """Put new sections into the page, keeping those that were not measured now."""
    old = PAGE.read_text(encoding="utf-8").split("\n## ")[1:] if PAGE.exists() else []
    kept = {text.split("\n", 1)[0].strip(): "## " + text for text in old}
    kept |= sections
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join([HEAD, *(kept[k].rstrip("\n") + "\n" for k in sorted(kept))]), encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Run what was asked for; 2 for an unknown name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    choices = ", ".join(names())
    parser.add_argument("names", nargs="*", metavar="name", help=f"of: {choices} (default: all)")
    parser.add_argument("--json", action="store_true", help="print JSON; a missing peer is null")
    parser.add_argument("--peers", action="store_true", help="run the peers too (environments in the cache)")
    given = parser.parse_args(arguments)
    unknown = [n for n in given.names if n not in names()]
    if unknown:
        print(f"no benchmark '{unknown[0]}'; choose from {choices}", file=sys.stderr)
        return 2
    figures, sections = {}, {}
    for name in given.names or names():
        bench = importlib.import_module(f"benchmarks.bench_{name}")
        print(f"measuring {name} ...", file=sys.stderr)
        figures[name] = bench.run(given.peers)
        sections[name] = section(name, bench.TITLE, figures[name]["machine"], bench.lines(figures[name]))
    rewrite(sections)
    print(json.dumps(figures, indent=1) if given.json else "\n\n".join(sections.values()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
