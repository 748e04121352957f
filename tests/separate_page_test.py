"""`asteroid-bsrnn separate --page`: the files it writes, and the page in a real browser."""

import json
import os
import re
from html import unescape
from urllib.parse import unquote

import pytest

from .cli_test import complaint, files_below, main, save_network
from .report_browser_test import CHROMIUM, browser, opened
from .sounds import noise, write

__all__ = ["browser", "complaint"]

# Characters with a meaning in HTML, JavaScript or addresses, and a colon, which ends a scheme.
HOSTILE = "a:50% <b>\"R&B\" 'x' #1 {{ 7 * 7 }} ?"
SECONDS = 12


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A file of a tiny network whose two stems sum up to the mixture."""
    path = tmp_path_factory.mktemp("model") / "tiny.pth"
    return save_network(path, ["vocals", "other"], last_source_as_residual=True)


def song(folder, name="song", frames=3000):
    return write(folder / f"{name}.wav", noise(frames))


def links(page):
    """The stems that a page plays."""
    found = re.findall(r'<audio src="([^"]*)"', page.read_text(encoding="utf-8"))
    return [page.parent / unquote(unescape(link), errors="surrogateescape") for link in found]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The page of a song, opened from disk."""
    folder = tmp_path_factory.mktemp("page")
    names = ["vocals", "drums", "bass", "other"]
    model = save_network(folder / "tiny.pth", names)
    path = song(folder, HOSTILE, SECONDS * 44100)
    assert main("separate", path, "-o", folder / "out", "--model", model, "--page") == 0
    return (folder / "out" / HOSTILE / f"{HOSTILE}.html").as_uri()


