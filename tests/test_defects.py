"The 58 defects of the course projects: none can come back, and the table in 32_spot_the_bug says truly where each is shown and guarded."
import ast
import inspect
import json
import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cifar_cam import recipes as recipe_module
from cifar_cam.augment import Loader, Pipeline, Policy, cutout, hflip, ops, pad_crop, random_erasing, rotate
from cifar_cam.capture import capture
from cifar_cam.checkpoint import History, load_run
from cifar_cam.course_recipes import projects
from cifar_cam.data import Normalisation, normalisations, shapes
from cifar_cam.evaluate import Predictions, predict
from cifar_cam.gradcam import explain
from cifar_cam.lr_finder import LRCurve, lr_find, smooth
from cifar_cam.model import Residual, create_model, models, parameter_count
from cifar_cam.optim import Muon, composed, constant, cyclic, multi_step, one_cycle, plateau, sgd
from cifar_cam.recipes import Recipe, prepare, recipe, recipes, run
from cifar_cam.trainer import Learner

root = Path(__file__).resolve().parent.parent
train, test = shapes(train=70, test=50)
norm = train.statistics()


def quiet(model, loader=None, **settings):
    "A learner that prints nothing; batches of 32, 32 and 6."
    return Learner(model, loader or Loader(train, None, norm, 32, shuffle=True), device="cpu", precision="float32", progress=False, **settings)


def linear_net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))


def small_net(seed=0):
    torch.manual_seed(seed)
    model = create_model("custom_resnet", width=4)
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, 32, 32))
    return model


# Data and augmentation

@pytest.mark.parametrize("name", sorted(ops))
def test_every_policy_ends_in_channels_first_floats(name):
    "B58"
    batch = Loader(train, [dict(op=name)], norm, batch_size=6).batch(0, 0)
    assert batch.x.shape == (6, 3, 32, 32) and batch.x.dtype == torch.float32 and batch.x.is_contiguous()


@pytest.mark.parametrize("kind, settings", [
    (cutout, dict(fill=0.473363)), (random_erasing, dict(fill=0.473363)), (pad_crop, dict(fill=0.473363)), (cutout, dict(fill=(0.49, 0.48, 0.45))),
    (rotate, dict(fill=0.473363, border="constant")), (cutout, dict(fill=127, after_norm=True)), (random_erasing, dict(fill=127, after_norm=True))])
def test_fills_on_the_wrong_scale_are_refused(kind, settings):
    "B13"
    with pytest.raises(ValueError, match="looks like the scale"):
        kind(**settings)


def test_a_mean_fill_is_the_mean_on_both_sides_of_the_normalisation():
    "B13"
    for after_norm in (False, True):
        covered = Pipeline(Policy(cutout(32, fill="mean", p=1, after_norm=after_norm)), norm)(train.images[:4], range(4))
        assert covered.abs().max() < 0.5 / 255 / min(norm.std) + 1e-6


@pytest.mark.parametrize("step", [pad_crop(8, fill=123), rotate(90, border="constant", fill=123, p=1), cutout(20, fill=123, p=1),
                                  cutout(20, fill=123, p=1, clip=True), random_erasing(fill=123, p=1)], ids=lambda step: step.name)
def test_one_fill_stands_for_all_channels(step):
    "B15"
    seen = Pipeline(Policy(step), norm).pictures(np.full((40, 32, 32, 3), 123, np.uint8), range(40), 0, 0)
    assert (seen == 123).all()


def test_pad_crop_reaches_every_shift():
    "B14, B46: four pixels on each side, none left out, none beyond."
    rows, columns = np.mgrid[0:32, 0:32]
    places = np.stack([rows, columns, np.zeros_like(rows)], -1).astype(np.uint8)
    seen = Pipeline(Policy(pad_crop(4)), norm).pictures(np.repeat(places[None], 3000, 0), range(3000), 0, 0)
    assert {tuple(int(v) - 16 for v in p[16, 16, :2]) for p in seen} == {(r, c) for r in range(-4, 5) for c in range(-4, 5)}


