"""Load generation: what `stator bench` does, in processes of its own so that it does not slow what it measures."""
