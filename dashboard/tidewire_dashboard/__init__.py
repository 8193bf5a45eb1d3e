"""The dashboard: one stream per process, one store, one view frame per viewer."""
