"""Read LangChain's payloads into records.

No module here imports OpenTelemetry or Prometheus, and none needs a provider's
package: payloads are read by their shape.
"""
