"""Where an own order stands in its level's queue: what a trade and what a change of the level do to it.

Sources: the models of hftbacktest's documentation ("Probability Queue Position Models") by their formulas;
"risk_averse" lets only trades, and a level smaller than the queue, move an order forward.
"""

from __future__ import annotations

import math

from framework.jit import kernel
from framework.records import BACK, FRONT, LOG, POWER


@kernel(store=False)
def behind_power(ahead, behind, power):
    """Share of a cancelled quantity that lay behind us: b^N / (b^N + f^N)."""
    f = ahead**power
    b = behind**power
    return b / (b + f)


@kernel(store=False)
def behind_log(ahead, behind):
    """Share of a cancelled quantity that lay behind us: ln(1 + b) / (ln(1 + b) + ln(1 + f)), base units."""
    f = math.log(1.0 + ahead)
    b = math.log(1.0 + behind)
    return b / (b + f)


@kernel(store=False)
def after_change(model, power, ahead, level, traded, new, lot):
    """Lots ahead after the level went from `level` to `new` with `traded` lots traded there in between."""
    if model == FRONT:
        return 0.0
    if model == BACK:
        return ahead
    gone = level - new - traded
    if gone >= 0.0 and ahead > 0.0 and model in (POWER, LOG):
        behind = max(level - ahead, 0.0)
        if model == POWER:
            share = behind_power(ahead, behind, power)
        else:
            share = behind_log(ahead * lot, behind * lot)
        ahead = max(ahead - (1.0 - share) * gone, 0.0)
    return min(ahead, new)


@kernel(store=False)
def excess(lots, ahead):
    """Whole lots of a trade that go beyond the queue."""
    over = lots - ahead
    return math.floor(over + 1e-9) if over > 0.0 else 0.0
