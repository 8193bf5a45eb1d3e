"""From a reading to the log: never blocks, bounded, batched and retried; the sender and the spool do the I/O."""
