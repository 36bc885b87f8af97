"""The record: sealed, checked, and read by the rules of its time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from framework.errors import DataError
from framework.llm.decision import Prompt
from framework.llm.record import (
    FIELDS,
    SIGNAL_FIELDS,
    Reply,
    canonical,
    check,
    judge,
    make_record,
    request_of,
    seal,
    to_decision,
)
from framework.llm.reply import PARSER
from tests.llm_bench import GOOD, prompts_of


def made(text: str = GOOD, **fields: Any) -> tuple[Prompt, dict[str, Any]]:
    """Return a question and the record of its answer."""
    (prompt,) = prompts_of(1)
    reply = Reply(text, headers={"x-request-id": "7"})
    request = request_of("e", {"model": "m", "messages": []})
    return prompt, make_record(request, prompt, reply, judge(reply, prompt), analyst="A", stand_in=False,
                               latency_ns=5, **fields)  # fmt: skip


def test_the_fields_and_their_one_form() -> None:
    prompt, record = made(tries=[{"text": "no"}])
    assert record.keys() == FIELDS
    assert (record["ts"], record["symbol"], record["parser"]) == (prompt.ts, "binance:BTCUSDT", PARSER)
    assert (*record["signal"],) == SIGNAL_FIELDS
    assert record["reply"]["headers"] == {"x-request-id": "7"}
    text = canonical(record)
    assert canonical(json.loads(text)) == text
    assert seal(record) == seal(record | {"digest": "x"}) == record
    assert canonical(record["request"]) in text  # so that a key can be computed from the line itself


def test_any_altered_part_is_found() -> None:
    _, good = made()
    check(good)
    for name, value in good.items():
        with pytest.raises(DataError, match=r"altered|not a record"):
            check(good | {name: [value]})
        with pytest.raises(DataError, match=f"here: .*fields {name} .*--refresh|not a record"):
            check({k: v for k, v in good.items() if k != name}, "here")
    for odd in (None, [], {}, {"request": 1}, good | {"reply": float("nan")}, good | {1: 2}):
        with pytest.raises(DataError):
            check(odd)


def test_a_record_of_this_parser_is_trusted_and_another_is_read_again() -> None:
    prompt, record = made()
    changed = record | {"reply": record["reply"] | {"text": GOOD.replace("0.8", "0.7")}}
    found = [to_decision(seal(changed | {"parser": p}), prompt, 0).signal for p in (PARSER, PARSER + 1)]
    assert [one.confidence for one in found if one] == [0.8, 0.7]
    odd = to_decision(seal(record | {"signal": record["signal"] | {"confidence": 8.0}}), prompt, 0)
    assert (odd.status, odd.signal) == ("invalid", None)
    assert to_decision(made(tries=[{}, {}])[1], prompt, 0).tries == 2
