"The app in a real Chromium: a picture is uploaded, the question changed, mistakes leafed through; nothing is fetched from elsewhere."
import base64
import json
import os
from pathlib import Path

import numpy as np
import pytest
from chromium import Chromium, missing
from PIL import Image

pytest.importorskip("gradio", reason="needs gradio")
from cifar_cam.app import serve
from cifar_cam.data import shapes
from cifar_cam.pictures import read_image
from test_app import small_model  # noqa: F401 (a fixture)

pytestmark = pytest.mark.skipif(bool(missing), reason=missing)


@pytest.fixture(scope="module")
def app(small_model):
    running = serve(small_model, data=shapes(train=10, test=120)[1], wait=False, largest_upload=300_000)
    yield running
    running.close(verbose=False)


@pytest.fixture(scope="module")
def page(app):
    chromium = Chromium()
    chromium.screen(1280)
    chromium.open(app.local_url)
    chromium.until("return document.querySelectorAll('#examples img').length == 10")
    yield chromium
    chromium.close()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for name, k in (("star", 8), ("cross", 3)):
        Image.fromarray(shapes(10, 10, pixels=180)[1].images[k]).resize((280, 180)).save(folder/f"{name}.png")
    (folder/"letter.jpg").write_text("Dear all, this is no photograph")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (400, 400, 3), np.uint8)).save(folder/"large.png")
    return folder


