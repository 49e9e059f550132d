"""The page in headless Chromium, on a phone's screen and a desk's: it types, completes, writes, and shows the state."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving_client import Server
from websockets.sync.client import ClientConnection, connect

WAIT_S = 60.0


class Browser:
    """A page in Chromium, by its DevTools protocol."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []

    def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(WAIT_S))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def value(self, expression: str) -> Any:
        """Of JavaScript."""
        return self.do("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def until(self, expression: str) -> None:
        end = time.monotonic() + WAIT_S
        while not self.value(expression):
            assert time.monotonic() < end, f"never so: {expression}; status: {self.value(STATUS)}"
            time.sleep(0.05)

    def key(self, key: str, code: int, *, ctrl: bool = False) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            self.do(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, modifiers=2 * ctrl
            )


STATUS = "document.getElementById('status').textContent"
TEXT = "document.getElementById('text').value"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed; on Debian: apt install chromium")
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0"]
    flags += ["--disable-background-networking", "--disable-component-update", "--no-first-run"]
    rules = "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"  # the browser itself asks nobody either
    process = subprocess.Popen(
        [program, *flags, f"--host-resolver-rules={rules}", f"--user-data-dir={tmp_path}", "about:blank"],
        stderr=subprocess.DEVNULL,
    )
    try:
        port_file, end = tmp_path / "DevToolsActivePort", time.monotonic() + WAIT_S
        while not (port_file.is_file() and port_file.read_text().count("\n")):
            assert time.monotonic() < end, "chromium did not start"
            time.sleep(0.05)
        port, path = port_file.read_text().split()[:2]
        with connect(f"ws://127.0.0.1:{port}{path}", max_size=None) as root:
            whole = Browser(root)
            target = whole.do("Target.createTarget", url="about:blank")["targetId"]
            with connect(f"ws://127.0.0.1:{port}/devtools/page/{target}", max_size=None) as socket:
                yield Browser(socket)
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(360, 740), (1440, 900)])
def test_the_page_types_completes_writes_and_shows_the_state(
    server: Server, browser: Browser, tmp_path: Path, width: int, height: int, scheme: str
) -> None:
    for domain in ("Page", "Runtime", "Network", "Log"):
        browser.do(f"{domain}.enable")
    browser.do(
        "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
    )
    browser.do("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.do("Page.navigate", url=f"http://127.0.0.1:{server.port}/")
    browser.until("document.querySelectorAll('#next button').length > 0")  # of the empty text

    browser.do("Runtime.evaluate", expression="document.getElementById('text').focus()")
    columns = browser.value("Number(document.getElementById('state').dataset.columns)")
    browser.do("Input.insertText", text="the quick brown")
    browser.until(f"Number(document.getElementById('state').dataset.columns) > {columns}")
    browser.until("document.querySelectorAll('#next button').length > 0")
    shares = browser.value("[...document.querySelectorAll('#next .share')].map((one) => parseFloat(one.textContent))")
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0

    browser.do("Runtime.evaluate", expression="document.querySelector('#next button').focus()")
    assert browser.value("document.activeElement.closest('#next') !== null")
    browser.do("Runtime.evaluate", expression="document.activeElement.click()")
    browser.until(f"{TEXT}.length > 'the quick brown'.length")
    typed = browser.value(TEXT)

    browser.do("Runtime.evaluate", expression="document.getElementById('text').focus()")
    columns = browser.value("Number(document.getElementById('state').dataset.columns)")
    browser.do(
        "Runtime.evaluate",
        expression="for (const [id, value] of [['max_new_tokens', 30], ['temperature', 1]]) { const one ="
        " document.getElementById(id); one.value = value; one.dispatchEvent(new Event('input')); }",
    )
    browser.key("Enter", 13, ctrl=True)
    browser.until(f"/30 tokens/.test({STATUS})")
    assert browser.value(TEXT).startswith(typed)
    assert len(browser.value(TEXT)) == len(typed) + 30
    assert browser.value("Number(document.getElementById('state').dataset.columns)") >= columns + 30

    browser.do(
        "Runtime.evaluate",
        expression="document.getElementById('max_new_tokens').value = 1000; generate()",
    )
    browser.until("!document.getElementById('stop').disabled")
    browser.key("Escape", 27)
    browser.until("document.getElementById('stop').disabled")

    assert browser.value("document.documentElement.scrollWidth") <= width  # nothing is cut off at the side
    picture = browser.do("Page.captureScreenshot", captureBeyondViewport=True)["data"]
    folder = Path(os.environ.get("RNNKIT_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"page-{width}-{scheme}.png").write_bytes(base64.b64decode(picture))

    asked = [e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"]
    assert asked
    assert {url for url in asked if not url.startswith((f"http://127.0.0.1:{server.port}/", "data:"))} == set()
    wrong = [e for e in browser.events if e["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")]
    wrong += [e for e in browser.events if e["method"] == "Runtime.consoleAPICalled"]
    assert wrong == []
