"""A Streamlit page: the script runs anew at each click."""

import os

import streamlit
from langchain_openai import ChatOpenAI

from otel_callbacks import configure

handler = configure(service_name="shop")
llm = ChatOpenAI(
    model="gpt-4o-mini",
    base_url=os.environ["SHOP_PROVIDER"],
    api_key="none",
    callbacks=[handler],
)
streamlit.write(str(llm.invoke("Roses?").content))
streamlit.button("again")
