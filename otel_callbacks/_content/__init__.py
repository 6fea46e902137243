"""Content of messages, tools and retrievals: captured, redacted and cut."""