class TestFiles:
    def test_a_page_beside_the_stems(self, tmp_path, model, capsys):
        run = ["separate", song(tmp_path), "-o", tmp_path / "out", "--model", model, "--page"]
        assert main(*run) == 0
        page = tmp_path / "out" / "song" / "song.html"
        assert f"page: {page}" in capsys.readouterr().out
        assert files_below(page.parent) == ["other.wav", "song.html", "vocals.wav"]
        assert [link.name for link in links(page)] == ["vocals.wav", "other.wav"]
        assert page.stat().st_size < 60_000
        assert "http" not in page.read_text(encoding="utf-8")
        # A rerun brings back a page that is missing, and leaves the stems alone.
        before = (page.parent / "other.wav").stat().st_mtime_ns
        page.unlink()
        assert main(*run, "--skip-existing", "--progress", "json") == 0
        events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [e["path"] for e in events if e["event"] == "page"] == [str(page)]
        assert page.exists() and (page.parent / "other.wav").stat().st_mtime_ns == before

    @pytest.mark.parametrize(
        ("pattern", "page"),
        [
            ("{track}-{stem}.{ext}", "song.html"),
            ("{stem}/{track}.{ext}", "song.html"),
            ("x/{track}/{stem}.{ext}", "x/song/song.html"),
        ],
    )
    def test_links_follow_the_names(self, tmp_path, model, monkeypatch, pattern, page):
        song(tmp_path)
        monkeypatch.chdir(tmp_path)
        run = ["separate", "song.wav", "-o", ".", "--model", model, "--page", "--name", pattern]
        assert main(*run, "--two-stems", "vocals", "--format", "flac") == 0
        stems = links(tmp_path / page)
        assert len(stems) == 2 and all(stem.is_file() for stem in stems)
        assert "no_vocals" in str(stems[1])

    def test_names_of_any_characters(self, tmp_path, model):
        names = [HOSTILE, "é" * 125 + "x", os.fsdecode(b"latin-\xe9")]
        songs = [song(tmp_path).rename(tmp_path / f"{name}.wav") for name in names]
        assert main("separate", *songs, "-o", tmp_path / "out", "--model", model, "--page") == 0
        pages = list((tmp_path / "out").glob("*/*.html"))
        assert len(pages) == 3
        assert all(stem.is_file() for page in pages for stem in links(page))
        page = tmp_path / "out" / HOSTILE / f"{HOSTILE}.html"
        assert "<b>" not in page.read_text(encoding="utf-8")

    def test_a_file_of_the_users_is_kept(self, tmp_path, model, complaint, capsys):
        run = ["separate", song(tmp_path), "-o", tmp_path / "out", "--model", model, "--page"]
        page = tmp_path / "out" / "song" / "song.html"
        page.parent.mkdir(parents=True)
        page.write_text("<p>my notes</p>")
        assert "--overwrite" in complaint(*run)
        assert files_below(tmp_path / "out") == ["song/song.html"]
        assert page.read_text() == "<p>my notes</p>"
        assert main(*run, "--overwrite") == 0
        assert len(links(page)) == 2
        page.unlink()
        page.mkdir()
        capsys.readouterr()
        assert "a folder" in complaint(*run, "--overwrite")

    def test_processes_write_pages_too(self, tmp_path, model, capfd):
        songs = [song(tmp_path, name) for name in "ab"]
        run = ["separate", *songs, "-o", tmp_path / "out", "--model", model, "--page"]
        assert main(*run, "--device", "cpu,cpu") == 0
        told = capfd.readouterr().out
        for name in "ab":
            page = tmp_path / "out" / name / f"{name}.html"
            assert len(links(page)) == 2 and f"page: {page}" in told


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this system")
class TestBrowser:
    @pytest.mark.slow  # a busy processor delays the sounds
    def test_all_stems_play_at_the_same_instant(self, browser, address):
        with opened(browser, address) as page:
            assert page.locator("h1").inner_text() == HOSTILE and page.title() == HOSTILE
            page.wait_for_function(f"{SOUNDS}.every(s => s.readyState === 4)")
            page.get_by_role("button", name="Play", exact=True).click()
            page.wait_for_function(f"{SOUNDS}.every(s => !s.paused && s.currentTime > 1)")
            together(page)
            seek(page, 3)
            page.wait_for_function(f"{SOUNDS}.every(s => !s.paused && s.currentTime > 3.5)")
            together(page)
            # One that is far behind makes all start again together.
            page.evaluate(f"{SOUNDS}[2].currentTime -= 2")
            page.wait_for_function(f"{SOUNDS}.every(s => s.paused)")
            page.wait_for_function(f"{SOUNDS}.every(s => !s.paused)")
            together(page)
            seek(page, 1)
            page.wait_for_function(f"{SOUNDS}.every(s => !s.paused && s.currentTime > 1.2)")
            # One that is a little behind runs faster, and is not interrupted.
            page.evaluate(f"{SOUNDS}[2].pause(); setTimeout(() => {SOUNDS}[2].play(), 60)")
            page.wait_for_function(f"{SOUNDS}[2].playbackRate === 1.02")
            assert page.evaluate(f"{SOUNDS}.every(s => !s.paused)")
            together(page)
            page.get_by_role("button", name="Pause", exact=True).click()
            assert page.evaluate(f"{SOUNDS}.every(s => s.paused)")
            page.wait_for_function(f"new Set({TIMES}).size === 1")

    def test_it_ends_and_begins_again(self, browser, address):
        with opened(browser, address) as page:
            page.wait_for_function(f"{SOUNDS}.every(s => s.readyState === 4)")
            seek(page, SECONDS - 0.4)
            page.keyboard.press("Space")
            page.wait_for_function(f"{SOUNDS}[0].ended")
            page.get_by_role("button", name="Play", exact=True).wait_for()
            assert page.locator("[data-time]").inner_text() == "0:12.0 / 0:12.0"
            page.keyboard.press("Space")
            page.wait_for_function(f"{SOUNDS}.every(s => !s.paused && s.currentTime < 5)")

    def test_solo_and_mute_by_mouse_and_keys(self, browser, address):
        def heard(page):
            return page.evaluate(f"{SOUNDS}.filter(s => !s.muted).map(s => s.dataset.name)")

        everything = ["vocals", "drums", "bass", "other"]
        with opened(browser, address) as page:
            assert heard(page) == everything
            page.get_by_role("button", name="Mute vocals").click()
            assert heard(page) == everything[1:]
            page.get_by_role("button", name="Solo vocals").click()
            page.get_by_role("button", name="Solo bass").click()
            assert heard(page) == ["vocals", "bass"]
            for key, names in {
                "0": everything,
                "3": ["bass"],
                "2": ["drums"],
                "Digit2": everything,
                "Shift+Digit4": everything[:3],
                "9": everything[:3],
            }.items():
                page.keyboard.press(key)
                assert heard(page) == names, key
            # Buttons obey the keyboard, and the arrows move.
            page.get_by_role("button", name="Mute other").focus()
            page.keyboard.press("Space")
            assert heard(page) == everything
            page.wait_for_function(f"{SOUNDS}.every(s => s.readyState === 4)")
            for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
                page.keyboard.press(key)
            page.wait_for_function(f"{TIMES}.every(t => t === 5)")

    def test_a_stem_that_is_missing_is_named(self, browser, address):
        context = browser.new_context()
        page = context.new_page()
        page.route("**/bass.wav", lambda route: route.abort())
        page.goto(address)
        page.get_by_text("The browser cannot play bass").wait_for()
        page.keyboard.press("Space")
        page.wait_for_function(f"{SOUNDS}.filter(s => s.currentTime > 0.2).length === 3")
        context.close()

    def test_it_fits_a_telephone(self, browser, address):
        with opened(browser, address, viewport={"width": 360, "height": 740}) as page:
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
            if os.environ.get("PAGE_SCREENSHOT"):
                page.screenshot(path=os.environ["PAGE_SCREENSHOT"], full_page=True)


SOUNDS = "Array.from(document.querySelectorAll('audio'))"
TIMES = f"{SOUNDS}.map(s => s.currentTime)"


def together(page):
    """All stems come within 10 milliseconds of each other in a few seconds, and stay so."""
    spreads = []
    while len(spreads) < 120 and (len(spreads) < 10 or max(spreads[-10:]) > 0.01):
        times = page.evaluate(TIMES)
        spreads.append(max(times) - min(times))
        page.wait_for_timeout(50)
    assert max(spreads[-10:]) <= 0.01, spreads


def seek(page, seconds):
    page.locator("[data-position]").evaluate(
        "(slider, at) => { slider.value = at; slider.dispatchEvent(new Event('input')); }", seconds
    )
