"""DSPy with its own cache: upstream calls, half a reply, tokens and cost of a hit.

    LITELLM_LOCAL_MODEL_COST_MAP=True DSPY_CACHEDIR=FOLDER python run_dspy.py URL KEY
"""

from __future__ import annotations

import sys
from importlib.metadata import version

import chat
import dspy

if __name__ == "__main__":
    model = dspy.LM(f"openai/{chat.MODEL}", api_base=sys.argv[1], api_key=sys.argv[2], temperature=0.0,
                    max_tokens=800)  # fmt: skip

    def ask(text):
        """Return what an answer holds and what DSPy's history says it cost."""
        said = model(text)[0]
        row = model.history[-1]
        return {"text": said if isinstance(said, str) else said["text"],
                "tokens": (row["usage"] or {}).get("total_tokens", 0), "usd": row["cost"]}  # fmt: skip

    chat.tell(version("dspy"), ask)
