"""Export of spans, events and metrics; lost ones are counted."""
