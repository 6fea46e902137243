"""``otel-callbacks demo``."""
