"""Documents in, chunks out. A chunker says where to cut; what a chunk carries is made in one place.

Spans are carried from the first step to the last and never searched for.
"""
