"""The IO shell that every server process shares."""
