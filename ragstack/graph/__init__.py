"""Entities and facts of chunks in a store; knows no documents and no other index."""
