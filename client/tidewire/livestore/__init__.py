"""The newest readings in memory, and what a chart is sent of them.

Only the feed, the backfill and the history cache do I/O.
"""
