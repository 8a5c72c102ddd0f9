"""The layout of what a storage node keeps and sends: mutations, stored values, snapshots."""
