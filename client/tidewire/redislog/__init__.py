"""The log in Redis: its keys, lineage and calls, and the one append function; its only I/O is Redis."""
