"""What a probe will ask and what it may cost, before anything is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from framework.llm.decision import Prompt
from framework.research.probe_variants import Asked


@dataclass(frozen=True)
class ProbePlan:
    """Counts and the worst price of a probe.

    prompts : by test. unique : different ones. cached : of these in the store, where the analyst can tell.
    to_ask : that will be sent. worst_usd : what these can cost at most, USD; None = no price is known.
    spends : True when the analyst records.
    """

    model: str
    prompts: Mapping[str, int]
    unique: int
    cached: int
    to_ask: int
    worst_usd: float | None
    spends: bool

    def __str__(self) -> str:
        cost = "no price is known" if self.worst_usd is None else f"at most ${self.worst_usd:,.4f}"
        told = f"{sum(self.prompts.values()):,} prompts, {self.unique:,} of them different"
        if not self.spends:
            return f"{told}, {self.model} is replayed, nothing is spent"
        return f"{told}, {self.cached:,} cached, {self.to_ask:,} to ask, {cost}"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-serialisable fields."""
        return asdict(self)


def plan_of(asked: Sequence[Asked], who: Mapping[int, Any]) -> ProbePlan:
    """Return the plan of all questions, over all samples."""
    unique = cached = 0
    worst: float | None = 0.0
    for sample, analyst in who.items():
        one = _planned(analyst, [a.prompt for a in asked if a.sample == sample])
        unique, cached = unique + one[0], cached + one[1]
        worst = None if worst is None or one[2] is None else worst + one[2]
    spends = any(getattr(analyst, "asks", False) for analyst in who.values())
    to_ask = unique - cached if spends else 0
    counts = dict(Counter(one.test for one in asked))
    return ProbePlan(str(who[0].model), counts, unique, cached, to_ask, worst, spends)


def _planned(analyst: Any, prompts: Sequence[Prompt]) -> tuple[int, int, float | None]:
    """Return (unique, cached, worst USD) of one analyst's questions; who has no plan spends nothing."""
    plan = getattr(analyst, "plan", None)
    if not callable(plan):
        return len({(one.system, one.text) for one in prompts}), 0, 0.0
    found = plan(prompts)
    return found.unique, found.cached, found.worst_usd if found.priced else None
