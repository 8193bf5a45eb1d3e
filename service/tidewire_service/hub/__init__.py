"""Follows the log in one process, and delivers it to every subscription.

`hub`, `partition_feed`, `log_reads` and `live_connection` do I/O; everything else is pure.
"""
