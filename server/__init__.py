"""What every server process is made of."""
