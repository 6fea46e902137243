"""Two texts become vectors."""

from __future__ import annotations

from langchain_openai import OpenAIEmbeddings

# As text: counting tokens here would load an encoding from the network.
embeddings = OpenAIEmbeddings(
    model="text-embedding-3-small", dimensions=64, check_embedding_ctx_length=False
)
embeddings.embed_documents(["Tulips in spring.", "Asters in autumn."])
