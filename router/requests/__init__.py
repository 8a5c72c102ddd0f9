"""One file an operation: the request object that either door makes, and what is checked about it (pure)."""
