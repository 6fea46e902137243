"""Tracing without a change in the app."""
