"""The live page in a real browser: Debian's chromium, over its debugging protocol."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from waiting import WAIT_S, wait_until

from otel_callbacks.cli.watch.receiver import Receiver, page_routes
from otel_callbacks.cli.watch.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

client = pytest.importorskip("websockets.sync.client")
_CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    "",
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not _CHROMIUM, reason="no chromium to look at the page with"),
]
_QUESTION = "Which flowers keep longest? " * 9


class Page:
    """A page of the browser.

    Args:
        socket: Its debugging socket.
    """

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.errors: list[Any] = []
        """What went wrong in its script, or was refused by its policy."""
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> Any:
        """Have the browser do something, and return its answer."""
        number = next(self._numbers)
        self._socket.send(
            json.dumps({"id": number, "method": method, "params": parameters})
        )
        while True:
            answer = json.loads(self._socket.recv(timeout=WAIT_S))
            name = answer.get("method", "")
            params = answer.get("params", {})
            is_error = params.get("entry", {}).get("level") == "error"
            if name == "Runtime.exceptionThrown" or is_error:
                self.errors.append(params)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def js(self, expression: str) -> Any:
        """Return what an expression is in the page."""
        answer = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression: str) -> None:
        """Wait until an expression is true in the page."""
        wait_until(lambda: self.js(f"Boolean({expression})"), expression)

    def press(self, key: str) -> None:
        """Press a key."""
        text = key if len(key) == 1 else ""
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, text=text)

    def look(self, width: int, scheme: str) -> None:
        """Have a screen of a width, and prefer a colour scheme."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 720,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.send("Emulation.setEmulatedMedia", features=features)


def _call(trace: str, model: str, outcome: str) -> list[dict[str, Any]]:
    """Return a step with a model call in it, with content and numbers."""
    question = [{"role": "user", "parts": [{"type": "text", "content": _QUESTION}]}]
    answer = [{"role": "assistant", "parts": [{"type": "text", "content": "鸢尾花。"}]}]
    one: dict[str, Any] = {
        "trace_id": trace,
        "service": "flower-shop",
        "status": "UNSET",
        "attributes": {},
    }
    step = {"name": "a-step-with-a-name-that-is-long" * 3, "kind": "INTERNAL"}
    call = {
        "name": f"chat {model}",
        "kind": "CLIENT",
        "attributes": {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": model,
            "gen_ai.conversation.id": f"thread-{trace}",
            "gen_ai.usage.input_tokens": 123_456,
            "gen_ai.usage.output_tokens": 7,
            "gen_ai.input.messages": json.dumps(question),
            "gen_ai.output.messages": json.dumps(answer),
            "otel_callbacks.outcome": outcome,
            "otel_callbacks.cost_usd": 0.018519,
        },
    }
    ids = {"span_id": "a", "parent_id": None}, {"span_id": "b", "parent_id": "a"}
    second = 1_000_000_000
    begin = int(trace[1:]) * 60 * second
    return [
        {**one, **step, **ids[0], "start_ns": begin, "end_ns": begin + 3 * second},
        {**one, **call, **ids[1], "start_ns": begin, "end_ns": begin + second},
    ]


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """Give the address of a live page with two traces."""
    store = Store()
    store.add(_call("t1", "gpt-4o-mini", "ok"))
    store.add(_call("t2", "qwen-plus", "cancelled"))
    found = page_routes(store, any_host=False)
    with Receiver(store, http_port=0, grpc_port=0, routes=found) as receiver:
        yield f"http://127.0.0.1:{receiver.http_port}/"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a browser that can be told what to do."""
    folder = tmp_path_factory.mktemp("chromium")
    command = [_CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu"]
    command += ["--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(  # noqa: S603 -- Debian's
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: _port(folder), "the browser does not start")
        yield f"http://127.0.0.1:{_port(folder)}"
    finally:
        process.terminate()
        process.wait(WAIT_S)


def _port(folder: Path) -> str:
    """Return the port that the browser has written down, or nothing yet."""
    written = folder / "DevToolsActivePort"
    lines = written.read_text().splitlines() if written.exists() else []
    return lines[0] if len(lines) > 1 else ""


@pytest.fixture
def page(browser: str, served: str) -> Iterator[Page]:
    """Give the live page in a tab of its own; its script has made no mistake."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    new = urllib.request.Request(  # noqa: S310 -- loopback
        f"{browser}/json/new", method="PUT"
    )
    with opener.open(new, timeout=WAIT_S) as answer:
        url = json.load(answer)["webSocketDebuggerUrl"]
    with client.connect(url, max_size=None, open_timeout=WAIT_S) as socket:
        tab = Page(socket)
        tab.send("Page.bringToFront")
        tab.send("Page.navigate", url=served)
        tab.wait("document.querySelectorAll('#list a').length == 2")
        yield tab
        assert [one for one in tab.errors if "favicon" not in str(one)] == []


def test_it_is_used_by_keyboard(page: Page) -> None:
    """Down to a trace, back, a search for a model, an outcome, a conversation."""
    page.press("j")
    page.wait("location.hash == '#t2'")
    page.press("j")
    page.wait("location.hash == '#t1'")
    # The other trace is drawn until this one has come.
    drawn = "document.querySelector('#drawn').innerText"
    page.wait(f"{drawn}.includes('chat gpt-4o-mini')")
    assert "$0.018519" in page.js(drawn)
    page.press("Escape")
    page.wait("location.hash == ''")
    page.press("/")
    page.wait("document.activeElement.id == 'search'")
    for words, found in (("qwen", "#t2"), ("ok", "#t1"), ("thread-t2", "#t2")):
        page.js("document.getElementById('search').value = ''")
        for letter in words:
            page.press(letter)
        links = "[...document.querySelectorAll('#list a')].map(one => one.hash).join()"
        page.wait(f"{links} == '{found}'")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_all_is_there_on_every_screen(page: Page, width: int, scheme: str) -> None:
    """Nothing runs out of it sideways, and the numbers and what was said are seen."""
    page.look(width, scheme)
    sideways = "document.documentElement.scrollWidth - innerWidth"
    assert page.js(sideways) <= 0
    page.js("location.hash = '#t1'")
    page.wait("document.querySelector('#drawn details')")
    page.js("document.querySelectorAll('#drawn details').forEach(d => d.open = true)")
    assert page.js(sideways) <= 0
    outside = """[...document.querySelectorAll('#drawn *')].filter(one => {
        const box = one.getBoundingClientRect();
        return box.width && (box.left < 0 || box.right > innerWidth + 1);
    }).map(one => one.outerHTML.slice(0, 80))"""
    assert page.js(outside) == []
    # A number that runs out of its column is drawn over the next one.
    over = """[...document.querySelectorAll('#drawn summary > *')].filter(one =>
        one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflow
        === 'visible' && getComputedStyle(one).display !== 'inline'
    ).map(one => one.outerHTML)"""
    assert page.js(over) == []
    shown = page.js("document.querySelector('#drawn').innerText")
    for one in ("$0.018519", "123", "鸢尾花。", _QUESTION.strip()):
        assert one in shown
    back = page.js("getComputedStyle(document.querySelector('.back')).display")
    assert (back == "none") is (width == 1280)
    color = page.js("getComputedStyle(document.body).backgroundColor")
    levels = [int(one) for one in color.strip("rgba()").split(",")[:3]]
    assert (sum(levels) < 3 * 128) is (scheme == "dark"), color
