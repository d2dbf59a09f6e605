"""Chunks in, exact BM25 hits out: segments of plain arrays that grow, shrink and merge."""
