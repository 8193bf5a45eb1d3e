"""Reads from the service over HTTP: streams, history pages and data frames."""
