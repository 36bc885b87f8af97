"""litellm with its disk cache: upstream calls, half a reply, tokens and cost of a hit.

    LITELLM_LOCAL_MODEL_COST_MAP=True python run_litellm.py URL KEY FOLDER
"""

from __future__ import annotations

import sys
from importlib.metadata import version

import chat
import litellm


def ask(text):
    """Return what an answer holds and what litellm says it cost."""
    got = litellm.completion(model=f"openai/{chat.MODEL}", api_base=sys.argv[1], api_key=sys.argv[2],
                             caching=True, messages=[{"role": "user", "content": text}],
                             temperature=0.0)  # fmt: skip
    tokens = got.usage.total_tokens if got.get("usage") else 0
    return {"text": got.choices[0].message.content, "tokens": tokens,
            "usd": got._hidden_params.get("response_cost")}  # fmt: skip


if __name__ == "__main__":
    litellm.telemetry = False
    litellm.cache = litellm.Cache(type="disk", disk_cache_dir=sys.argv[3])
    chat.tell(version("litellm"), ask)
