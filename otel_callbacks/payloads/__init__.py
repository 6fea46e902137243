"""What LangChain hands over, read into the records of ``operations``.

Each module reads one thing: requests, steps, responses, usage, errors, providers,
server addresses, metadata. None knows OpenTelemetry or Prometheus, and none needs
a provider's package: payloads are read by their shape.
"""