def test_arguments_in_the_wrong_place_are_refused():
    "B45: `Rotate(-10.0, 10,0)`, `HorizontalFlip(always_apply)`."
    for name, arguments in (("rotate", (-10.0, 10, 0)), ("rotate", (10, 10)), ("hflip", (True,)), ("cutout", (8, 0.5)), ("pad_crop", (4, 0.5))):
        with pytest.raises(ValueError):
            ops[name](*arguments)
    with pytest.raises(TypeError, match="its settings are p"):
        hflip(always_apply=True)


def test_our_recipes_do_not_turn_pictures_upside_down():
    "B56: only a course recipe bug for bug does, and says so; nor does any other cut eight holes."
    upside_down, riddled = ({name for name in projects if any(chosen(step) for step in recipe(name, "as_run").augmentation)}
                            for chosen in (lambda step: step["op"] in ("vflip", "flip_any"), lambda step: step.get("holes", 1) > 2))
    assert len(upside_down) == 8 and riddled == {"seed1-s10"}
    assert all("upside down" in recipe(name, "as_run").note for name in upside_down)
    for chosen in recipes():
        assert not any(step["op"] in ("vflip", "flip_any") or step.get("holes", 1) > 2 for step in chosen.augmentation), chosen.name


def test_published_statistics():
    "B28: the constants, against the four digits that everybody publishes; measured ones are exact, see 01_data."
    assert [round(v, 4) for v in normalisations["cifar10"].mean] == [0.4914, 0.4822, 0.4465]
    assert [round(v, 4) for v in normalisations["cifar10"].std] == [0.2470, 0.2435, 0.2616]
    floats = train.images.reshape(-1, 3) / 255
    np.testing.assert_allclose([norm.mean, norm.std], [floats.mean(0), floats.std(0)], atol=1e-7)


# Model

counts = {"resnet18": 11_173_962, "resnet34": 21_282_122, "resnet50": 23_520_842, "resnet101": 42_512_970, "resnet152": 58_156_618,
          "custom_resnet": 6_573_130}


@pytest.mark.parametrize("name", counts)
def test_parameter_counts(name):
    "B42, B43"
    with torch.device("meta"):
        assert parameter_count(create_model(name)) == counts[name]


@pytest.mark.parametrize("skip, factor", [("single", 1), ("double", 2), ("outer", 2)])
def test_a_residual_block_without_weights_is_the_identity(skip, factor):
    "B43: an addition has no parameters, so count what it does instead."
    block, maps = Residual(4, skip), torch.rand(2, 4, 8, 8)
    nn.init.zeros_(block.block2.norm.weight)
    assert torch.equal(block(maps), factor * maps)
    assert Residual(4).skip == "single"
    assert {m.skip for m in create_model("custom_resnet", width=4).modules() if isinstance(m, Residual)} == {"single"}


small = {name: dict(width=4) for name in ("resnet18", "resnet34", "resnet50", "custom_resnet", "concatenating_net")}
light = [name for name in models() if name not in ("resnet101", "resnet152")]


@pytest.mark.parametrize("name", light)
def test_models_give_logits(name):
    "B11"
    torch.manual_seed(0)
    model = create_model(name, **small.get(name, {})).eval()
    with torch.no_grad():
        logits = model(10 * torch.randn(4, 3, 32, 32))
    sums = logits.double().sum(1), logits.double().exp().sum(1)
    assert all((s - 1).abs().max() > 1e-3 for s in sums)
    last = [m for m in model.modules() if isinstance(m, (nn.Softmax, nn.LogSoftmax))]
    assert not last


@pytest.mark.parametrize("last, words", [(nn.Softmax(1), "remove its final softmax"), (nn.LogSoftmax(1), "remove its final log_softmax")])
def test_probabilities_are_refused(last, words):
    "B11: before the first step, and before anything is measured."
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10), last)
    learner = quiet(net)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(ValueError, match=words):
        learner.fit(1)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    with pytest.raises(ValueError, match=words):
        predict(net, test, norm)


@pytest.mark.parametrize("name", light)
def test_evaluation_is_repeatable(name):
    "B41: with dropout where there is one, two passes in evaluation mode give the same bits."
    settings = small.get(name, {}) | (dict(dropout=0.5) if name in ("custom_resnet", "concatenating_net", "cifar10_net") else {})
    model, x = create_model(name, **settings).eval(), torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(model(x), model(x))


