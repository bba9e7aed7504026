"All 29 course recipes, in both modes: their data, the numbers of the five documents, and twenty steps of each."
import json
import math
from dataclasses import fields

import pytest
import torch

from cifar_cam import recipes as recipes_module
from cifar_cam.augment import policy
from cifar_cam.checkpoint import Checkpoints
from cifar_cam.course_recipes import projects
from cifar_cam.data import normalisation, shapes
from cifar_cam.model import create_model
from cifar_cam.optim import schedule
from cifar_cam.recipe_cards import Recipe, quirks
from cifar_cam.recipes import fitted_to, prepare, recipe, recipes, run

few = tuple(shapes(train=90, test=20))
both = [(name, mode) for name in projects for mode in ("fixed", "as_run")]
every_recipe = pytest.mark.parametrize("name,mode", both, ids=[f"{name}-{mode}" for name, mode in both])


def small(name, mode):
    "The recipe with the narrowest network it allows, eight pictures a batch at most, two epochs."
    chosen = recipe(name, mode=mode)
    widths = dict(resnet18=4, custom_resnet=4, concatenating_net=2)
    model = {**chosen.model, "width": widths[chosen.model["name"]]}
    finder = {**chosen.finder, "steps": 20} if chosen.finder else {}
    return recipe(name, mode=mode, model=model, batch_size=min(8, chosen.batch_size), finder=finder).scaled(2)


@pytest.fixture
def quick(monkeypatch):
    "Runs without figures and, where a rate is to be found, without a sweep: both are tested elsewhere."
    for drawing in ("_figures", "_draw_before"):
        monkeypatch.setattr(recipes_module, drawing, lambda *arguments: None)
    monkeypatch.setattr(recipes_module, "_find_rate", lambda learner, out, settings: 0.05)


@every_recipe
def test_twenty_steps(name, mode, quick, tmp_path):
    chosen = small(name, mode)
    torch.set_num_threads(1)
    result = run(chosen, few, out=tmp_path/"run", seed=1, device="cpu", precision="float32", progress=False)
    assert len(result.history) == 2 and not result.interrupted
    assert all(math.isfinite(row["train_loss"]) for row in result.history)
    plan = Checkpoints(tmp_path/"run"/"checkpoints").latest()
    assert plan["calls"][0]["steps"] >= 20
    record = json.loads((tmp_path/"run"/"run.json").read_text())
    fitted, notes = fitted_to(chosen, few[0])  # it is made for other pictures
    assert Recipe.from_dict(record["recipe"]) == fitted and record["digest"] == fitted.digest() and record["notes"] == notes
    assert {f.name for f in fields(Recipe) if getattr(fitted, f.name) != getattr(chosen, f.name)} <= {"normalisation", "augmentation", "data", "note"}
    assert record["command"].startswith("run(Recipe.from_dict(")  # the command line has no word for a smaller network
    assert result.history.measured("valid_loss") == bool(chosen.valid_fraction or "test_as_validation" in chosen.quirks)
    if "test_as_validation" in chosen.quirks:
        assert result.metrics["test_accuracy"] in [row["valid_accuracy"] for row in result.history]


@every_recipe
def test_survives_json_and_keeps_its_digest(name, mode):
    chosen = recipe(name, mode=mode)
    again = Recipe.from_dict(json.loads(json.dumps(chosen.to_dict())))
    assert again == chosen and again.digest() == chosen.digest() == recipe(name, mode=mode).digest()
    assert chosen.name == name and chosen.mode == mode and chosen.note and set(chosen.reported) == {"train", "test"}


@every_recipe
def test_layers_to_explain_exist(name, mode):
    chosen = small(name, mode)
    assert set(chosen.explain_layers) <= {layer for layer, _ in create_model(**chosen.model).named_modules()} and chosen.explain_layers


