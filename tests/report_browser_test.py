"""The report in a real browser, opened from disk: it loads, sorts, plays in time, and fits."""

import os
import shutil
from contextlib import contextmanager

import pytest

from .report_test import HOSTILE, SECONDS, make_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this system")

# The title and the delay of the sounding clip: the latest output is correlated with the clip around
# its expected position.
LISTEN = """
async (wanted) => {
  const player = asteroidReport.players[0], context = asteroidReport.context();
  const analyser = context.createAnalyser();
  analyser.fftSize = 4096;
  player.voice.gain.connect(analyser);
  await new Promise((resolve) => setTimeout(resolve, 250));
  const heard = new Float32Array(analyser.fftSize);
  analyser.getFloatTimeDomainData(heard);
  const at = player.position();
  player.voice.gain.disconnect(analyser);
  const button = player.switches.find((one) => one.dataset.clip === wanted);
  const buffer = await player.buffers.get(wanted);
  const mono = new Float32Array(buffer.length);
  for (let c = 0; c < buffer.numberOfChannels; c += 1)
    buffer.getChannelData(c).forEach((x, i) => { mono[i] += x / buffer.numberOfChannels; });
  // Within a fifth of a second around where it should be. What does not depend on the shift is
  // computed once: there are thousands of shifts.
  const rate = buffer.sampleRate, reach = Math.round(0.2 * rate);
  const expected = Math.round(at * rate) - heard.length;
  const near = new Float32Array(heard.length + 2 * reach);
  for (let i = 0; i < near.length; i += 1)
    near[i] = mono[(((expected - reach + i) % mono.length) + mono.length) % mono.length];
  let two = 0;
  for (let i = 0; i < heard.length; i += 2) two += heard[i] * heard[i];
  let best = -1, found = 0;
  for (let shift = -reach; shift <= reach; shift += 1) {
    let product = 0, one = 0;
    for (let i = 0; i < heard.length; i += 2) {
      const x = near[reach + shift + i];
      product += x * heard[i]; one += x * x;
    }
    const likeness = product / Math.sqrt(one * two + 1e-20);
    if (likeness > best) { best = likeness; found = shift; }
  }
  return {late: found / rate, likeness: best, position: at, title: button.dataset.title};
}
"""


