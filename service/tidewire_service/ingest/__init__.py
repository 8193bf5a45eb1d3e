"""Ingest formats, one file each, and the inbox for producers that have only a Redis client."""
