"""What users get wrong: candle files, strategy files, and commands with what the one line says."""

from __future__ import annotations

HEAD = "open_time_ms,open,high,low,close,volume\n"
FIRST, SECOND = "1704067200000,1,2,0.5,1.5,10\n", "1704070800000,1,2,0.5,1.5,10\n"
CANDLES = {
    "ok.csv": FIRST + SECOND,
    "unsorted.csv": SECOND + FIRST,
    "twice.csv": FIRST + FIRST,
    "nan.csv": FIRST + "1704070800000,1,2,0.5,nan,10\n",
    "negative.csv": FIRST + "1704070800000,1,2,-0.5,1.5,10\n",
    "high.csv": FIRST + "1704070800000,1,0.4,0.5,0.5,10\n",
}
CODE = {
    "noimport.py": "import nosuchmodule\n",
    "syntax.py": "class A(Strategy:\n    pass\n",
    "hook.py": "class A(Strategy):\n    def on_bar(self, bar):\n        pass\n",
    "nohook.py": "class A(Strategy):\n    def on_bars(self, bar, broker):\n        pass\n",
    "none.py": "x = 1\n",
    "idle.py": "class A(Strategy):\n    def setup(self):\n        self.n = 0\n",
    "folio.py": "class A(Strategy):\n    def ask_portfolio(self, view, broker):\n        pass\n",
    "exits.py": "import sys\nclass A(Strategy):\n    def on_bar(self, bar, broker):\n        sys.exit(3)\n",
    "exits_first.py": "import sys\nclass A(Strategy):\n    def setup(self):\n        sys.exit()\n"
    "    def on_bar(self, bar, broker):\n        pass\n",
    "still.py": "class A(Strategy):\n    timer = '0m'\n    def on_timer(self, now, broker):\n        pass\n",
    "nostate.py": "@compiled\nclass A(Strategy):\n    def on_bar(self, bar, broker):\n        self.y += 1\n",
    "two.py": "class A(Strategy):\n    pass\nclass B(Strategy):\n    pass\n",
    "quits.py": "raise SystemExit(3)\n",
    "annotated.py": "class A(Strategy):\n    names: list = []\n",
    "state.py": "@compiled\nclass A(Strategy):\n    def setup(self):\n        self.seen = {}\n"
    "    def on_bar(self, bar, broker):\n        self.seen[bar.ts] = 1\n",
    "grows.py": "@compiled\nclass A(Strategy):\n    def setup(self):\n        self.n = 0\n"
    "    def on_bar(self, bar, broker):\n        self.n = self.n + 0.5\n",
    "unset.py": "@compiled\nclass A(Strategy):\n    def setup(self):\n        self.count = 0\n"
    "    def on_bar(self, bar, broker):\n        self.cuont = 1\n",
    "text.py": "@compiled\nclass A(Strategy):\n    def on_bar(self, bar, broker):\n"
    "        x = bar.close + 'a'\n",
    "divides.py": "class A(Strategy):\n    def on_bar(self, bar, broker):\n        1 / 0\n",
    "order.py": "class A(Strategy):\n    def on_bar(self, bar, broker):\n"
    "        broker.buy(qty=float('nan'))\n",
    "stops.py": "class A(Strategy):\n    def on_bar(self, bar, broker):\n        raise KeyboardInterrupt\n",
    "prints.py": "class A(Strategy):\n    def setup(self):\n        print('hello')\n"
    "    def on_bar(self, bar, broker):\n        pass\n",
    "peeks.py": "from framework.samples import load\nBARS = load('btcusd-1h').match_bars(0)\n"
    "class A(Strategy):\n    def on_bar(self, bar, broker):\n"
    "        row = BARS['close_ts'].searchsorted(bar.close_ts, side='right')\n"
    "        if row < len(BARS) and BARS['close'][row] > bar.close and broker.position == 0.0:\n"
    "            broker.buy(share=0.5)\n        elif broker.position > 0.0:\n            broker.close()\n",
    "random_walk.py": "import random\nclass A(Strategy):\n    def on_bar(self, bar, broker):\n"
    "        if random.random() < 0.01:\n            broker.buy(share=0.5 * random.random())\n",
}
CSV = ["--instrument", "binance:BTCUSDT", "--interval", "1h", "--stamp", "open"]
BAD = [  # (command, exit code, what the line says)
    ("backtest", 2, "Missing argument"),
    ("backtset ema.py", 2, "backtset"),
    ("backtest ema.py --cahs 5", 2, "--cash"),
    ("backtest ema.py --cash abc", 2, "--cash"),
    ("backtest ema.py --cash -5", 2, "cash must be a positive amount"),
    ("backtest ema.py --leverage 0", 2, "leverage must be a number above 0 and at most 200, not 0.0"),
    ("backtest ema.py --fills hftbacktest", 2, "wait for tick data"),
    ("backtest ema.py --margin crss", 2, "did you mean cross?"),
    ("backtest ema.py --slippage 5", 2, "0.0005 is 5 bps"),
    ("backtest ema.py --latency 20", 2, "--latency"),
    ("backtest ema.py --latency ordr=20ms", 2, "did you mean order?"),
    ("backtest ema.py --fills bactrader", 2, "did you mean backtrader?"),
    ("backtest ema.py --fills att=close", 2, "did you mean at?"),
    ("backtest ema.py -p fast", 2, "name=value"),
    ("backtest ema.py -p fast=1 -p fast=2", 2, "given twice"),
    ("backtest ema.py -p fats=3", 2, "did you mean fast?"),
    ("backtest ema.py -p fast=abc", 2, "EmaCross.fast is int"),
    ("backtest ema.py -p share=nan", 2, "finite"),
    ("backtest em.py", 2, "did you mean ema.py"),
    ("backtest nowhere/ema.py", 2, "no folder nowhere"),
    ("backtest ema.py:EmaCros", 2, "did you mean EmaCross?"),
    ("backtest two.py", 2, "two.py:B"),
    ("backtest none.py", 2, "holds no Strategy class"),
    ("backtest noimport.py", 2, "noimport.py:2: ModuleNotFoundError"),
    ("backtest syntax.py", 2, "syntax.py:2: SyntaxError"),
    ("backtest quits.py", 2, "quits.py:2: SystemExit"),
    ("backtest exits.py", 2, "A.on_bar, exits.py:5: SystemExit: 3"),
    ("backtest exits_first.py", 2, "A.setup, exits_first.py:5: SystemExit"),
    ("backtest idle.py", 2, "A has no hook, so nothing ever happens: define on_bar"),
    ("backtest folio.py", 2, "A.ask_portfolio is never called"),
    ("backtest still.py", 2, "A.timer must be longer than 0"),
    ("backtest nostate.py", 2, "names 'y', which setup does not set: there is none yet; add it first"),
    ("backtest hook.py", 2, "on_bar(self, bar, broker)"),
    ("backtest nohook.py", 2, "did you mean on_bar"),
    ("backtest annotated.py", 2, "int, float, bool or str"),
    ("backtest state.py", 2, "A.seen is a dict"),
    ("backtest grows.py", 2, "start it as float"),
    ("backtest unset.py", 2, "unset.py:"),
    ("backtest text.py", 2, "TypeError"),
    ("backtest divides.py", 2, "divides.py:4: ZeroDivisionError"),
    ("backtest order.py", 2, "exactly one of qty and share"),
    ("backtest ema.py --market nowhere:x", 2, "sample:NAME"),
    ("backtest ema.py --market sample:btcusd", 2, "did you mean btcusd-1h?"),
    ("backtest ema.py --from soon", 2, "--from"),
    ("backtest ema.py --from 2030-01-01", 3, "the market covers"),
    ("backtest ema.py --market candles:ok.csv", 2, "--instrument"),
    ("backtest ema.py --market candles:ok.csv --instrument binance:BTCUSDT --interval 1h", 2, "stamp"),
    ("backtest ema.py --market candles:ok.csv --instrument binance:BTCUSDT --stamp opn", 2, "stamp"),
    ("backtest ema.py --market candles:none.csv CSV", 3, "no such file"),
    ("backtest ema.py --market candles:unsorted.csv CSV", 3, "unsorted.csv: row 2"),
    ("backtest ema.py --market candles:twice.csv CSV", 3, "twice.csv: row 2"),
    ("backtest ema.py --market candles:nan.csv CSV", 3, "nan.csv: row 2: close"),
    ("backtest ema.py --market candles:negative.csv CSV", 3, "negative.csv: row 2: low"),
    ("backtest ema.py --market candles:high.csv CSV", 3, "high.csv: row 2: high"),
    ("backtest ema.py --model deepseek-v3.2", 2, "asks nothing"),
    ("backtest regime.py --record", 2, "HOLYSHEEP_API_KEY is not set"),
    ("backtest regime.py --cassette none.jsonl", 3, "none.jsonl"),
    ("backtest regime.py --record --cassette none.jsonl", 2, "--cassette"),
    ("backtest ema.py --out ok.csv", 2, "is a file"),
    ("backtest ema.py --out .", 2, "holds other files"),
    ("rerun nowhere", 2, "no such folder"),
    ("rerun .", 5, "manifest.json: is missing"),
    ("report nowhere", 2, "no such folder"),
    ("sweep ema.py", 2, "say what to sweep"),
    ("sweep ema.py -p fast=5:5", 2, "holds no value"),
    ("sweep ema.py -p fast=5:x", 2, "start:stop"),
    ("sweep ema.py -p fsat=5:9", 2, "did you mean fast"),
    ("sweep ema.py -p fast=5 --out all.txt", 2, ".csv or .parquet"),
]  # fmt: skip
