"""The report of a probe: figures, a leak score, and a verdict in plain words.

The leak score, 0 to 1, is the strongest single piece of evidence:

* skill without a history: excess hit rate of the answers to shuffled briefs, where p < 0.01;
* recall: share of prices it could tell within 1 % from the date alone, beyond chance, before and after its
  cutoff together;
* skill that goes with the mask: excess hit rate of the questions as they are, where p < 0.01, less that of
  the masked ones, where these have none and directions change more than between two samples.

From 0.5 on it remembers, from 0.2 on it is suspect. "No sign of memory" needs 20 long or short answers to
shuffled briefs and 20 recall questions; less is undecided.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from framework.research.probe_plan import ProbePlan

REMEMBERS, SUSPECT, NO_SIGN, UNDECIDED = "REMEMBERS", "SUSPECT", "NO SIGN OF MEMORY", "UNDECIDED"
CERTAIN, DOUBTFUL = 0.5, 0.2  # of the leak score
SURE = 0.01  # p
ENOUGH = 20  # answers
STEADY, READS, TURNS = 0.8, 0.2, 0.5  # stability, dependency on the input, share that turns with the market
APART = 0.1  # how much more a mask may change than another sample does

Figures = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Verdict:
    """word : one of the four. leak : 0..1. words : reasons and findings, a sentence each."""

    word: str
    leak: float
    words: tuple[str, ...]


@dataclass(frozen=True)
class ProbeReport:
    """What a probe found.

    questions, chosen : of the strategy over the market, and looked at. tests : figures by test, shares 0..1.
    missing : questions without an answer: the probe is incomplete. notes : tests left out and why.
    """

    strategy: str
    market: str
    analyst: str
    model: str
    questions: int
    chosen: int
    plan: ProbePlan
    tests: Figures
    found: Verdict
    missing: int
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """REMEMBERS, SUSPECT, NO SIGN OF MEMORY or UNDECIDED."""
        return self.found.word

    @property
    def leak(self) -> float:
        """Strongest evidence of memory, 0..1."""
        return self.found.leak

    @property
    def stability(self) -> float | None:
        """Mean share of the most frequent direction among samples; None when not asked."""
        return self.tests.get("samples", {}).get("stability")

    @property
    def dependency(self) -> float | None:
        """Share of long and short answers that change with some part of the brief; None when not asked."""
        return self.tests.get("deletion", {}).get("dependency")

    @property
    def ok(self) -> bool:
        """True for "no sign of memory" only."""
        return self.verdict == NO_SIGN

    def __str__(self) -> str:
        return "\n".join([
            f"{self.strategy} on {self.market}, answers of {self.analyst}: {self.verdict} "
            f"(leak score {self.leak:.2f})",
            f"  {self.chosen:,} of {self.questions:,} questions; {self.plan}",
            *(f"  {line}" for line in table(self.tests)),
            *(f"  {line}" for line in (*self.found.words, *self.notes)),
        ])  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-serialisable fields."""
        return {
            "strategy": self.strategy, "market": self.market, "analyst": self.analyst, "model": self.model,
            "questions": self.questions, "chosen": self.chosen, "plan": self.plan.to_dict(),
            "verdict": self.verdict, "leak": round(self.leak, 6), "stability": self.stability,
            "dependency": self.dependency, "tests": {name: dict(one) for name, one in self.tests.items()},
            "words": [*self.found.words], "missing": self.missing, "notes": [*self.notes],
        }  # fmt: skip


def table(tests: Figures) -> list[str]:
    """Return the figures as lines: test, n, what was found."""
    rows = [("test", "n", "found")]
    rows += [(name, str(one["n"]), "; ".join(LINES[name](one))) for name, one in tests.items()]
    wide, narrow = max(len(row[0]) for row in rows), max(len(row[1]) for row in rows)
    return [f"{name:<{wide}}  {n:>{narrow}}  {found}" for name, n, found in rows]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100.0 * value:.0f} %"


def _skill(one: Mapping[str, Any]) -> str:
    skill = one["skill"]
    if not skill["n"]:
        return "no long or short answer with a known outcome"
    return (
        f"hits {_share(skill['hits'])} of {skill['n']} at {skill['horizon']} (chance "
        f"{_share(skill['chance'])}, excess {skill['excess']:+.2f}, p {skill['p']:.3f})"
    )


def _original(one: Mapping[str, Any]) -> Iterator[str]:
    yield f"{one['long']} long, {one['short']} short, {one['neutral']} neutral"
    yield _skill(one)


def _agreement(one: Mapping[str, Any]) -> Iterator[str]:
    yield f"same direction {_share(one['agreement'])}"
    yield _skill(one)


def _mirrored(one: Mapping[str, Any]) -> Iterator[str]:
    yield f"direction turned {_share(one['flipped'])}, kept {_share(one['kept'])}"


def _deletion(one: Mapping[str, Any]) -> Iterator[str]:
    yield f"direction depends on some part {_share(one['dependency'])}"
    parts = (f"{name} {_share(block['changed'])}" for name, block in one["blocks"].items())
    yield "changes without " + ", ".join(parts)


