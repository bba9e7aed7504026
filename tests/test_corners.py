"Corners of data, optimisers, networks and explanations that went wrong once."
import os
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cifar_cam import data
from cifar_cam.app import _answer
from cifar_cam.augment import PictureTransform, cutout, hflip, random_states, restore_random_states, set_seed
from cifar_cam.cam_checks import impute, leaderboard
from cifar_cam.cam_methods import occlusion
from cifar_cam.capture import default_layer, find_layer
from cifar_cam.course_models import torchvision_net
from cifar_cam.data import Images, image_folder, shapes
from cifar_cam.evaluate import predict
from cifar_cam.export import deployed
from cifar_cam.gradcam import explain
from cifar_cam.model import create_model, whitening_filters
from cifar_cam.optim import Muon, adam, composed, one_cycle
from cifar_cam.own_images import load_single_file, save_single_file
from cifar_cam.trainer import Learner

train, test = shapes(train=60, test=20)
x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class Plain(nn.Module):
    "A small network, with a last step and attributes of its own."
    def __init__(self, last=None, **attributes):
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
        self.head, self.last = nn.Linear(8, 10), last or nn.Identity()
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x):
        return self.last(self.head(self.features(x).mean((2, 3))))


# Data

def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(len(str(path))).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)


def test_a_class_called_train_does_not_swallow_the_others(tmp_path):
    for k in range(4):
        for name in ("car", "plane", "train/steam", "train/diesel"):
            picture(tmp_path/name/f"{k}.png")
    with pytest.raises(ValueError, match="is train/ a class, or the pictures to train on.*car, plane hold pictures too"):
        image_folder(tmp_path)


def test_pictures_to_train_on_that_are_not_sorted(tmp_path):
    for k in range(4):
        for name in ("train", "val/cat", "val/dog"):
            picture(tmp_path/name/f"{k}.png")
    with pytest.raises(ValueError, match="train hold no class folders; sort the pictures into"):
        image_folder(tmp_path)


def test_what_cannot_be_kept_is_said_and_given(tmp_path, monkeypatch):
    monkeypatch.setattr(data.fetch, "download", lambda urls, path, sha256, size: path)
    monkeypatch.setattr(data, "_from_archive", lambda path, kind: (train, test))
    with mock.patch.object(data.fetch, "write_atomic", side_effect=PermissionError("read-only")), \
            pytest.warns(UserWarning, match="could not be kept decoded.*read-only"):
        assert data.cifar10(tmp_path) == (train, test)


@pytest.mark.parametrize("level", [33, 77, 254])
def test_a_channel_that_never_changes_is_named(level):
    with pytest.raises(ValueError, match="never changes"):
        Images(np.full((7, 8, 8, 3), level, np.uint8), np.zeros(7, int), ["one", "two"]).statistics()


def test_a_transform_makes_its_pipeline_once():
    transform = PictureTransform([hflip()], "half")
    for _ in range(3):
        transform(train.images[0])
    (kept,) = transform._pipelines.values()
    transform(train.images[1])
    assert [kept] == [*transform._pipelines.values()]
    with mock.patch("cifar_cam.augment.Pipeline", side_effect=AssertionError("made anew")):
        transform(train.images[2])
    with pytest.raises(ValueError, match="alternating_flip needs to know epoch and position.*use hflip"):
        PictureTransform([dict(op="alternating_flip")])


def test_settings_may_be_arrays():
    assert cutout(np.array([4, 8]), fill=np.array([125, 123, 114])) == cutout((4, 8), fill=(125, 123, 114))


def test_large_seeds_and_states_of_more_devices():
    set_seed(2**64 + 3)
    first = torch.rand(1)
    set_seed(3)
    assert torch.equal(first, torch.rand(1))
    states = {**random_states(), "cuda": [torch.zeros(8, dtype=torch.uint8)] * 8}
    with mock.patch.object(torch.cuda, "is_available", return_value=True), mock.patch.object(torch.cuda, "device_count", return_value=1), \
            mock.patch.object(torch.cuda, "set_rng_state") as put:
        restore_random_states(states)
    assert [call.args[1] for call in put.call_args_list] == [0]


