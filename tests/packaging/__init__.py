"""What users install: the wheel, away from this checkout."""
