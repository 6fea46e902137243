"""``otel-callbacks doctor``."""
