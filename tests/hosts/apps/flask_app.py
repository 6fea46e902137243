"""A Flask app, for gunicorn and for Flask's own server with its reloader."""

import os

import shop
from flask import Flask, request

app = Flask(__name__)


@app.get("/ask")
def ask() -> str:
    """Answer a question."""
    return shop.ask(request.args["question"])


if __name__ == "__main__":
    app.run(port=int(os.environ["SHOP_PORT"]), use_reloader=True)
