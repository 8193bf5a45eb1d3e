"""From a reading to the log: never waits for the network; bounded, batched, retried, spooled to disk."""
