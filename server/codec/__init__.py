"""Bytes of the node's log (pure)."""
