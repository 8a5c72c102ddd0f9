"""A whole three-zone cluster on this machine: what `stator local` drives."""
