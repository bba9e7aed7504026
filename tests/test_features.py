"What the five projects could do, all 75 of it: 34_features says where it is shown, and this test that it is; and the Colab notebook."
import ast
import importlib
import json
import re
import sys
import types
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cifar_cam.augment import Loader, cutout, fill_colour
from cifar_cam.cam_methods import methods
from cifar_cam.data import Images, normalisations
from cifar_cam.model import create_model, parameter_count, summary
from cifar_cam.optim import one_cycle
from cifar_cam.recipes import recipe, recipes

root = Path(__file__).resolve().parent.parent
features = json.loads((root/"nbs"/"features.json").read_text(encoding="utf-8"))
each_feature = pytest.mark.parametrize("feature", features, ids=lambda feature: feature["id"])
places = sorted({place for feature in features for place in feature["shown"]})


@lru_cache
def cells(notebook):
    "Pairs (kind, source, outputs) of a notebook."
    saved = json.loads((root/"nbs"/f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
    return [(cell["cell_type"], "".join(cell["source"]), cell.get("outputs", [])) for cell in saved]


def code(notebook):
    return [source for kind, source, _ in cells(notebook) if kind == "code"]


def split_place(place):
    return re.fullmatch(r"(\w+)([#@])(.+)", place).groups()


def runs_in_tests(source):
    return not re.search(r"^#\|\s*(eval:\s*false|(cifar|cuda|slow|colab)\b)", source, re.M)


# The table

def test_all_are_there():
    assert sorted(feature["id"] for feature in features) == [f"F{number:02}" for number in range(1, 76)]


@each_feature
def test_a_row_is_complete(feature):
    assert list(feature) == ["id", "theme", "what", "seeds", "shown", "names"]
    assert len(feature["what"]) > 5 and re.fullmatch("[Dnlc-]{5}", feature["seeds"]) and set(feature["seeds"]) != {"-"}
    assert feature["shown"] and (feature["names"] or feature["id"] == "F72")


@each_feature
def test_the_names_exist(feature):
    "Public, in the module that is named, and explained."
    for name in feature["names"]:
        module, *path = name.split(".")
        found = importlib.import_module(f"cifar_cam.{module}")
        for part in path:
            assert not part.startswith("_")
            found = getattr(found, part)
        owner = getattr(found, "__module__", None) or getattr(found.fget, "__module__", None)
        assert owner == f"cifar_cam.{module}", f"{name} is defined in {owner}"
        assert (found.__doc__ or "").strip()


def headings(notebook):
    "Triples (position of the cell, level, text)."
    fences = re.compile(r"^```.*?^```", re.M | re.S)
    return [(place, len(found[1]), found[2].strip()) for place, (kind, source, _) in enumerate(cells(notebook)) if kind == "markdown"
            for found in re.finditer(r"^(#{1,4}) (.+)$", fences.sub("", source), re.M)]


def slug(heading):
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("place", [place for place in places if "#" in place])
def test_a_link_to_a_heading_leads_to_something_that_runs(place):
    "The heading is there once, its anchor is the same by all rules in use, and its section has code that the tests run, with something shown or tested."
    notebook, _, heading = split_place(place)
    found = [(at, level) for at, level, text in headings(notebook) if text == heading]
    assert len(found) == 1, f"{notebook} has {len(found)} headings {heading!r}"
    anchor = slug(heading)
    assert anchor == re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-") and "-" in anchor
    assert [slug(text) for _, _, text in headings(notebook)].count(anchor) == 1
    (at, level), = found
    end = next((k for k, deep, _ in headings(notebook) if k > at and deep <= level), len(cells(notebook)))
    section = [(source, outputs) for kind, source, outputs in cells(notebook)[at:end] if kind == "code" and runs_in_tests(source)]
    assert any(outputs or re.search(r"\bassert\b|\btest_\w+\(", source) for source, outputs in section), f"nothing is shown under {heading!r}"


@pytest.mark.parametrize("place", [place for place in places if "@" in place])
def test_a_link_to_a_name_leads_to_its_documentation(place):
    "A public function or class of a cell that is exported, or a method added to one by patch: these are what the site documents."
    notebook, _, name = split_place(place)
    defined = set()
    for source in code(notebook):
        if re.match(r"#\|\s*exports?\b", source):
            for node in ast.parse(source).body:
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                    patched = [mark for mark in node.decorator_list if "patch" in ast.unparse(mark)]
                    defined.add(f"{ast.unparse(node.args.args[0].annotation)}.{node.name}" if patched and node.args.args[0].annotation else node.name)
    assert name in defined


def test_the_page_shows_the_table():
    "The saved page is what the data say: every row with its words, and a link for every place."
    shown = "".join("".join(output["data"].get("text/markdown", "")) for _, source, outputs in cells("34_features") if source.endswith(')')
                    and "\ntable(" in source for output in outputs)
    rows = dict(re.findall(r"^\| (F\d\d) \| (.*) \|$", shown, re.M))
    assert len(rows) == 75
    for feature in features:
        row = rows[feature["id"]]
        assert row.startswith(feature["what"]) and row.count("](https://") == len(feature["shown"]), feature["id"]
        assert all(f"`{name}`" in row for name in feature["names"])
        for place in feature["shown"]:
            notebook, sign, what = split_place(place)
            anchor = slug(what) if sign == "#" else what.lower()
            assert f"/{re.sub(r'^[0-9]+[a-z]?_', '', notebook)}.html#{anchor})" in row


def test_the_site_knows_both_kinds_of_anchor():
    "In the documentation a link to a heading becomes one that Sphinx checks, like a link to a name."
    sys.path.insert(0, str(root/"nbs"/"_sphinx"))
    try:
        quarto_myst = importlib.import_module("quarto_myst")
    finally:
        sys.path.pop(0)
    site = "https://cifar-cam.github.io/cifar_cam"
    assert quarto_myst.markdown(f"[a]({site}/data.html#looking-at-a-set)", site) == "[a](data.ipynb#looking-at-a-set)"
    assert quarto_myst.markdown(f"[a]({site}/data.html#images.show)", site) == "[a](#data-images-show)"
    text = f"[a]({site}/data.html#looking-at-a-set) [b]({site}/data.html#images.gone)"
    assert quarto_myst.without_dead_anchors(text, site, set()) == f"[a]({site}/data.html#looking-at-a-set) [b]({site}/data.html)"


# Numbers that tell the networks, the data and the schedules apart

numbers = [("resnet18", {}, 11_173_962), ("resnet34", {}, 21_282_122), ("resnet50", {}, 23_520_842), ("resnet101", {}, 42_512_970),
           ("resnet152", {}, 58_156_618), ("custom_resnet", {}, 6_573_130), ("custom_resnet", dict(final_pool="avg"), 6_573_130),
           ("custom_resnet", dict(bias="blocks", skip="outer"), 6_574_090), ("custom_resnet", dict(head="wide", skip="double"), 7_103_562),
           ("custom_resnet", dict(bias="all", relu_first=True, dropout=0.1), 6_575_370), ("cifar10_net", {}, 77_056),
           ("concatenating_net", {}, 4_583_767), ("resnet18", dict(num_classes=200), 11_271_432), ("resnet18", dict(norm="group"), 11_173_962),
           ("resnet18", dict(norm="ghost"), 11_173_962), ("resnet18", dict(last_stride=1), 11_173_962)]


@pytest.mark.parametrize("name, options, count", numbers, ids=lambda value: str(value))
def test_parameter_counts(name, options, count):
    with torch.device("meta"):
        assert parameter_count(create_model(name, **options)) == count


@pytest.mark.parametrize("last_stride, sizes", [(2, [32, 16, 8, 4]), (1, [32, 16, 8, 8])])
def test_map_sizes_at_32_pixels(last_stride, sizes):
    maps = summary(create_model("resnet18", width=4, last_stride=last_stride)).rows
    assert [shape[1:] for name, _, shape, _ in maps if name.startswith("layer")] == [(size, size) for size in sizes]


@pytest.mark.parametrize("batch_size, batches", [(128, 391), (512, 98), (64, 782), (4, 12_500)])
def test_batches_in_an_epoch(batch_size, batches):
    images = Images(np.zeros((50_000, 1, 1, 3), np.uint8), np.zeros(50_000, np.int64), ("one", "two"))
    assert len(Loader(images, norm="half", batch_size=batch_size)) == batches


def test_the_loss_cannot_fall_below_its_floor_after_a_second_softmax():
    sure = torch.full((1, 10), -1e4).index_fill(1, torch.tensor([3]), 1e4)
    assert F.cross_entropy(sure.softmax(1), torch.tensor([3])).item() == pytest.approx(1.461150, abs=1e-6)
    assert F.cross_entropy(sure, torch.tensor([3])).item() == 0


def test_the_mean_colour_on_the_scale_of_bytes():
    norm = normalisations["cifar10-train+test"]
    assert [round(255 * value, 2) for value in norm.mean] == [125.43, 123.08, 114.03]
    assert fill_colour(cutout(8, fill="mean"), norm) == (125, 123, 114)


def test_one_cycle_of_24_epochs_at_512():
    plan = one_cycle(0.4, epochs=24, steps_per_epoch=98, peak_epoch=5)
    assert plan.steps == 2352 and max(range(plan.steps), key=plan) == 490


# The notebook for Colab: nothing but calls

colab = "20_train_on_colab"


def parsed(source):
    return ast.parse(re.sub(r"^(\s*)[!%].*$", r"\1pass", source, flags=re.M))


def test_nothing_is_defined_in_the_colab_notebook():
    for source in code(colab):
        defined = [node for node in ast.walk(parsed(source)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda))]
        assert not defined, source
    notebook = json.loads((root/"nbs"/f"{colab}.ipynb").read_text(encoding="utf-8"))
    assert "default_exp" not in json.dumps(notebook)


def form():
    "Name -> (value, what stands behind #@param) of every field of the form."
    fields = {}
    for source in code(colab):
        for name, value, choice in re.findall(r"^(\w+) = (.+?)  #@param (.+)$", source, re.M):
            fields[name] = ast.literal_eval(value), choice
    return fields


def choices(name):
    return json.loads(re.match(r"\[.*?\]", form()[name][1])[0])


def test_the_form_offers_what_there_is():
    assert choices("recipe_name") == [r.name for r in recipes() if r.data == "cifar10"], "all recipes for CIFAR-10, in their order"
    assert choices("method") == list(methods())
    assert choices("mode") == ["fixed", "as_run"] and all("as_run" in (m.mode for m in (recipe(n, "as_run"),)) for n in choices("recipe_name") if "seed" in n)
    assert choices("mistakes") == [10, 20, 25] and choices("size") == ["auto", "full", "small"]
    for name in ("recipe_name", "mode", "mistakes", "method", "size"):
        assert form()[name][0] in choices(name)
    assert form()["save_to_drive"] == (False, '{type:"boolean"}') and form()["data"][0] == "" and form()["epochs"][0] == form()["seed"][0] == 0


@pytest.mark.parametrize("asked, there, mounted", [(False, False, 0), (False, True, 0), (True, False, 0), (True, True, 1)])
def test_google_drive_is_touched_only_on_colab_and_when_asked(asked, there, mounted, monkeypatch):
    mounts, (source,) = [], [source for source in code(colab) if "google.colab" in source]
    drive = types.ModuleType("google.colab.drive")
    drive.mount = mounts.append
    for name, module in (("google.colab", types.ModuleType("google.colab")), ("google.colab.drive", drive)):
        monkeypatch.setitem(sys.modules, name, module) if there else monkeypatch.delitem(sys.modules, name, raising=False)
    names = dict(save_to_drive=asked, testing=False, seed=3, chosen=recipe("demo"), data="", importlib=importlib, sys=sys, Path=Path)
    exec(compile(source.replace("\nout.name", ""), colab, "exec"), names)
    assert mounts == ["/content/drive"] * mounted
    assert names["out"] == Path("/content/drive/MyDrive/cifar_cam" if mounted else "runs")/"demo-fixed-8-seed3"


def test_the_checklist_names_sections_of_the_page():
    "Every row of the checklist says where it is met, and that section is there."
    table = next(source for kind, source, _ in cells(colab) if kind == "markdown" and "| asked for |" in source)
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", table, re.M)[2:]
    titles = {text for _, _, text in headings(colab)}
    assert len(rows) >= 20
    for _, _, met in rows:
        named = re.findall(r"\*([^*]+)\*", met)
        assert named and all(name in titles for name in named), met
    for notebook in re.findall(r"`(\d\d\w*)`", table):
        assert (root/"nbs"/f"{notebook}.ipynb").is_file()


def test_the_same_mistakes_are_shown_and_explained():
    "One list of positions, made once."
    joined = "\n".join(code(colab))
    assert len(re.findall(r"^wrong = ", joined, re.M)) == 1
    assert "plot_mistakes(test, n=mistakes)" in joined and "explain(result.model, test[wrong], " in joined


# Networks from elsewhere

@pytest.mark.parametrize("family", ["regnet_y_400mf", "mobilenet_v3_small"])
def test_a_family_of_torchvision_keeps_its_weights_and_gains_a_map(family):
    "The weights fit the original, so the layers are the same; only strides differ, and the last map has 4 pixels where it had 1."
    import torchvision
    original = torchvision.models.get_model(family, weights=None, num_classes=10).eval()
    ours = create_model("torchvision", family=family).eval()
    ours.load_state_dict(original.state_dict())
    sizes = {}
    for name, net in (("original", original), ("ours", ours)):
        last = [module for module in net.modules() if isinstance(module, torch.nn.Conv2d) and module.kernel_size != (1, 1)][-1]
        last.register_forward_hook(lambda _, x, y, name=name: sizes.__setitem__(name, y.shape[-1]))
        with torch.no_grad():
            assert net(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    assert sizes == dict(original=1, ours=4)
