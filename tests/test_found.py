"Faults that readers of the code have found: each was reproduced here before it was mended."
import copy
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cifar_cam.app import create_app, save_space
from cifar_cam.augment import Loader, Policy, hflip
from cifar_cam.batch_augment import BatchPipeline
from cifar_cam.batch_size import find_batch_size  # noqa: F401, the method comes with it
from cifar_cam.checkpoint import History
from cifar_cam.data import normalisations, shapes
from cifar_cam.evaluate import Predictions
from cifar_cam.lr_finder import LRCurve, RangeTest, lr_find, range_test
from cifar_cam.model import create_model
from cifar_cam.optim import muon, sgd
from cifar_cam.own_images import classify, explain_images, suggest_layers
from cifar_cam.pictures import fit
from cifar_cam.processes import Team
from cifar_cam.recipes import recipe, run
from cifar_cam.tracking import Tracker, Tracking, following, run_name, track
from cifar_cam.trainer import Learner

few, held = shapes(train=60, test=20)
norm = normalisations["half"]


def small_net(seed=0, width=4):
    torch.manual_seed(seed)
    return create_model("custom_resnet", width=width)


def learner(net=None, images=few, optimizer=None, **settings):
    net = small_net() if net is None else net
    return Learner(net, Loader(images, norm=norm, batch_size=20), optimizer=optimizer or sgd(net, 0.05), device="cpu", precision="float32",
                   progress=False, **settings)


def named(net, classes=tuple("abcde")):
    net.classes, net.normalisation = classes, norm
    return net.eval()


def oblong():
    "Takes pictures of 32×64 only, and its maps are twice as wide as high."
    return named(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 16 * 32, 5)))


# Muon

def test_muon_can_be_copied_and_so_searched_with():
    net = small_net()
    copied = copy.deepcopy(muon(net, steps=5))
    assert copied.steps == 5
    ours = learner(net, optimizer=muon(net))
    assert len(ours.lr_find(steps=3, confirm=False).lrs) == 3
    assert ours.find_batch_size(smallest=4, largest=4).rows[0][0] == 4
    assert range_test(net, ours.train, optimizer=ours.optimizer, epochs=2).lrs


def test_muon_with_a_rate_of_zero_decays_nothing():
    assert [g["weight_decay"] for g in muon(small_net(), bias_lr=0.0, head_lr=0.0).param_groups] == [0.0] * 3


# Learning rates

def test_the_best_rate_is_never_the_one_that_broke():
    assert RangeTest((0.1, 0.2, 0.3), (0.2, 0.3, 0.1), (0.2, 0.4, math.nan), "end").best == 0.2


def test_batches_that_come_only_once_are_told_from_a_loss_that_is_no_number():
    batch = torch.rand(8, 3, 32, 32), torch.arange(8)
    with pytest.raises(ValueError, match="no pictures to learn from or to judge by; give batches that can be gone through again"):
        range_test(small_net(), [batch], valid=iter([batch]), lr_min=1e-3, lr_max=0.01, epochs=3)
    for valid in ([], iter([batch])):
        with pytest.raises(ValueError, match="the validation batches gave no pictures"):
            lr_find(small_net(), [batch], valid=valid, judge="valid", steps=4)


def test_a_share_of_the_past_is_below_one():
    with pytest.raises(ValueError, match="beta=1.0 is the share of the past in the smoothed loss"):
        lr_find(small_net(), [(torch.rand(8, 3, 32, 32), torch.arange(8))], beta=1.0)


def test_a_curve_is_json_also_when_nothing_was_learned():
    rising = LRCurve((0.1, 0.2, 0.3), (1.0, 2.0, 3.0), (1.0, 2.0, 3.0), "end", confirmed=((0.1, math.inf), (0.2, 2.0)))
    assert json.loads(json.dumps(rising.to_dict(), allow_nan=False))["confirmed"] == [[0.1, None], [0.2, 2.0]]


# How large a batch may be

