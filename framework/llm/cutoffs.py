"""May the model remember this time? Latest claimed training cutoff plus a margin; unknown = it may.

Claims differ by source and models know more than they claim (arXiv:2511.12116), so the latest claim counts
and 90 days are added. The claims, with their sources, are in the table of models.
"""

from __future__ import annotations

import os

import numpy as np

from framework.llm.models import Claim, table

MARGIN_DAYS = 90
_Path = str | os.PathLike[str] | None


def claims_of(model: str, models: _Path = None) -> tuple[Claim, ...]:
    """Return the claims about a model's training data; none when nobody knows."""
    row = table(models).get(model)
    return row.cutoffs if row else ()


def cutoff_ns(model: str, models: _Path = None) -> int | None:
    """Return the ns from which on the model cannot remember, or None when nobody knows.

    Parameters
    ----------
    models : a table of models over the bundled one; default SHEEPFOLD_MODELS
    """
    claims = claims_of(model, models)
    if not claims:
        return None
    last = np.datetime64(max(claim.date for claim in claims), "ns") + np.timedelta64(MARGIN_DAYS, "D")
    return int(last.astype(np.int64))


def in_sample(model: str, ts: int, models: _Path = None) -> int:
    """Return 1 when the model may remember `ts`, else 0."""
    edge = cutoff_ns(model, models)
    return 1 if edge is None or ts < edge else 0
