"""What travels: batches, cursors, patterns, durations, events, states and thresholds; no I/O."""
