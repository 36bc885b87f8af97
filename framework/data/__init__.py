"""Where market data comes from: files, generators, downloads. Knows nothing of the engine."""
