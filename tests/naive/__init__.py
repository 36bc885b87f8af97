"""Slow plain-Python twins, written from design/rules.md and never from the engine's kernels.

`candles.run(case)` is the candle matcher and ledger; `cases.random_case(seed)` invents cases for it;
`compare.frames` and `compare.differences` put the engine beside it.
"""
