"""What deploy/ offers: configuration files that tell the truth, and containers that start."""
