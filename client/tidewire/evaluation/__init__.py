"""What formulas are over columns of readings: NumPy, no I/O, and no state from one time to the next."""