def test_dropout_is_a_layer():
    "B41: nobody calls the function, which does not know the network's mode."
    for path in sorted((root/"cifar_cam").glob("*.py")):
        assert not re.search(r"\b(F|functional)\.(alpha_|feature_)?dropout", path.read_text(encoding="utf-8")), path.name


# Pictures as they are shown

def drawn_on(figure):
    "The pictures of a figure, as bytes."
    return [np.rint(255 * np.asarray(ax.get_images()[0].get_array(), dtype=float)).astype(np.uint8) if ax.get_images()[0].get_array().dtype != np.uint8
            else np.asarray(ax.get_images()[0].get_array()) for ax in figure.axes if ax.get_images()]


def test_what_is_shown_of_a_loader_is_what_was_loaded():
    "B26: whoever draws normalised pictures undoes the normalisation they were made with, and no other."
    strange = Normalisation((0.3, 0.5, 0.7), (0.1, 0.2, 0.4), "strange")
    mirrored = Policy(hflip(1.0)).show(train, 3, strange)
    original, alone, whole = (drawn_on(mirrored)[k::3] for k in range(3))
    for k, shown in enumerate(drawn_on(Loader(train, None, strange, 8).show(6))):
        np.testing.assert_array_equal(shown, train.images[k])
    for k in range(3):
        np.testing.assert_array_equal(original[k], train.images[k])
        np.testing.assert_array_equal(alone[k][:, ::-1], train.images[k])
        np.testing.assert_array_equal(whole[k][:, ::-1], train.images[k])
    assert len(drawn_on(Loader(train, None, strange, 4).show(10))) == 10, "more than a batch"


def test_a_mistake_is_shown_with_both_names():
    "B33"
    answers = Predictions(np.eye(10)[(test.labels + 1) % 10], test.labels, test.classes)
    titles = [ax.get_title() for ax in answers.plot_mistakes(test, 9).axes if ax.get_title()]
    assert len(titles) == 9
    for title, k in zip(titles, answers.mistakes(9)):
        assert test.classes[test.labels[k]] in title and test.classes[(test.labels[k] + 1) % 10] in title


# Optimiser and schedule

@pytest.mark.parametrize("name", [r.name for r in recipes()])
@pytest.mark.parametrize("mode", ["fixed", "as_run"])
def test_the_optimiser_is_what_the_recipe_says(name, mode):
    "B57: of the learner that the recipe makes, not of what the recipe says."
    if mode == "as_run" and name not in projects:
        pytest.skip("ours have one mode")
    chosen = recipe(name, mode, model=dict(name="custom_resnet", width=4), batch_size=20)
    learner, *_ = prepare(chosen, (train, test), device="cpu", precision="float32", progress=False)
    settings, model, built = chosen.optimizer, learner.model, learner.optimizer
    kinds = dict(sgd=torch.optim.SGD, adam=torch.optim.AdamW, muon=Muon)
    assert type(built) is kinds[settings["name"]]
    decays = {group["weight_decay"] for group in built.param_groups}
    assert settings.get("weight_decay", 0.0) in decays
    if settings["name"] == "sgd" and settings.get("decay_all", True):
        assert decays == {settings.get("weight_decay", 0.0)}
        assert {group["momentum"] for group in built.param_groups} == {settings.get("momentum", 0.9)}
        assert {group["nesterov"] for group in built.param_groups} == {settings.get("nesterov", False)}
        assert sum(len(group["params"]) for group in built.param_groups) == len(list(model.parameters()))


plans = {
    "one-cycle": one_cycle(0.1, 3, 3, momentum=(0.85, 0.95)), "cos": one_cycle(0.1, 3, 3, shape="cos"), "multi-step": multi_step(0.1, 3, 3, (1, 2)),
    "cyclic": cyclic(0.01, 0.1, 3, 3, up_epochs=1), "plateau": plateau(0.1, 3, 3, patience=0), "plateau on accuracy": plateau(0.1, 3, 3, patience=0, metric="accuracy"),
    "composed": composed([dict(name="cyclic", lr_min=0.01, lr_max=0.1, up_epochs=1), dict(name="plateau", factor=0.5, patience=0)], 3, 3),
}


