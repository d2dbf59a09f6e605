"""Decide: loops as generators of effects, tools, and a driver that acts for them."""
