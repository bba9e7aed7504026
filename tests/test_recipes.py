"Recipes and `run`: whole run folders, folders of earlier versions, loaders, networks that prepare themselves, measured figures."
import importlib.metadata
import json
import subprocess
import sys
from importlib import resources
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from scripts import tool

from cifar_cam import recipes as recipes_module
from cifar_cam.augment import normalise
from cifar_cam.batch_augment import BatchLoader
from cifar_cam.checkpoint import load_run
from cifar_cam.data import shapes
from cifar_cam.model import model_makers
from cifar_cam.optim import schedule
from cifar_cam.recipes import Recipe, prepare, recipe, recipes, run, versions

root = Path(__file__).resolve().parent.parent
few = tuple(shapes(train=160, test=40))


@pytest.mark.parametrize("name,mode", [("seed2-doc", "fixed"), ("seed0-s9", "as_run")])
def test_document_recipe_fills_a_run_folder(name, mode, tmp_path):
    model = {**recipe(name, mode=mode).model, "width": 16}
    finder = {**recipe(name, mode=mode).finder, "steps": 120}  # so few pictures tell less at a step
    chosen = recipe(name, mode=mode, model=model, batch_size=40, finder=finder).scaled(1)
    result = run(chosen, few, out=tmp_path/name, device="cpu", precision="float32", progress=False)
    assert len(result.history) == 1 and not result.interrupted
    assert {p.name for p in (tmp_path/name).iterdir()} >= {"run.json", "history.csv", "metrics.json", "predictions.npz", "model", "figures"}
    figures = {p.stem for p in (tmp_path/name/"figures").iterdir()}
    assert figures >= {"schedule", "augmentation", "curves", "confusion", "per_class", "mistakes", "gradcam"}
    record = json.loads((tmp_path/name/"run.json").read_text())
    assert record["recipe"]["name"] == name and record["recipe"]["mode"] == mode and "scaled from" in record["recipe"]["note"]
    assert load_run(tmp_path/name).classes == few[0].classes


@pytest.fixture
def quick(monkeypatch):
    "Runs without figures."
    for drawing in ("_figures", "_draw_before"):
        monkeypatch.setattr(recipes_module, drawing, lambda *arguments: None)


def small(**changes):
    usual = dict(model=dict(name="custom_resnet", width=4), batch_size=40, schedule=dict(name="one_cycle", lr_max=0.05))
    return recipe("demo", **{**usual, **changes}).scaled(1)


def test_a_run_folder_of_an_earlier_version_is_known_again(quick, tmp_path):
    "Settings that recipes got later are missing there, and stand for their defaults."
    chosen = small()
    first = run(chosen, few, out=tmp_path/"run", device="cpu", precision="float32", progress=False)
    path = tmp_path/"run"/"run.json"
    record = json.loads(path.read_text())
    for setting in ("loader", "drop_last", "mode", "quirks"):
        del record["recipe"][setting]
    path.write_text(json.dumps(record))
    again = run(chosen, few, out=tmp_path/"run", device="cpu", precision="float32", progress=False)
    assert again.metrics == first.metrics
    reworded = small(note="the same in other words")
    assert run(reworded, few, out=tmp_path/"run", device="cpu", precision="float32", progress=False).metrics == first.metrics
    with pytest.raises(ValueError, match="another run .different recipe: drop_last.;"):
        run(small(drop_last=True), few, out=tmp_path/"run", device="cpu", precision="float32", progress=False)


@pytest.mark.parametrize("folder", sorted((root/"nbs"/"records").glob("*/run.json")), ids=lambda path: path.parent.name)
def test_digests_of_published_records_stand(folder):
    record = json.loads(folder.read_text())
    assert Recipe.from_dict(record["recipe"]).digest() == record["digest"]


def test_loader_and_workers():
    "Whole batches unless the recipe says otherwise; the number of processes never changes a batch."
    first = {}
    for kind in ("auto", "tensor", "albumentations"):
        for workers in (0, 1) if kind != "tensor" else (0,):
            learner, _, _ = prepare(small(loader=kind), few, device="cpu", precision="float32", workers=workers, progress=False)
            assert isinstance(learner.train, BatchLoader) == (kind != "albumentations") and isinstance(learner.valid, BatchLoader)
            first[kind, workers] = next(iter(learner.train.set_epoch(0))).x
    assert torch.equal(first["auto", 0], first["auto", 1]) and torch.equal(first["auto", 0], first["tensor", 0])
    assert torch.equal(first["albumentations", 0], first["albumentations", 1]) and not torch.equal(first["auto", 0], first["albumentations", 0])


def test_drop_last():
    made = (prepare(small(drop_last=drop, valid_fraction=0.0, batch_size=60), few, device="cpu", progress=False)[0] for drop in (False, True))
    assert [len(learner.train) for learner in made] == [3, 2]


class Tiny(torch.nn.Module):
    "A network that computes its first layer from the pictures it is prepared with."
    def __init__(self, num_classes=10):
        super().__init__()
        self.shift, self.linear = torch.nn.Parameter(torch.zeros(3)), torch.nn.Linear(3, num_classes)

    def prepare(self, pictures):
        assert pictures.dtype == torch.float32 and pictures.shape[1:] == (3, 32, 32)
        self.pictures = pictures
        self.shift = torch.nn.Parameter(pictures.mean((0, 2, 3)))

    def forward(self, x):
        return self.linear(x.mean((2, 3)) - self.shift)


