"""Holds the newest readings in memory and packs them for charts.

Only the feed, the catalogue, the backfill, the past reader and the history cache do I/O.
"""
