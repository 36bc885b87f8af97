"""What the answers of a probe say, in numbers. Directions are +1 long, -1 short, 0 neutral."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.llm.decision import Prompt
from framework.llm.written import DAY_NS

Directions = Mapping[int, int]  # row of the chosen question -> direction; only valid answers

PERMUTATIONS, SEED = 2_000, 20_260_101
HORIZONS = {"1d": DAY_NS, "7d": 7 * DAY_NS, "30d": 30 * DAY_NS}
NEXT = "next question"
NEAR = 0.01  # a remembered price is a hit within 1 %
DATE_NEAR = 7.0  # days


class Skill(NamedTuple):
    """How well directions fit what the market did, beyond what their own frequencies give by chance."""

    n: int = 0
    hits: float = 0.0  # share
    chance: float = 0.0  # expected share for the same directions at random times
    excess: float = 0.0  # (hits - chance) / (1 - chance): 0 nothing, 1 all knowing
    p: float = 1.0  # share of permutations that do as well, over all horizons (Bonferroni)
    horizon: str = ""


def same(one: Directions, other: Directions) -> tuple[int, float | None]:
    """Return (n, share of equal directions) of the questions both answered."""
    rows = one.keys() & other.keys()
    return len(rows), sum(one[r] == other[r] for r in rows) / len(rows) if rows else None


def flips(one: Directions, other: Directions) -> tuple[int, float | None, float | None]:
    """Return (n, share turned round, share kept) of the questions first answered long or short."""
    rows = [r for r in one.keys() & other.keys() if one[r] != 0]
    if not rows:
        return 0, None, None
    turned, kept = sum(other[r] == -one[r] for r in rows), sum(other[r] == one[r] for r in rows)
    return len(rows), turned / len(rows), kept / len(rows)


def stability(samples: Sequence[Directions]) -> tuple[int, float | None]:
    """Return (n, mean share of the most frequent direction among the samples of a question)."""
    rows = [r for r in samples[0] if sum(r in one for one in samples) >= 2] if samples else []
    if not rows:
        return 0, None
    shares = []
    for row in rows:
        said = [one[row] for one in samples if row in one]
        shares.append(max(said.count(d) for d in (-1, 0, 1)) / len(said))
    return len(rows), sum(shares) / len(shares)


def moves(prompts: Sequence[Prompt], chosen: Sequence[int]) -> dict[str, dict[int, int]]:
    """Return by horizon the sign of the real move after each chosen question; none where it is not known.

    Prices are those of the questions themselves: the first one at or after the horizon.
    """
    found: dict[str, dict[int, int]] = {name: {} for name in (NEXT, *HORIZONS)}
    series: dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
    for k in {one.instrument for one in prompts}:
        own = sorted((p.ts, p.brief.price) for p in prompts if p.instrument == k)
        series[k] = np.array([ts for ts, _ in own], np.int64), np.array([price for _, price in own])
    for row, at in enumerate(chosen):
        prompt = prompts[at]
        times, prices = series[prompt.instrument]
        for name, length in ((NEXT, 1), *HORIZONS.items()):
            j = int(np.searchsorted(times, prompt.ts + length))
            if j < len(times) and prices[j] != prompt.brief.price:
                found[name][row] = 1 if prices[j] > prompt.brief.price else -1
    return found


def skill(said: Directions, after: Mapping[str, Mapping[int, int]]) -> Skill:
    """Return the clearest skill of directions over the horizons; neutral answers do not count.

    The chance level is that of the same directions at other questions (permutation test, fixed seed), so that
    "always long" in a rising market is no skill. p is multiplied by the number of horizons.
    """
    found = [one for name, real in after.items() if (one := _skill(said, real, name)) is not None]
    if not found:
        return Skill()
    best = min(found, key=lambda one: (one.p, -one.excess))
    return best._replace(p=min(1.0, best.p * len(found)))


def _skill(said: Directions, real: Mapping[int, int], name: str) -> Skill | None:
    rows = sorted(r for r in said if said[r] != 0 and r in real)
    if len(rows) < 2:
        return None
    ours, true = np.array([said[r] for r in rows]), np.array([real[r] for r in rows])
    hits, up, long = float(np.mean(ours == true)), float(np.mean(true > 0)), float(np.mean(ours > 0))
    chance = up * long + (1.0 - up) * (1.0 - long)
    rng = np.random.default_rng(SEED)
    drawn = rng.permuted(np.tile(true, (PERMUTATIONS, 1)), axis=1)
    as_good = int(np.sum(np.mean(drawn == ours, axis=1) >= hits - 1e-12))
    excess = (hits - chance) / (1.0 - chance) if chance < 1.0 else 0.0
    return Skill(len(rows), hits, chance, excess, (as_good + 1) / (PERMUTATIONS + 1), name)


class Hits(NamedTuple):
    """How often something was remembered."""

    asked: int = 0
    answered: int = 0
    hits: int = 0
    chance: float = 0.0  # hits expected when the answers belonged to other questions
    excess: float = 0.0  # share of the asked that was remembered beyond chance, 0..1


def remembered(answers: Sequence[float | None], truth: Sequence[float], near: float,
               relative: bool) -> Hits:
    """Return how many answers lie within `near` of the truth, and how many would by chance."""
    told = [(a, t) for a, t in zip(answers, truth, strict=True) if a is not None]
    if not told:
        return Hits(len(answers))
    said, true = np.array([a for a, _ in told]), np.array([t for _, t in told])
    apart = np.abs(said[:, None] - true[None, :]) / (true[None, :] if relative else 1.0)
    hit = apart <= near
    own = int(np.trace(hit))
    others = (int(hit.sum()) - own) / (len(told) - 1) if len(told) > 1 else 0.0
    room = len(answers) - others
    return Hits(
        len(answers), len(told), own, others, max(0.0, (own - others) / room) if room > 0.0 else 0.0
    )


def names_symbol(said: str | None, symbol: str) -> bool:
    """True when a text names the instrument: its symbol, or the first part of it."""
    plain = re.sub(r"[^A-Z0-9]", "", (said or "").upper())
    raw = symbol.upper().rpartition(":")[2]
    base = re.split(r"[^A-Z0-9]+", raw)[0] or raw
    return len(plain) >= 3 and (plain in re.sub(r"[^A-Z0-9]", "", raw) or plain.startswith(base[:3]))


def days_of(date: str) -> float | None:
    """Return days since the epoch of a `YYYY-MM-DD`; None when there is no such day."""
    try:
        return float(np.datetime64(date, "D").astype(np.int64))
    except ValueError:
        return None


def as_dict(row: Any) -> dict[str, Any]:
    """Return a named tuple's fields, numbers rounded to 6 places."""
    return {k: round(v, 6) if isinstance(v, float) else v for k, v in row._asdict().items()}
