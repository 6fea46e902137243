"""Runs become spans; which span is current."""
