"""`probe` of the command."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from framework.cli_ask import analyst_of, asking, spending
from framework.cli_job import Job
from framework.cli_run import prepare, quiet_stdout
from framework.cli_show import Voice, print_json
from framework.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from framework.research.probe_plan import ProbePlan
    from framework.strategy import Analyst, Strategy

INCOMPLETE, DIFFERS = 4, 5  # exit codes


def run_probe(job: Job, tests: str | None = None, samples: int = 3, limit: int = 40,
              budget: float | None = None, yes: bool = False, as_json: bool = False) -> int:
    """Probe a strategy's analyst, print the report; 0 no sign of memory, 4 undecided, 5 it remembers."""
    options, cls, market = prepare(job, Voice())
    made = cls(**job.parameters())
    voice = Voice()
    by_sample = sampler(job, cls)
    from framework.research.probe import TESTS, probe

    wanted = TESTS if tests is None else tuple(name.strip() for name in tests.split(","))
    first = by_sample(0)
    with quiet_stdout(as_json), asking([first]):
        report = probe(
            made, market, by_sample if is_sampled(first) else first, tests=wanted, samples=samples,
            limit=limit, budget=budget, seed=job.seed, confirm=confirmed(first, yes, voice),
            **{name: value for name, value in options.items() if name != "seed"},
        )  # fmt: skip
    for words in spending(first):
        voice(words)
    if as_json:
        print_json(report.to_dict())
    else:
        print(report)
    return 0 if report.ok else INCOMPLETE if report.verdict == "UNDECIDED" else DIFFERS


def sampler(job: Job, cls: type[Strategy]) -> Callable[[int], Analyst]:
    """Return who answers which sample: the job's analyst, and the same with another sample index."""
    from framework.llm.client import HolySheep
    from framework.llm.rules import Rules

    first: Any = analyst_of(job, cls) or Rules()

    def answering(sample: int) -> Analyst:
        if sample == 0 or not isinstance(first, HolySheep):
            return first  # type: ignore[no-any-return]
        return HolySheep(
            first.model, temperature=first.temperature, max_tokens=first.max_tokens, mode=first.mode,
            sample=sample, budget=first.budget, concurrency=first.concurrency, canary=False,
        )  # fmt: skip

    return answering


def is_sampled(analyst: Any) -> bool:
    """True for who can answer a question several times; a cassette holds one answer."""
    return bool(analyst.stand_in) or hasattr(analyst, "sample")


def confirmed(analyst: Any, yes: bool, voice: Voice) -> Callable[[ProbePlan], bool]:
    """Return who agrees to a plan: --yes, a relay on this machine, or the person at the terminal."""

    def agree(plan: ProbePlan) -> bool:
        voice(f"probe: {plan}")
        if not plan.to_ask or yes or getattr(analyst, "is_loopback", False):
            return True
        if not sys.stdin.isatty():
            raise ConfigError(f"probe: {plan}; add --yes to ask")
        print("go? [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    return agree
