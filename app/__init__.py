"""The browser app: pages, the record of a user's choices, the queue of analyses."""
