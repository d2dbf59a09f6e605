"""Texts in, unit vectors out. Each file is one way to do it; the registry loads it by name."""