class Seen(nn.Module):
    "Remembers the sizes that it and its copies were shown."
    sizes = set()

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 10)

    def forward(self, x):
        self.sizes.add(tuple(x.shape[1:]))
        return self.head(x.mean((2, 3)))


def test_batch_sizes_are_tried_with_the_pictures_trained_on():
    learner(Seen(), shapes(40, 10, pixels=48)[0]).find_batch_size(smallest=2, largest=2)
    assert Seen.sizes == {(3, 48, 48)}
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 20 * 20, 10))
    assert learner(flat, shapes(40, 10, pixels=20)[0]).find_batch_size(smallest=2, largest=2).rows
    with pytest.raises(ValueError, match="does not take pictures of shape"):
        learner(flat).find_batch_size(smallest=2, largest=2, shape=(3, 32, 32))


# Trackers

class Told(Tracker):
    def __init__(self):
        self.names, self.rows = [], 0

    def start(self, record):
        self.names.append(run_name(record))

    def epoch(self, row):
        self.rows += 1


def test_two_trainings_are_two_runs_and_a_stopped_one_goes_on(tmp_path):
    told = Told()
    for k in (1, 1, 2):
        ours = learner(folder=tmp_path/str(k))
        with following(ours, told):
            ours.fit(1)
    for _ in range(2):
        with following(learner(), told):
            pass
    first, again, *others = told.names
    assert first == again and len({first, *others}) == 4


def test_a_run_is_not_told_to_its_own_files(tmp_path):
    tiny = recipe("demo", model=dict(name="custom_resnet", width=4), batch_size=20, epochs=2, schedule=dict(name="one_cycle", lr_max=0.1),
                  explain_layers=("layer2",))
    run(tiny, (few, held), out=tmp_path/"a", device="cpu", precision="float32", progress=False, trackers="files")
    diary = [json.loads(line)["what"] for line in (tmp_path/"a"/"log.jsonl").read_text().splitlines()]
    assert diary.count("epoch") == 2 and diary.count("start") == 1
    before = (tmp_path/"a"/"history.csv").read_bytes()
    with pytest.raises(ValueError, match="writes into the run's own folder, which holds all this already; leave it out"):
        track(tmp_path/"a", ["files", Told()])
    assert (tmp_path/"a"/"history.csv").read_bytes() == before
    told = Told()
    track(tmp_path/"a", told)
    assert told.rows == len(History.from_csv(before.decode())) == 2


def test_whatever_has_the_four_methods_is_a_tracker():
    class Duck:
        start = epoch = finish = lambda self, what: None
        figure = lambda self, name, figure: None
    assert len(Tracking(Duck()).trackers) == 1


# One's own pictures

def test_every_figure_keeps_a_name_of_its_own(tmp_path):
    for name in ("a-2.png", "a.jpg", "A.png"):
        Image.fromarray(few.images[0]).save(tmp_path/name)
    paths = explain_images(named(small_net(), few.classes), tmp_path, 1, size=32).save(tmp_path/"out")
    assert len({str(path).lower() for path in paths}) == 4 == len(list((tmp_path/"out").iterdir()))


def test_how_much_a_photograph_was_reduced_is_counted_from_the_photograph():
    photo = np.zeros((1500, 2000, 3), np.uint8)
    seen = classify(named(small_net(), few.classes), photo, size=32).to_dict()["pictures"][0]["seen_as"]
    assert seen in repr(fit(photo, 32)) and "1500×2000 → 32×32, crop, reduced 46.9 times" in seen


def test_layers_of_a_network_that_is_not_square():
    found = suggest_layers(oblong(), (32, 64))
    assert (found.recommended, found[0]["height"], found[0]["width"]) == ("2", 16, 32)
    assert explain_images(oblong(), few.images[0], 1, size=(32, 64)).explanation.raw["2"].shape[-2:] == (16, 32)


