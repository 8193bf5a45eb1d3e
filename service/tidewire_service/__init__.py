"""The Litestar service: from the log to every subscriber."""
