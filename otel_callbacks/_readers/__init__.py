"""What LangChain hands over, read into records.

No module here knows OpenTelemetry or Prometheus, and none needs a provider's
package: payloads are read by their shape.
"""
