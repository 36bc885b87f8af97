"""What a question that was never recorded differs in from the nearest one that was."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from framework.llm.record import Record, canonical

LABELS = {"endpoint": "endpoint (HOLYSHEEP_BASE_URL)"}
MOST = 20_000  # records of a store that are looked at: an error must not take minutes


def way_of(request: Record) -> Record:
    """Return how a request was asked: everything of it but the texts."""
    body = {name: value for name, value in request["body"].items() if name != "messages"}
    rest = {name: value for name, value in request.items() if name != "body"}
    return {**body, **rest, "roles": [message["role"] for message in request["body"]["messages"]]}


def said(value: Any) -> str:
    """Return a value as a user names it: the type of a response format, a number without its form."""
    if isinstance(value, dict):
        value = value.get("type", canonical(value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def nearest_words(request: Record, recorded: Iterable[Record]) -> str:
    """Return how a request differs from the nearest of those recorded, in one line; "" without any."""
    asked = text_lines(request)
    wanted, way = set(asked), way_of(request)

    def likeness(other: Record) -> tuple[int, int]:
        theirs = way_of(other)
        return len(wanted.intersection(text_lines(other))), sum(theirs.get(n) == v for n, v in way.items())

    near = max(recorded, key=likeness, default=None)
    if near is None:
        return ""
    theirs = way_of(near)
    found = [
        f"{LABELS.get(name, name)} {said(theirs.get(name))} (recorded) against {said(value)} (asked)"
        for name, value in way.items() if said(theirs.get(name)) != said(value)
    ]  # fmt: skip
    text = difference(text_lines(near), asked)
    return "the nearest recorded prompt differs in " + ", ".join([*found, *([text] if text else [])])


def requests_of(shelf: Any) -> Iterator[Record]:
    """Yield the requests of a store's records, the first `MOST` of them."""
    items = getattr(shelf, "items", None)
    for _, text in islice(items(), MOST) if items is not None else ():
        if text.startswith("{"):  # a store keeps short notes as well
            record = json.loads(text)
            if isinstance(record, dict) and "request" in record:
                yield record["request"]


def text_lines(request: Record) -> list[str]:
    """Return the lines of all messages."""
    return [line for m in request["body"]["messages"] for line in m["content"].split("\n")]


def difference(recorded: Sequence[str], asked: Sequence[str]) -> str:
    """Return the first pair of differing lines and how many places more differ; "" for none."""
    pairs = []
    matcher = difflib.SequenceMatcher(None, recorded, asked, autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag != "equal":
            pairs.append((_joined(recorded[a:b]), _joined(asked[c:d])))
    if not pairs:
        return ""
    more = f" and {len(pairs) - 1} more places" if len(pairs) > 1 else ""
    return f"{pairs[0][0]!r} (recorded) against {pairs[0][1]!r} (asked){more}"


def _joined(lines: Sequence[str]) -> str:
    return " / ".join(lines)[:160] or "nothing"
