"""The doors of the service: one file per foreign format."""
