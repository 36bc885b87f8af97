"""Streaming indicators: O(1) a value, equal to TA-Lib's, usable in Python and inside compiled hooks.

Each is used in two steps: `setup` makes a state (a float64 array), a hook feeds it one value for an answer.

    self.fast = ema.state(12)               # in setup
    fast = ema(self.fast, bar.close)        # in on_bar, once a bar

Rules that hold for all of them:

* The answer is NaN until enough values have been seen (TA-Lib's lookback) and equals TA-Lib's from then on.
  Sums keep TA-Lib's classic order; its releases differ from each other, and from this, in the last digits.
  Deviations (`std`, `bollinger`, `zscore`) do not lose digits on large prices, as TA-Lib's did before 0.7.
* A NaN input is a missing value: the answer is NaN and the state stays as it was. So they can be chained:
  `ema(self.smooth, rsi(self.strength, bar.close))` starts when `rsi` does, as in TA-Lib's Python package.
* A state serves one indicator of one instrument in one run; that of another indicator raises StrategyError.
"""

from framework.indicators.averages import ema, macd, sma
from framework.indicators.wilder import atr, rsi
from framework.indicators.windows import bollinger, rolling_max, rolling_min, std, zscore

__all__ = ["atr", "bollinger", "ema", "macd", "rolling_max", "rolling_min", "rsi", "sma", "std", "zscore"]
