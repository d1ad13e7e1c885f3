"""Headless Chromium, told what to do over a pipe (the DevTools protocol): nothing is installed for it beside Chromium itself.

One page at a time. Everything that waits looks at the page until it is as wanted, and fails with what is there instead.
"""

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

LIMIT = 20
# Chromium as root has no sandbox; the rest keeps it from asking the network for anything.
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync "
    "--disable-dev-shm-usage --hide-scrollbars --force-color-profile=srgb --lang=en --remote-debugging-pipe"
).split()


class Browser:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="floe-chromium-")
        command = [shutil.which("chromium"), *FLAGS, f"--user-data-dir={self.folder}", "about:blank"]
        (there, self.write), (self.read, back) = os.pipe(), os.pipe()

        def pipes():
            # Chromium reads 3 and writes 4. Neither end may lie where the other goes.
            given, taken = os.dup(there), os.dup(back)
            os.dup2(given, 3)
            os.dup2(taken, 4)

        self.process = subprocess.Popen(
            command, preexec_fn=pipes, close_fds=False, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ, TZ="UTC")
        )
        os.close(there)
        os.close(back)
        self.buffer, self.next, self.events = b"", 0, []

    def ask(self, method, session=None, **parameters):
        self.next += 1
        message = {"id": self.next, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        number = self.next
        while True:
            answer = self.message()
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def message(self):
        deadline = time.monotonic() + LIMIT
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.read], [], [], max(deadline - time.monotonic(), 0))
            assert ready, "Chromium says nothing"
            more = os.read(self.read, 1 << 20)
            assert more, "Chromium has ended"
            self.buffer += more
        text, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(text)

    def close(self):
        with contextlib.suppress(AssertionError, OSError):
            self.ask("Browser.close")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=5)
        # What it has started is in its session.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Page:
    """A tab of its own. What its scripts throw, and what its policy refuses, is kept in `troubles`."""

    def __init__(self, browser, width=1280, height=800, dark=False):
        self.browser, self.troubles, self.requests = browser, [], []
        target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        self.target = target
        self.session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.look(width, height, dark)

    def look(self, width, height=800, dark=False):
        self.width = width
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def ask(self, method, **parameters):
        result = self.browser.ask(method, session=self.session, **parameters)
        for event in self.browser.events:
            self.heard(event)
        self.browser.events.clear()
        return result

    def heard(self, event):
        if event.get("sessionId") != self.session:
            return
        name, said = event.get("method"), event.get("params", {})
        if name == "Runtime.exceptionThrown":
            detail = said["exceptionDetails"]
            self.troubles.append(detail.get("exception", {}).get("description") or detail["text"])
        elif name == "Log.entryAdded" and said["entry"]["level"] == "error":
            self.troubles.append(f"{said['entry']['text']} {said['entry'].get('url', '')}")
        elif name == "Page.javascriptDialogOpening":
            self.troubles.append(f"a dialog: {said['message']}")
            self.browser.ask("Page.handleJavaScriptDialog", session=self.session, accept=True)
        elif name == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])

    def run(self, script):
        """What an expression is, a promise's outcome included."""
        result = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, f"{script}: {result['exceptionDetails']}"
        return result["result"].get("value")

    def before(self, script):
        """Run in every document before its own scripts."""
        self.ask("Page.addScriptToEvaluateOnNewDocument", source=script)

    def go(self, url):
        self.ask("Page.navigate", url=url)

    def text(self, selector="main"):
        """What a person sees of it."""
        return self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def wait(self, script, what=None):
        deadline = time.monotonic() + LIMIT
        # An element is no value to be told.
        value = f"((found) => (found instanceof Node ? true : found))({script})"
        while not (found := self.run(value)):
            assert time.monotonic() < deadline, f"{what or script} is not so after {LIMIT} s; there is: {self.text('body')[:1500]!r} {self.troubles}"
            time.sleep(0.02)
        return found

    def sees(self, *texts, selector="main"):
        for text in texts:
            self.wait(f"(document.querySelector({json.dumps(selector)})?.innerText ?? '').includes({json.dumps(text)})", f"{text!r} in {selector}")

    def click(self, selector, text=""):
        """Where a person would click: in the middle of the element, which has to be what lies there."""
        script = f"""(() => {{
            const found = [...document.querySelectorAll({json.dumps(selector)})].find((one) => one.innerText.includes({json.dumps(text)}) && one.getClientRects().length);
            if (!found) return null;
            found.scrollIntoView({{ block: 'center' }});
            const box = found.getBoundingClientRect();
            const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
            const there = document.elementFromPoint(x, y);
            return found.contains(there) || there?.contains(found) ? [x, y] : null;
        }})()"""
        x, y = self.wait(script, f"{selector} with {text!r}, to be clicked")
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def key(self, name, code=0, text=""):
        press = {"key": name, "windowsVirtualKeyCode": code, "text": text} if text else {"key": name, "windowsVirtualKeyCode": code}
        self.ask("Input.dispatchKeyEvent", type="keyDown", **press)
        self.ask("Input.dispatchKeyEvent", type="keyUp", key=name, windowsVirtualKeyCode=code)

    def type(self, text):
        self.ask("Input.insertText", text=text)

    def picture(self, path):
        """All of the page, however long."""
        height = min(self.run("Math.ceil(document.documentElement.scrollHeight)"), 6000)
        clip = {"x": 0, "y": 0, "width": self.width, "height": height, "scale": 1}
        data = self.ask("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)["data"]
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(base64.b64decode(data))

    def close(self):
        self.browser.ask("Target.closeTarget", targetId=self.target)
