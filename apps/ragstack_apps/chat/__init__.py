"""The chat UI: pages in a browser, over a ragstack server. It decides nothing of its own."""
