"""Where replicas go (pure)."""
