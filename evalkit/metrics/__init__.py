"""Counts and figures: takes an alignment or counts, gives counts and ratios. Reads no files."""
