"""The language of formulas: from a text to a checked tree, its canonical text, and the series that it reads; no I/O."""