def test_a_network_is_prepared_before_its_optimiser_is_made(monkeypatch):
    monkeypatch.setitem(model_makers, "tiny", Tiny)
    learner, _, _ = prepare(small(model=dict(name="tiny")), few, device="cpu", precision="float32", progress=False)
    held = {id(p) for group in learner.optimizer.param_groups for p in group["params"]}
    assert id(learner.model.shift) in held, "the parameter that prepare made is the one that is trained"
    images = learner.train.images
    assert torch.equal(learner.model.pictures, normalise(images.images, learner.train.norm)) and len(images) < len(few[0])


@pytest.mark.parametrize("name", [r.name for r in recipes() if r.name not in recipes_module.projects])
def test_our_own_recipes_fit_together(name):
    "Network, operations, optimiser, layers to explain and schedule exist, with settings that they take."
    chosen = recipe(name, batch_size=20)
    learner, *_ = prepare(chosen, few, device="cpu", precision="float32")
    assert set(chosen.explain_layers) <= {layer for layer, _ in learner.model.named_modules()} and chosen.explain_layers
    plan = schedule({k: 0.1 if v == "find" else v for k, v in chosen.schedule.items()}, chosen.epochs, len(learner.train))
    assert plan.steps == chosen.epochs * len(learner.train) and all(plan(step) > 0 for step in range(plan.steps))


def test_modes_and_names():
    assert recipe("seed0-s9") == recipe("seed0-s9", mode="fixed") != recipe("seed0-s9", mode="as_run")
    with pytest.raises(ValueError, match="has no mode 'broken'; choose fixed or as_run"):
        recipe("seed0-s9", mode="broken")
    with pytest.raises(ValueError, match="has no mode 'as_run'; choose fixed$"):
        recipe("demo", mode="as_run")


# The figures that `recipes()` shows

measured = tool("measured")


def test_measured_figures_are_those_of_the_records():
    packaged = json.loads(resources.files("cifar_cam").joinpath("measured.json").read_text())
    assert packaged == measured.collect(root/"nbs"/"records"), "run python nbs/_tools/measured.py"


def test_the_table_shows_them(monkeypatch):
    rows = [dict(recipe="seed1-s9", mode="fixed", epochs=15, test_accuracy=0.93214, data="a copy"),
            dict(recipe="seed1-s9", mode="fixed", epochs=3, test_accuracy=0.5, data="a copy"),
            dict(recipe="seed2-s9", mode="as_run", epochs=6, test_accuracy=0.8, data="another copy")]
    monkeypatch.setattr(recipes_module, "_measured", lambda: rows)
    table = {row[0]: row for row in recipes().rows()}
    assert table["seed1-s9"][5:] == ["89.22 %", "93.21 %", ""]
    assert table["seed2-s9"][5:] == ["88.66 %", "", "80.00 % (6 epochs)"]
    assert "(a copy, another copy)" in repr(recipes()) and "(a copy, another copy)" in recipes()._repr_html_()


def test_a_record_of_another_recipe_does_not_count(tmp_path, capsys):
    chosen = recipe("seed1-s9").scaled(3)
    metrics = dict(test_accuracy=0.9, seconds=1.0, epochs=3)
    changes = dict(same={}, words=dict(title="Other words"), changed=dict(l1=0.5), unknown=dict(name="seed9"))
    for folder, settings in ((name, {**chosen.to_dict(), **change}) for name, change in changes.items()):
        (tmp_path/folder).mkdir()
        (tmp_path/folder/"run.json").write_text(json.dumps(dict(recipe=settings, seed=0, data=dict(note="", name="cifar10"), machine=dict(name="x"))))
        (tmp_path/folder/"metrics.json").write_text(json.dumps(metrics))
    assert [row["test_accuracy"] for row in measured.collect(tmp_path)] == [0.9, 0.9]
    said = capsys.readouterr().err
    assert "left out: changed" in said and "left out: unknown" in said


def test_recipes_bring_all_networks():
    "In a process that imports nothing else."
    code = "from cifar_cam.recipes import recipe; from cifar_cam.model import create_model, models; create_model('cifar10_net'); print(models())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and "spatial_transformer" in done.stdout, done.stderr


def test_versions_are_those_of_what_is_installed():
    with mock.patch("importlib.metadata.version", side_effect=importlib.metadata.PackageNotFoundError):
        assert list(versions()) == ["python"]
    assert {"cifar_cam", "torch", "numpy"} <= versions().keys()


def test_a_record_keeps_what_pages_show(tmp_path):
    keep = tool("keep_record").keep
    finished, folder = tmp_path/"run", tmp_path/"record"
    (finished/"figures").mkdir(parents=True)
    (finished/"model.safetensors").write_bytes(b"weights")
    for name in ("run.json", "history.csv"):
        (finished/name).write_text(name)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)).save(finished/"figures"/"curves.png")
    with pytest.raises(FileNotFoundError, match="finish the run"):
        keep(finished, folder)
    (finished/"metrics.json").write_text("{}")
    keep(finished, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["curves.png", "history.csv", "metrics.json", "run.json"]
    with Image.open(folder/"curves.png") as picture:
        assert picture.size == (32, 32) and len(picture.getcolors()) <= 64
