"""Random small tick cases: narrow prices, so that orders meet everything, and stamps that coincide."""

from __future__ import annotations

import random
from typing import Any

from tests.naive.cases import TIERS
from tests.naive.model import on_grid
from tests.naive.tick_feeds import MS, SECOND, START, Feeds
from tests.naive.tick_model import TickCase, TickOptions

KINDS = ("market", "limit", "stop", "stop_limit", "trailing", "close", "cancel_all", "amend")
WEIGHTS = (16, 40, 10, 9, 5, 6, 2, 12)
CROWD = (6, 80, 2, 4, 1, 2, 1, 10)  # mostly limits, early and at the touch: queues
STEPS = (0, 0, MS // 1_000, MS, 5 * MS, 20 * MS, 100 * MS, 400 * MS)


def random_tick_case(seed: int) -> TickCase:
    """One case, the same for the same seed."""
    return TickGenerator(seed).case()


class TickGenerator:
    """Draws one case; kept as a class so that every draw sees what was drawn before."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.wild = self.chance(0.2)  # busts, liquidations
        self.crowd = self.chance(0.35)
        self.options = self.draw_options()
        n = self.pick([1, 1, 1, 1, 2, 3])
        self.instruments = [self.draw_instrument() for _ in range(n)]
        length = self.pick([5, 10, 20, 20, 30, 30, 40, 40, 60, 60, 100, 300 if self.chance(0.3) else 40])
        restless = 0.1 if self.crowd else 0.3
        self.feeds = Feeds(self.rng, self.instruments, max(5, length // n), restless, self.wild)
        self.draw_money()

    # ---- dice

    def chance(self, p: float) -> bool:
        """True with probability p."""
        return self.rng.random() < p

    def pick(self, options: Any) -> Any:
        """One of the options."""
        return self.rng.choice(options)

    # ---- parts

    def draw_options(self) -> TickOptions:
        """Costs, latency, fill rules, leverage."""
        models = ["risk_averse", "risk_averse", "power:1", "power:2", "power:3.5", "log", "front", "back"]
        return TickOptions(
            maker=self.pick([None, None, 0.0, 2e-4, -1e-4]),
            taker=self.pick([None, None, 0.0, 5e-4]),
            slippage=self.pick([0.0, 0.0, 5e-4, 0.01]),
            entry_spread=self.pick([0.0, 0.0, 0.0, 1e-3]),
            order_latency=self.pick([0, 0, MS, 5 * MS, 20 * MS, 20 * MS, 300 * MS, SECOND]),
            response_latency=self.pick([0, MS, 20 * MS, 20 * MS, SECOND, 2 * SECOND]),
            latency_table=self.draw_latency_table() if self.chance(0.1) else None,
            volume_share=self.pick([None, None, None, 0.1, 0.5, 1.0]),
            leverage=self.pick([1.0, 1.0, 2.0, 5.0] + ([20.0, 50.0] if self.wild else [])),
            margin=self.pick(["cross", "isolated"]),
            queue=self.pick(models),
            partial=self.chance(0.8),
            trigger=self.pick(["trade", "trade", "trade", "quote", "mark"]),
            sample=SECOND,
        )

    def draw_latency_table(self) -> list[tuple[int, int, int]]:
        """A few rows as-of."""
        start, rows = START - 2 * SECOND, []
        for _ in range(self.rng.randint(1, 4)):
            start += self.rng.randint(1, 40) * 100 * MS
            rows.append((start, self.pick([0, MS, 20 * MS, 300 * MS]), self.pick([0, 20 * MS, SECOND])))
        return rows

    def draw_instrument(self) -> dict[str, Any]:
        """Kind, grids, contract size, fees, tiers."""
        kind = self.pick(["spot", "linear", "linear", "linear", "inverse"])
        tiers = self.pick(TIERS) if kind != "spot" and self.chance(0.7 if self.wild else 0.05) else ()
        return {
            "kind": kind,
            "tick": self.pick([1.0, 1.0, 0.5, 0.1, 0.25]),
            "lot": self.pick([1.0, 1.0, 0.1, 0.01, 5.0]),
            "min_notional": 0.0,
            "multiplier": 1.0 if kind == "spot" else self.pick([1.0, 1.0, 10.0, 0.1]),
            "maker": self.pick([None, 2e-4, 0.0]),
            "taker": self.pick([None, 5e-4, 1e-3]),
            "tiers": tiers,
        }

    def draw_money(self) -> None:
        """Cash for some lots of the first instrument; limits and min notional near an order's value."""
        lot = self.value(0)
        if self.wild:
            self.instruments[0]["tiers"] = tuple(
                (limit / 1_000.0 * lot if limit < 1e11 else limit, rate, amount / 1_000.0 * lot)
                for limit, rate, amount in self.instruments[0]["tiers"])
        usual = [20.0, 60.0, 60.0, 200.0, 1_000.0]
        self.options.cash = lot * self.pick([1.0, 3.0, 20.0] if self.wild else usual)
        for name, lots in (("max_order_notional", 4.03), ("max_position_notional", 9.07)):
            if self.chance(0.06):
                setattr(self.options, name, lot * lots)
        for k, row in enumerate(self.instruments):
            if self.chance(0.1):
                row["min_notional"] = self.value(k) * 2.03

    def value(self, k: int) -> float:
        """What one lot of k is worth."""
        row, price = self.instruments[k], on_grid(self.feeds.start[k], self.instruments[k]["tick"])
        price = 1.0 / price if row["kind"] == "inverse" else price
        return row["lot"] * row["multiplier"] * price

    # ---- orders

    def case(self) -> TickCase:
        """Put the parts together."""
        rows: list[dict[str, Any]] = []
        for n in range(self.rng.randint(1, 20)):
            kind = self.rng.choices(KINDS, CROWD if self.crowd else WEIGHTS)[0]
            targets = [r for r in rows if r["type"] in ("market", "limit", "stop", "stop_limit")]
            if kind == "amend":
                if targets:
                    rows.append(self.draw_amend(self.pick(targets)))
            else:
                rows.append(self.draw_order(kind, n + 1))
        if self.chance(0.8):
            rows.sort(key=lambda row: row["ts"])
        n = len(self.instruments)
        return TickCase(
            instruments=self.instruments, bars=self.feeds.bars,
            funding=[self.draw_funding(k) for k in range(n)], mark=[self.draw_marks(k) for k in range(n)],
            orders=rows, options=self.options, seed=self.seed,
            books=self.feeds.books, trades=self.feeds.trades,
        )

    def price(self, k: int, tick: int) -> float:
        """Price of a tick, at least the first."""
        return on_grid(max(1, tick), self.instruments[k]["tick"])

    def quantity(self, k: int) -> float:
        """A few lots."""
        return on_grid(self.pick([1, 1, 2, 3, 3, 5, 8, 12, 40]), self.instruments[k]["lot"])

    def draw_order(self, kind: str, id_: int) -> dict[str, Any]:
        """One row of the frame."""
        k = self.rng.randrange(len(self.instruments))
        ts = self.draw_time(k)
        row: dict[str, Any] = {"ts": ts, "instrument": k, "type": kind, "id": id_}
        if kind == "cancel_all":
            return row
        if self.chance(0.05 if self.crowd else 0.15):
            row["cancel_ts"] = ts + self.pick(STEPS) * self.rng.randint(1, 4)
        if kind == "close":
            return row
        row["side"] = self.pick(["buy", "sell"])
        side = 1 if row["side"] == "buy" else -1
        if self.chance(0.15):
            row["share"] = self.pick([0.0001, 0.1, 0.25, 0.5, 0.9, 1.0])
        else:
            row["qty"] = self.quantity(k)
        bid, ask = self.feeds.touch(k, ts)
        own, other = (bid, ask) if side > 0 else (ask, bid)
        away = [0, 0, 0, 0, -1, -1] if self.crowd else [0, 0, 0, 1, 1, -1, -1, -2, -3]
        limit = own + side * self.pick(away) if self.chance(0.8) else other
        if kind in ("limit", "stop_limit"):
            row["price"] = self.price(k, limit)
        if kind in ("stop", "stop_limit"):
            row["trigger"] = self.price(k, other + side * self.pick([0, 0, 1, 1, 2, 3, -1]))
        if kind == "trailing":
            row["trail"] = self.price(k, self.rng.randint(1, 3))
        self.flags(row, kind)
        if not row.get("reduce_only"):
            self.levels(row, kind, k, side, limit)
        return row

    def flags(self, row: dict[str, Any], kind: str) -> None:
        """Time in force, post-only, reduce-only, group."""
        odd = 0.04 if self.crowd else 0.15
        if self.chance(odd):
            row["tif"] = self.pick(["IOC", "FOK"])
        elif self.chance(odd):
            row["tif"] = "GTD"
            later = self.pick(STEPS) * self.rng.randint(1, 5) + self.pick([0, 0, 1, -1])
            row["expire_ts"] = row["ts"] + max(1, later)
        usual = kind == "limit" and row.get("tif") not in ("IOC", "FOK")
        if self.chance(0.2 if usual else 0.1 if kind == "stop_limit" else 0.01):
            row["post_only"] = True
        row["reduce_only"] = self.chance(odd)
        if self.chance(odd):
            row["group"] = self.rng.randint(1, 3)

    def levels(self, row: dict[str, Any], kind: str, k: int, side: int, near: int) -> None:
        """Bracket levels a few ticks from `near`, at times on the wrong side."""
        if not self.chance(0.45):
            return
        wrong = -1 if self.chance(0.15) else 1
        if self.chance(0.7):
            row["stop"] = self.price(k, near - wrong * side * self.rng.randint(1, 4))
        if self.chance(0.8):
            row["target"] = self.price(k, near + wrong * side * self.rng.randint(1, 4))
        if kind != "trailing" and self.chance(0.25):
            row["trail"] = self.price(k, self.rng.randint(1, 3))

    def draw_amend(self, order: dict[str, Any]) -> dict[str, Any]:
        """A change of a random earlier order."""
        k = order["instrument"]
        ts = order["ts"] + self.pick(STEPS) * self.rng.randint(1, 4)
        row = {"ts": ts, "instrument": k, "type": "amend", "id": order["id"]}
        bid, ask = self.feeds.touch(k, ts)

        def near() -> float:
            return self.price(k, self.pick([bid, ask]) + self.pick([0, 0, 1, -1, 2, -2]))

        fields = {"qty": lambda: self.quantity(k), "stop": near, "target": near}
        if "price" in order:
            fields["price"] = near
        if "trigger" in order:
            fields["trigger"] = near
        for name in self.rng.sample(sorted(fields), self.pick([1, 1, 2])):
            row[name] = fields[name]()
        return row

    def draw_time(self, k: int) -> int:
        """So that the order arrives at a row of its feed, or a decision at a row, or anywhere near."""
        ts = self.feeds.some_stamp(k, 0.5 if self.crowd else 1.0)
        how = self.rng.random()
        if how < 0.45:
            return ts - self.options.order_latency
        if how < 0.7:
            return ts
        return ts + self.pick([1, -1, MS, -MS, 50 * MS, -50 * MS])

    # ---- streams

    def draw_funding(self, k: int) -> list[tuple[int, float]]:
        """Rates at some whole seconds, stamped a little later."""
        if self.instruments[k]["kind"] == "spot" or not self.chance(0.3):
            return []
        seconds = {self.feeds.some_stamp(k) // SECOND for _ in range(self.rng.randint(1, 3))}
        return [(s * SECOND + self.rng.randint(0, 16) * MS, self.pick([1e-4, -1e-4, 0.01, -0.02]))
                for s in sorted(seconds)]

    def draw_marks(self, k: int) -> list[tuple[int, float]]:
        """Mark prices near the touch, sometimes far."""
        needed = self.options.trigger == "mark"
        if not needed and (self.instruments[k]["kind"] == "spot" or not self.chance(0.3)):
            return []
        rows = {}
        for _ in range(self.rng.randint(3, 30)):
            ts = self.feeds.some_stamp(k) + self.pick([0, 0, 1, MS])
            tick = sum(self.feeds.touch(k, ts)) / 2.0 + self.pick([0.0, 0.0, 1.0, -1.0, 0.3])
            rows[ts] = max(1.0, tick) * self.instruments[k]["tick"] * (self.pick([0.9, 1.1]) if self.wild and
                                                                        self.chance(0.2) else 1.0)
        return sorted(rows.items())
