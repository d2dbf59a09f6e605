"""What people touch: the server and the chat page. Thin clients; they own no logic."""