@pytest.fixture(scope="module")
def address(shared):
    return (shared("report", make_report) / "report" / "index.html").as_uri()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        # The sandbox needs permissions that containers lack.
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser, address, **options):
    """Open a page, and check that it logs no error and makes no request."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    page = context.new_page()
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    yield page
    context.close()
    assert complaints == []
    assert all(url.startswith(("file:", "data:")) for url in requests)


def column(page, index, table="data1-table"):
    cells = page.locator(f"#{table} tbody tr > :nth-child({index})").all_inner_texts()
    return [text.split("\n")[0] for text in cells]


def titles(page, table="data1-table"):
    return page.eval_on_selector_all(
        f"#{table} tbody th",
        "cells => cells.map(c => c.childNodes[c.children[0]?.className === 'swatch' ? 1 : 0].data)",
    )


def test_it_opens_from_disk_and_a_screenshot_shows_it(browser, address, tmp_path_factory):
    with opened(browser, address) as page:
        assert page.locator("h1").inner_text() == "Music source separation, compared"
        assert HOSTILE in page.locator(".player h3").all_inner_texts()
        page.evaluate("document.querySelectorAll('img').forEach(i => { i.loading = 'eager'; })")
        page.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth)")
        picture = tmp_path_factory.mktemp("screenshot") / "report.png"
        page.screenshot(path=picture, full_page=True)
        assert picture.stat().st_size > 100_000
        if os.environ.get("REPORT_SCREENSHOT"):
            shutil.copy(picture, os.environ["REPORT_SCREENSHOT"])


def test_tables_sort_by_click_and_by_key(browser, address):
    with opened(browser, address) as page:
        before = titles(page)
        assert before[0] == "mixture"
        head = page.locator("#data1-table th[data-group=usdr]", has_text="vocals")
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == "descending"
        numbers = [float(text.replace("−", "-")) for text in column(page, 2)]
        assert numbers == sorted(numbers, reverse=True) and len(numbers) == 7
        head.locator("button").focus()
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == "ascending"
        numbers = [float(text.replace("−", "-")) for text in column(page, 2)]
        assert numbers == sorted(numbers)
        # Rows without a figure come last in both directions.
        for _ in range(2):
            page.locator("#data1-table th[data-group=usdr]", has_text="bass").locator(
                "button"
            ).click()
            assert titles(page)[-1] == "small"
        page.locator("#data1-table thead th").first.locator("button").click()
        assert titles(page) == sorted(before)


def test_one_measure_is_shown_at_a_time(browser, address):
    with opened(browser, address) as page:
        heads = page.locator("#data1-table thead th")
        shown = [head.get_attribute("data-group") for head in heads.all() if head.is_visible()]
        assert "usdr" in shown and "csdr" not in shown
        page.get_by_role("button", name="cSDR").click()
        shown = [head.get_attribute("data-group") for head in heads.all() if head.is_visible()]
        assert "csdr" in shown and "usdr" not in shown and "cost" in shown


def test_it_plays_and_switches_in_time(browser, address):
    with opened(browser, address) as page:
        player = page.locator(".player").first
        player.get_by_role("button", name="Play", exact=True).click()
        page.wait_for_function("asteroidReport.players[0].buffers.size === 11")
        page.wait_for_function("asteroidReport.players[0].voice !== null")
        switches = player.locator("[data-clip]")
        heard = [page.evaluate(LISTEN, switches.nth(0).get_attribute("data-clip"))]
        for index in (1, 3, 6, 9, 0):
            before = page.evaluate(
                "[asteroidReport.players[0].position(), asteroidReport.context().currentTime]"
            )
            switches.nth(index).click()
            after = page.evaluate(
                "[asteroidReport.players[0].position(), asteroidReport.context().currentTime]"
            )
            # Switching does not change the position.
            went_on = (after[0] - before[0] - (after[1] - before[1])) % SECONDS
            assert min(went_on, SECONDS - went_on) < 1e-3
            page.wait_for_function(
                "i => ((p) => p.voice.button === p.switches[i])(asteroidReport.players[0])",
                arg=index,
            )
            assert switches.nth(index).get_attribute("aria-pressed") == "true"
            heard.append(page.evaluate(LISTEN, switches.nth(index).get_attribute("data-clip")))
        for one in heard:
            assert one["likeness"] > 0.98 and abs(one["late"]) < 0.05, heard
        # Constant delays of the output are the same for all clips.
        assert max(one["late"] for one in heard) - min(one["late"] for one in heard) < 0.05, heard
        player.get_by_role("button", name="Pause").click()
        stopped = page.evaluate("asteroidReport.players[0].position()")
        page.wait_for_timeout(100)
        assert page.evaluate("asteroidReport.players[0].position()") == stopped


def test_players_obey_keys(browser, address):
    with opened(browser, address) as page:
        chosen = page.locator(".player").first.locator("[data-clip][aria-pressed=true]")
        playing = "asteroidReport.players[0].playing"
        page.locator(".player").first.locator("[data-clip]").first.focus()
        steps = {
            "3": "drums, the true stem",
            "ArrowDown": "drums by all",
            "1": "vocals by all",
            "ArrowUp": "vocals, the true stem",
            "0": "mixture",
        }
        for key, title in steps.items():
            page.keyboard.press(key)
            assert chosen.get_attribute("data-title") == title
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowLeft")
        assert page.evaluate("asteroidReport.players[0].position()") == 1
        page.keyboard.press("l")
        assert page.locator(".player").first.locator("[data-level]").is_checked()
        page.keyboard.press("Space")
        page.wait_for_function(playing)
        page.keyboard.press("Space")
        page.wait_for_function(f"!{playing}")
        # Starting another player stops this one.
        page.keyboard.press("Space")
        page.wait_for_function(playing)
        page.locator(".player").nth(1).get_by_role("button", name="Play", exact=True).click()
        page.wait_for_function(f"asteroidReport.players[1].playing && !{playing}")


def test_matched_levels_change_what_is_heard(browser, address):
    with opened(browser, address) as page:
        player = page.locator(".player").first
        gain = "asteroidReport.players[0].voice.gain.gain.value"
        player.locator("[data-clip]").nth(1).click()
        player.get_by_role("button", name="Play", exact=True).click()
        page.wait_for_function("asteroidReport.players[0].voice !== null")
        page.wait_for_function(f"Math.abs({gain} - 1) < 1e-3")
        player.get_by_label("match levels").check()
        decibels = float(player.locator("[data-clip]").nth(1).get_attribute("data-gain"))
        assert abs(decibels) > 0.5
        page.wait_for_function(f"Math.abs({gain} - {10 ** (decibels / 20)}) < 1e-2")


def test_light_and_dark(browser, address):
    def shades(page):
        return page.evaluate(
            "[document.body, document.querySelector('.chart .wide svg text')].map(e => "
            "getComputedStyle(e)[e === document.body ? 'backgroundColor' : 'fill'])"
        )

    with opened(browser, address, color_scheme="light") as page:
        light = shades(page)
        button = page.locator("[data-theme-button]")
        button.click()
        assert shades(page) == light
        button.click()
        dark = shades(page)
        assert dark[0] != light[0] and dark[1] != light[1]
        page.reload()
        assert shades(page) == dark, "the choice is kept"
    with opened(browser, address, color_scheme="dark") as page:
        assert shades(page) == dark


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_it_fits_without_scrolling_sideways(browser, address, width):
    with opened(browser, address, viewport={"width": width, "height": 740}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        charts = page.locator(".chart").first
        assert charts.locator(".narrow").is_visible() != charts.locator(".wide").is_visible()
