"""One partition's decisions, free of IO."""
