"Sixteen bits, the compiler and the paths of a GPU, as far as a CPU can walk them; and settings that ask for what is not there."
import functools
import math
import os
import signal
import warnings

import pytest
import torch
import torch.nn.functional as F

from cifar_cam import machine
from cifar_cam.augment import Loader, Policy, hflip, set_seed
from cifar_cam.checkpoint import Checkpoints
from cifar_cam.data import shapes
from cifar_cam.optim import linear, one_cycle, schedule, sgd
from cifar_cam.recipes import recipe
from cifar_cam.machine import usable_precision
from cifar_cam.trainer import Learner

few, held = shapes(train=36, test=12)
norm = few.statistics()


def learner(folder=None, seed=0, precision="float32", lr=0.1, **settings):
    set_seed(seed)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 2), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Dropout(0.1),
                              torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, 10))
    return Learner(net, Loader(few, Policy(hflip()), norm, batch_size=12, shuffle=True), Loader(held, None, norm, batch_size=12),
                   optimizer=sgd(net, lr), folder=folder, precision=precision, device="cpu", progress=False, **settings)


def trained(epochs, **settings):
    ours = learner(**settings)
    ours.fit(epochs)
    return ours


def weights(ours):
    return torch.cat([p.detach().flatten() for p in ours.model.parameters()])


def cut(ours, at):
    "Let the loss press stop in its `at`-th call, as Ctrl-C would."
    calls, loss = [], ours.loss

    def pressing(logits, labels):
        calls.append(1)
        if len(calls) == at:
            os.kill(os.getpid(), signal.SIGINT)
        return loss(logits, labels)
    ours.loss = pressing
    return ours


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_learns_what_full_precision_learns(precision):
    half, full = trained(4, precision=precision), trained(4)
    assert half.precision == precision and not torch.equal(weights(half), weights(full))
    assert half.history[-1]["train_loss"] == pytest.approx(full.history[-1]["train_loss"], rel=0.02)


def test_a_cut_run_in_float16_ends_with_the_same_bits(tmp_path):
    "The scaler's scale and its count of good steps are part of the state."
    def run(folder, at=None):
        ours = learner(folder, precision="float16", seed=5 if at is None else 0)
        ours.scaler = torch.amp.GradScaler("cpu", init_scale=1024, growth_interval=4)
        (cut(ours, at) if at else ours).fit(3)
        return ours
    straight = learner(precision="float16")
    straight.scaler = torch.amp.GradScaler("cpu", init_scale=1024, growth_interval=4)
    straight.fit(3)
    assert run(tmp_path, 5).interrupted
    saved = Checkpoints(tmp_path).latest()["scaler"]
    assert saved["scale"] == 2048 and saved["_growth_tracker"] == 1
    again = run(tmp_path)
    assert torch.equal(weights(again), weights(straight)) and again.scaler.state_dict() == straight.scaler.state_dict()


def test_the_scaler_finds_its_scale_by_skipping_steps():
    "A scale so large that gradients overflow costs steps, not the run: the weights stay, the scale is halved."
    ours = learner(precision="float16")
    ours.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    before = weights(ours).clone()
    ours.fit(1)
    assert ours.scaler.get_scale() < 2.0**40 and torch.equal(weights(ours), before) and math.isfinite(ours.history[-1]["train_loss"])


def test_a_loss_that_is_no_number_stops_in_float16_too():
    ours = learner(precision="float16")
    ours.loss = lambda logits, labels: F.cross_entropy(logits, labels) * float("nan")
    with pytest.raises(FloatingPointError, match="the loss became nan at step 0"):
        ours.fit(1)


def test_a_precision_that_the_device_lacks(monkeypatch):
    monkeypatch.setattr(machine, "_has_precision", lambda device, name: name == "float32")
    with pytest.warns(UserWarning, match="cpu does not compute in bfloat16: going on in float32"):
        ours = learner(precision="bfloat16")
    ours.fit(1)
    assert ours.precision == "float32"
    with pytest.raises(ValueError, match="unknown precision 'float8'"):
        learner(precision="float8")


def test_emulated_bfloat16_gives_way_to_float16(monkeypatch):
    "As on a T4, which claims bfloat16."
    asked = []
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: asked.append(including_emulation) or including_emulation)
    real = machine._has_precision
    monkeypatch.setattr(machine, "_has_precision", lambda device, name: real(device, name) if name == "bfloat16" else True)
    with pytest.warns(UserWarning, match="going on in float16"):
        assert usable_precision(torch.device("cuda"), "bfloat16") == "float16"
    assert asked == [False]


def test_a_device_that_refuses(monkeypatch):
    def refuse(*tensors):
        raise RuntimeError("not implemented for 'Half'")
    monkeypatch.setattr(machine.F, "linear", refuse)
    with pytest.warns(UserWarning, match="going on in float32"):
        assert usable_precision(torch.device("cpu"), "float16") == "float32"


def test_the_compiled_form_trains_the_same_network(monkeypatch):
    "With the compiler's front end only: the back end needs a C++ compiler and a minute."
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    plain, compiled = trained(2), trained(2, compile=True)
    assert compiled._compiled is not None and torch.equal(weights(plain), weights(compiled))
    assert list(compiled.model.state_dict()) == list(plain.model.state_dict())


def test_without_a_compiler_training_goes_on(monkeypatch):
    from torch._dynamo.exc import BackendCompilerFailed

    class Uncompilable(torch.nn.Module):
        def forward(self, x):
            raise BackendCompilerFailed(lambda: None, RuntimeError("no C++ compiler"), None)
    monkeypatch.setattr(torch, "compile", lambda model, **options: Uncompilable())
    plain = trained(1)
    with pytest.warns(UserWarning, match="cannot be compiled here"):
        compiled = trained(1, compile=True)
    assert compiled._compiled is None and torch.equal(weights(plain), weights(compiled))


def test_a_batch_larger_than_the_set():
    with pytest.raises(ValueError, match="does not fit a set of 36 pictures; choose 1 to 36"):
        Loader(few, None, norm, batch_size=37)


def test_a_schedule_shorter_than_its_warm_up():
    with pytest.raises(ValueError, match="the peak at epoch 5 must lie inside the run of 3 epochs"):
        one_cycle(0.1, 3, 10, peak_epoch=5)
    chosen = recipe("resnet9-94", epochs=3)
    with pytest.raises(ValueError, match="must lie inside the run of 3 epochs"):
        schedule(chosen.schedule, chosen.epochs, 10)
    assert schedule(recipe("resnet9-94").scaled(3).schedule, 3, 10).steps == 30
    with pytest.raises(ValueError, match="no share"):
        linear(0.1, 3, 10, warm_up=1.2)


def test_nothing_of_this_warns_where_all_is_there():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learner(precision="bfloat16").fit(1)
