"""What an operator looks at: telemetry, readiness, Redis checks, self metrics and memory."""
