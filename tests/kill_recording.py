"""Kill -9 a recording at random points, resume, and compare: `python -m tests.kill_recording --kills 50`.

Two processes record the same questions into one store. In each round the first is killed after a random
number of answers while the other goes on; then the other is killed too. At last one records what is left.
What has to hold:

* what is stored when the killed are dead is never asked again; so a question is paid once, and once more for
  each kill that caught it in flight (at most `concurrency` per killed process)
* the cassette is that of an undisturbed recording, byte for byte but for times
* nobody waits for the dead: each round goes on, and the last one ends
* the ledger of the shared budget never shows less than was paid
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import Counter
from pathlib import Path

from framework.llm.budget import Budget
from tests.llm_workers import CONCURRENCY, CONTEXT, LIMIT, Relay, cassette, start, stored, wait_for

EACH = (800 * 0.14 + 150 * 0.42) / 1e6  # USD; what the relay says of its answers, at the model's price


def campaign(folder: Path, kills: int, count: int, seed: int) -> str:
    """Run it; return what was found in one line.

    Raises
    ------
    AssertionError
        Something that has to hold does not.
    """
    draw = random.Random(seed)
    place, reference, ledger = folder / "killed", folder / "reference", Budget(100.0, name="k", folder=folder)
    with Relay() as relay:
        caught = sum(kill_two(relay, place, ledger, draw, kills, count) for _ in range(kills // 2))
        finish(relay, place, count, ledger)
        paid = relay.total
        finish(relay, reference, count, Budget(folder=folder))
    assert len(stored(place)) == count
    assert cassette(place) == cassette(reference), "the cassettes differ"
    again, state = paid - count, ledger.state()
    # a question whose request the relay reads after the count below was in flight too
    assert max(again, caught) <= kills * CONCURRENCY, (again, caught)
    assert state.usd >= paid * EACH - 1e-9, (state, paid * EACH)
    return (
        f"{kills} kills, {count} questions: {paid} answers paid, {again} of them again ({caught} were in "
        f"flight at a kill); same cassette; ledger ${state.usd:.6f}, ${state.open_usd:.6f} of it open, for "
        f"${paid * EACH:.6f} paid"
    )


def kill_two(relay: Relay, place: Path, ledger: Budget, draw: random.Random, kills: int, count: int) -> int:
    """Let two record, kill one and then the other; return how many questions were lost in flight."""
    known, before = stored(place), Counter(relay.asked)
    pair = [start(relay, place, count, budget=ledger) for _ in range(2)]
    for worker in pair:
        target = relay.total + draw.randint(0, max(1, 2 * count // kills))
        wait_for(lambda: relay.total >= target or not worker.is_alive(), "a worker's answers")  # noqa: B023
        worker.kill()
        worker.join(LIMIT)
    relay.settle()
    after, asked = stored(place), relay.asked
    assert known <= after, "a stored answer is gone"
    assert not [text for text in known if asked[text] != before[text]], "stored, and asked again"
    return sum(asked[text] - before[text] for text in asked if text not in after)


def finish(relay: Relay, place: Path, count: int, ledger: Budget) -> None:
    """Record what is left, undisturbed."""
    worker = start(relay, place, count, budget=ledger)
    worker.join(LIMIT)
    assert worker.exitcode == 0, f"a recording ended with {worker.exitcode}"


def cold(folder: Path, processes: int, count: int) -> str:
    """Let so many processes record the same from cold, where not even the way of asking is known.

    Raises
    ------
    AssertionError
        A question was asked twice or never, or a process did not get all decisions.
    """
    out = CONTEXT.Queue()
    with Relay() as relay:
        workers = [start(relay, folder / "cold", count, out, concurrency=2) for _ in range(processes)]
        told = [out.get(timeout=LIMIT) for _ in workers]
        for worker in workers:
            worker.join(LIMIT)
    assert relay.asked == dict.fromkeys(relay.asked, 1), "a question was asked twice"
    assert len(relay.asked) == relay.server.calls == sum(paid for paid, _, _ in told) == count
    assert [(error, statuses) for _, error, statuses in told] == [("", ["ok"] * count)] * processes
    shares = "+".join(str(paid) for paid, _, _ in told)
    return f"{processes} processes from cold, {count} questions: {relay.server.calls} calls ({shares})"


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--cold", type=int, default=8, help="processes that record from cold, at first")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    seed = chosen.seed or random.SystemRandom().randrange(1, 2**31)
    print(f"seed {seed}")
    with tempfile.TemporaryDirectory() as folder:
        print(cold(Path(folder), chosen.cold, chosen.count), flush=True)
        print(campaign(Path(folder), chosen.kills, chosen.count, seed))


if __name__ == "__main__":
    main()
