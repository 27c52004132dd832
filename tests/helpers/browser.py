"""A page in headless Chromium: how tall it is, what it prints on, what it logs and asks for."""

from __future__ import annotations

import html as escaping
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip
DARK = "--blink-settings=preferredColorScheme=0"
TALLEST = {1280: 3500, 400: 6000}
"""Pixels of a page whose details are folded, by its width."""
MOST_PAGES = 4

LAYOUT = """
const inner = event.target.contentDocument;
const width = inner.documentElement.clientWidth;
const wide = [...inner.querySelectorAll('body *')].filter(one => one.getBoundingClientRect().right > width + 0.5);
const cut = [], crossed = [], small = [];
for (const svg of inner.querySelectorAll('svg.picture')) {
  const frame = svg.getBoundingClientRect();
  if (frame.width < 240 || frame.height < 60 || svg.getBBox().width < 200) small.push(svg.ariaLabel);
  const words = [...svg.querySelectorAll('text')].map(one => [one.textContent, one.getBoundingClientRect()]);
  words.forEach(([text, box], index) => {
    if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1
        || box.bottom > frame.bottom + 1) cut.push(text);
    for (const [other, its] of words.slice(index + 1)) {
      if (Math.min(box.right, its.right) - Math.max(box.left, its.left) > 1
          && Math.min(box.bottom, its.bottom) - Math.max(box.top, its.top) > 4) crossed.push(text + ' / ' + other);
    }
  });
}
for (const said of inner.querySelectorAll('.said')) {
  const box = said.getBoundingClientRect(), cell = said.closest('td').getBoundingClientRect();
  if (box.left < cell.left - 1 || box.right > cell.right + 1) cut.push(said.textContent);
}
document.title = JSON.stringify({
  width: inner.documentElement.scrollWidth, wide: wide.map(one => one.outerHTML.slice(0, 80)),
  pictures: inner.querySelectorAll('svg.picture').length, small, cut, crossed,
});
"""

chromium_needed = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")


def browse(folder: Path, page: str, *options: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    file = folder / "page.html"
    file.write_text(page, encoding="utf-8")
    command = [CHROMIUM, *QUIET, f"--user-data-dir={folder / 'profile'}", *options, file.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)


def layout(folder: Path, page: str, width: int) -> dict[str, Any]:
    """Lay the page out ``width`` pixels wide and return what does not fit."""
    frame = (
        f'<iframe id="f" style="border:0;width:{width}px;height:900px" srcdoc="{escaping.escape(page)}"></iframe>'
        f"<script>document.getElementById('f').onload = event => {{{LAYOUT}}}</script>"
    )
    dom = browse(folder, frame, "--window-size=1400,1000", "--virtual-time-budget=4000", "--dump-dom").stdout
    title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
    assert title is not None
    return json.loads(escaping.unescape(title.group(1)))


def unfolded(page: str) -> str:
    """The page with all its details open."""
    return page.replace("<details>", "<details open>")


def layout_height(folder: Path, page: str, width: int) -> int:
    """How tall the page is at this width, in pixels."""
    script = "document.title = event.target.contentDocument.documentElement.scrollHeight"
    frame = (
        f'<iframe id="f" style="border:0;width:{width}px;height:900px" srcdoc="{escaping.escape(page)}"></iframe>'
        f"<script>document.getElementById('f').onload = event => {{{script}}}</script>"
    )
    dom = browse(folder, frame, "--window-size=1400,1000", "--virtual-time-budget=4000", "--dump-dom").stdout
    title = re.search(r"<title>(\d+)</title>", dom)
    assert title is not None
    return int(title.group(1))


def pages(folder: Path, page: str) -> int:
    """How many sheets of paper it prints on."""
    browse(folder, page, "--no-pdf-header-footer", f"--print-to-pdf={folder / 'page.pdf'}")
    return len(re.findall(rb"/Type\s*/Page\b", (folder / "page.pdf").read_bytes()))


def traffic(folder: Path, page: str, width: int) -> tuple[list[str], list[str]]:
    """Open the page and return what it logged and which addresses it asked for; the browser itself asks for others."""
    log = folder / "net.json"
    run = browse(folder, page, f"--window-size={width},1400", "--enable-logging=stderr", "--v=0",
                 f"--log-net-log={log}", f"--screenshot={folder / 'shot.png'}")  # fmt: skip
    events = json.loads(log.read_text(encoding="utf-8"))["events"]
    requests = [event["params"] for event in events if "initiator" in event.get("params", {})]
    asked = {request["url"] for request in requests if request["initiator"] != "not an origin"}
    return re.findall(r"CONSOLE.*", run.stderr), sorted(asked)
