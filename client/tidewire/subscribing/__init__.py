"""From the service to Python: streams, history pages and data frames; HTTP is the only I/O."""
