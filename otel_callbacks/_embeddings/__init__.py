"""Embeddings as spans."""
