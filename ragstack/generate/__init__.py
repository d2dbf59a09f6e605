"""Messages in, Deltas out: the local engine, any OpenAI-compatible server, scripts for tests."""
