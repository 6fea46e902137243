"""Tracing without a change to the app."""
