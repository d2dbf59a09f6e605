"""A question in, a plan of searches out, and a look at what they found; nothing searches here."""
