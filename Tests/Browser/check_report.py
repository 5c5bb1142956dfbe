#!/usr/bin/env python3
"""Opens a report in a real browser, headless, and holds it to what a page must be.

    Tests/Browser/check_report.py results/sample.html [--screenshots FOLDER] [--seconds 2] [--bytes 5000000]

Chromium is driven over its debugging pipe, so nothing but Python's own library is needed. Checked in light and in dark: no
message on the console, no request but for the page itself, rendered in time and not too large; text has a contrast of at
least 4.5 to 1, lines and areas of pictures 3 to 1 with the page, and areas with their borders; the first Tab reaches the skip link, which shows and leads to the content; every
focus can be seen; tables, headings and pictures have names for screen readers; and nothing is wider than the window, down
to a telephone's. Any problem is printed and ends the check with 1.
"""
import argparse
import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time


class Browser:
    """A headless Chromium and one page of it."""

    def __init__(self, program, profile):
        from_us, to_browser = os.pipe()
        from_browser, to_us = os.pipe()

        def connect():
            # The browser reads commands from descriptor 3 and writes answers to 4.
            os.dup2(from_us, 13)
            os.dup2(to_us, 14)
            os.dup2(13, 3)
            os.dup2(14, 4)

        options = ["--headless=new", "--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run",
                   "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage", "--no-sandbox",
                   "--disable-background-networking", "--disable-component-update", "--force-color-profile=srgb"]
        self.process = subprocess.Popen([program, *options, "about:blank"], preexec_fn=connect, close_fds=False,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(from_us)
        os.close(to_us)
        self.input, self.output, self.rest = to_browser, from_browser, b""
        self.number, self.events, self.session = 0, [], None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM", "Accessibility"):
            self.call(domain + ".enable")

    def receive(self):
        while b"\0" not in self.rest:
            data = os.read(self.output, 1 << 20)
            if not data:
                raise SystemExit("check_report: the browser ended")
            self.rest += data
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.input, data):]
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise SystemExit(f"check_report: {method}: {answer['error']['message']}")
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, method):
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self.receive())

    def evaluate(self, script):
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise SystemExit(f"check_report: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def key(self, name, code):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code)

    def close(self):
        try:
            self.session = None
            self.call("Browser.close")
        except (SystemExit, OSError):
            pass
        self.process.wait(timeout=20)


# Contrasts, as WCAG 2.2 defines them, of every text and of the lines and areas of pictures.
CONTRAST = """(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = colour => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = c => { const f = c.slice(0, 3).map(v => v / 255).map(v => v <= .04045 ? v / 12.92
    : ((v + .055) / 1.055) ** 2.4); return .2126 * f[0] + .7152 * f[1] + .0722 * f[2]; };
  const ratio = (a, b) => { const [x, y] = [light(rgb(a)), light(rgb(b))]; return (Math.max(x, y) + .05)
    / (Math.min(x, y) + .05); };
  const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
    if (rgb(c)[3] == 255) return c; } return 'white'; };
  const found = new Map();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) { const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || ['STYLE', 'TITLE', 'DESC', 'title', 'desc'].includes(e.tagName)) continue;
    const style = getComputedStyle(e); const colour = e.closest('svg') ? style.fill : style.color;
    const r = ratio(colour, ground(e)); if (r < 4.5) found.set('text ' + colour + ' on ' + ground(e), r); }
  for (const e of document.querySelectorAll('.line, .mark')) { const c = getComputedStyle(e).stroke;
    const r = ratio(c, ground(e)); if (r < 3) found.set('line ' + c, r); }
  // A hatch has the colour below its stripes.
  const fill = e => { const c = getComputedStyle(e).fill; const hatch = c.match(/url\\("?(#[^")]+)/);
    return hatch ? fill(document.querySelector(hatch[1] + ' rect')) : c; };
  for (const e of document.querySelectorAll('.area, .legend rect')) { const r = ratio(fill(e), ground(e));
    if (!(r >= 3)) found.set('area ' + e.getAttribute('class') + ' ' + fill(e), r); }
  for (const e of document.querySelectorAll('.area')) { const r = ratio(getComputedStyle(e).stroke, fill(e));
    if (!(r >= 3)) found.set('border of area ' + e.getAttribute('class'), r); }
  return [...found].map(([k, r]) => k + ': ' + r.toFixed(2));
})()"""

# Elements that reach beyond the window and do not scroll within a box of their own.
OVERFLOW = """(() => document.documentElement.scrollWidth > innerWidth
  ? [`the page is ${document.documentElement.scrollWidth} wide in a window of ${innerWidth}`] : [])()"""

FOCUS = """(() => { const e = document.activeElement; const s = getComputedStyle(e); const b = e.getBoundingClientRect();
  return {tag: e.tagName, text: e.textContent.slice(0, 40), outline: s.outlineStyle != 'none' && parseFloat(s.outlineWidth) >= 2,
  shown: b.width > 0 && b.right > 0 && b.bottom > 0 && b.left < innerWidth}; })()"""


def check(browser, page, scheme, limits, folder, problems):
    def wrong(what):
        problems.append(f"{scheme}: {what}")

    browser.call("Emulation.setEmulatedMedia", features=[
        {"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}])
    browser.call("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)
    browser.events.clear()
    start = time.monotonic()
    browser.call("Page.navigate", url=page.as_uri())
    browser.wait_for("Page.loadEventFired")
    # Two frames: laid out, and painted.
    browser.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    seconds = time.monotonic() - start
    if seconds > limits.seconds:
        wrong(f"rendering took {seconds:.2f} s, more than {limits.seconds} s")
    for event in browser.events:
        method, details = event.get("method"), event.get("params", {})
        if method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            wrong(f"on the console: {details}")
        if method == "Log.entryAdded":
            wrong(f"on the console: {details['entry'].get('text')}")
        if method == "Network.requestWillBeSent" and details["request"]["url"] != page.as_uri():
            wrong(f"asks for {details['request']['url']}")
    for what in browser.evaluate(CONTRAST):
        wrong(f"contrast of {what}")
    ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    keyboard(browser, wrong)
    names(browser, wrong)
    for width in (1280, 390):
        browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        for what in browser.evaluate(OVERFLOW):
            wrong(what)
        if folder:
            browser.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
            shot = browser.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
            path = folder / f"{page.stem}-{scheme}-{width}.png"
            path.write_bytes(base64.b64decode(shot["data"]))
    return seconds, ground


def keyboard(browser, wrong):
    """The skip link comes first, shows and works; every later stop can be seen."""
    browser.key("Tab", 9)
    focus = browser.evaluate(FOCUS)
    if focus["tag"] != "A" or "Skip" not in focus["text"] or not focus["shown"]:
        wrong(f"the first Tab reaches {focus}, not a skip link that shows")
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
    browser.call("Input.dispatchKeyEvent", type="keyUp", key="Enter", code="Enter", windowsVirtualKeyCode=13)
    browser.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    if browser.evaluate("document.activeElement.id") != "content":
        wrong("the skip link does not lead to the content")
    stops = browser.evaluate("document.querySelectorAll('main a[href], main summary, main [tabindex=\"0\"]').length")
    for _ in range(min(stops, 40)):
        browser.key("Tab", 9)
        focus = browser.evaluate(FOCUS)
        if focus["tag"] != "BODY" and not (focus["outline"] and focus["shown"]):
            wrong(f"this focus can not be seen: {focus}")


def names(browser, wrong):
    """What a screen reader is told."""
    browser.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    kinds = {}
    for node in nodes:
        if node.get("ignored"):
            continue
        kinds.setdefault(node["role"]["value"], []).append(node.get("name", {}).get("value", ""))
    for role in ("main", "navigation", "heading", "table", "columnheader", "rowheader", "image"):
        found = kinds.get(role, kinds.get("img", []) if role == "image" else [])
        if not found:
            wrong(f"screen readers find no {role}")
        elif role != "main" and not all(found):
            wrong(f"{found.count('')} of {len(found)} of role {role} have no name")
    browser.evaluate("document.querySelectorAll('details').forEach(e => e.open = false)")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pages", nargs="+", type=pathlib.Path)
    parser.add_argument("--browser", help="the program (default: chromium, or chrome, of the path)")
    parser.add_argument("--screenshots", type=pathlib.Path, help="a folder for pictures of what was seen")
    parser.add_argument("--seconds", type=float, default=2, help="longest time to render (default: %(default)s)")
    parser.add_argument("--bytes", type=int, default=5_000_000, help="largest page (default: %(default)s)")
    limits = parser.parse_args()
    program = limits.browser or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not program:
        raise SystemExit("check_report: no Chromium here; `make test-report` installs it on Debian")
    if limits.screenshots:
        limits.screenshots.mkdir(parents=True, exist_ok=True)
    problems = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, profile)
        try:
            for page in (page.resolve() for page in limits.pages):
                size = page.stat().st_size
                if size > limits.bytes:
                    problems.append(f"{page}: {size} bytes, more than {limits.bytes}")
                seen = []
                for scheme in ("light", "dark"):
                    found = []
                    seen.append(check(browser, page, scheme, limits, limits.screenshots, found))
                    problems += [f"{page.name}, {what}" for what in found]
                if seen[0][1] == seen[1][1]:
                    problems.append(f"{page.name}: light and dark have the same ground, {seen[0][1]}")
                print(f"{page.name}: {size / 1e6:.2f} MB, rendered in {seen[0][0]:.2f} s (light), {seen[1][0]:.2f} s (dark)")
        finally:
            browser.close()
    for problem in problems:
        print(f"check_report: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