@every_recipe
def test_schedule_can_be_made_at_full_and_at_other_lengths(name, mode):
    chosen = recipe(name, mode=mode)
    for length in (chosen.epochs, 1, 3, 100):
        scaled = chosen.scaled(length)
        settings = {k: 0.1 if (k, v) == ("lr_max", "find") else v for k, v in scaled.schedule.items()}
        plan = schedule(settings, length, 11)
        rates = [plan(step, [1.0] * 100) for step in range(plan.steps)]
        assert plan.steps == 11 * length and all(math.isfinite(rate) and rate > 0 for rate in rates)


def test_digests_differ():
    digests = [recipe(name, mode=mode).digest() for name, mode in both]
    assert len(digests) == len(set(digests)) == 58


def test_every_quirk_is_used_and_only_as_run():
    assert not any(modes["fixed"].quirks for modes in projects.values())
    assert {quirk for modes in projects.values() for quirk in modes["as_run"].quirks} == set(quirks)


def test_every_recipe_is_listed():
    assert [row.name for row in recipes() if row.name in projects] == list(projects)
    assert all(name in repr(recipes()) and name in recipes()._repr_html_() for name in projects)


def test_fixed_recipes_learn_nothing_from_the_test_set():
    "A schedule that looks at losses gets those of validation pictures, and no normalisation comes from the test set."
    for name, modes in projects.items():
        chosen = modes["fixed"]
        settings = {**chosen.schedule, **({"lr_max": 0.1} if "lr_max" in chosen.schedule else {})}
        assert bool(schedule(settings, chosen.epochs, 4).adapts) == bool(chosen.valid_fraction), name
        assert chosen.select == "last" and "test" not in chosen.normalisation, name


# The numbers of the five documents, as their own notebooks print them

def ops(chosen):
    return [{"op": entry["op"], **{k: v for k, v in entry.items() if k != "op"}} for entry in chosen.augmentation]


def shared(name, mode, **expected):
    "The recipe, its plain settings checked."
    chosen = recipe(name, mode=mode)
    for setting, value in expected.items():
        assert getattr(chosen, setting) == value, (name, mode, setting)
    assert chosen.optimizer["momentum"] == 0.9 and not chosen.optimizer["nesterov"] and chosen.optimizer["name"] == "sgd"
    return chosen


@pytest.mark.parametrize("mode", ["fixed", "as_run"])
def test_numbers_of_seed0(mode):
    chosen = shared("seed0-s9", mode, epochs=40, batch_size=128, model=dict(name="resnet18"), reported=dict(train=99.37, test=89.27))
    assert chosen.optimizer["lr"] == 0.01 and chosen.optimizer["weight_decay"] == 1e-3
    assert chosen.schedule == dict(name="multi_step", lr=0.01, milestones=[8, 16, 24], gamma=0.3)
    assert ops(chosen) == [dict(op="hflip", p=0.7), dict(op="cutout", size=[4, 16], fill="mean", p=0.7)]
    rates = schedule(chosen.schedule, 40, 391)
    assert [rates(391 * epoch) for epoch in (0, 7, 8, 16, 24, 39)] == pytest.approx([0.01, 0.01, 0.003, 0.0009, 0.00027, 0.00027])
    if mode == "as_run":
        norm = normalisation(chosen.normalisation)
        assert norm.mean == (0.49186864, 0.48265335, 0.44717798) and norm.std == (0.24697131, 0.24338901, 0.26159254)
        assert [255 * value for value in norm.mean] == pytest.approx([125.43, 123.08, 114.03], abs=0.005)
        assert chosen.l1 == 5e-4 and set(chosen.quirks) == {"l1_by_batch", "test_as_validation"}
    else:
        assert chosen.l1 == 5e-4 / 128 and chosen.normalisation == "cifar10" and not chosen.quirks


