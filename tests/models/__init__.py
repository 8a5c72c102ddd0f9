"""Specs of how replication works, which a model checker explores to the end, and breakages that it has to find."""
