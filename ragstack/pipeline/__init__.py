"""The rooms put together: ingest, retrieve, pack, answer, cite, chat; and their Stack."""
