"""The engine's bench: contestants in processes of their own, one at work at a time."""
