"""ragstack: local-first RAG and agents, in which every citation is a verbatim, checked quote."""
