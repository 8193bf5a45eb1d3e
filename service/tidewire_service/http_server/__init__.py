"""uvicorn, and everything that Tidewire relies on in it."""
