"""Metrics, data sets, runs and comparisons. Imports anything; nothing imports it."""