@pytest.mark.parametrize("mode", ["fixed", "as_run"])
def test_numbers_of_seed1(mode):
    chosen = shared("seed1-s9", mode, epochs=15, batch_size=128, model=dict(name="resnet18"), l1=1e-5, quirks=(), normalisation="half",
                    reported=dict(train=91.84, test=89.22), explain_layers=("layer1", "layer2", "layer3", "layer4"))
    assert chosen.optimizer["lr"] == 0.01 and chosen.optimizer["weight_decay"] == 1e-4
    named = ["rotate", "hflip", "vflip"] if mode == "as_run" else ["rotate", "hflip"]
    assert [entry["op"] for entry in chosen.augmentation] == named and chosen.augmentation[0]["limit"] == 10
    assert [(op["p"], op["border"]) for op in map(filled, chosen.augmentation)] == [(0.5, "reflect101"), (0.5, None), (0.5, None)][:len(named)]
    plan = chosen.schedule
    assert (plan["lr_max"], plan["peak_epoch"], plan["shape"], plan["momentum"]) == (0.1, 0.3 * 15, "cos", [0.85, 0.95])
    assert (plan["lr_start"], plan["lr_end"]) == pytest.approx((0.1 / 25, 0.1 / 25 / 1e4))
    assert "92.66 / 87.89" in chosen.note


def filled(entry):
    "An operation with its defaults, and None for a border it does not have."
    return {"border": None, **policy([entry])[0].to_dict()}


@pytest.mark.parametrize("mode", ["fixed", "as_run"])
def test_numbers_of_seed2(mode):
    chosen = shared("seed2-doc", mode, epochs=24, batch_size=512, normalisation="cifar10", reported=dict(train=87.74, test=88.00))
    norm = normalisation(chosen.normalisation)
    assert norm.mean == (0.49139968, 0.48215841, 0.44653091) and norm.std == (0.24703223, 0.24348513, 0.26158784)
    crop, flip, hide = map(filled, chosen.augmentation)
    assert (crop["op"], crop["pad"], crop["border"], crop["fill"], crop["p"]) == ("pad_crop", 4, "constant", 0, 1.0)
    assert (flip["op"], flip["p"]) == ("hflip", 0.5)
    assert (hide["op"], hide["size"], hide["holes"], hide["p"], hide["clip"], hide["after_norm"]) == ("cutout", 8, 1, 0.5, False, False)
    assert hide["fill"] == ("mean" if mode == "fixed" else 0)  # 0.473363 is the mean on the scale 0..1, and black on bytes
    assert sum(norm.mean) / 3 == pytest.approx(0.473363, abs=1e-6)
    if mode == "fixed":
        assert chosen.schedule == dict(name="one_cycle", lr_max="find", peak_epoch=5)
        assert chosen.model == dict(name="custom_resnet", logit_scale=1 / 8)
    else:
        assert chosen.schedule["lr_max"] == 0.04467 and chosen.quirks == ("softmax_twice",) and chosen.optimizer["weight_decay"] == 0


@pytest.mark.parametrize("mode", ["fixed", "as_run"])
def test_numbers_of_seed3(mode):
    chosen = shared("seed3-s9", mode, epochs=50, batch_size=128, model=dict(name="resnet18"), reported=dict(train=98.27, test=88.74), l1=0.0,
                    explain_layers=("layer1", "layer2", "layer3", "layer4"))
    assert chosen.optimizer["lr"] == 0.01 and chosen.optimizer["weight_decay"] == 0 and chosen.schedule == dict(name="constant", lr=0.01)
    flip, hide = map(filled, chosen.augmentation)
    assert (flip["op"], flip["p"]) == ("hflip", 0.5)
    assert (hide["size"], hide["holes"], hide["p"], hide["clip"], hide["after_norm"]) == (16, 1, 0.5, True, True)
    assert hide["fill"] == ("mean" if mode == "fixed" else [0.489, 0.48, 0.477])
    assert chosen.normalisation == ("cifar10" if mode == "fixed" else "visionaire")
    norm = normalisation("visionaire")
    assert norm.mean == (0.4890062, 0.47970363, 0.47680542) and norm.std == (0.264582, 0.258996, 0.25643882)


