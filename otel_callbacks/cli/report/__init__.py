"""``otel-callbacks report``."""
