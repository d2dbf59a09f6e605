"""Chunks in, Hits out: words (tantivy), vectors (faiss), their fusion; derived, never the truth."""
