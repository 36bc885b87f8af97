"""One question to its end: the first turn, and repair turns while the reply is not valid.

A repair turn shows the model its own reply and what is wrong with it. All turns are paid and stay under the
key of the first prompt; the last one is the reply. What cannot be repaired is not tried: an answer cut at
`max_tokens`, a refusal, a reply nobody could read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from framework.llm.prices import Price, Tokens, price_tokens, tokens_of
from framework.llm.record import Cost, Record, judge

if TYPE_CHECKING:
    from framework.llm.decision import Prompt
    from framework.llm.signal import Parsed
    from framework.llm.wire import Sent

REPAIR = (
    "That reply cannot be used: {problems}. Answer the same question again with exactly one JSON object of "
    "the form asked for, and nothing else."
)
LONGEST_PROBLEMS = 300  # characters
LONGEST_REPLY = 8  # bytes per token of max_tokens: what is longer is not sent back


@dataclass(frozen=True, slots=True)
class Turn:
    """One paid answer and its verdict."""

    sent: Sent
    verdict: Parsed
    tokens: Tokens
    cost: Cost


@dataclass(slots=True)
class Answered:
    """All turns of one question, oldest first; `error` when a repair turn got no answer."""

    turns: list[Turn] = field(default_factory=list)
    error: Exception | None = None

    @property
    def is_valid(self) -> bool:
        """True when the last reply can be used."""
        return self.turns[-1].verdict.status == "ok"


def converse(first: Sent, body: Record, prompt: Prompt, price: Price, repairs: int,
             send: Callable[[Record], Sent | Exception]) -> Answered:
    """Judge an answer and repair it while that can help.

    Parameters
    ----------
    first : the answer to `body`
    repairs : turns after it, at most
    send : sends one more body
    """
    found = Answered([turn_of(first, body, prompt, price)])
    for _ in range(repairs):
        if not is_repairable(found.turns[-1], int(body["max_tokens"])):
            break
        body = repair_body(body, found.turns[-1])
        sent = send(body)
        if isinstance(sent, Exception):
            found.error = sent
            break
        found.turns.append(turn_of(sent, body, prompt, price))
    return found


def turn_of(sent: Sent, body: Record, prompt: Prompt, price: Price) -> Turn:
    """Return an answer with its verdict and its cost."""
    tokens = tokens_of(sent.reply.usage, bytes_of(body), int(body["max_tokens"]))
    return Turn(sent, judge(sent.reply, prompt), tokens, price_tokens(price, tokens))


def bytes_of(body: Record) -> int:
    """Return the size of what the model reads, in bytes."""
    return sum(len(message["content"].encode("utf-8", "surrogatepass")) for message in body["messages"])


def is_repairable(turn: Turn, max_tokens: int) -> bool:
    """True when another turn may help."""
    reply = turn.sent.reply
    if turn.verdict.status != "invalid" or reply.problem or reply.tool_calls:
        return False
    return len(reply.text.encode("utf-8", "surrogatepass")) <= LONGEST_REPLY * max_tokens


def repair_body(body: Record, turn: Turn) -> Record:
    """Return the body of the next turn: the same, the reply, and what is wrong with it."""
    problems = "; ".join(turn.verdict.problems)[:LONGEST_PROBLEMS]
    said = [{"role": "assistant", "content": turn.sent.reply.text}] if turn.sent.reply.text else []
    wish = {"role": "user", "content": REPAIR.format(problems=problems)}
    return {**body, "messages": [*body["messages"], *said, wish]}


def tries_of(turns: Sequence[Turn]) -> list[Record]:
    """Return the turns before the last as a record keeps them."""
    return [
        {"text": turn.sent.reply.text, "status": turn.verdict.status, "problems": list(turn.verdict.problems),
         "usage": turn.sent.reply.usage, "latency_ns": turn.sent.latency_ns, "cost": turn.cost.usd}
        for turn in turns[:-1]
    ]  # fmt: skip


def cost_of_all(turns: Sequence[Turn]) -> Cost:
    """Return what all turns cost together."""
    basis = dict.fromkeys(turn.cost.basis for turn in turns)
    return Cost(sum(turn.cost.usd for turn in turns), "; ".join(basis),
                any(turn.cost.estimated for turn in turns))  # fmt: skip
