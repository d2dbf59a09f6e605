"""Passages in, fewer and better ones out. A reranker only scores; ``order`` does the rest."""
