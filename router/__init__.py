"""The request router: both doors, validation, routing."""