def keep(page, name):
    "A picture of the page, for whoever asked for pictures: CIFAR_CAM_SCREENSHOTS=folder pytest …"
    if folder := os.environ.get("CIFAR_CAM_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.photograph(Path(folder)/f"{name}.png")


tiles = "return [...document.querySelectorAll('#tiles button img')].map(i => i.src)"
message = "return document.querySelector('#message').innerText"


def changed(page, before):
    "The tiles, once they are others than before."
    return page.until("let now = [...document.querySelectorAll('#tiles button img')].map(i => i.src);"
                      "return now.length && JSON.stringify(now) != arguments[0] && now", json.dumps(before, separators=(",", ":")))


def upload(page, path):
    "Take the old picture away, and give another one."
    if page.run("return !!document.querySelector('#picture [aria-label=\"Remove Image\"]')"):
        page.click('#picture [aria-label="Remove Image"]')
        page.until("return document.querySelector('#message').innerText.startsWith('Give a picture')")
    if not page.run("return document.querySelector('#picture input[type=file]')"):  # after pasting
        page.click('#picture [aria-label="Upload file"]')
        page.until("return document.querySelector('#picture input[type=file]')")
    page.type("#picture input[type=file]", str(path))


@pytest.fixture
def asked(page, pictures):
    "The page with an answer on it, whatever ran before."
    if not page.run(tiles):
        upload(page, pictures/"star.png")
        changed(page, [])
    return page


def test_a_picture_and_its_question(page, pictures):
    upload(page, pictures/"star.png")
    page.until("return document.querySelector('#message').innerText.includes('star.png')")
    seen = changed(page, [])
    assert len(seen) == 4  # the picture and three classes
    assert "180×280 → 32×32, crop" in page.run(message)
    for press in ("#layers label:nth-of-type(2) input", "#scale label:nth-of-type(2) input", "#how label:nth-of-type(2) input"):
        page.click(press)
        seen = changed(page, seen)
    assert len(seen) == 7 and "pad" in page.run(message)  # two layers now
    keep(page, "wide_light")


def test_the_keyboard_is_enough(asked):
    page = asked
    before = page.run(tiles)
    page.run("document.querySelector('#opacity input[type=range]').focus()")
    page.keys(*["\ue012"] * 6)  # arrow to the left
    assert changed(page, before) != before
    assert page.run("return document.activeElement.closest('#opacity') != null")
    reached = []
    page.run("document.querySelector('#examples button').focus()")
    for _ in range(60):
        page.keys("\ue004")
        reached.append(page.run("return document.activeElement.closest('[id]')?.id"))
    assert {"model", "mode", "layers", "method", "opacity", "scale", "top", "tiles"} <= {str(name).split("-")[0] for name in reached}, reached


def test_method_and_contrast_by_menu(asked):
    page = asked
    before = page.run(tiles)
    page.click("#method input")
    page.run("document.querySelector('#method input').select()")
    page.type("#method input", "hirescam\ue007")
    page.until("return document.querySelector('#message').innerText.includes('hirescam')")
    before = changed(page, before)
    page.click("#mode label:nth-of-type(4) input")
    page.until("return document.querySelector('#message').innerText.includes('two different classes')")
    page.click("#other input")
    page.type("#other input", "disc\ue007")
    page.until("return document.querySelector('#message').innerText.includes('red for, blue against')")
    assert page.run("return [...document.querySelectorAll('#tiles .caption-label')].some(e => e.innerText.includes('− disc'))")
    keep(page, "wide_contrast")
    page.click("#mode label:nth-of-type(1) input")
    page.until("return !document.querySelector('#message').innerText.includes('red for')")


def test_pasted(asked):
    page = asked
    page.cdp("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    page.run("fetch(document.querySelector('#examples img').src).then(r => r.blob())"
             ".then(b => navigator.clipboard.write([new ClipboardItem({'image/png': b})])).then(() => window.copied = true)")
    page.until("return window.copied")
    page.click('#picture [aria-label="Remove Image"]')
    page.until("return document.querySelector('#message').innerText.startsWith('Give a picture')")
    page.click('#picture [aria-label="Paste from clipboard"]')
    page.until("return document.querySelector('#message').innerText.includes('clipboard')")
    assert changed(page, [])


def test_what_is_no_picture_is_said(page, pictures):
    upload(page, pictures/"letter.jpg")
    page.until("return document.querySelector('#message [role=alert]')?.innerText.includes('is no picture: it is text')")
    assert "Traceback" not in page.run("return document.body.innerText") and page.run(tiles) == []
    keep(page, "wide_problem")


def test_what_is_too_large_is_said(page, pictures):
    assert (pictures/"large.png").stat().st_size > 300_000
    upload(page, pictures/"large.png")
    page.until("return document.body.innerText.includes('exceed the maximum allowed size')")
    keep(page, "wide_large")


def test_examples_and_mistakes(page):
    page.click("#examples .gallery-item:nth-of-type(4) button")
    page.until("return document.querySelector('#message').innerText.includes('cross')")
    seen = changed(page, [])
    page.run("[...document.querySelectorAll('button[role=tab]')].find(b => b.innerText == 'Mistakes').click()")
    words = page.until("let w = document.querySelector('#where')?.innerText; return w && w.startsWith('Page 1 of') && w")
    page.until("return document.querySelectorAll('#mistakes-gallery img').length > 0")
    first = page.run("return document.querySelector('#mistakes-gallery img').src")
    if "of 1:" not in words:
        page.click("#next")
        page.until("return document.querySelector('#where').innerText.startsWith('Page 2')"
                   " && document.querySelector('#mistakes-gallery img').src != arguments[0]", first)
        page.click("#back")
        page.until("return document.querySelector('#where').innerText.startsWith('Page 1')")
    page.click("#mistakes-gallery .gallery-item:nth-of-type(1) button")
    seen = changed(page, seen)
    captions = page.until("let c = [...document.querySelectorAll('#tiles .caption-label')].map(e => e.innerText); return c[0]?.startsWith('true') && c")
    mistake = page.run("return document.querySelector('#mistakes-gallery .caption-label').innerText")
    assert captions[0] == f"true: {mistake.split(' → ')[0]}" and captions[1].startswith(mistake.split(" → ")[1])
    keep(page, "wide_mistake")
    page.click("#whole")
    page.until("return document.querySelectorAll('#tiles button img').length > 8")
    keep(page, "wide_whole_page")


def test_enlarged_and_taken_home(asked, tmp_path):
    page = asked
    for name, kind in (("explanation.png", "image/png"), ("explanation.json", "application/json")):
        address = page.run("return document.querySelector(`#links a[download='${arguments[0]}']`).href", name)
        head, data = address.split(",", 1)
        assert head == f"data:{kind};base64"
        (tmp_path/name).write_bytes(base64.b64decode(data))
    assert read_image(tmp_path/"explanation.png").pixels.shape[1] > 400
    assert len(json.loads((tmp_path/"explanation.json").read_text())["pictures"]) > 3
    page.click("#tiles .gallery-item:nth-of-type(2) button")
    page.until("let big = document.querySelector('#tiles .preview img'); return big && big.getBoundingClientRect().width > 300")
    keep(page, "wide_enlarged")
    page.keys("\ue00c")  # escape
    page.until("return !document.querySelector('#tiles .preview')")


def test_two_users_see_their_own(page, app):
    "A page opened anew knows nothing of what another one asked."
    other = Chromium()
    try:
        other.open(app.local_url)
        other.until("return document.querySelectorAll('#examples img').length == 10")
        assert "Give a picture" in other.run(message) and other.run(tiles) == []
    finally:
        other.close()


@pytest.mark.parametrize("width, dark", [(1280, True), (400, False), (400, True)])
def test_on_other_screens(page, app, pictures, width, dark):
    page.screen(width, dark=dark)
    page.open(app.local_url)
    page.until("return document.querySelectorAll('#examples img').length == 10")
    upload(page, pictures/"star.png")
    changed(page, [])
    page.until("return [...document.querySelectorAll('#tiles img')].every(i => i.complete && i.naturalWidth)")
    assert page.run("return document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.run("return !!document.querySelector('.dark')") == dark
    smallest = page.run("return Math.min(...[...document.querySelectorAll('#tiles button img')].map(i => i.getBoundingClientRect().width))")
    assert smallest >= 100
    keep(page, f"{'wide' if width > 600 else 'narrow'}_{'dark' if dark else 'light'}")


def test_nothing_comes_from_elsewhere(page, app):
    "Last, so that it speaks of everything above."
    asked = page.requests()
    assert len(asked) > 50
    assert [a for a in asked if not a.startswith((app.local_url, "data:", "blob:"))] == []
    upload = ("upload_progress", " Response")  # Gradio asks how an upload goes once too often, and writes down the one that was refused
    errors = [line for line in page.console() if not any(words in line for words in upload)]
    assert errors == [], errors
