"""Questions whose answer is not a signal: what does the model remember of a time, what does it recognise?

The date-only question follows Gao, Jiang, Yan (arXiv:2512.23847): what a model can say of a past price
without being shown any is memory, and it should end at its cutoff.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from framework.errors import SignalError
from framework.llm.written import when

if TYPE_CHECKING:
    from framework.llm.decision import Prompt
    from framework.llm.record import Reply
    from framework.llm.signal import Parsed

RECALL, REIDENTIFY = "recall", "reidentify"
_DATE = re.compile(r"(\d{4}-\d{2}-\d{2})([T ].*)?")

_SYSTEM = "You answer one question about past markets from memory, with exactly one JSON object and no prose."
_PRICE = """Instrument: {symbol}
Time: {time}
What was its price then? Answer {{"price": number}} when you remember it, else {{"price": null}}."""
_IDENTITY = """The brief below was made unrecognisable: name, dates, prices and volumes were replaced.
Which instrument is it, and on which day was it really written?
Answer {{"symbol": text or null, "date": "YYYY-MM-DD" or null}}.

{brief}"""


def recall_prompt(prompt: Prompt) -> Prompt:
    """Return the question for the price at the time of another question, and nothing of its brief."""
    text = _PRICE.format(symbol=prompt.brief.symbol, time=when(prompt.brief.bar_ts))
    return replace(prompt, text=text, system=_SYSTEM, kind=RECALL)


def reidentify_prompt(masked: Prompt) -> Prompt:
    """Return the question what a masked brief really is."""
    return replace(masked, text=_IDENTITY.format(brief=masked.text), system=_SYSTEM, kind=REIDENTIFY)


def judge_recall(reply: Reply, kind: str) -> Parsed:
    """Return the verdict on such a reply: ok when it can be read, "I do not know" included."""
    from framework.llm.signal import Parsed, unfinished

    stopped = unfinished(reply.finish_reason, reply.tool_calls)
    if stopped is not None:
        return stopped
    try:
        read_price(reply.text) if kind == RECALL else read_identity(reply.text)
    except SignalError as error:
        return Parsed(None, "invalid", (), (str(error),))
    return Parsed(None, "ok")


def read_price(text: str) -> float | None:
    """Return the price of a recall, None for "I do not know".

    Raises
    ------
    SignalError
        The reply is not one object with a positive number or null.
    """
    value = _object(text, "price")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 < value < math.inf:
        raise SignalError("price: a positive number or null is needed")
    return float(value)


def read_identity(text: str) -> tuple[str | None, str | None]:
    """Return (symbol, date) a model recognises, None for what it does not know.

    Raises
    ------
    SignalError
        The reply is not one object with these two.
    """
    symbol, date = _object(text, "symbol"), _object(text, "date")
    if not all(value is None or isinstance(value, str) for value in (symbol, date)):
        raise SignalError("symbol and date: texts or null are needed")
    if date is None:
        return symbol, None
    found = _DATE.fullmatch(date.strip())
    if found is None:
        raise SignalError("date: YYYY-MM-DD or null is needed")
    return symbol, found.group(1)


def _object(text: str, name: str) -> Any:
    from framework.llm.reply import read_object

    found, _ = read_object(text)
    if name not in found:
        raise SignalError(f"missing {name}")
    return found[name]
