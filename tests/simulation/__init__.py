"""Deterministic simulation: one seed drives clocks, network, disks and crashes; the real cores and host run in it."""
