"""Data sets and target functions."""
