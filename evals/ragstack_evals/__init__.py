"""Measures of ragstack: data sets, metrics, runs, benches. Imports anything; nothing imports it."""
