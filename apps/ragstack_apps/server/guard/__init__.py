"""What stands round the application: headers, foreign pages, limits, the log, metrics, traces."""