def test_a_count_of_numpy_is_a_count():
    net, picture = named(small_net(), few.classes), few.images[:1]
    counted = [explain_images(net, picture, targets=count, size=32).explanation.targets.shape for count in (2, np.int64(2))]
    assert counted[0] == counted[1] == (1, 2)


# Augmentation

def test_draws_do_not_hang_on_the_kind_of_number():
    pipeline, images = BatchPipeline(Policy(hflip()), norm), few.images[:32]
    draws = [pipeline(images, np.arange(32).astype(kind), 0, 3) for kind in ("int64", "int32", "uint8")]
    assert torch.equal(draws[0], draws[1]) and torch.equal(draws[0], draws[2])


# Spaces and examples

def test_an_example_may_be_a_single_picture_and_a_wrong_folder_is_named(tmp_path):
    pytest.importorskip("gradio")
    Image.fromarray(few.images[0]).save(tmp_path/"one.png")
    net = named(small_net(), few.classes)
    net.made_by = small_net().made_by
    create_app(net, examples=tmp_path/"one.png", boxed=False)
    with pytest.raises((ValueError, OSError), match="nofolder"):
        create_app(net, examples="nofolder", boxed=False)


def test_a_space_written_again_is_the_new_one(tmp_path):
    pytest.importorskip("gradio")
    net = named(small_net(), few.classes)
    save_space(tmp_path/"space", net, data=held, examples=held[[0, 1]])
    assert (tmp_path/"space"/"mistakes.npz").is_file()
    save_space(tmp_path/"space", examples=held[[0]])
    assert not (tmp_path/"space"/"mistakes.npz").exists() and len(list((tmp_path/"space"/"examples").iterdir())) == 1
    foreign = named(nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)), few.classes)
    foreign.input_size = (32, 32)
    with pytest.raises(ValueError, match="made by create_model"):
        save_space(tmp_path/"refused", run=foreign, data=held, examples=held[[0]])
    assert not (tmp_path/"refused").exists() or not any((tmp_path/"refused").iterdir())


# Several processes

def test_only_training_needs_a_picture_for_every_process():
    team = Team.__new__(Team)
    team.sync_batch_norm, team.size, team.rank = True, 16, 0
    batches = Loader(shapes(10, 136)[1], norm=norm, batch_size=128)
    assert team.share(batches, training=False) is not None
    with pytest.raises(ValueError, match="the last batch has 8 pictures for 16 processes"):
        team.share(batches)


# Comparing and giving away

def test_predictions_that_do_not_fit_are_told_and_stop_nothing(tmp_path):
    from cifar_cam.compare import compare
    from test_compare import labels, names, write_run
    for name in "ab":
        write_run(tmp_path/name, seed=ord(name))
    Predictions(np.eye(4)[labels[:200]] * 5.0, labels[:200], names).save(tmp_path/"b"/"predictions.npz")
    found = compare(tmp_path)
    assert "a and b do not fit each other" in next(iter(found.pairs()))["not_paired"]
    with pytest.raises(ValueError, match="do not fit each other"):
        found.paired(np.int64(0), np.int64(1))


def test_a_wrapped_network_is_exported_with_its_names(tmp_path):
    onnx, _ = pytest.importorskip("onnx"), pytest.importorskip("onnxscript")
    from cifar_cam.export import export_onnx, save_pretrained
    net = named(small_net(), few.classes)
    net.input_size = (32, 32)
    averaged = torch.optim.swa_utils.AveragedModel(net)
    for k, (model, classes) in enumerate([(averaged, None), (net, np.array(few.classes))]):
        export_onnx(model, tmp_path/f"{k}.onnx", classes=classes)
        told = {entry.key: entry.value for entry in onnx.load(tmp_path/f"{k}.onnx").metadata_props}
        assert json.loads(told["classes"]) == list(few.classes)
    (tmp_path/"a file").write_text("mine")
    with pytest.raises(ValueError, match="is a file, and a folder is to be written"):
        save_pretrained(tmp_path, tmp_path/"a file")
