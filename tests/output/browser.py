"""A headless Chromium on a pipe: enough of its protocol to open a file, press keys and see what it asks the net for."""

import base64
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-pipe",
)
KEYS = {
    "ArrowRight": 39,
    "ArrowLeft": 37,
    "Escape": 27,
    "Tab": 9,
    "Enter": 13,
    "Home": 36,
    "End": 35,
    " ": 32,
}


def find():
    """Return the browser's path, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    """One page; everything it asked the network for and said on the console is kept."""

    def __init__(self, path=None):
        self.home = tempfile.mkdtemp()
        pipes = 'exec "$@" 3<&0 4>&1 0</dev/null 1>/dev/null 2>/dev/null'  # it reads from 3 and writes to 4
        self.process = subprocess.Popen(
            ["sh", "-c", pipes, "sh", path or find(), *FLAGS, f"--user-data-dir={self.home}", "about:blank"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.out, self.into = self.process.stdin, self.process.stdout
        self.number, self.buffer, self.session = 0, b"", None
        self.requests, self.complaints, self.loaded = [], [], False
        target = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log", "Accessibility"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        """Ask and wait for the answer."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        self.out.write(json.dumps(message).encode() + b"\0")
        self.out.flush()
        while True:
            found = self._read()
            if found.get("id") == self.number:
                assert "error" not in found, (method, found["error"])
                return found["result"]

    def _read(self):
        while b"\0" not in self.buffer:
            more = self.into.read1(1 << 20)
            assert more, "the browser is gone"
            self.buffer += more
        raw, _, self.buffer = self.buffer.partition(b"\0")
        found = json.loads(raw)
        event, facts = found.get("method"), found.get("params", {})
        if event == "Network.requestWillBeSent":
            self.requests.append(facts["request"]["url"])
        elif event == "Page.loadEventFired":
            self.loaded = True
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(facts["exceptionDetails"].get("exception", {}).get("description", "exception"))
        elif event == "Log.entryAdded":
            self.complaints.append(facts["entry"]["text"])
        elif event == "Runtime.consoleAPICalled":
            self.complaints.append(str([arg.get("value") for arg in facts["args"]]))
        return found

    def open(self, path, width=1280, height=900, theme="light", script=True):
        """Open a file and wait until it is loaded."""
        self.requests.clear()
        self.complaints.clear()
        self.loaded = False
        self.call("Emulation.setScriptExecutionDisabled", value=not script)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        phone = width < 600
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.call("Page.navigate", url=Path(path).resolve().as_uri())
        while not self.loaded:
            self._read()

    def ask(self, expression):
        """Return what a JavaScript expression gives."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, *keys):
        """Press keys one after another."""
        for key in keys:
            code = KEYS.get(key, ord(key.upper()) if len(key) == 1 else 0)
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
            facts = {"key": key, "windowsVirtualKeyCode": code, "code": key if len(key) > 1 else ""}
            self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **facts)
            self.call("Input.dispatchKeyEvent", type="keyUp", **facts)

    def names(self):
        """Return (role, name) of everything a screen reader meets."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        seen = [node for node in nodes if not node.get("ignored")]
        return [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in seen]

    def picture(self, path, clip=None, scale=1.0, whole=False):
        """Write a screenshot: of the window, of a clip (x, y, width, height), or of the whole page."""
        facts = {"format": "png", "captureBeyondViewport": whole or clip is not None}
        if clip is not None:
            facts["clip"] = dict(zip(("x", "y", "width", "height"), clip, strict=True), scale=scale)
        Path(path).write_bytes(base64.b64decode(self.call("Page.captureScreenshot", **facts)["data"]))

    def close(self):
        """End the browser that was started here."""
        self.process.kill()
        self.process.wait()
        self.out.close()
        self.into.close()
        shutil.rmtree(self.home, ignore_errors=True)
