"""Live charts in a notebook: the widget, its frames and its snapshot."""
