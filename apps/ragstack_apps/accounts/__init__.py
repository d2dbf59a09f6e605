"""Who asks, and what they may: users, sessions, API keys, an audit log. Knows no HTTP server."""
