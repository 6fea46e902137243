"""What apps may import, and nothing by chance."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata, resources

import pytest
from waiting import WAIT_S

import otel_callbacks
from otel_callbacks import testing

PUBLIC = [
    "BudgetExceeded",
    "ConfiguredHandler",
    "OTelCallbackHandler",
    "SettingError",
    "Settings",
    "TracedEmbeddings",
    "TrackedUsage",
    "configure",
    "instrument",
    "track_usage",
    "uninstrument",
]
TESTING = [
    "Capture",
    "FakeChatModel",
    "FakeOpenAI",
    "FakeTextModel",
    "Received",
    "Reply",
    "Span",
    "Tokens",
    "ToolCall",
    "answer_to",
    "capture",
    "count_tokens",
    "spans_as_data",
    "tree_of",
]


def test_public_names_are_these() -> None:
    """The package exports exactly these names, sorted."""
    assert otel_callbacks.__all__ == PUBLIC
    assert sorted(PUBLIC) == PUBLIC
    assert all(hasattr(otel_callbacks, name) for name in PUBLIC)


def test_names_for_tests_are_these() -> None:
    """The testing package exports exactly these names, sorted."""
    assert testing.__all__ == TESTING
    assert sorted(TESTING) == TESTING
    assert all(hasattr(testing, name) for name in TESTING)


def test_names_say_what_they_are_for() -> None:
    """Each public name has a docstring."""
    for name in PUBLIC:
        assert getattr(otel_callbacks, name).__doc__, name


def test_types_are_shipped() -> None:
    """The package has ``py.typed``."""
    assert resources.files("otel_callbacks").joinpath("py.typed").is_file()


@pytest.mark.slow
def test_handler_can_be_had_without_the_extras() -> None:
    """The handler imports neither a provider's package nor a server."""
    script = (
        "import sys, otel_callbacks\n"
        "heavy = {'langchain_openai', 'openai', 'starlette', 'uvicorn', 'rich',\n"
        "         'grpc', 'langgraph'}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
    )
    done = subprocess.run(  # noqa: S603 -- our own interpreter
        [sys.executable, "-c", script],
        capture_output=True,
        check=True,
        text=True,
        timeout=WAIT_S,
    )
    assert done.stdout.strip() == "[]"


def test_command_is_installed() -> None:
    """``otel-callbacks`` is a command of the package."""
    (entry,) = metadata.entry_points(group="console_scripts", name="otel-callbacks")
    assert entry.value == "otel_callbacks.cli:main"
    assert callable(entry.load())


def test_names_are_imported_on_first_use() -> None:
    """`configure` is the function, whichever module is imported first."""
    code = (
        "import sys, otel_callbacks\n"
        "assert 'langchain_core' not in sys.modules\n"
        "assert 'configure' in dir(otel_callbacks)\n"
        "import otel_callbacks.configure as module\n"
        "from otel_callbacks import configure\n"
        "assert callable(configure) and module is configure\n"
        "assert otel_callbacks.__version__\n"
        "print(hasattr(otel_callbacks, 'roses'))\n"
    )
    done = subprocess.run(  # noqa: S603 -- our own program
        [sys.executable, "-c", code],
        capture_output=True,
        encoding="utf-8",
        timeout=WAIT_S,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")


def test_a_name_is_found_again_after_it_was_taken_away() -> None:
    """A removed name is found again by the package's ``__getattr__``."""
    assert otel_callbacks.__version__ == metadata.version("otel-callbacks")
    vars(otel_callbacks).pop("Settings", None)
    assert otel_callbacks.Settings.__name__ == "Settings"
    assert {*PUBLIC, "__version__"} <= {*dir(otel_callbacks)}
    with pytest.raises(AttributeError, match="no attribute 'roses'"):
        otel_callbacks.roses  # noqa: B018 -- asking is what is tested
