"""Deliberate breakages of our own code, each of which the tests have to catch."""
