"""A base as a Model Context Protocol server: for assistants that bring their own model."""
