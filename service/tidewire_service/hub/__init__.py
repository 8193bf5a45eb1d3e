"""The live end of the log in one process, and its delivery to every subscription.

Only the hub, its reads and its live connection do I/O.
"""