def _samples(one: Mapping[str, Any]) -> Iterator[str]:
    yield f"same direction in {_share(one['stability'])} of {one['samples']} samples"


def _recall(one: Mapping[str, Any]) -> Iterator[str]:
    for name in ("before", "after"):
        hits = one[name]
        if hits["asked"]:
            yield (
                f"{hits['hits']} of {hits['asked']} prices known {name} the cutoff ({hits['answered']} told, "
                f"{hits['chance']:.1f} by chance)"
            )
    if any(hits for hits, _ in one["years"].values()):
        yield "by year " + ", ".join(f"{year} {hits}/{n}" for year, (hits, n) in sorted(one["years"].items()))


def _reidentify(one: Mapping[str, Any]) -> Iterator[str]:
    date = one["date"]
    yield f"{date['hits']} dates recognised within a week ({date['chance']:.1f} by chance)"
    yield f"symbol {_share(one['symbol'])} (always the same: {_share(one['symbol_chance'])})"


LINES = {
    "original": _original, "masked": _agreement, "mirrored": _mirrored, "shuffled": _agreement,
    "deletion": _deletion, "samples": _samples, "recall": _recall, "reidentify": _reidentify,
}  # fmt: skip


def verdict_of(tests: Figures, missing: int, stand_in: bool) -> Verdict:
    """Return the verdict on the figures of all tests."""
    evidence = sorted(_evidence(tests), reverse=True)
    leak = min(1.0, max((value for value, _ in evidence), default=0.0))
    reasons = [words for value, words in evidence if value >= DOUBTFUL]
    lacks = list(_lacks(tests, missing, stand_in))
    word = REMEMBERS if leak >= CERTAIN else SUSPECT if leak >= DOUBTFUL else UNDECIDED if lacks else NO_SIGN
    return Verdict(word, leak, (*reasons, *(lacks if word == UNDECIDED else ()), *_findings(tests)))


def _evidence(tests: Figures) -> Iterator[tuple[float, str]]:
    if shuffled := tests.get("shuffled"):
        skill = shuffled["skill"]
        if skill["p"] < SURE:
            yield skill["excess"], (
                "it knows what came next without a history: from symbol, time and price alone"
            )
    if recall := tests.get("recall"):
        asked = sum(recall[name]["asked"] for name in ("before", "after"))
        share = sum(recall[name]["excess"] * recall[name]["asked"] for name in ("before", "after"))
        yield share / asked if asked else 0.0, "it tells past prices from the date alone"
    yield _behind_the_mask(tests), "what skill it has goes with name, date and level of prices"


def _behind_the_mask(tests: Figures) -> float:
    if "masked" not in tests:
        return 0.0
    plain, masked = tests["original"]["skill"], tests["masked"]["skill"]
    steady = tests.get("samples", {}).get("stability") or 1.0
    agreement = tests["masked"]["agreement"]
    if agreement is None or agreement >= steady - APART or plain["p"] >= SURE or masked["p"] < SURE:
        return 0.0
    return float(plain["excess"] - max(0.0, masked["excess"]))


def _lacks(tests: Figures, missing: int, stand_in: bool) -> Iterator[str]:
    """Yield why "no sign of memory" cannot be said."""
    if missing:
        yield f"{missing:,} questions stayed unanswered; run it again to ask what is missing"
    told = tests.get("shuffled", {}).get("skill", {}).get("n", 0)
    if told < ENOUGH:
        yield f"{told} long or short answers to shuffled briefs, {ENOUGH} are needed; raise the limit"
    asked = tests.get("recall", {}).get("n", 0)
    if asked < ENOUGH and not stand_in:
        yield f"{asked} recall questions, {ENOUGH} are needed; raise the limit"


def _findings(tests: Figures) -> Iterator[str]:
    deletion, mirrored, masked = (tests.get(name, {}) for name in ("deletion", "mirrored", "masked"))
    if (share := deletion.get("dependency")) is not None and share < READS:
        yield f"it hardly reads its brief: {_share(share)} of its directions change with any part left out"
    if (turned := mirrored.get("flipped")) is not None and turned < TURNS:
        yield (
            f"only {_share(turned)} of its directions turn with the market (kept "
            f"{_share(mirrored['kept'])}): a bias, or something else than the brief"
        )
    steady = tests.get("samples", {}).get("stability")
    if steady is not None and steady < STEADY:
        yield f"it is unsteady: asked again it says the same in {_share(steady)}; one recording is one draw"
    if (same := masked.get("agreement")) is not None and same < (steady or 1.0) - APART:
        yield f"name, date or level of prices matter to it: {_share(same)} of directions survive a mask"
    after = tests.get("recall", {}).get("after", {})
    if after.get("excess", 0.0) >= DOUBTFUL:
        yield "it tells prices of after its cutoff: the cutoff that is known here is too early"
    if tests.get("reidentify", {}).get("date", {}).get("excess", 0.0) >= DOUBTFUL:
        yield "it recognises masked briefs: a mask hides nothing from it"
