"""Grammars: what a constrained text may be, and how it comes to an end within its budget."""
