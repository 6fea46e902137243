"""``otel-callbacks prices``."""
