"""The demonstration: the cities of the world, imported while the busiest storage node is killed, all read back."""