def rates_used(plan):
    "The (rate, momentum) with which each step of three epochs was really made."
    model, used = linear_net(), []
    chosen = sgd(model, 0.5, momentum=0.7)
    step = chosen.step

    def noting(*arguments, **settings):
        used.append((chosen.param_groups[0]["lr"], chosen.param_groups[0]["momentum"]))
        return step(*arguments, **settings)
    chosen.step = noting
    learner = quiet(model, optimizer=chosen)
    history = learner.fit(3, plan)
    return used, history


@pytest.mark.parametrize("name", plans)
def test_the_schedule_is_used_up(name):
    "B18, B20, B52: every step is made with its own rate, the last one with the last, and one schedule alone sets it."
    plan = plans[name]
    used, history = rates_used(plan)
    losses = [row[f"train_{plan.watches}"] for row in history]
    assert len(used) == plan.steps == 9
    assert [rate for rate, _ in used] == [plan(step, losses[:step // 3]) for step in range(9)]
    assert history[-1]["lr"] == used[-1][0]


def test_a_schedule_of_another_length_is_refused():
    "B18, B52"
    for plan in (one_cycle(0.1, 3, 4), one_cycle(0.1, 4, 3), constant(0.1, 1, 3)):
        with pytest.raises(ValueError, match="make it with steps_per_epoch=3"):
            quiet(linear_net()).fit(3, plan)
    with pytest.raises(ValueError, match="make a schedule for more epochs"):
        one_cycle(0.1, 3, 3)(9)
    assert list(inspect.signature(Learner.fit).parameters) == ["self", "epochs", "schedule", "extend"], "one schedule, and no second one"


def test_momentum_stays_where_it_was_put():
    "B53"
    for name, plan in plans.items():
        momenta = {momentum for _, momentum in rates_used(plan)[0]}
        assert (momenta == {0.7}) == (name != "one-cycle"), name


def test_plateau_never_cuts_while_the_loss_falls():
    "B19"
    falling, rising = [2.0 * 0.9**k for k in range(30)], [1.0 + k / 10 for k in range(30)]
    plan = plateau(0.1, 30, 2, factor=0.5, patience=2)
    assert {plan(step, falling) for step in range(60)} == {0.1}
    assert plan(59, rising) < 0.1 / 100


# LR finder

class Line(nn.Module):
    "One weight, which is the output."
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(1, 1))

    def forward(self, x):
        return self.w.expand(len(x), 1)


@pytest.mark.parametrize("steps", [16, 24, 38])
def test_a_sweep_breaks_where_theory_says(steps):
    "B23: on w²/2 the first step that makes it worse is the first one with a rate above 2."
    line = Line()
    descent, batches = torch.optim.SGD(line.parameters(), lr=0.1), [(torch.zeros(1, 1), torch.zeros(1))]
    curve = lr_find(line, batches, lambda outputs, labels: (outputs**2).mean() / 2, descent, 0.1, 10.0, steps)
    assert curve.losses[0] == 0.5, "the first loss is that of the untouched network"
    assert curve.lrs[int(np.argmin(curve.losses))] == min(rate for rate in curve.lrs if rate > 2)


@pytest.mark.parametrize("seed", range(20))
def test_no_rule_looks_beyond_the_break(seed):
    "B22"
    rates, draws = np.geomspace(1e-4, 10, 100), np.random.default_rng(seed)
    losses = 0.8 + 1.5 / (1 + (rates / 0.008)**1.6) + np.where(rates > 0.06, 2.5 * np.log10(np.maximum(rates, 0.06) / 0.06), 0)
    losses = losses + np.where(rates > 0.5, 4 * draws.random(100), 0) + 0.01 * draws.random(100)
    curve = LRCurve(tuple(rates), tuple(losses), tuple(smooth(losses)), "end")
    assert max(*curve.suggestions().values(), curve.recommended) < curve.diverged < 0.5


def test_a_sweep_moves_its_copy():
    "B21, B24: the losses fall although the network itself does not move."
    model = small_net().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    curve = lr_find(model, Loader(train[:30], None, norm, 30), optimizer=sgd(model, 0.1), lr_min=0.02, lr_max=0.05, steps=25)
    assert curve.losses[-1] < 0.8 * curve.losses[0]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# Training loop

def cross_entropy(model, images):
    with torch.no_grad():
        return F.cross_entropy(model(Loader(images, None, norm, len(images)).batch(0, 0).x), torch.from_numpy(images.labels)).item()


@pytest.mark.parametrize("batch_size", [1, 7, 32, 69, 70])
def test_losses_and_accuracies_are_means_over_pictures(batch_size):
    "B08, B09, B10, B39: for a network that stands still, every road gives one number, whatever the last batch."
    model = linear_net()
    loader = Loader(train, None, norm, batch_size, shuffle=True)
    learner = quiet(model, loader, valid=loader)
    row = learner.fit(1, constant(0.0, 1, len(loader)))[0]
    expected, right = cross_entropy(model, train), predict(model, train, norm).accuracy
    for name in ("train", "valid"):
        assert row[f"{name}_loss"] == pytest.approx(expected, rel=1e-5) and row[f"{name}_accuracy"] == pytest.approx(right)
    assert predict(model, loader).loss == pytest.approx(expected, rel=1e-5)


def test_the_logged_loss_is_plain_cross_entropy():
    "B40: with a penalty or label smoothing, in training and in validation."
    for settings in (dict(l1=0.1), dict(loss=nn.CrossEntropyLoss(label_smoothing=0.2))):
        model = linear_net()
        row = quiet(model, valid=Loader(train, None, norm, 70), **settings).fit(1, constant(0.0, 1, 3))[0]
        assert row["train_loss"] == pytest.approx(cross_entropy(model, train), rel=1e-5) == pytest.approx(row["valid_loss"], rel=1e-5)


def test_the_penalty_does_not_depend_on_the_batch():
    "B40: a step on the penalty alone moves every weight by rate × factor, in a batch of 32 as in one of 6."
    for size in (32, 6):
        model = linear_net()
        before = model[1].weight.detach().clone()
        quiet(model, Loader(train[:size], None, norm, size), loss=lambda logits, y: 0 * logits.sum(), l1=0.01,
              optimizer=sgd(model, 0.1, momentum=0.0)).fit(1, constant(0.1, 1, 1))
        assert (before - model[1].weight).abs().max().item() == pytest.approx(0.001, rel=1e-3)


# Evaluation

def test_the_test_set_chooses_nothing():
    "B25: another test set changes no weight, no statistic and no choice."
    with pytest.raises(ValueError, match="the test set must not choose the model"):
        quiet(linear_net(), select="best", watch=Loader(test, None, norm, 50))
    with pytest.raises(ValueError, match="needs validation batches"):
        quiet(linear_net(), patience=1, watch=Loader(test, None, norm, 50))
    weights = []
    for watched in (test, test[::-1], None):
        model = linear_net()
        learner = quiet(model, valid=Loader(train[:20], None, norm, 20), select="best", watch=watched and Loader(watched, None, norm, 25))
        learner.fit(3, plateau(0.1, 3, 3, patience=0))
        weights.append(model[1].weight.detach().clone())
    assert all(torch.equal(w, weights[0]) for w in weights)
    for r in recipes():
        assert r.select == "last" or r.valid_fraction > 0


def test_statistics_are_the_training_sets():
    "B25: measured normalisation sees neither validation nor test pictures."
    chosen = recipe("demo", model=dict(name="custom_resnet", width=4), batch_size=10)
    learner, rest, _ = recipe_module.prepare(chosen, (train, test), device="cpu", precision="float32", progress=False)
    used, _ = train.split(chosen.valid_fraction, 0)
    assert learner.train.norm == used.statistics() and learner.valid.norm == learner.train.norm != train.statistics(test)


@pytest.mark.parametrize("batch_size", [3, 4, 32, 50])
def test_every_picture_counts_once(batch_size):
    "B07, B33, B34: whatever the batches are, every class has all of its pictures, and every mistake is found."
    model = small_net()
    answers = predict(model, Loader(test, None, norm, batch_size, shuffle=True), classes=test.classes)
    assert [row["n"] for row in answers.per_class()] == [5] * 10 and answers.confusion.sum() == 50
    with torch.no_grad():
        wrong = model(Loader(test, None, norm, 50).batch(0, 0).x).argmax(1).numpy() != test.labels
    assert sorted(answers.mistakes().tolist()) == np.flatnonzero(wrong).tolist() and len(answers.mistakes(by="index")) == wrong.sum()


def test_best_is_a_whole_row():
    "B55: all numbers of the best epoch are of that epoch, so a gap computed from them is one that existed."
    rows = History(dict(epoch=k + 1, train_accuracy=t, valid_accuracy=v) for k, (t, v) in enumerate(((0.5, 0.6), (0.8, 0.9), (0.99, 0.7), (0.9, 0.9))))
    assert rows.best() is rows[1] and rows.best("train_accuracy") is rows[2]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    "A small finished run."
    chosen = recipe("demo", epochs=2, batch_size=20, model=dict(name="custom_resnet", width=4, last_stride=1), explain_layers=("layer3",),
                    schedule=dict(name="one_cycle", lr_max=0.1, peak_epoch=1))
    return run(chosen, (train, test), tmp_path_factory.mktemp("run")/"tiny", device="cpu", precision="float32", progress=False)


def test_the_gallery_is_the_saved_models(tiny):
    "B32: the predictions kept are those of the final, saved network."
    kept, again = Predictions.load(tiny.folder/"predictions.npz"), predict(load_run(tiny.folder).model, test)
    np.testing.assert_allclose(kept.logits, again.logits, atol=1e-5)
    assert kept.accuracy == json.loads((tiny.folder/"metrics.json").read_text())["test_accuracy"]


def test_the_record_is_the_trained_models(tiny):
    "B16, B17: what the folder says of the network, its data and its numbers is what was trained, measured and saved."
    loaded, record = load_run(tiny.folder), json.loads((tiny.folder/"run.json").read_text())
    assert {k: v for k, v in loaded.model.made_by.items() if k != "num_classes"} == tiny.recipe.model == record["recipe"]["model"]
    assert Recipe.from_dict(record["recipe"]).digest() == record["digest"] == Recipe.from_dict(loaded.recipe).digest()
    assert record["data"]["test_fingerprint"] == test.fingerprint() and tiny.metrics["parameters"] == parameter_count(loaded.model)
    with pytest.raises(ValueError, match="holds another run"):
        run(recipe("demo", batch_size=20, model=dict(name="custom_resnet", width=4, norm="group")).scaled(2), (train, test), tiny.folder,
            device="cpu", precision="float32", progress=False)


# Grad-CAM

def test_an_untrained_network_is_not_explained_unasked(tiny, monkeypatch, tmp_path):
    "B01: pictures need a network that was trained with a normalisation; a run's figures come from the run's network."
    with pytest.raises(ValueError, match="the normalisation the model was trained with"):
        explain(small_net(), test)
    assert explain(load_run(tiny.folder).model, test[:2], layers="layer3").raw["layer3"].shape == (2, 2, 8, 8)
    explained, drawn = [], recipe_module.explain
    monkeypatch.setattr(recipe_module, "explain", lambda model, *rest, **settings: explained.append(model) or drawn(model, *rest, **settings))
    again = run(tiny.recipe, (train, test), tmp_path/"again", device="cpu", precision="float32", progress=False)
    assert explained and all(model is again.model for model in explained) and (again.folder/"figures"/"gradcam.png").is_file()
    with pytest.raises(FileNotFoundError, match="holds no trained model"):
        load_run(tiny.folder/"checkpoints")


def test_what_is_explained_is_the_picture():
    "B36: no augmentation on the way, the figure shows the very bytes."
    model = small_net()
    clean = explain(model, test[:4], layers="layer1", normalisation=norm)
    np.testing.assert_allclose(clean.pictures, test.images[:4] / 255, atol=1e-12)
    x = Loader(test[:4], None, norm, 4).batch(0, 0).x
    expected = explain(model, x, test.labels[:4], layers="layer1")
    assert torch.allclose(clean.raw["layer1"], expected.raw["layer1"], atol=1e-6)


def test_targets_are_what_they_are_called():
    "B04: for pictures in any order, each map is that of the class which its title names."
    model, order = small_net(), [7, 3, 3, 9, 0]
    asked = explain(model, test[order], layers="layer1", targets=("predicted", "true", "disc"), normalisation=norm)
    assert asked.targets[:, 1].tolist() == order and asked.targets[:, 0].tolist() == asked.logits.argmax(1).tolist()
    assert set(asked.targets[:, 2].tolist()) == {test.classes.index("disc")}
    for i, k in enumerate(order):
        alone = explain(model, test[[k]], layers="layer1", targets=[k], normalisation=norm)
        assert torch.allclose(asked.raw["layer1"][i, 1], alone.raw["layer1"][0, 0], atol=1e-6)


def test_the_map_of_a_score_is_not_that_of_the_loss():
    "B03: `explain` differentiates the class's logit; the loss would give the opposite sign."
    model, x, y = small_net(), Loader(test[:6], None, norm, 6).batch(0, 0).x, torch.tensor(test.labels[:6])
    score = explain(model, x, y, layers="layer1", targets="true").raw["layer1"][:, 0]
    found = capture(model, x, "layer1", y)
    by_hand = (found.gradients["layer1"][:, 0].mean((2, 3), keepdim=True) * found.activations["layer1"]).sum(1)
    loss = capture(model, x, "layer1", lambda logits: (logits.softmax(1) - F.one_hot(y, 10))[:, None])
    of_loss = (loss.gradients["layer1"][:, 0].mean((2, 3), keepdim=True) * loss.activations["layer1"]).sum(1)
    assert torch.allclose(score, by_hand, atol=1e-6)
    assert F.cosine_similarity(score.flatten(), of_loss.flatten(), dim=0) < 0


# The package as a whole

def modules():
    return sorted((root/"cifar_cam").glob("*.py"))


def test_nothing_left_of_a_merge():
    "B47"
    marks = re.compile("^(" + "|".join(re.escape(7 * sign) for sign in "<>") + ") ", re.M)
    for path in [*modules(), *(root/"tests").glob("*.py")]:
        text = path.read_text(encoding="utf-8")
        assert not marks.search(text), path.name
        ast.parse(text)
    for path in (root/"nbs").glob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        assert not marks.search(text), path.name
        assert not any(marks.search("".join(cell["source"])) for cell in json.loads(text)["cells"]), path.name


def test_no_default_can_be_changed():
    "B54: no function of the package has a list, dictionary, set or call as default; what they share cannot grow."
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                for default in [*node.args.defaults, *filter(None, node.args.kw_defaults)]:
                    where = f"{path.name}, line {default.lineno}: {ast.unparse(default)}"
                    assert not isinstance(default, (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.Call)), where


def test_no_whole_model_is_pickled():
    "B50"
    for path in modules():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"torch\.save\(|pickle\.(dump|load)s?\(", text), path.name
        assert all("weights_only=True" in call for call in re.findall(r"torch\.load\(.*", text)), path.name


# The table

index = root/"nbs"/"32_spot_the_bug.ipynb"
row_pattern = re.compile(r"^\| (B\d\d) \| (.+?) \| (.*?) \| (.+?) \| (.+?) \|$", re.M)


@lru_cache
def cells(path):
    return [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]


@lru_cache
def table():
    "Rows (defect, what, where it is shown, why it cannot be, guards)."
    return row_pattern.findall("\n".join(text for kind, text in cells(index) if kind == "markdown"))


def guards(row):
    return re.findall(r"`((?:tests|nbs)/[^`]+)`", row[4])


def runs_in_tests(source):
    flags = "cifar|cuda|slow|colab"
    return not re.search(rf"^#\|\s*(eval:\s*false|({flags})\b)", source, re.M)


def test_the_table_is_complete():
    assert [row[0] for row in table()] == [f"B{k:02}" for k in range(1, 59)]
    assert all(guards(row) for row in table()), "every defect has a guard"


def is_skipped(function):
    "Whether a test is skipped or expected to fail whatever happens."
    marks = [ast.unparse(mark) for mark in function.decorator_list]
    return any(re.search(r"mark\.(skip\b|xfail)", mark) for mark in marks)


def can_fail(function, tree, deeper=2):
    "Whether a function asserts something, expects an error or a warning, or calls one of its file that does."
    parts = [node for statement in function.body for node in ast.walk(statement)]
    expects = any(isinstance(node, ast.With) and re.search(r"pytest\.(raises|warns)", ast.unparse(node.items[0])) for node in parts)
    if expects or any(isinstance(node, ast.Assert) for node in parts):
        return True
    called = {node.func.id for node in parts if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    known = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in called]
    return deeper > 0 and any(can_fail(node, tree, deeper - 1) for node in known)


def test_what_cannot_fail_is_known():
    tree = ast.parse("def test_a(): pass\ndef test_b():\n    \"assert nothing\"\n    test_a()\ndef test_c(): assert True\ndef test_d(): test_c()")
    assert [can_fail(function, tree) for function in tree.body] == [False, False, True, True]


@pytest.mark.parametrize("guard", sorted({guard for row in table() for guard in guards(row) if guard.startswith("tests/")}))
def test_the_named_tests_exist(guard):
    "In the file that is named, collected by pytest and not left out of an ordinary run."
    file, name = guard.split("::")
    tree = ast.parse((root/file).read_text(encoding="utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    assert len(found) == 1, f"{file} has no test {name}"
    marks = " ".join(ast.unparse(mark) for mark in found[0].decorator_list)
    assert name.startswith("test_") and not is_skipped(found[0]) and "mark.slow" not in marks
    assert can_fail(found[0], tree), "a test that cannot fail guards nothing"


def test_the_named_tests_are_collected():
    "pytest itself finds each of them."
    wanted = {guard for row in table() for guard in guards(row) if guard.startswith("tests/")}
    files = sorted({guard.split("::")[0] for guard in wanted})

    done = subprocess.run([sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files], cwd=root,
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert not wanted - {line.split("[")[0] for line in done.stdout.splitlines() if not line.endswith("[NOTSET]")}


@pytest.mark.parametrize("guard", sorted({guard for row in table() for guard in guards(row) if guard.startswith("nbs/")}))
def test_the_named_cells_exist_and_run(guard):
    "A cell of the notebook, which the tests execute, holds the words that are named, and a check."
    file, words = guard.split("::")
    found = [text for kind, text in cells(root/file) if kind == "code" and words in text]
    assert found and all(map(runs_in_tests, found)), f"no executed cell of {file} holds: {words}"
    assert re.search(r"\bassert\b|\btest_\w+\(", found[0])


@pytest.mark.parametrize("row", [row for row in table() if row[2].strip()], ids=lambda row: row[0])
def test_what_is_shown_is_there(row):
    "The lesson that the table names has the defect in its title, wrong code that runs, an answer, an assert and a guard of the table."
    number, lesson, page = re.fullmatch(r"\[(32[a-d]), (\d+)\]\(\S+/(bugs_\w+)\.html\)", row[2]).groups()
    source = cells(root/"nbs"/f"{number}_{page}.ipynb")
    start = [k for k, (kind, text) in enumerate(source) if kind == "markdown" and text.startswith(f"## {lesson}. ")]
    assert len(start) == 1 and row[0] in source[start[0]][1].splitlines()[0]
    rest = source[start[0] + 1:]
    rest = rest[:next((k for k, (kind, text) in enumerate(rest) if kind == "markdown" and text.startswith("## ")), len(rest))]
    code = [text for kind, text in rest if kind == "code"]
    answer = next(text for kind, text in rest if kind == "markdown" and "<summary>Answer</summary>" in text)
    assert any(text.startswith("# WRONG\n") for text in code) and all(map(runs_in_tests, code))
    assert any(re.search(r"^assert |^test_\w+\(", text, re.M) for text in code)
    assert re.search(r"Guard: `([^`]+)`\.", answer)[1] in guards(row)


def test_enough_are_shown():
    "At least 25 of the defects are lessons, and no lesson is missing in the table."
    assert sum(bool(row[2].strip()) for row in table()) >= 25
    shown = {row[0] for row in table() if row[2].strip()}
    titles = [text.splitlines()[0] for path in (root/"nbs").glob("32?_bugs_*.ipynb") for kind, text in cells(path) if kind == "markdown"]
    assert {name for title in titles if title.startswith("## ") for name in re.findall(r"B\d\d", title)} == shown


def test_wrong_code_stays_in_the_lessons():
    "No module holds code that is marked as wrong, and no lesson exports any."
    for path in modules():
        assert "# WRONG" not in path.read_text(encoding="utf-8")
    for path in (root/"nbs").glob("32*.ipynb"):
        assert not any(re.search(r"^#\|\s*(export|default_exp)", text, re.M) for _, text in cells(path))
