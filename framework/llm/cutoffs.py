"""May the model remember this time? Latest claimed training cutoff plus a margin; unknown = it may.

Claims differ by source and models know more than they claim (arXiv:2511.12116), so the latest claim counts
and 90 days are added. Claims of models.dev 1.0.398 and, for DeepSeek V3.2, also OpenRouter (2024-07) and the
pages that say 2025-07-31 and 2025-09, as collected up to 2026-11-23; a month means its last day.
"""

from __future__ import annotations

import numpy as np

MARGIN_DAYS = 90

CLAIMS: dict[str, tuple[str, ...]] = {
    "deepseek-v3.2": ("2024-07-31", "2025-07-31", "2025-09-30"),
    "gpt-4.1": ("2024-04-30",),
    "gpt-4.1-mini": ("2024-04-30",),
    "claude-sonnet-4.5": ("2025-07-31",),
    "gemini-2.5-flash": ("2025-01-31",),
    "gemini-2.5-pro": ("2025-01-31",),
}


def cutoff_ns(model: str) -> int | None:
    """Return the ns from which on the model cannot remember, or None when nobody knows."""
    claims = CLAIMS.get(model)
    if claims is None:
        return None
    last = np.datetime64(max(claims), "ns") + np.timedelta64(MARGIN_DAYS, "D")
    return int(last.astype(np.int64))


def in_sample(model: str, ts: int) -> int:
    """Return 1 when the model may remember `ts`, else 0."""
    edge = cutoff_ns(model)
    return 1 if edge is None or ts < edge else 0
