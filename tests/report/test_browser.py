"""The pages of `report` and `inspect` in a headless Chromium: nothing fails to load, and they can be read by everybody,
on a phone and in the dark."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ambientkit.report.page import SECTIONS
from ambientkit.report.pdf import QUIET
from tests.support.report_run import QUICK, train

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None,
    reason="Chromium and its driver are not installed (Debian: chromium, chromium-driver)",
)

TONES = ("--ink", "--soft", "--link", "--fine", "--doubt", "--violated")
"""Of texts, which need a contrast of 4.5; lines of charts need 3 (WCAG 2.2, 1.4.3 and 1.4.11)."""
LINES = ("--c0", "--c1", "--c2", "--c3", "--c4", "--c5", "--bar", "--focus")
WIDEST = "return Math.max(document.body.scrollWidth, document.documentElement.scrollWidth)"


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """A report on one run, one on three, and an inspection."""
    folder = tmp_path_factory.mktemp("pages")
    run = train(folder / "a-run-with-a-name-that-is-longer-than-a-phone-is-wide-and-holds-no-space-to-break-it-at")
    others = [shutil.copytree(run, folder / name) for name in ("second", "third")]
    _command("report", run, "--out", folder / "one.html", "--pdf", folder / "one.pdf", *QUICK)
    _command("report", run, *others, "--out", folder / "three.html", *QUICK)
    _command("inspect", "digits", "--html", folder / "inspect.html", "--rows", "64")
    return {
        "one": folder / "one.html",
        "three": folder / "three.html",
        "inspect": folder / "inspect.html",
        "pdf": folder / "one.pdf",
    }


def _command(*words: object) -> None:
    from ambientkit.cli import main

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["ambientkit", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
    assert not end.value.code


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*QUIET, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(DRIVER))
    yield driver
    driver.quit()


def show(browser: Any, page: Path, width: int = 1280, scheme: str = "light") -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    browser.get(page.as_uri())


@pytest.mark.parametrize("name", ["one", "three", "inspect"])
@pytest.mark.slow
def test_a_page_loads_without_a_complaint_and_loads_nothing_else(browser, pages, name: str) -> None:
    show(browser, pages[name])
    assert browser.get_log("browser") == []
    loaded = browser.execute_script(
        "return performance.getEntriesByType('resource').map(e => e.name).filter(n => !n.startsWith('data:'))"
    )
    assert loaded == []
    sizes = browser.execute_script("return [...document.images].map(i => [i.complete, i.naturalWidth])")
    assert sizes
    assert all(complete and width > 0 for complete, width in sizes)


def test_a_page_that_loads_something_is_noticed(browser, pages, tmp_path: Path) -> None:
    page = tmp_path / "loads.html"
    page.write_text(
        pages["inspect"].read_text().replace("<main", '<img src="missing.png" alt="x"><script>nowhere()</script><main')
    )
    show(browser, page)
    assert len(browser.get_log("browser")) >= 2  # the policy of the page forbids both


@pytest.mark.parametrize("name", ["one", "three"])
def test_every_section_is_there_named_by_its_heading_and_reached_from_the_navigation(browser, pages, name: str) -> None:
    show(browser, pages[name])
    found = browser.execute_script(
        "return [...document.querySelectorAll('main > section')].map(s => "
        "document.getElementById(s.getAttribute('aria-labelledby')).textContent)"
    )
    assert found == list(SECTIONS.values())
    targets = browser.execute_script(
        "return [...document.querySelectorAll('nav a')].map(a => "
        "document.querySelector(a.getAttribute('href')).textContent)"
    )
    assert targets == list(SECTIONS.values())


@pytest.mark.parametrize("name", ["one", "three", "inspect"])
def test_landmarks_headings_and_texts_are_there_for_who_does_not_see_the_page(browser, pages, name: str) -> None:
    show(browser, pages[name])
    counts = browser.execute_script(
        "return ['header', 'main', 'footer', 'h1'].map(t => document.querySelectorAll(t).length)"
    )
    assert counts == [1, 1, 1, 1]
    levels = browser.execute_script("return [...document.querySelectorAll('h1, h2, h3, h4')].map(h => +h.tagName[1])")
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:]))
    silent = browser.execute_script(
        "return [...document.querySelectorAll('img, svg[role=img]')].filter(e => (e.alt || "
        "e.getAttribute('aria-label') || '').length < 20).length"
    )
    assert silent == 0
    mute = browser.execute_script(
        "return [...document.querySelectorAll('svg:not([role=img])')].filter(e => !e.ariaHidden).length"
    )
    assert mute == 0
    ids = browser.execute_script("return [...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    loose = browser.execute_script(
        "return [...document.querySelectorAll('table')].filter(t => !t.querySelector('th[scope=row]')).length"
    )
    assert loose == 0


@pytest.mark.parametrize("name", ["one", "three", "inspect"])
def test_a_page_is_no_wider_than_a_phone_even_with_all_its_tables_open(browser, pages, name: str) -> None:
    show(browser, pages[name], width=360)
    assert browser.execute_script("return innerWidth") == 360
    assert browser.execute_script(WIDEST) <= 360
    browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.execute_script(WIDEST) <= 360


def test_a_wide_table_scrolls_in_its_own_box_which_the_keyboard_reaches(browser, pages) -> None:
    show(browser, pages["three"], width=360)
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('.scroll, pre')].filter(e => e.scrollWidth > e.clientWidth)"
        ".map(e => [e.tabIndex, e.getAttribute('role'), !!e.getAttribute('aria-label')])"
    )
    assert boxes
    assert all(box == [0, "region", True] for box in boxes)


def contrast(one: list[float], other: list[float]) -> float:
    def light(colour: list[float]) -> float:
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (value / 255 for value in colour)]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_a_page_is_light_or_dark_as_asked_and_its_colours_stand_out(browser, pages, scheme: str, dark: bool) -> None:
    show(browser, pages["one"], scheme=scheme)
    colours = browser.execute_script(
        "const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});"
        "const read = c => { canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, "
        "0, 1, 1).data].slice(0, 3) };"
        "const style = getComputedStyle(document.documentElement);"
        "const found = Object.fromEntries(arguments[0].map(name => [name, read(style.getPropertyValue(name))]));"
        "found.body = read(getComputedStyle(document.body).backgroundColor); return found",
        [*TONES, *LINES, "--paper", "--panel"],
    )
    assert colours["body"] == colours["--paper"]
    assert (sum(colours["--paper"]) < 3 * 128) == dark
    for name in TONES:
        assert min(contrast(colours[name], colours[ground]) for ground in ("--paper", "--panel")) >= 4.5, name
    for name in LINES:
        assert contrast(colours[name], colours["--paper"]) >= 3, name


def test_the_keyboard_comes_first_to_the_link_past_the_navigation_and_sees_where_it_is(browser, pages) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    show(browser, pages["one"])
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    focused = browser.switch_to.active_element
    assert focused.text == "Skip to the content"
    assert browser.execute_script("return arguments[0].getBoundingClientRect().left", focused) >= 0
    assert float(focused.value_of_css_property("outline-width").removesuffix("px")) >= 2
    assert focused.value_of_css_property("outline-style") == "solid"
    focused.send_keys(Keys.ENTER)
    assert browser.execute_script("return document.activeElement.id") == "content"


def test_the_page_is_printed_to_a_pdf_file(pages) -> None:
    content = pages["pdf"].read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")


@pytest.mark.slow
def test_in_print_the_navigation_is_gone_and_the_configuration_is_open(browser, pages) -> None:
    show(browser, pages["one"], scheme="dark")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    heights = browser.execute_script(
        "return ['nav', 'details.printed pre'].map(s => document.querySelector(s).getBoundingClientRect().height)"
    )
    assert heights[0] == 0
    assert heights[1] > 100
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
