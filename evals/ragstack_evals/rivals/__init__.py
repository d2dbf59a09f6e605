"""Retrieval beside its peers: one corpus, one embedder, a process for each system."""
