"""A Celery app with a broker of files."""

import os
from pathlib import Path

from celery import Celery
from celery.signals import worker_process_init

if not os.environ.get("SHOP_LATE"):
    import shop  # noqa: F401 -- sets up before the fork

folder = Path(os.environ["SHOP_BROKER"])
app = Celery("celery_app", broker="filesystem://", backend=f"file://{folder}/results")
app.conf.broker_transport_options = {
    "data_folder_in": str(folder / "queue"),
    "data_folder_out": str(folder / "queue"),
    "control_folder": str(folder / "control"),
}


@worker_process_init.connect
def set_up(**_: object) -> None:
    """Set up in each worker process, as many apps do."""
    import shop  # noqa: F401, PLC0415


@app.task
def ask(question: str) -> str:
    """Answer a question."""
    import shop  # noqa: PLC0415

    return shop.ask(question)
