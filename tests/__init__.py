"""Tests of the framework; a package so that `python -m tests.fuzz_candles` works."""