def test_the_random_state_of_an_apple_gpu_is_kept_too():
    state = torch.arange(8, dtype=torch.uint8)
    with mock.patch.object(torch.backends.mps, "is_available", return_value=True), \
            mock.patch.object(torch.mps, "get_rng_state", return_value=state), mock.patch.object(torch.mps, "set_rng_state") as put:
        restore_random_states(random_states())
    assert [call.args[0] for call in put.call_args_list] == [state]
    restore_random_states({**random_states(), "mps": state})  # saved on one, continued here
    restore_random_states({k: v for k, v in random_states().items() if k != "mps"})  # saved before it was kept


# Schedules and optimisers

@pytest.mark.parametrize("part", [dict(name="linear"), dict(name="cyclic", lr_min=0.5, up_epochs=1), dict(name="one_cycle", peak_epoch=1)])
def test_every_schedule_can_be_a_factor(part):
    whole = composed([dict(name="constant", lr=0.2), part], 4, 10)
    alone = composed([dict(name="constant", lr=1.0), part], 4, 10)
    assert [whole(k) for k in range(40)] == pytest.approx([0.2 * alone(k) for k in range(40)])


def test_a_schedule_swings_the_momentum_of_adam_too():
    net = create_model("custom_resnet", width=4)
    learner = Learner(net, [(x, torch.tensor([0, 1]))] * 4, optimizer=adam(net), device="cpu", precision="float32", progress=False)
    seen = []
    plan = one_cycle(1e-3, 2, 4, peak_epoch=1, momentum=(0.5, 0.9))
    for step in range(8):
        learner._set_rate(plan, step)
        seen.append(learner.optimizer.param_groups[0]["betas"])
    assert [first for first, _ in seen] == pytest.approx([plan.momentum(k) for k in range(8)]) and {second for _, second in seen} == {0.999}


def test_muon_moves_filters_that_begin_as_zeros():
    weight = nn.Parameter(torch.zeros(4, 3, 3, 3))
    weight.grad = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    mover = Muon([dict(params=[weight], orthogonal=True)])
    for _ in range(2):
        mover.step()
    assert weight.isfinite().all() and weight.abs().sum() > 0


# Networks

@pytest.mark.parametrize("make, words", [
    (lambda: create_model("custom_resnet", last_stride=4), "unknown last_stride 4; choose one of 1, 2"),
    (lambda: create_model("fast", widths=(8, 8)), "give three numbers of maps")])
