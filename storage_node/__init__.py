"""A storage node: its partitions' replicas, their log and their B-tree."""
