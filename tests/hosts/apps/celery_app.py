"""A Celery app with a broker of files."""

import os
from pathlib import Path

import shop
from celery import Celery

folder = Path(os.environ["SHOP_BROKER"])
app = Celery("celery_app", broker="filesystem://", backend=f"file://{folder}/results")
app.conf.broker_transport_options = {
    "data_folder_in": str(folder / "queue"),
    "data_folder_out": str(folder / "queue"),
    "control_folder": str(folder / "control"),
}


@app.task
def ask(question: str) -> str:
    """Answer a question."""
    return shop.ask(question)
