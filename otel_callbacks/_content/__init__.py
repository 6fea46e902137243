"""What was said: captured, redacted and cut; only when capture is on."""
