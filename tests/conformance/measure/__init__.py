"""How far what an app exports keeps to OpenTelemetry's GenAI conventions."""
