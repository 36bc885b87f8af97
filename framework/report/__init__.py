"""The report of a run: one self-contained page, its pictures, and results side by side."""
