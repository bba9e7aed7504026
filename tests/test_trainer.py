"What `Learner` and `run` promise beside a plain training: what is frozen stays frozen, what differs is refused, what is found is said."
import json
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from cifar_cam import recipes as recipes_module
from cifar_cam import trainer
from cifar_cam.augment import Loader
from cifar_cam.course_recipes import loss_of
from cifar_cam.data import shapes
from cifar_cam.model import create_model
from cifar_cam.optim import Schedule, constant, one_cycle, sgd
from cifar_cam.recipes import _metrics, prepare, recipe, run
from cifar_cam.trainer import Learner

train, test = shapes(train=96, test=40)
few = train[:40], test


def loader(batch_size=32):
    return Loader(train, None, "cifar10", batch_size, shuffle=True)


def small_net():
    torch.manual_seed(0)
    return create_model("custom_resnet", width=4)


def learner(net=None, **settings):
    settings = dict(device="cpu", precision="float32", progress=False) | settings
    return Learner(net or small_net(), loader(), **settings)


def weights(net):
    return {name: value.clone() for name, value in net.named_parameters()}


def test_frozen_weights_stay_frozen():
    net = small_net()
    frozen = [p for name, p in net.named_parameters() if "linear" not in name]
    one = learner(net, optimizer=torch.optim.SGD(net.parameters(), lr=0.1))
    for weight in frozen:  # after the learner was made: either way is in use
        weight.requires_grad_(False)
    before = [weight.clone() for weight in frozen]
    for _ in range(2):
        one.fit(1, constant(0.1, 1, len(one.train)))
        assert not any(weight.requires_grad for weight in frozen)
    assert all(torch.equal(*pair) for pair in zip(before, frozen)) and net.linear.weight.requires_grad


def test_a_group_at_rest_wakes_and_its_frozen_part_does_not():
    first, second, last = (torch.nn.Parameter(torch.ones(1)) for _ in range(3))
    second.requires_grad_(False)
    one = learner()
    one.optimizer = torch.optim.SGD([dict(params=[first, second], ends=0.5), dict(params=[last])], lr=0.1)
    one._ratios = [1.0, 1.0]
    plan = constant(0.1, 1, 4)
    asleep = []
    for step in range(4):
        one._set_rate(plan, step)
        asleep.append(not first.requires_grad)
    assert asleep == [False, False, True, True]
    one._set_rate(plan, 0)  # gone back
    assert first.requires_grad and not second.requires_grad
    one._set_rate(plan, 3)
    one._pause()
    assert first.requires_grad and not second.requires_grad and last.requires_grad


@pytest.mark.parametrize("make, words", [
    (lambda net: sgd(net, 0.1, momentum=0.5), "momentum 0.9 there, 0.5 here"),
    (lambda net: sgd(net, 0.1, weight_decay=0.01), "weight_decay"),
    (lambda net: torch.optim.Adam(net.parameters()), "SGD there, Adam here"),
    (lambda net: torch.optim.SGD([dict(params=[p]) for p in net.parameters()], lr=0.1, momentum=0.9), "groups of")])
def test_another_optimiser_is_refused_before_anything_changes(tmp_path, make, words):
    net = small_net()
    learner(net, folder=tmp_path, optimizer=sgd(net, 0.1)).fit(1, constant(0.1, 1, 3))
    other = small_net()
    before = weights(other)
    with pytest.raises(ValueError, match=f"another optimiser .*{words}.*use a new folder"):
        learner(other, folder=tmp_path, optimizer=make(other)).fit(1, constant(0.1, 1, 3))
    assert all(torch.equal(before[name], value) for name, value in weights(other).items())


def test_a_momentum_that_the_schedule_swings_is_no_difference(tmp_path):
    plan = one_cycle(0.1, 1, 3, momentum=(0.85, 0.95))
    net, again = small_net(), small_net()
    learner(net, folder=tmp_path, optimizer=sgd(net, 0.1)).fit(1, plan)
    second = learner(again, folder=tmp_path, optimizer=sgd(again, 0.1))
    second.fit(1, plan)
    assert all(torch.equal(*pair) for pair in zip(net.parameters(), again.parameters()))
    second.fit(1, constant(0.1, 1, 3), extend=True)
    third = small_net()
    late = learner(third, folder=tmp_path, optimizer=sgd(third, 0.1))
    assert trainer._optimizer_differs(late.optimizer, late.checkpoints.latest()) == ""  # it swung before the extension


