"""Ingest formats, one file per format, and the inbox for producers that have only a Redis client."""
