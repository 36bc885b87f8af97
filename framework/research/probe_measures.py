"""What each test of a probe measures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from framework.llm import cutoffs
from framework.llm.recall import read_identity, read_price
from framework.llm.written import DAY_NS
from framework.research import probe_scores as scores
from framework.research import probe_variants as made
from framework.research.probe_plan import ProbePlan
from framework.research.probe_report import ProbeReport, verdict_of
from framework.research.probe_trial import Trial


def report_of(trial: Trial, tests: Sequence[str], plan: ProbePlan, strategy: str,
              notes: tuple[str, ...]) -> ProbeReport:
    """Return the report of what was said."""
    after = scores.moves(trial.every, trial.rows)
    first = trial.directions(made.ORIGINAL)
    found: dict[str, dict[str, Any]] = {made.ORIGINAL: original(trial, first, after)}
    for name in tests:
        found[name] = MEASURES[name](trial, first, after)
    who = trial.who[0]
    missing = sum(d.status == "missing" for _, d in trial.said)
    return ProbeReport(
        strategy, trial.market.name, str(who.name), str(who.model), len(trial.every), len(trial.chosen), plan,
        found, verdict_of(found, missing, bool(who.stand_in)), missing, notes,
    )  # fmt: skip


def original(trial: Trial, first: scores.Directions, after: Any) -> dict[str, Any]:
    """Measure the questions as they are."""
    count = Counter(first.values())
    return {"n": len(first), "long": count[1], "short": count[-1], "neutral": count[0],
            "skill": scores.as_dict(scores.skill(first, after))}  # fmt: skip


def masked(trial: Trial, first: scores.Directions, after: Any) -> dict[str, Any]:
    """Measure what the mask changes."""
    other = trial.directions(made.MASKED)
    n, share = scores.same(first, other)
    return {"n": n, "agreement": share, "skill": scores.as_dict(scores.skill(other, after))}


def mirrored(trial: Trial, first: scores.Directions, after: Any) -> dict[str, Any]:
    """Measure whether directions turn with the market."""
    n, turned, kept = scores.flips(first, trial.directions(made.MIRRORED))
    return {"n": n, "flipped": turned, "kept": kept}


def shuffled(trial: Trial, first: scores.Directions, after: Any) -> dict[str, Any]:
    """Measure the skill that is left without a history."""
    other = trial.directions(made.SHUFFLED)
    n, share = scores.same(first, other)
    return {"n": n, "agreement": share, "skill": scores.as_dict(scores.skill(other, after))}


def deletion(trial: Trial, first: scores.Directions, after: Any) -> dict[str, Any]:
    """Measure how many long and short answers change with each part of the brief, and with any."""
    first = {row: side for row, side in first.items() if side != 0}
    blocks, changed = {}, dict[int, bool]()
    for name in made.BLOCKS:
        other = trial.directions(made.DELETION, name)
        n, share = scores.same(first, other)
        if share is not None:
            blocks[name] = {"n": n, "changed": 1.0 - share}
            for row in first.keys() & other.keys():
                changed[row] = changed.get(row, False) or first[row] != other[row]
    share = sum(changed.values()) / len(changed) if changed else None
    return {"n": len(changed), "dependency": share, "blocks": blocks}


def samples(trial: Trial, first: scores.Directions, after: Any) -> dict[str, Any]:
    """Measure how often the same question gets the same direction."""
    drawn = [first, *(trial.directions(made.SAMPLES, "", k) for k in trial.who if k)]
    n, share = scores.stability(drawn)
    return {"n": n, "samples": len(drawn), "stability": share}


def recall(trial: Trial, first: scores.Directions, after: Any) -> dict[str, Any]:
    """Measure the prices it remembers, before and after the model's cutoff and year by year."""
    texts, who = trial.told(made.RECALL), trial.who[0]
    table = getattr(who, "models", None)  # of the user: it may know another cutoff
    told = {row: read_price(text) for row, text in texts.items()}
    groups: dict[str, list[int]] = {"before": [], "after": []}
    years: dict[str, list[int]] = {}
    for row, prompt in enumerate(trial.chosen):
        groups["before" if cutoffs.in_sample(str(who.model), prompt.ts, table) else "after"].append(row)
        years.setdefault(str(np.datetime64(prompt.ts, "ns"))[:4], []).append(row)

    def hits(rows: Sequence[int]) -> scores.Hits:
        truth = [trial.chosen[row].brief.price for row in rows]
        return scores.remembered([told.get(row) for row in rows], truth, scores.NEAR, True)

    found = {name: scores.as_dict(hits(rows)) for name, rows in groups.items()}
    by_year = {year: [one.hits, one.asked] for year, one in ((y, hits(rows)) for y, rows in years.items())}
    return {"n": trial.count(made.RECALL), **found, "years": by_year}


def reidentify(trial: Trial, first: scores.Directions, after: Any) -> dict[str, Any]:
    """Measure how often it says what a masked brief is, and when it was."""
    told = {row: read_identity(text) for row, text in trial.told(made.REIDENTIFY).items()}
    rows = range(len(trial.chosen))
    dates = [told.get(row, (None, None))[1] for row in rows]
    days = [None if date is None else scores.days_of(date) for date in dates]
    found = scores.remembered(days, [one.ts / DAY_NS for one in trial.chosen], scores.DATE_NEAR, False)
    named = sum(scores.names_symbol(told[row][0], trial.chosen[row].brief.symbol) for row in told)
    most = Counter(one.brief.symbol for one in trial.chosen).most_common(1)[0][1]
    return {
        "n": trial.count(made.REIDENTIFY), "date": scores.as_dict(found), "symbol": named / len(rows),
        "symbol_chance": most / len(rows),
    }  # fmt: skip


MEASURES: Mapping[str, Callable[[Trial, scores.Directions, Any], dict[str, Any]]] = {
    made.MASKED: masked, made.MIRRORED: mirrored, made.SHUFFLED: shuffled, made.DELETION: deletion,
    made.SAMPLES: samples, made.RECALL: recall, made.REIDENTIFY: reidentify,
}  # fmt: skip
