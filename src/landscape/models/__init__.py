"""Networks by name: one file a source or family, each with ``CARDS`` or a function ``card``."""
