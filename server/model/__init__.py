"""DynamoDB's data model: items, keys, limits, errors (pure)."""
