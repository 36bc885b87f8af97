"""Random small cases for differential fuzzing: coarse grids, so touches, gaps and equalities are common."""

from __future__ import annotations

import random
from typing import Any

from tests.naive.model import Case, Options, on_grid

MINUTE = 60_000_000_000
START = 1_700_000_400_000_000_000 // (300 * MINUTE) * (300 * MINUTE)
MS = 1_000_000
KINDS = ("market", "limit", "stop", "stop_limit", "trailing", "close", "cancel_all", "amend")
WEIGHTS = (24, 26, 14, 12, 7, 7, 3, 9)
TIERS = (
    ((2_000.0, 0.01, 0.0), (10_000.0, 0.02, 20.0), (1e12, 0.05, 320.0)),
    ((1e12, 0.05, 0.0),),
    ((500.0, 0.02, 0.0), (5_000.0, 0.1, 40.0)),
)


def random_case(seed: int) -> Case:
    """One case, the same for the same seed."""
    return Generator(seed).case()


class Generator:
    """Draws one case; kept as a class so that every draw sees what was drawn before."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.interval = self.pick([MINUTE, MINUTE, 5 * MINUTE, 7_000_000_000, 60 * MINUTE])
        self.wild = self.chance(0.25)  # large moves: busts, liquidations, gaps through everything
        self.options = self.draw_options()
        n = self.pick([1, 1, 1, 2, 3])
        self.length = self.rng.randint(5, 60)
        self.instruments = [self.draw_instrument() for _ in range(n)]
        self.grids = [row["tick"] or self.pick([1.0, 0.37]) for row in self.instruments]
        self.bars = [self.draw_bars(k) for k in range(n)]
        self.scale = [self.draw_scale(k) for k in range(n)]
        self.fill_volumes()

    # ---- dice

    def chance(self, p: float) -> bool:
        """True with probability p."""
        return self.rng.random() < p

    def pick(self, options: Any) -> Any:
        """One of the options."""
        return self.rng.choice(options)

    # ---- parts

    def draw_options(self) -> Options:
        """Costs, latency, fill rules, leverage."""
        grace = self.pick([0.02, 0.02, 0.0, 0.25, 1.0])
        edge = int(grace * self.interval)
        latency = self.pick([0, 0, 20 * MS, 20 * MS, 1_000 * MS, edge, edge + 1, self.interval // 2,
                             self.interval, int(1.5 * self.interval)])
        response = self.pick([0, 20 * MS, 20 * MS, 1_000 * MS, self.interval, int(1.5 * self.interval)])
        return Options(
            cash=self.pick([10_000.0, 10_000.0, 1_000.0]),
            maker=self.pick([None, None, 0.0, 2e-4, -1e-4]),
            taker=self.pick([None, None, 0.0, 5e-4]),
            slippage=self.pick([0.0, 0.0, 5e-4, 0.01]),
            entry_spread=self.pick([0.0, 0.0, 0.0, 1e-3]),
            impact=self.pick([None] * 12 + [0.01, 0.1, 0.1, 2.0]),
            order_latency=latency,
            response_latency=response,
            latency_table=self.draw_latency_table() if self.chance(0.1) else None,
            at="close" if self.chance(0.15) else "open",
            intrabar=self.pick(["worst", "worst", "best", "open_first"]),
            exits_from=self.pick(["entry_bar", "entry_bar", "entry_bar", "next_bar"]),
            grace=grace,
            volume_share=self.pick([None, None, None, 0.1, 0.5, 1.0]),
            leverage=self.pick([1.0, 1.0, 2.0, 5.0, 10.0] + ([20.0, 50.0] if self.wild else [])),
            margin=self.pick(["cross", "isolated"]),
            slip_in_range=self.chance(0.06),
        )

    def draw_latency_table(self) -> list[tuple[int, int, int]]:
        """A few rows as-of; the first may lie after the first decisions."""
        start = START + self.rng.randint(-5, 20) * self.interval
        rows = []
        for _ in range(self.rng.randint(1, 4)):
            rows.append((start, self.rng.choice([0, 20 * MS, self.interval // 3, self.interval]),
                         self.rng.choice([0, 20 * MS, self.interval, 2 * self.interval])))
            start += self.rng.randint(1, 15) * self.interval // 2
        return rows

    def draw_instrument(self) -> dict[str, Any]:
        """Kind, grids, contract size, fees, tiers."""
        kind = self.pick(["spot", "linear", "linear", "linear", "inverse"])
        tiers = self.pick(TIERS) if kind != "spot" and self.chance(0.7 if self.wild else 0.1) else ()
        return {
            "kind": kind,
            "tick": self.pick([1.0, 1.0, 0.5, 0.1, 0.25, None]),
            "lot": self.pick([1.0, 0.1, 0.1, 0.01, 0.001, None]),
            "min_notional": self.pick([0.0, 0.0, 0.0, 5.0, 100.0]),
            "multiplier": 1.0 if kind == "spot" else self.pick([1.0, 1.0, 10.0, 0.1]),
            "maker": self.pick([None, 2e-4, 0.0]),
            "taker": self.pick([None, 5e-4, 1e-3]),
            "tiers": tiers,
        }

    def draw_bars(self, k: int) -> list[list[Any]]:
        """A random walk on the grid, with gaps in price and time and sometimes coarser bars between."""
        spans = self.draw_spans(k)
        level, rows = self.rng.randint(40, 200), []
        for open_ts, close_ts in spans:
            level = max(8, level + self.jump())
            opened = level
            level = max(8, level + self.rng.randint(-3, 3))
            high = max(opened, level) + self.pick([0, 0, 1, 2, 3])
            low = max(4, min(opened, level) - self.pick([0, 0, 1, 2, 3]))
            prices = [self.price(k, x) for x in (opened, high, low, level)]
            rows.append([open_ts, close_ts, *prices, 0.0])
        return rows

    def jump(self) -> int:
        """Ticks between a close and the next open."""
        if self.wild and self.chance(0.08):
            return self.rng.randint(-60, 60)
        return self.pick([0, 0, 0, 0, 1, -1, 2, -2, 4, -4])

    def draw_spans(self, k: int) -> list[tuple[int, int]]:
        """(open_ts, close_ts) of each bar."""
        factor = 1 if k == 0 else self.pick([1, 1, 3, 5])
        step, count = self.interval * factor, max(5, self.length // factor)
        start = START + (self.rng.randint(0, 3) * self.interval * 5 if k else 0)
        coarse, holes = self.chance(0.15), self.chance(0.25)
        spans, n = [], 0
        while n < count:
            if coarse and n % 5 == 0 and self.chance(0.3):
                spans.append((start + n * step, start + (n + 5) * step))
                n += 5
                continue
            if not (holes and n > 0 and self.chance(0.15)):
                spans.append((start + n * step, start + (n + 1) * step))
            n += 1
        return spans

    def price(self, k: int, ticks: int) -> float:
        """Price of a grid line; without a grid a multiple of some odd step."""
        return on_grid(ticks, self.grids[k])

    def draw_scale(self, k: int) -> float:
        """Quantity of an order of about a tenth of the account."""
        row, price = self.instruments[k], self.bars[k][0][2]
        money = self.options.cash * self.options.leverage * 0.1
        qty = money * price if row["kind"] == "inverse" else money / price
        return qty / row["multiplier"]

    def fill_volumes(self) -> None:
        """Volumes near order sizes, some of them zero."""
        for k, rows in enumerate(self.bars):
            for row in rows:
                row[6] = 0.0 if self.chance(0.1) else self.quantity(k, self.pick([0.5, 1.0, 2.0, 5.0, 50.0]))

    def quantity(self, k: int, factor: float) -> float:
        """About factor x scale, on the lot grid and never nothing."""
        raw, lot = self.scale[k] * factor, self.instruments[k]["lot"]
        return raw if not lot else on_grid(max(1, round(raw / lot)), lot)

    # ---- orders

    def case(self) -> Case:
        """Put the parts together."""
        rows: list[dict[str, Any]] = []
        for n in range(self.rng.randint(1, 25)):
            kind = self.rng.choices(KINDS, WEIGHTS)[0]
            targets = [r for r in rows if r["type"] in ("market", "limit", "stop", "stop_limit")]
            if kind == "amend":
                if targets:
                    rows.append(self.draw_amend(self.pick(targets)))
            else:
                rows.append(self.draw_order(kind, n + 1))
        if self.chance(0.8):
            rows.sort(key=lambda row: row["ts"])
        return Case(
            instruments=self.instruments,
            bars=[[tuple(row) for row in rows_] for rows_ in self.bars],
            funding=[self.draw_funding(k) for k in range(len(self.bars))],
            mark=[self.draw_marks(k) for k in range(len(self.bars))],
            orders=rows,
            options=self.options,
            seed=self.seed,
        )

    def draw_order(self, kind: str, id_: int) -> dict[str, Any]:
        """One row of the frame."""
        k = self.rng.randrange(len(self.bars))
        ts = self.draw_time(k)
        row: dict[str, Any] = {"ts": ts, "instrument": k, "type": kind, "id": id_}
        if kind == "cancel_all":
            return row
        if self.chance(0.15):
            row["cancel_ts"] = ts + self.pick([0, 1, 1, 2, 3, 6]) * self.interval // 2
        if kind == "close":
            return row
        row["side"] = self.pick(["buy", "sell"])
        side = 1 if row["side"] == "buy" else -1
        if self.chance(0.25):
            row["share"] = self.pick([0.0001, 0.1, 0.25, 0.5, 0.9, 1.0])
        else:
            row["qty"] = self.quantity(k, self.pick([0.01, 0.2, 1.0, 1.0, 1.0, 2.0, 5.0, 9.0, 12.0]))
        near = self.reference(k, ts)
        if kind in ("limit", "stop_limit"):
            row["price"] = near()
        if kind in ("stop", "stop_limit"):
            row["trigger"] = near()
        if kind == "trailing":
            row["trail"] = self.price(k, self.rng.randint(1, 4))
        self.flags(row, kind)
        if not row.get("reduce_only"):
            self.levels(row, kind, k, side, row.get("price") or row.get("trigger") or near())
        return row

    def flags(self, row: dict[str, Any], kind: str) -> None:
        """Time in force, post-only, reduce-only, group."""
        if self.chance(0.18):
            row["tif"] = self.pick(["IOC", "FOK"])
        elif self.chance(0.15):
            row["tif"] = "GTD"
            steps = self.rng.randint(0, 12) * self.interval // 2
            row["expire_ts"] = row["ts"] + max(1, steps + self.pick([0, 0, 1, -1]))
        usual = kind == "limit" and row.get("tif") not in ("IOC", "FOK")
        if self.chance(0.2 if usual else 0.1 if kind == "stop_limit" else 0.01):
            row["post_only"] = True
        row["reduce_only"] = self.chance(0.15)
        if self.chance(0.2):
            row["group"] = self.rng.randint(1, 3)

    def levels(self, row: dict[str, Any], kind: str, k: int, side: int, near: float) -> None:
        """Bracket levels a few ticks from `near`, at times on the wrong side."""
        if not self.chance(0.5):
            return
        grid = self.grids[k]
        middle = max(6, round(near / grid))
        wrong = -1 if self.chance(0.1) else 1
        if self.chance(0.8):
            row["stop"] = self.price(k, max(1, middle - wrong * side * self.rng.randint(1, 5)))
        if self.chance(0.7):
            row["target"] = self.price(k, max(1, middle + wrong * side * self.rng.randint(1, 5)))
        if kind != "trailing" and self.chance(0.25):
            row["trail"] = self.price(k, self.rng.randint(1, 5))

    def draw_amend(self, order: dict[str, Any]) -> dict[str, Any]:
        """A change of a random earlier order."""
        k = order["instrument"]
        row = {"ts": order["ts"] + self.pick([0, 1, 1, 2, 3, 5]) * self.interval // 2 + self.pick([0, 0, 1]),
               "instrument": k, "type": "amend", "id": order["id"]}
        near = self.reference(k, row["ts"])
        fields = {"qty": lambda: self.quantity(k, self.pick([0.01, 0.5, 2.0])), "stop": near, "target": near}
        if "price" in order:
            fields["price"] = near
        if "trigger" in order:
            fields["trigger"] = near
        for name in self.rng.sample(sorted(fields), self.rng.randint(1, 2)):
            row[name] = fields[name]()
        return row

    def draw_time(self, k: int) -> int:
        """A decision time: mostly at a close, or so that the order arrives at a stamp, or anywhere."""
        bar = self.pick(self.bars[k])
        how = self.rng.random()
        if how < 0.6:
            return bar[1]
        if how < 0.75:
            return self.pick([bar[0], bar[1]]) - self.options.order_latency
        return bar[0] + self.rng.randrange(bar[1] - bar[0])

    def reference(self, k: int, ts: int) -> Any:
        """A source of prices that the next bars touch, reach exactly, or just miss."""
        coming = [row for row in self.bars[k] if row[1] > ts][:4] or self.bars[k][-1:]

        def near() -> float:
            ticks = round(self.pick(self.pick(coming)[2:6]) / self.grids[k])
            return self.price(k, max(2, ticks + self.pick([0, 0, 0, 1, -1, 2, -2])))

        return near

    # ---- streams

    def draw_funding(self, k: int) -> list[tuple[int, float]]:
        """Rates at jittered boundaries, some inside bars, some after the end."""
        if self.instruments[k]["kind"] == "spot" or not self.chance(0.4):
            return []
        stamps = {self.pick(self.bars[k])[self.pick([0, 1])] for _ in range(self.rng.randint(1, 6))}
        stamps |= {row[0] + self.interval // 2 for row in self.bars[k] if self.chance(0.03)}
        return [(ts // 10**9 * 10**9 + self.rng.randint(0, 16) * MS, self.pick([1e-4, -1e-4, 0.01, -0.02]))
                for ts in sorted({ts // 10**9 * 10**9 for ts in stamps})]

    def draw_marks(self, k: int) -> list[tuple[int, float]]:
        """Mark prices near the bars, sometimes far."""
        if self.instruments[k]["kind"] == "spot" or not self.chance(0.3):
            return []
        rows = {}
        factors = [1.0, 1.0, 1.01, 0.99] + ([0.9, 1.1] if self.wild else [])
        for bar in self.bars[k]:
            if self.chance(0.6):
                ts = self.pick([bar[0], bar[0] + (bar[1] - bar[0]) // 2, bar[1]])
                rows[ts] = max(1.0, bar[2] * self.pick(factors))
        return sorted(rows.items())
