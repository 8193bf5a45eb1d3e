"""The routes: one file for each row of the HTTP API."""
