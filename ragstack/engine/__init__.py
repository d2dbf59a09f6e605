"""llama.cpp: tokens in, tokens and logits out. Knows no prompts, no messages, no retrieval."""
