"""What leaves: spans, events and metrics, counted when they are lost."""
