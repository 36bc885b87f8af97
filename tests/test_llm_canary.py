"""The canary: another model, another snapshot, other answers behind one name are noticed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from framework.llm import canary
from framework.llm.canary import COUNT, WATCHED, Seen, alarms, prompts, sample_of, seen
from framework.llm.rules import Rules
from framework.llm.store import Store
from framework.testing.holysheep import Scripted
from tests.llm_bench import GOOD, Bench, bench, prompts_of

__all__ = ["bench"]  # fixture


def turn(bench: Bench, store: str, answers: list[Any]) -> Seen:
    bench.store = bench.store.parent / store
    texts = [one.text for one in prompts()]
    bench.serve(lambda body: answers[texts.index(body["messages"][1]["content"])])
    with bench.client() as client:
        keys = [d.key for d in client.decide(prompts())]
        rows = {row["key"]: row for row in client.records()}
    return seen([rows.get(key) for key in keys])


def said(direction: str, confidence: float = 0.8) -> str:
    side = {"long": 1, "short": -1, "neutral": 0}[direction]
    levels = [100.0, 100.0 - 5 * side, 100.0 + 9 * side] if side else [None, None, None]
    names = ("suggested_entry", "stop_loss", "take_profit")
    more = dict(zip(names, levels, strict=True))
    return json.dumps({"direction": direction, "confidence": confidence, "regime": "ranging",
                       "reasoning": "r", "position_size_pct": 0.1 if side else 0, **more})  # fmt: skip


def test_a_swapped_model_a_new_fingerprint_and_other_answers_raise_an_alarm(bench: Bench) -> None:
    before = turn(bench, "a", [said("long")] * COUNT)
    assert (before.models, before.fingerprints) == (("deepseek-v3.2",), ("fp_loopback",))
    assert before.answers == (("long", 0.8),) * COUNT
    assert alarms(before, turn(bench, "b", [said("long")] * COUNT)) == ()
    swapped = turn(bench, "c", [*[said("long")] * 3, *[Scripted(text=said("long"), model="qwen-mini")] * 2])
    assert alarms(before, swapped) == (
        "canary: the model echoed changed from 'deepseek-v3.2' to 'deepseek-v3.2', 'qwen-mini'",
    )
    other = Scripted(text=said("long"), envelope={"system_fingerprint": "fp_2"})
    (words,) = alarms(before, turn(bench, "d", [other] * COUNT))
    assert words == "canary: the system fingerprint changed from 'fp_loopback' to 'fp_2'"
    two = turn(bench, "e", [said("short")] * 2 + [said("long")] * 3)
    assert alarms(before, two) == ()  # may be chance
    three = turn(bench, "f", [said("short"), said("neutral"), said("short"), said("long"), said("long")])
    assert alarms(before, three) == ("canary: 3 of 5 answers changed direction since the start",)
    shy = turn(bench, "g", [said("long", 0.5)] * COUNT)
    assert alarms(before, shy) == ("canary: confidence moved by 0.30 on average since the start",)
    json.dumps(three.to_dict())


def test_unanswered_questions_are_said_and_compared_no_further() -> None:
    whole = Seen(("m",), (), (("long", 0.8),) * COUNT)
    nothing = seen([None] * COUNT)
    assert alarms(whole, nothing)[-1] == "canary: 5 of 5 questions stayed unanswered, so less is known"
    assert alarms(nothing, nothing) == (
        "canary: 5 of 5 questions stayed unanswered, so less is known",
    )


def test_the_questions_are_fixed_and_clear_to_a_rule() -> None:
    found = Rules().decide(prompts())
    assert [d.signal.direction for d in found if d.signal] == ["long", "short", "neutral", "long", "short"]
    assert len({p.text for p in prompts()}) == COUNT
    assert prompts() is prompts()
    assert sample_of(3) == canary.FIRST_SAMPLE + 3


def test_every_turn_is_asked_anew_and_the_recording_says_what_changed(bench: Bench) -> None:
    models = ["real", "cheap", "cheap"]
    server = bench.serve(lambda body: Scripted(text=said("long"), model=models[(server.calls - 1) // COUNT]))

    def ask(sample: int) -> list[Any]:
        with bench.client(sample=sample) as client:
            keys = [d.key for d in client.decide(prompts())]
            rows = {row["key"]: row for row in client.records()}
            return [rows.get(key) for key in keys]

    with Store(bench.store) as shelf:
        watch = canary.Canary(ask, shelf, "canary:here:deepseek-v3.2")
        assert watch.alarms == ()
        watch.turn()
        assert watch.alarms == ()
        watch.turn()
        assert watch.alarms == ("canary: the model echoed changed from 'real' to 'cheap'",)
        assert server.calls == 2 * COUNT
        later = canary.Canary(ask, shelf, "canary:here:deepseek-v3.2")
        later.turn()
        assert server.calls == 3 * COUNT  # another recording hears no old answer
    told = watch.describe()
    assert [one["sample"] for one in told["turns"]] == [sample_of(0), sample_of(1)]
    assert told["alarms"] == [*watch.alarms]
    json.dumps(told)


def test_a_recording_is_watched_and_priced_with_its_canary(bench: Bench) -> None:
    questions = prompts_of(WATCHED)
    fixed = {one.text for one in prompts()}

    def plan(body: dict[str, Any]) -> Scripted:
        swapped = len(server.requests) > COUNT + 30  # in the middle of the recording
        text = said("long") if body["messages"][1]["content"] in fixed else GOOD
        return Scripted(text=text, model="cheap" if swapped else None)

    server = bench.serve(plan)
    with bench.client(canary=True) as client:
        plain, watched = (bench.client(canary=flag).plan(questions).worst_usd for flag in (False, True))
        assert watched > plain
        assert client.plan(questions[1:]).worst_usd < plain
        found = client.decide(questions)
        assert client.alarms == ("canary: the model echoed changed from 'deepseek-v3.2' to 'cheap'",)
        assert server.calls == WATCHED + 2 * COUNT
        assert client.spent_usd <= watched
        assert {row["key"] for row in client.records()} == {d.key for d in found}
        assert client.decide(questions) == found
    assert server.calls == WATCHED + 2 * COUNT


def test_record_order_matters() -> None:
    with pytest.raises(ValueError, match="argument"):
        seen([None])