@pytest.mark.parametrize("mode", ["fixed", "as_run"])
def test_numbers_of_seed4(mode):
    chosen = shared("seed4-s7", mode, epochs=20, batch_size=4, model=dict(name="resnet18"), normalisation="half", reported=dict(train=97.07, test=86))
    assert chosen.optimizer["lr"] == 0.001 and chosen.optimizer["weight_decay"] == 0 and chosen.schedule == dict(name="constant", lr=0.001)
    hide = filled(chosen.augmentation[-1])
    assert (hide["op"], hide["size"], hide["fill"], hide["p"], hide["holes"]) == ("cutout", 16, 127, 0.5, 1)
    assert hide["clip"] == (mode == "as_run")
    crop = [filled(entry) for entry in chosen.augmentation[:-1]]
    assert [(op["op"], op["pad"], op["fill"]) for op in crop] == ([("pad_crop", 4, 0)] if mode == "fixed" else [])


def test_networks_are_those_of_the_originals():
    counts = {"seed0-s9": 11173962, "seed0-s11a1": 6573130, "seed0-quiz": 4583767, "seed1-s9": 11173962, "seed1-s11": 6574090,
              "seed2-s9": 7103562, "seed2-s8": 11173962, "seed3-s9": 11173962, "seed3-s11": 6573130, "seed4-s7": 11173962, "seed4-s8": 6575370}
    for name, count in counts.items():
        assert sum(p.numel() for p in create_model(**recipe(name, mode="as_run").model).parameters()) == count, name
    for name in ("seed0-s12-tiny", "seed2-s10-tiny", "seed3-s12-tiny"):
        assert sum(p.numel() for p in create_model(num_classes=200, **recipe(name).model).parameters()) == 11271432


# What the quirks do, in a run

def test_the_test_set_stands_in_for_validation():
    learner, _, test = prepare(small("seed0-s9", "as_run"), few, device="cpu", precision="float32", progress=False)
    assert learner.valid.images is test and learner.watch is None and len(learner.train.images) == len(few[0])
    learner, _, test = prepare(small("seed0-s10", "fixed"), few, device="cpu", precision="float32", progress=False)
    assert learner.valid.images is not test and len(learner.valid.images) + len(learner.train.images) == len(few[0])


def test_the_sweep_of_seed0_s10_leaves_its_trace(quick, tmp_path, monkeypatch):
    seen = []
    fit = recipes_module.Learner.fit
    monkeypatch.setattr(recipes_module.Learner, "fit", lambda self, *given: seen.append(weights(self.model)) or fit(self, *given))
    chosen = small("seed0-s10", "as_run")
    run(chosen, few, out=tmp_path/"run", device="cpu", precision="float32", progress=False)
    fresh, _, _ = prepare(chosen, few, device="cpu", precision="float32", progress=False)
    assert not torch.equal(seen[0], weights(fresh.model)) and torch.isfinite(seen[0]).all()


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_softmax_twice_keeps_the_loss_above_its_floor():
    learner, _, _ = prepare(small("seed2-s9", "as_run"), few, device="cpu", precision="float32", progress=False)
    sure, labels = 1000 * torch.eye(10), torch.arange(10)
    assert learner.loss(sure, labels).item() == pytest.approx(1.461150, abs=1e-6)
    fixed, _, _ = prepare(small("seed2-s9", "fixed"), few, device="cpu", precision="float32", progress=False)
    assert fixed.loss(sure, labels).item() == pytest.approx(0, abs=1e-6)


def test_the_penalty_by_batch_replaces_the_constant_one():
    as_run, _, _ = prepare(small("seed0-s9", "as_run"), few, device="cpu", precision="float32", progress=False)
    assert as_run.l1 == 0
    logits, labels = torch.zeros(8, 10), torch.zeros(8, dtype=torch.int64)
    total = sum(p.abs().sum() for p in as_run.model.parameters()).item()
    for count in (8, 2):
        assert as_run.loss(logits[:count], labels[:count]).item() == pytest.approx(math.log(10) + 5e-4 * total / count, rel=1e-5)
    fixed, _, _ = prepare(small("seed0-s9", "fixed"), few, device="cpu", precision="float32", progress=False)
    assert fixed.l1 == 5e-4 / 128 and fixed.loss(logits, labels).item() == pytest.approx(math.log(10), rel=1e-5)
