"""What an operator needs: telemetry, readiness, Redis checks, self metrics and the memory limit."""
