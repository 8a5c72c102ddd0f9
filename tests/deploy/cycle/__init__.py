"""`make compose`: deploy/compose.yaml for real, in an engine that this machine does not notice."""
