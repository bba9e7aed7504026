"The sliders in a live Jupyter kernel: moved from outside as a front end moves them, and what is saved with the notebook."
import base64
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from execnb.nbio import dict2nb
from live_kernel import live_kernel
from nbdev.clean import clean_nb
from PIL import Image
from torch import nn

pytest.importorskip("ipywidgets", reason="needs ipywidgets")
from cifar_cam.gradcam import explain
from cifar_cam.widget import browse

notebooks = Path(__file__).resolve().parent.parent/"nbs"
setup = """
import torch
from torch import nn
from cifar_cam.data import Normalisation, shapes
from cifar_cam.gradcam import explain
from cifar_cam.widget import browse
torch.set_num_threads(1)
torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1, stride=2), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1, stride=2), nn.ReLU(),
                    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
test = shapes(train=10, test=10)[1]
net.normalisation, net.classes = Normalisation((0, 0, 0), (1, 1, 1), "none"), test.classes
explained = explain(net, test, layers=["1", "3"], targets=["predicted", "true"])
"""


@pytest.fixture(scope="module")
def kernel():
    with live_kernel(setup) as made:
        yield made


def text(messages):
    return "".join(m["content"]["text"] for m in messages if m["msg_type"] == "stream").strip()


def pictures(messages, widget):
    "The PNG files that were sent to a picture widget."
    return [bytes(m["buffers"][0]) for m in messages if m["msg_type"] == "comm_msg" and m["content"]["comm_id"] == widget and m["buffers"]]


def test_moved_sliders_send_another_picture(kernel):
    shown = kernel.show("browser = explained.widget()\nbrowser")
    bundles = [m["content"]["data"] for m in shown if m["msg_type"] == "display_data"]
    assert "application/vnd.jupyter.widget-view+json" in bundles[0] and "image/png" in bundles[1]
    still = base64.b64decode(bundles[1]["image/png"])
    ids = dict(part.split("=") for part in text(kernel.show(
        "print(*(f'{n}={c.comm.comm_id}' for n, c in browser.controls.items()), f'image={browser.picture.comm.comm_id}')")).split())
    assert pictures(shown, ids["image"])[-1] == still  # what remains is what was shown
    seen = [still]
    for name, state in (("picture", dict(value=4)), ("layer", dict(index=1)), ("target", dict(index=1)), ("scale", dict(index=1)),
                        ("opacity", dict(value=0.2))):
        sent = pictures(kernel.move(ids[name], **state), ids["image"])
        assert len(sent) == 1, name
        seen += sent
    assert len(set(seen)) == 6
    sizes = {Image.open(io.BytesIO(png)).size for png in seen}
    assert all(width > 400 for width, _ in sizes)
    assert text(kernel.show("print(browser)")) == "Browser(picture 4, layer 1, target 1, scale image, opacity 0.2)"


def test_a_network_is_asked(kernel):
    kernel.show("asked = browse(net, test)\nasked")
    code = "print(asked.picture.comm.comm_id, *(asked.controls[n].comm.comm_id for n in ('method', 'target', 'against')))"
    image, *menus = text(kernel.show(code)).split()
    seen = [png for menu in menus for png in pictures(kernel.move(menu, index=2), image)]
    assert len(set(seen)) == 3
    assert text(kernel.show("print(asked.message.value)")) == ""


def test_what_is_saved_with_the_notebook(kernel):
    "After cleaning the picture is there, as large as it was."
    outputs = [dict(output_type="display_data", data=m["content"]["data"], metadata=m["content"]["metadata"])
               for m in kernel.show("explained.widget()") if m["msg_type"] == "display_data"]
    cell = dict(cell_type="code", id="a", execution_count=1, metadata={}, outputs=outputs, source="explained.widget()")
    notebook = dict2nb(dict(cells=[cell], metadata={}, nbformat=4, nbformat_minor=5))
    clean_nb(notebook)
    saved = [output["data"]["image/png"] for output in notebook.cells[0].outputs if "image/png" in output["data"]]
    assert len(saved) == 1 and Image.open(io.BytesIO(base64.b64decode(saved[0]))).width > 400


def test_no_notebook_holds_widgets():
    "Neither their state, which makes GitHub refuse a notebook, nor places for them that stay empty."
    for path in sorted(notebooks.glob("*.ipynb")):
        text = path.read_text(encoding="utf-8")
        assert "widgets" not in json.loads(text)["metadata"], path.name
        assert '"application/vnd.jupyter.widget-' not in text, path.name
    ours = json.loads((notebooks/"09c_widget.ipynb").read_text(encoding="utf-8"))["cells"]
    left = [o for c in ours for o in c.get("outputs", []) if any("Browser(" in line for line in o.get("data", {}).get("text/plain", []))]
    assert len(left) == 2 and all("image/png" in output["data"] for output in left)


net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
x = torch.rand(2, 3, 12, 12)


def test_without_ipywidgets(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(ImportError, match=r"pip install 'cifar_cam\[app\]'"):
        explain(net, x, targets=[0], layers=["0"]).widget()


def test_a_single_choice_has_no_menu():
    browser = explain(net, x, targets=[0], layers=["0"]).widget()
    assert browser.controls["layer"].layout.display == "none" and browser.controls["scale"].layout.display is None


def test_methods_that_look_at_the_input():
    browser = browse(net, np.zeros((2, 12, 12, 3), np.uint8), labels=[0, 1], size=12, normalisation="half", classes=("a", "b"))
    browser.controls["method"].value = "occlusion"
    assert browser.message.value == "" and "input" in browser.ask(picture=0, layer="0", method="occlusion", target="true", against=None)[0].layers
