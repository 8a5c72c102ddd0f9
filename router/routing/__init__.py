"""Where a request goes, and what to do with the answer (pure)."""
