"""nautilus_trader's Tardis loader over the feed.

python run_nautilus.py load FOLDER    # one JSON line: trades and book deltas of Tardis csv.gz as its objects
"""

import json
import resource
import statistics
import sys
import time
from pathlib import Path

from nautilus_trader.adapters.tardis.loaders import TardisCSVDataLoader
from nautilus_trader.model.identifiers import InstrumentId

REPEATS = 3


def load(folder):
    """Load both files; return how many objects came out."""
    name = InstrumentId.from_str("MADE-PERP.BINANCE")
    loader = TardisCSVDataLoader(price_precision=1, size_precision=3, instrument_id=name)
    trades = loader.load_trades(next(folder.glob("*_trades_*.csv.gz")), as_legacy_cython=False)
    deltas = loader.load_deltas(next(folder.glob("*_incremental_book_L2_*.csv.gz")), as_legacy_cython=False)
    return len(trades) + len(deltas)


def main():
    wall, cpu = [], []
    for _ in range(REPEATS + 1):
        t, c = time.perf_counter(), time.process_time()
        count = load(Path(sys.argv[2]))
        wall.append(time.perf_counter() - t)
        cpu.append(time.process_time() - c)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = {"wall_s": statistics.median(wall[1:]), "cpu_s": statistics.median(cpu[1:])}
    print(json.dumps({**figures, "rows": count, "peak_rss_mb": peak}))


if __name__ == "__main__":
    main()
