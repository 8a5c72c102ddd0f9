"""`make bench`: Stator beside its peers, in one run on one machine."""
