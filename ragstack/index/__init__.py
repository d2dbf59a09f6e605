"""Chunks in, Hits out: words (bm25, tantivy), vectors (faiss), fusion; derived, never the truth."""
