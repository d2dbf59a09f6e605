"""Tools over a model file: show, quantise, measure, compare, tune. Nothing here serves requests."""
