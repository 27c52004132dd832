"""The page in a real browser: it fits a phone and a desk, in light and dark."""

from __future__ import annotations

import html as escaping
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from report_example import EXAMPLE_RECIPE, example_report, example_samples

from mlopt.report import html

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip
DARK = "--blink-settings=preferredColorScheme=0"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")]


def browse(folder: Path, page: str, *options: str) -> str:
    assert CHROMIUM is not None
    file = folder / "page.html"
    file.write_text(page, encoding="utf-8")
    command = [CHROMIUM, *QUIET, f"--user-data-dir={folder / 'profile'}", *options, file.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.fixture(scope="module")
def page() -> str:
    samples = {name: [value for block in blocks for value in block] for name, blocks in example_samples().items()}
    return html.render(example_report(), samples, EXAMPLE_RECIPE)


@pytest.mark.parametrize("width", [400, 760, 1280])
def test_nothing_is_wider_than_the_window(tmp_path: Path, page: str, width: int) -> None:
    frame = (
        f'<iframe id="f" style="border:0;width:{width}px;height:900px" srcdoc="{escaping.escape(page)}"></iframe>'
        "<script>document.getElementById('f').onload = event => {"
        " const inner = event.target.contentDocument;"
        " const wide = [...inner.querySelectorAll('body *')].filter("
        f"  one => one.getBoundingClientRect().right > {width} + 0.5).map(one => one.outerHTML.slice(0, 80));"
        " document.title = inner.documentElement.scrollWidth + ' ' + wide.length + ' ' + wide.join(' ');"
        "}</script>"
    )
    dom = browse(tmp_path, frame, "--window-size=1400,1000", "--virtual-time-budget=4000", "--dump-dom")
    title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
    assert title is not None
    assert title.group(1).strip() == f"{width} 0"


@pytest.mark.parametrize("width", [400, 1280])
def test_it_follows_light_and_dark(tmp_path: Path, page: str, width: int) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow reads the screenshot")
    corners, inks = [], []
    for name, options in (("light", ()), ("dark", (DARK,))):
        shot = tmp_path / f"{name}.png"
        browse(tmp_path, page, *options, f"--window-size={width},1400", f"--screenshot={shot}")
        with image.open(shot) as picture:
            grey = picture.convert("L")
            corners.append(grey.getpixel((2, 2)))
            inks.append(len(grey.getcolors(256) or ()))
    assert corners[0] > 240
    assert corners[1] < 40
    assert min(inks) > 40, "the page is drawn, not blank"
