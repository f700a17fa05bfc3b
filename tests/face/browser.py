"""A real browser for tests of pages: Chromium, told what to do over a pipe by its DevTools protocol.

Source: Chrome DevTools Protocol (messages of JSON, each ended by a zero byte, over file descriptors 3 and 4).
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
"""Where the browser is; None where there is none."""
_PATIENCE = 60.0
"""Seconds that anything may take on a busy machine."""
_KEYS = {"Tab": 9, "ArrowRight": 39, "Enter": 13, " ": 32}


class Browser:
    """One browser without a window; what it downloads goes into a folder."""

    def __init__(self, folder: Path) -> None:
        """`folder`: where its profile and its downloads go."""
        if CHROMIUM is None:
            raise RuntimeError("there is no Chromium")
        self.downloads = folder / "downloads"
        self.downloads.mkdir(parents=True)
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        flags = (
            "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --remote-debugging-pipe"
        )
        command = [CHROMIUM, *flags.split(), f"--user-data-dir={folder / 'profile'}", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}', *command],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._rest, self._number = b"", 0
        self.events: list[dict[str, Any]] = []
        allowed = {"behavior": "allow", "downloadPath": str(self.downloads)}
        self.send("Browser.setDownloadBehavior", allowed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(_PATIENCE)
        os.close(self._in)
        os.close(self._out)

    def send(self, method: str, given: dict[str, Any] | None = None, session: str | None = None) -> dict[str, Any]:
        """What the browser answers; events that come before it are kept."""
        number = self.begin(method, given, session)
        end = time.monotonic() + _PATIENCE
        while True:
            message = self._next(end)
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                result: dict[str, Any] = message["result"]
                return result
            self.events.append(message)

    def begin(self, method: str, given: dict[str, Any] | None = None, session: str | None = None) -> int:
        """Ask without waiting for the answer, which will be among the events; its number."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": given or {}}
        os.write(self._out, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        return self._number

    def wait(self, method: str) -> dict[str, Any]:
        """The first event of that name, which is then forgotten."""
        end = time.monotonic() + _PATIENCE
        while True:
            for at, event in enumerate(self.events):
                if event.get("method") == method:
                    found: dict[str, Any] = self.events.pop(at)["params"]
                    return found
            self.events.append(self._next(end))

    def _next(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not select.select([self._in], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError("the browser does not answer")
            read = os.read(self._in, 1 << 16)
            if not read:
                raise RuntimeError("the browser has ended")
            self._rest += read
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def tab(self, page: Path) -> Tab:
        """A new tab that shows a file."""
        target = self.send("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.send("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        tab = Tab(self, session, target)
        for domain in ("Page", "Runtime", "Network", "Log"):
            tab.send(f"{domain}.enable")
        tab.go(page)
        return tab

    def downloaded(self, count: int) -> list[Path]:
        """So many files, the oldest first, once they are whole."""
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            found = sorted(self.downloads.iterdir(), key=lambda path: path.stat().st_mtime_ns)
            if len(found) == count and not any(path.suffix == ".crdownload" for path in found):
                return found
            time.sleep(0.05)
        raise TimeoutError(f"{count} downloads were awaited: {sorted(self.downloads.iterdir())}")


class Tab:
    """One tab of a browser."""

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self._browser, self._session, self._target = browser, session, target

    def send(self, method: str, given: dict[str, Any] | None = None) -> dict[str, Any]:
        """As `Browser.send`, to this tab."""
        return self._browser.send(method, given, self._session)

    def front(self) -> None:
        """Bring the tab to the front, where keys reach it."""
        self.send("Page.bringToFront")

    def go(self, page: Path) -> None:
        """Show a file, and wait until it is there."""
        self.send("Page.navigate", {"url": page.as_uri()})
        self._browser.wait("Page.loadEventFired")

    def reload(self) -> str:
        """Load the page again, saying yes to what it asks before; the kind of that question, or none."""
        self._browser.events.clear()
        self._browser.begin("Page.reload", {}, self._session)
        while True:
            for event in list(self._browser.events):
                if event.get("method") == "Page.javascriptDialogOpening":
                    kind = str(event["params"]["type"])
                    self._browser.events.clear()
                    self.send("Page.handleJavaScriptDialog", {"accept": True})
                    self._browser.wait("Page.loadEventFired")
                    return kind
                if event.get("method") == "Page.loadEventFired":
                    return ""
            self._browser.send("Browser.getVersion")
            time.sleep(0.02)

    def asked(self, script: str) -> Any:
        """The value of an expression on the page."""
        found = self.send("Runtime.evaluate", {"expression": script, "returnByValue": True})
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"])
        return found["result"].get("value")

    def click(self, selector: str) -> None:
        """Click the middle of an element, where a person would; whatever lies over it gets the click."""
        where = (
            "((e) => { e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();"
            f" return [r.x + r.width / 2, r.y + r.height / 2]; }})(document.querySelector({json.dumps(selector)}))"
        )
        x, y = self.asked(where)
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1})

    def press(self, key: str) -> None:
        """Press a key and let it go."""
        code = _KEYS.get(key, ord(key[0]))
        given: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code}
        typed = {"text": key} if len(key) == 1 else {}
        self.send("Input.dispatchKeyEvent", {"type": "keyDown", **given, **typed})
        self.send("Input.dispatchKeyEvent", {"type": "keyUp", **given})
