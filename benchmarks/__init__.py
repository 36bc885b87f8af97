"""Measured figures, ours beside the peers': `python -m benchmarks [candles ...] [--json] [--peers]`."""