def test_an_extension_goes_on_from_the_last_weights_also_where_the_best_were_put_in_place(tmp_path):
    losses = []
    for folder in (None, tmp_path):
        one = learner(valid=loader(40), select="best", folder=folder)
        one.fit(3, Schedule("late leap", 9, 3, lambda step, losses=(): 0.05 if step < 6 else 20.0))
        assert one._best["epoch"] < 3  # so that the weights in place now are not those of the last epoch
        one.fit(2, constant(0.01, 2, 3), extend=True)
        losses.append(one.history.column("train_loss"))
    assert losses[0] == losses[1]


def test_extending_after_best_without_a_folder_loads_the_last_weights():
    one = learner(valid=loader(40), select="best")
    one.fit(1, constant(0.1, 1, 3))
    last = {name: value + 1 for name, value in one._last.items() if value.is_floating_point()}
    one._last = {**one._last, **last}
    one._begin_anew(constant(0.1, 1, 3), dict(extend=True))
    assert all(torch.equal(one.model.state_dict()[name], value) for name, value in last.items())


def test_the_finder_knows_what_guessing_costs():
    one = learner()
    assert one.lr_find(steps=12).guessing == pytest.approx(math.log(10))
    one.loss = lambda logits, labels: F.cross_entropy(logits, labels) + 1
    assert one.lr_find(steps=12).guessing is None
    through_recipe = prepare(recipe("demo", model=dict(name="custom_resnet", width=4), batch_size=20), few, device="cpu", precision="float32", progress=False)[0]
    assert through_recipe.lr_find(steps=12).guessing == pytest.approx(math.log(10))
    assert loss_of(recipe("demo"), one.model)(torch.zeros(2, 10), torch.zeros(2, dtype=torch.long)).item() == pytest.approx(math.log(10))


def test_metrics_of_the_best_weights_are_of_their_epoch():
    one = learner(valid=loader(40), select="best")
    one.fit(3, constant(0.3, 3, 3))
    one.history[0]["valid_accuracy"], one.history[0]["train_accuracy"] = 1.0, 0.123
    best, last = recipe("demo", select="best", valid_fraction=0.2), recipe("demo")
    answers = recipes_module.predict(one.model, test, normalisation="cifar10")
    assert _metrics(replace(best, tta=""), one, answers, test)["train_accuracy"] == 0.123
    assert _metrics(replace(last, tta=""), one, answers, test)["train_accuracy"] == one.history[-1]["train_accuracy"]


def test_a_setting_that_cannot_be_is_refused_before_the_folder_is_made(tmp_path):
    with pytest.raises(ValueError, match="one_cyle"):
        run(recipe("demo", schedule=dict(name="one_cyle", lr_max=0.1), batch_size=20), few, tmp_path/"run", device="cpu", precision="float32", progress=False)
    assert not (tmp_path/"run").exists()


def test_a_folder_without_a_training_may_be_taken_over(tmp_path, monkeypatch):
    for drawing in ("_figures", "_draw_before"):
        monkeypatch.setattr(recipes_module, drawing, lambda *arguments: None)
    small = recipe("demo", model=dict(name="custom_resnet", width=4), batch_size=20).scaled(1)
    settings = dict(out=tmp_path/"run", device="cpu", precision="float32", progress=False)
    with pytest.raises(ValueError, match="no recommendation.*give the recipe's schedule a number"):
        run(replace(small, finder=dict(steps=6)), few, **settings)
    mended = replace(small, schedule=dict(name="one_cycle", lr_max=0.05))
    run(mended, few, **settings)
    record = json.loads((tmp_path/"run"/"run.json").read_text())
    assert record["recipe"]["schedule"]["lr_max"] == 0.05 and record["command"].startswith("run(Recipe.from_dict(")
    with pytest.raises(ValueError, match="different test data"):
        run(mended, (few[0], test[:20]), **settings)
