"""The log in Redis: its keys, its lineage, its calls, and the one append function; Redis is the only I/O."""
