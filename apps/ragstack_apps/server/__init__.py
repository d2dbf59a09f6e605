"""HTTP in, answers out: the OpenAI-compatible server over one base and one batched engine."""
