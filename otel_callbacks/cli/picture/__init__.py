"""Traces drawn: in a terminal and as a page."""
