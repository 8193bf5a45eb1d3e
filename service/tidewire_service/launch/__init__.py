"""The commands `up`, `serve`, `host` and `token`, their supervisor, and the bundled Valkey."""
