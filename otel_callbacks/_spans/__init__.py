"""Spans of runs, and the current span."""
