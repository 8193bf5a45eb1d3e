"""Holds the newest readings in memory and packs them for charts.

Only the feed, the backfill and the history cache do I/O.
"""
