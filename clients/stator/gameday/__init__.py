"""Game days: a load that remembers everything, faults at their times, and a judgement of what the clients saw."""
