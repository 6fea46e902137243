"""Task queues, notebooks, pages that run anew, and tests in several processes."""

from __future__ import annotations

import os
import textwrap
from typing import TYPE_CHECKING

import nbformat
import pytest
from nbclient import NotebookClient

if TYPE_CHECKING:
    from conftest import Scene

CALLS = 6


@pytest.mark.parametrize(
    ("pool", "late"), [("prefork", ""), ("prefork", "yes"), ("solo", "")]
)
def test_celery(scene: Scene, pool: str, late: str) -> None:
    """Each Celery worker exports its last calls at a warm shutdown."""
    for name in ("queue", "control", "results"):
        (scene.folder / name).mkdir()
    scene.more = {
        "SHOP_BROKER": str(scene.folder),
        "SHOP_LATE": late,
        # At its default intervals nothing would have been sent before the end.
        "OTEL_BSP_SCHEDULE_DELAY": "600000",
    }
    scene.start(
        *("-m", "celery", "-A", "celery_app", "worker", "--loglevel", "INFO"),
        *("--pool", pool, "--concurrency", "2", "--without-mingle"),
    )
    worker = scene._process
    scene.receiver.wait_for(lambda: "ready." in scene.log())
    scene.run("-m", "celery_client", str(CALLS))
    scene._process = worker
    assert scene.end() == 0
    # The worker, its two children, and the client.
    scene.check(CALLS, lines=4)


CELL = """
import os
from langchain_openai import ChatOpenAI
from otel_callbacks import configure
handler = configure(service_name="shop")
llm = ChatOpenAI(
    model="gpt-4o-mini", base_url=os.environ["SHOP_PROVIDER"], api_key="none",
    callbacks=[handler],
)
print(llm.invoke("Roses?").content)
print(handler.flush(timeout=60))
"""


def test_a_notebook_cell_that_is_run_twice(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell that runs twice gets the same handler."""
    for name, value in scene.environment.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(CELL) for _ in range(2)]
    NotebookClient(notebook, timeout=90, kernel_name="python3").execute()
    for cell in notebook.cells:
        printed = "".join(out.get("text", "") for out in cell.outputs)
        assert "True" in printed, cell.outputs
        assert "Error" not in printed
    scene.check(2, lines=1)


PAGE = """
from pathlib import Path
from streamlit.testing.v1 import AppTest
page = AppTest.from_file(str(Path(__file__).parent / "streamlit_app.py"))
page.run(timeout=90)
assert not page.exception, page.exception
page.button[0].click().run(timeout=90)
assert not page.exception, page.exception
"""


def test_streamlit(scene: Scene) -> None:
    """A rerun of the script gets the same handler."""
    source = (scene.folder / "page.py", scene.folder / "streamlit_app.py")
    source[0].write_text(PAGE)
    apps = scene.environment["PYTHONPATH"]
    source[1].write_text(_read(apps, "streamlit_app.py"))
    scene.run(str(source[0]))
    scene.check(2, lines=1)


def _read(folder: str, name: str) -> str:
    """Return an app's text."""
    with open(os.path.join(folder, name)) as file:  # noqa: PTH118, PTH123
        return file.read()


TESTS = """
import shop


def test_one() -> None:
    assert shop.ask("one")


def test_two() -> None:
    assert shop.ask("two")
"""


def test_pytest_in_several_processes(scene: Scene) -> None:
    """Both workers set up at collection, and only one has the default port."""
    (scene.folder / "test_shop.py").write_text(textwrap.dedent(TESTS))
    scene.run(
        *("-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "test_shop.py"),
        *("-p", "no:randomly"),
    )
    assert "2 passed" in scene.log()
    scene.check(2, lines=3)