def test_options_out_of_range(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_missing_screen_library_is_explained(tmp_path):
    (tmp_path/"cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    done = subprocess.run([sys.executable, "-c", "import cifar_cam.augment"], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert "OpenCV cannot be loaded (libGL.so.1" in done.stderr and "apt-get install libgl1, or pip uninstall -y opencv-python" in done.stderr


def test_all_strides_may_be_taken_away():
    net = torchvision_net(10, "mobilenet_v2", size=32, least=32)
    assert net.features(x).shape[-2:] == (32, 32)


def test_whitening_asks_no_double_precision_of_a_device_that_has_none():
    class Apple(torch.Tensor):
        @property
        def device(self):
            return torch.device("mps")

        def cpu(self):
            return self.as_subclass(torch.Tensor)

        def double(self):
            raise TypeError("Cannot convert a MPS Tensor to float64")
    assert torch.equal(whitening_filters(x.as_subclass(Apple)), whitening_filters(x))


# Explanations and answers

def test_names_that_look_like_wrappers():
    wrapped = torch.optim.swa_utils.AveragedModel(Plain())
    assert find_layer(wrapped, "module.features.2")[1] is wrapped.module.features[2]
    assert explain(wrapped, x, targets=("predicted",)).raw[default_layer(wrapped, x)[0]].shape[-2:] == (16, 16)
    net = Plain()
    net.features = torch.compile(net.features)
    for name in ("features.2", "features._orig_mod.2"):
        assert find_layer(net, name)[1] is net.features._orig_mod[2]
    assert find_layer(net, default_layer(net, x)[0])[1] is net.features


def test_a_map_can_be_exported_by_a_name_that_counts_from_the_end():
    net = create_model("custom_resnet", width=4)
    net.classes, net.normalisation = tuple(map(str, range(10))), data.normalisation("half")
    whole, _ = deployed(net, "layer3.-1")
    assert whole.layer == deployed(net, "layer3.1")[0].layer == "layer3.1"


@pytest.mark.parametrize("method", ["occlusion", "gradient", "fullgrad", "deconvnet", "guided-backprop", "gradcam"])
def test_the_app_asks_methods_without_layers_for_none(method):
    net = create_model("custom_resnet", width=4)
    net.classes, net.normalisation = train.classes, data.normalisation("half")
    subject = mock.Mock(model=net, known=None)
    assert len(_answer(subject, train[:1], 1, ["layer2"], method, "crop").explanation) == 1


def test_predict_takes_a_half_precision_network_and_refuses_dictionaries():
    found, exact = (predict(net, test, "half") for net in (Plain().half(), Plain()))
    assert found.logits == pytest.approx(exact.logits, abs=0.02)
    class Named(nn.Module):
        def forward(self, value):
            return dict(logits=value)
    with pytest.raises(ValueError, match="the output is a dict where a tensor of logits is needed; wrap it"):
        predict(Plain(Named()), test, "half")


def test_a_compiled_network_is_saved_as_the_network_it_is(tmp_path):
    net = create_model("custom_resnet", width=4)
    net.classes, net.normalisation = train.classes, data.normalisation("half")
    again = load_single_file(save_single_file(tmp_path/"a.safetensors", torch.compile(net)))
    assert all(torch.equal(*pair) for pair in zip(net.state_dict().values(), again.state_dict().values()))


def test_what_a_network_remembers_from_predict_can_be_differentiated():
    class Remembers(nn.Module):
        kept = None

        def forward(self, value):
            if self.kept is None:
                self.kept = torch.linspace(0, 1, value.shape[1])
            return value * self.kept
    net = Plain(Remembers())
    predict(net, test, "half")
    net(x).sum().backward()
    assert explain(net, x, layers="features.2", targets=("predicted",)).raw["features.2"].isfinite().all()


@pytest.mark.parametrize("last, dtype", [(nn.LogSoftmax(1), torch.float32), (nn.Softmax(1), torch.float32), (nn.Softmax(1), torch.bfloat16)])
def test_probabilities_of_a_network_that_is_quite_sure(last, dtype):
    net = Plain(nn.Sequential(nn.BatchNorm1d(10, affine=False), last))
    net.last[0].running_var.fill_(1e-12)
    with pytest.raises(ValueError, match="probabilities.* but logits are needed"):
        explain(net.to(dtype), x.to(dtype), layers="features.2", targets=("predicted",))


@pytest.mark.parametrize("stride", [0, 5, -1])
def test_an_occluding_square_passes_over_every_pixel(stride):
    with pytest.raises(ValueError, match="stride must lie between 1 and 4"):
        explain(Plain(), x, targets=("predicted",), method=occlusion, patch=4, stride=stride)


def test_the_default_layer_is_a_map_of_the_picture():
    class ChannelsLast(nn.Module):
        def forward(self, maps):
            return maps.permute(0, 2, 3, 1)
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.turned, self.attend, self.head = nn.Conv2d(3, 12, 4, 4), ChannelsLast(), nn.Softmax(-1), nn.Linear(12, 10)

        def forward(self, picture):
            tokens = self.turned(self.stem(picture)).flatten(1, 2)
            weights = self.attend(tokens @ tokens.transpose(1, 2))[:, None]
            return self.head((weights[:, 0] @ tokens).mean(1)) + weights.sum() * 0
    assert default_layer(Net(), x) == ("stem", (8, 8))


def test_imputation_in_half_precision():
    large, missing = torch.randn(1, 3, 96, 96).half(), torch.rand(1, 96, 96) < 0.5
    filled = impute(large, missing)
    assert filled.dtype == torch.float16 and filled.isfinite().all()
    assert filled.float() == pytest.approx(impute(large.float(), missing), abs=0.01)
    board = leaderboard(Plain().half(), torch.randn(2, 3, 96, 96), ["gradcam"])
    assert board.rows()


@pytest.mark.parametrize("attributes", [dict(normalisation=nn.BatchNorm2d(3)), dict(classes=nn.Linear(2, 2)), dict(classes=10)])
def test_layers_and_numbers_with_the_name_of_what_models_carry(attributes):
    net = Plain(**attributes)
    assert len(explain(net, x, targets=("predicted",))) == 2 and len(predict(net, test, "half")) == 20
