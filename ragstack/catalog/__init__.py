"""The truth of a base: documents, chunks, journal, conversations, settings; in SQLite."""
