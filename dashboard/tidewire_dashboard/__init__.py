"""The Panel dashboard: reads one stream of the service per process and sends each viewer binary view frames."""
