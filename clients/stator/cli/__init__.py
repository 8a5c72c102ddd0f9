"""The `stator` command."""
