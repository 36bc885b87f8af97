"""Why orders end, in one sentence each: the words behind `records.REASONS`, and the rules of filling."""

from __future__ import annotations

WHY = {
    "below lot": "its quantity, rounded down to the lot, is nothing: rejected",
    "below min notional": "its value is below the venue's minimum: rejected",
    "insufficient margin": "the free equity did not cover its margin and its fee: rejected",
    "post-only would take": "it could have traded on arrival, and a post-only order may not take: rejected",
    "reduce-only would increase": "no position of the other side was left for it to reduce",
    "account is bust": "the account was bust before it arrived: rejected",
    "cancelled by strategy": "the strategy's cancel reached the exchange before (the rest of) it was filled",
    "IOC remainder": "immediate or cancel: what could not fill on arrival was cancelled",
    "FOK not fillable": "fill or kill: its whole quantity was not to be had within its limit on arrival",
    "no position": "there was no position to close when it arrived",
    "other order of the group filled": "an order of its group filled, which cancels the others",
    "position closed": "the position it would have closed was closed by something else",
    "past expire_ts": "its time was over: GTD ends at expire_ts",
    "liquidation": "the venue closed the position: equity no longer covered the maintenance margin",
    "bust": "equity fell to zero: everything was closed and cancelled there",
    "risk limit": "it would have exceeded a limit of Risk(...): rejected",
    "stop": "it was the stop of its entry's bracket",
    "target": "it was the target of its entry's bracket",
    "trail": "it was the trailing stop of its entry's bracket",
    "price below zero": "its price or trigger is not above zero: rejected",
    "book exhausted": "the opposite side of the book held no more, so the rest was cancelled",
}

WALKED = "it took from the opposite side of the book, from the best price on, level by level"
HOW = {
    "market": f"a market order trades on arrival: {WALKED}",
    "close": f"a close trades on arrival: {WALKED}",
    "taker": f"the opposite side was at or within its limit on arrival: {WALKED}",
    "trigger": f"its trigger was reached: {WALKED}",
    "through": "a trade went through its limit: what was left of it fills at its own price, as maker",
    "queue": "trades at its price used up the queue ahead of it, and the rest of them filled it, as maker",
    "reached": "the opposite side of the book reached its limit: it fills whole at its own price, as maker",
    "trade": "without a book every trade is a price: it took at the first trade it could",
    "bar market": "a market order fills at the open of the first bar it is in time for, plus slippage "
    '(with Fills(at="close"): at the close it was decided at)',
    "bar limit": "the bar reached its limit: it fills there, or at the open where that is better",
    "bar stop": "the bar reached its trigger: it fills there, or at the open where worse, plus slippage",
    "liquidation": WHY["liquidation"],
}
WAITING = "nothing filled it before the data ended: it was still working"
UNDERWAY = "the data ended before it arrived"
