"""``otel-callbacks reconcile``."""
