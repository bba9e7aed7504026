"Faults that readers of the code have found: each was reproduced here before it was mended."
import contextlib
import copy
import json
import math
import os
import shutil
import signal

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cifar_cam import app, machine
from cifar_cam.app import create_app, save_space
from cifar_cam.augment import Loader, Pipeline, Policy, cutout, fill_colour, hflip, pad_crop
from cifar_cam.batch_augment import BatchPipeline
from cifar_cam.batch_size import find_batch_size  # noqa: F401, the method comes with it
from cifar_cam.cam_checks import leaderboard
from cifar_cam.cam_gallery import cam_film, class_means
from cifar_cam.capture import default_layer
from cifar_cam.checkpoint import BatchHistory, CheckpointError, Checkpoints, History, import_state_dict, load_model, load_run, save_model
from cifar_cam.cli import main
from cifar_cam.compare import compare
from cifar_cam.data import Images, image_folder, load_data, normalisations, shapes
from cifar_cam.download import download
from cifar_cam.evaluate import Predictions, _check_output, predict
from cifar_cam.export import _results, _settings, _what, export_onnx, model_card, save_pretrained
from cifar_cam.faithfulness import deletion, drop_increase, insertion, road
from cifar_cam.gradcam import compare_methods, explain
from cifar_cam.inference import refuse_probabilities
from cifar_cam.localisation import energy_inside, mask_overlap, pointing_game
from cifar_cam.lr_finder import LRCurve, RangeTest, lr_find, range_test
from cifar_cam.machine import fastest_precision
from cifar_cam.model import create_model, summary
from cifar_cam.more_data import _tiny_members
from cifar_cam.optim import constant, muon, sgd
from cifar_cam.own_images import classify, explain_images, suggest_layers
from cifar_cam.pictures import _used_box, fit, read_image
from cifar_cam.processes import Team
from cifar_cam.recipes import _plan, fitted_to, recipe, run
from cifar_cam.report import short_count
from cifar_cam.sanity import layer_groups, randomised
from cifar_cam.show import image_grid, image_table, save_figure
from cifar_cam.tracking import Tracker, Tracking, following, run_name, track
from cifar_cam.trainer import Learner
from cifar_cam.widget import browse

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
    net = named(small_net(), few.classes)
    net.input_size = (32, 32)
    averaged = torch.optim.swa_utils.AveragedModel(net)
    for k, (model, classes) in enumerate([(averaged, None), (net, np.array(few.classes))]):
        export_onnx(model, tmp_path/f"{k}.onnx", classes=classes)
        told = {entry.key: entry.value for entry in onnx.load(tmp_path/f"{k}.onnx").metadata_props}
        assert json.loads(told["classes"]) == list(few.classes)
    (tmp_path/"a file").write_text("mine")
    with pytest.raises(ValueError, match="is a file; a network is given away as a folder, so choose another name"):
        save_pretrained(tmp_path, tmp_path/"a file")


# Folders and files

def test_a_folder_that_holds_other_things_is_never_replaced(tmp_path, monkeypatch):
    (tmp_path/"thesis.txt").write_text("years of work")
    made = small_net(), few.classes, norm
    for place in (tmp_path, "."):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ValueError, match="holds other things .thesis.txt., which would be lost"):
            save_model(place, *made)
    with pytest.raises(ValueError, match="is a file, and a folder is to be written"):
        save_model(tmp_path/"thesis.txt", *made)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    for _ in range(2):
        save_model(tmp_path/"model", *made)
    (tmp_path/"model"/"manifest.json").unlink()  # our own, damaged
    save_model(tmp_path/"model", *made)
    assert load_model(tmp_path/"model").classes == few.classes


def test_checkpoints_keep_what_others_put_beside_them(tmp_path):
    kept = Checkpoints(tmp_path/"kept")
    kept.save(10, dict(shape=torch.zeros(2, 3).shape, history=History([dict(epoch=1)])))
    shutil.copytree(tmp_path/"kept"/"step-000000010", tmp_path/"kept"/"step-best")
    kept.save(20, dict(shape=torch.zeros(2, 3).shape))
    assert {path.name for path in (tmp_path/"kept").iterdir()} == {"step-000000010", "step-000000020", "step-best"}
    assert kept.latest() == dict(shape=(2, 3))
    with pytest.raises(ValueError, match="keep=0 would leave no checkpoint to go on from"):
        Checkpoints(tmp_path, keep=0)


def test_a_refused_file_leaves_the_network_as_it_was(tmp_path):
    ours, theirs = (nn.Sequential(nn.Linear(2, 2), nn.Linear(2, n)) for n in (3, 4))
    torch.save(theirs.state_dict(), tmp_path/"theirs.pt")
    before = copy.deepcopy(ours.state_dict())
    with pytest.raises(CheckpointError, match="these are not the weights of this network"):
        import_state_dict(tmp_path/"theirs.pt", ours)
    assert all(torch.equal(before[name], value) for name, value in ours.state_dict().items())


def test_a_run_keeps_its_own_record(tmp_path, capsys):
    (tmp_path/"run.json").write_text("{}")
    for words in (["evaluate", str(tmp_path)], ["lr-find", "--recipe", "demo", "--data", "shapes"]):
        assert main([*words, "--out", str(tmp_path)]) == 2
        assert "is the folder of a run and keeps its own record; choose another one with --out" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


# Pictures

@pytest.mark.parametrize("size", [224, 112, 56, 28, 299])
def test_every_size_can_be_cropped(size):
    for shorter in range(1, 1300):
        box = _used_box((shorter, shorter * 4 // 3 + 1), (size, size), "crop")
        assert box[0] >= 0 and box[1] >= 0 and box[2] <= shorter * 4 // 3 + 1 and box[3] <= shorter
    assert fit(np.zeros((900, 1200, 3), np.uint8), 224).pixels.shape == (224, 224, 3)
    assert fit(np.zeros((29, 29, 3), np.uint8), 28).pixels.shape == (28, 28, 3)


def test_sixteen_bits_in_either_order():
    for kind in ("<u2", ">u2"):
        assert (read_image(np.full((8, 8, 3), 200 * 257, kind)).pixels == 200).all()


def test_one_picture_by_any_number():
    for number in (1, np.int64(1), np.array(1), torch.tensor(1)):
        picture, label = few[number]
        assert (picture == few.images[1]).all() and label == few.labels[1]


def test_a_fill_of_one_number_is_grey():
    assert fill_colour(pad_crop(2, fill=[128]), norm) == (128, 128, 128)
    assert Pipeline(Policy(pad_crop(8, fill=[128])), norm)(few.images[:1], [0], seed=0, epoch=0).shape == (1, 3, 32, 32)


def test_titles_as_arrays():
    image_grid(few.images[:2], titles=np.array(["cat", "dog"]), title_colors=np.where([True, False], "black", "crimson"))
    image_table([few.images[:2]], row_titles=np.array(["row"]), column_titles=np.array(["a", "b"]))
    with pytest.raises(ValueError, match="a grid needs at least one column and one row"):
        image_grid(few.images[:2], columns=0)
    plt.close("all")


# Recipes

def test_a_recipe_takes_operations_and_its_run_goes_on(tmp_path):
    chosen = recipe("demo", augmentation=Policy(hflip(), pad_crop(2)), model=dict(name="custom_resnet", width=4), batch_size=20,
                    epochs=np.int64(1), schedule=dict(name="one_cycle", lr_max=0.1), explain_layers="layer2")
    assert chosen.explain_layers == ("layer2",) and chosen == recipe("demo", **{k: v for k, v in chosen.to_dict().items() if k != "name"})
    for _ in range(2):
        found = run(chosen, (few, held), out=tmp_path/"a", device="cpu", precision="float32", progress=False, seed=np.int64(1))
    assert found.metrics["epochs"] == 1
    assert recipe("demo", augmentation=[hflip()]).digest() == recipe("demo", augmentation=[hflip().to_dict()]).digest()
    json.dumps([cutout(size=np.int64(8)).to_dict(), cutout(size=(np.int64(4), np.int64(8))).to_dict()])


def test_schedules_within_schedules_are_stretched_in_tuples_too():
    plan = dict(name="composed", parts=(dict(name="multi_step", lr=0.1, milestones=[4, 6], gamma=0.1, epochs=8),))
    assert recipe("demo", epochs=8, schedule=plan).scaled(4).schedule["parts"][0]["milestones"] == [2, 3]


def test_pictures_are_not_known_by_their_name_alone():
    pictures = shapes(60, 12, pixels=96)[0]
    three = Images(pictures.images, pictures.labels % 3, ("a", "b", "c"), name="cifar10")
    fitted, notes = fitted_to(recipe("resnet18"), three)
    assert notes and fitted.normalisation == "measured" and fitted.data == "cifar10 (other pictures)"
    assert fitted_to(fitted, three) == (fitted, [])


# Reports and records

def test_counts_and_curves_at_their_ends():
    assert [short_count(n) for n in (9_999, 999_499, 999_999, 2_560_000_000)] == ["9,999", "999 k", "1 M", "2.56 G"]
    with pytest.raises(ValueError, match="there is no batch to draw yet; train first"):
        BatchHistory().plot()
    with pytest.raises(ValueError, match="labels must be 4 whole numbers"):
        _check_output(np.zeros((4, 3)), torch.zeros(4, 1, dtype=torch.int64), None)


def test_every_address_is_asked_once_at_least(tmp_path):
    with pytest.raises(ValueError, match="rounds=0; every address must be asked at least once"):
        download("http://localhost:9/never", tmp_path/"never.bin", rounds=0)


def test_files_of_the_finder_are_no_pictures():
    names = ["train/n1/images/a.JPEG", "val/images/.DS_Store", "val/images/b.JPEG", "train/n1/images/._a.JPEG"]
    assert _tiny_members(names) == (["n1"], {"n1": ["train/n1/images/a.JPEG"]}, ["val/images/b.JPEG"])


# Explanations

class InPlace(nn.Module):
    "Changes what its first layer gives in three ways before the next convolution takes it."
    def __init__(self, how):
        super().__init__()
        self.how, self.first, self.second, self.head = how, nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 3, padding=1), nn.Linear(5, 3)

    def forward(self, x):
        out = self.first(x)
        if self.how == "relu":
            nn.functional.relu(out, inplace=True)
        elif self.how == "add":
            out += x.mean(1, keepdim=True)
        elif self.how == "part":
            out[:, :2] = 0.5
        return self.head(self.second(out).relu().mean((2, 3)))


@pytest.mark.parametrize("how", ["relu", "add", "part", "none"])
def test_ablation_cam_sees_what_is_changed_in_place(how):
    torch.manual_seed(0)
    net, x = InPlace(how).eval(), torch.randn(2, 3, 8, 8)
    found = explain(net, x, targets=[1], layers="first", method="ablationcam").raw["first"][:, 0]
    with torch.no_grad():
        A, expected, whole = net.first(x), 0, net(x)[:, 1]
        for k in range(4):
            handle = net.first.register_forward_hook(lambda module, inputs, output: output * (torch.arange(4) != k)[:, None, None])
            expected = expected + (whole - net(x)[:, 1])[:, None, None] * A[:, k]
            handle.remove()
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_pool_that_repeats_one_cell_is_no_layer_to_look_at():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, stride=4), nn.ReLU(), nn.Conv2d(4, 4, 3, stride=8, padding=1), nn.AdaptiveAvgPool2d(7), nn.Flatten(),
                        nn.Linear(196, 3)).eval()
    assert default_layer(net, torch.randn(1, 3, 32, 32)) == ("1", (8, 8))
    assert suggest_layers(net, 32).recommended == "1" and "3" not in [row["layer"] for row in suggest_layers(net, 32)]


def test_methods_of_one_name_are_all_shown():
    net, x = named(small_net(), few.classes), torch.randn(2, 3, 32, 32)
    ours = [lambda A, G: (A * G).sum(-3), lambda A, G: A.sum(-3)]
    assert list(compare_methods(net, x, names=ours)) == ["<lambda>", "<lambda> 2"]
    assert list(leaderboard(net, x, ours, steps=2, sanity_images=0).values)[:2] == ["<lambda>", "<lambda> 2"]


def test_maps_that_are_none_are_refused_by_every_score():
    net, x, ids, maps = small_net().eval(), torch.randn(3, 3, 32, 32), torch.tensor([0, 1, 2]), torch.rand(3, 8, 8)
    for judge in (deletion, insertion, road, drop_increase):
        judge(net, x, ids, maps.numpy())
        for wrong in (maps[:1], maps * math.nan):
            with pytest.raises(ValueError, match="there must be 3 maps of finite numbers, one for each image"):
                judge(net, x, ids, wrong)
    for score in (pointing_game, mask_overlap, energy_inside):
        with pytest.raises(ValueError, match="a map holds NaN or infinite values"):
            score(maps * math.nan, np.ones((3, 8, 8), bool))


def test_two_classes_of_one_picture_are_no_probabilities_by_chance():
    refuse_probabilities(torch.tensor([[-0.6177, -0.7753]]))
    refuse_probabilities(torch.tensor([[-5.3125, -0.0023]], dtype=torch.bfloat16))
    with pytest.raises(ValueError, match="probabilities"):
        refuse_probabilities(torch.randn(4, 2).softmax(1))


def test_turned_arrays_and_numbers_of_numpy():
    net = named(small_net(), few.classes)
    turned, labels = few.images[:2, ..., ::-1], np.array([1, 2])[::-1]
    found = explain(net, turned, labels=labels, targets="true")
    assert found.targets[:, 0].tolist() == [2, 1] and found.maps(size=np.int64(16)).shape[-1] == 16
    assert torch.equal(found.raw[found.layers[0]], explain(net, turned.copy(), labels=[2, 1], targets="true").raw[found.layers[0]])
    assert explain(net, turned, labels=np.array([2, 1], ">i8"), targets="true").targets[:, 0].tolist() == [2, 1]


# Training

def test_what_was_trained_before_an_interrupted_call_is_not_put_in_its_place():
    ours = Learner(small_net(), Loader(few, norm=norm, batch_size=20), Loader(held, norm=norm, batch_size=20), device="cpu", precision="float32",
                   progress=False, select="best")
    ours.fit(2, constant(0.05, 2, 3))

    def press(row):
        if row["epoch"] == 4:
            os.kill(os.getpid(), signal.SIGINT)
    ours.listeners.append(press)
    ours.fit(8, constant(0.2, 8, 3))
    assert ours.interrupted
    ours.listeners.clear()
    ended, seen = [v.clone() for v in ours.model.state_dict().values()], []
    ours._save = lambda plan: seen.append([v.clone() for v in ours.model.state_dict().values()])
    ours.fit(1, constant(0.0, 1, 3), extend=True)
    assert all(torch.equal(a, b) for a, b in zip(ended, seen[0]))


def test_gradients_of_others_are_none_of_the_training():
    def weights(before):
        ours = learner(small_net(), optimizer=None)
        before(ours.model)
        ours.fit(1)
        assert all(p.grad is None for p in ours.model.parameters())
        return torch.cat([p.detach().flatten() for p in ours.model.parameters()])
    plain = weights(lambda net: None)

    def leave(net):
        for p in net.parameters():
            p.grad = torch.ones_like(p)
    assert torch.equal(plain, weights(leave))
    part = small_net()
    head = torch.optim.SGD(part.linear.parameters(), 0.05)
    Learner(part, Loader(few, norm=norm, batch_size=20), optimizer=head, device="cpu", precision="float32", progress=False).fit(1)
    assert all(p.grad is None for p in part.parameters())


def test_the_best_weights_must_have_been_kept(tmp_path):
    def once(select):
        ours = Learner(small_net(), Loader(few, norm=norm, batch_size=20), Loader(held, norm=norm, batch_size=20), device="cpu", precision="float32",
                       progress=False, select=select, folder=tmp_path/"run")
        ours.fit(2)
    once("last")
    with pytest.raises(ValueError, match="holds a run that did not keep its best weights; say select='last'"):
        once("best")


@pytest.mark.parametrize("name, value", [("classes", 10), ("classes", nn.Linear(4, 2)), ("normalisation", nn.BatchNorm2d(3)), ("normalisation", ((0.5,) * 3, (0.2,) * 3))])
def test_a_network_may_mean_something_else_by_these_names(name, value, tmp_path):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
            setattr(self, name, value)

        def forward(self, x):
            return self.inner(x)
    net = Own()
    assert len(learner(net, folder=tmp_path/"run").fit(np.int64(1))) == 1


def test_what_is_measured_is_looked_at_too():
    ours = learner(nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)), shapes(20, 10)[0])
    with pytest.raises(ValueError, match="labels run from .* but the network gives 2 logits"):
        ours.evaluate(Loader(held, norm=norm, batch_size=20))
    with pytest.raises(ValueError, match="there is nothing to measure: no picture came"):
        ours.evaluate([])
    x, y = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 1, 0], dtype=torch.int32)
    assert 0 <= ours.evaluate([(x, y)])["accuracy"] <= 1
    with pytest.raises(ValueError, match="the loss must give one number"):
        Learner(small_net(), [(x, y)], loss=nn.CrossEntropyLoss(reduction="none"), device="cpu", precision="float32", progress=False).fit(1)


def test_fullgrad_leaves_out_what_the_logits_do_not_use():
    class Aux(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.aux, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Linear(4, 3)

        def forward(self, x):
            out = self.conv(x).relu()
            self.seen = self.aux(out).detach()
            return self.head(out.mean((2, 3)))
    assert explain(Aux().eval(), torch.randn(2, 3, 8, 8), targets=[1], method="fullgrad").raw


def test_a_film_of_a_wrapped_network(tmp_path):
    ours = learner(folder=tmp_path/"kept")
    ours.fit(1)
    wrapped = torch.optim.swa_utils.AveragedModel(ours.model)
    assert len(cam_film(wrapped, tmp_path/"kept", few[:2])) >= 1


def test_the_summary_of_layers_that_give_several():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru, self.head = nn.GRU(96, 8, batch_first=True), nn.Linear(8, 10)

        def forward(self, x):
            return self.head(self.gru(x.permute(0, 2, 1, 3).flatten(2))[0].mean(1))
    assert [row[2] for row in summary(Recurrent()).rows] == [(32, 8), (10,)]


def test_parts_that_work_without_being_called_forget_too():
    class Attends(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.attend, self.head = nn.Conv2d(3, 8, 8, 8), nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

        def forward(self, x):
            tokens = self.conv(x).flatten(2).transpose(1, 2)
            return self.head(self.attend(tokens, tokens, tokens)[0].mean(1))
    net, x = Attends().eval(), torch.randn(1, 3, 32, 32)
    assert "attend.out_proj" in sum(layer_groups(net, x).values(), [])
    *_, (_, last) = randomised(net, x)
    assert not torch.equal(last.attend.out_proj.weight, net.attend.out_proj.weight)


def test_browsing_takes_nothing_it_does_not_know():
    pytest.importorskip("ipywidgets")
    net = named(small_net(), few.classes)
    with pytest.raises(TypeError, match="browse does not know nonsense; beside the pictures it takes normalisation and classes"):
        browse(net, few.images[:3], size=32, nonsense=1)
    with pytest.raises(ValueError, match="there are 5 labels for 3 pictures; give one for each"):
        browse(net, few.images[:3], labels=[0] * 5, size=32)


def batches_of(x, labels, size=10):
    return [(x[k:k + size], labels[k:k + size]) for k in range(0, len(x), size)]


@pytest.mark.parametrize("labels, fix", [
    (torch.arange(40) % 10 + 1, "count the labels from 0"), ((torch.arange(40) % 10)[:, None], r"a column with y\[:, 0\]")])
def test_a_sweep_refuses_what_training_refuses(labels, fix):
    trained = Learner(small_net(), batches_of(torch.randn(40, 3, 32, 32), labels), device="cpu", precision="float32", progress=False)
    with pytest.raises(ValueError, match=fix):
        trained.lr_find(steps=5)
    with pytest.raises(ValueError, match=fix):
        trained.fit(1)


def test_a_sweep_takes_the_labels_that_training_takes():
    x, labels = torch.randn(40, 3, 32, 32), torch.arange(40, dtype=torch.int32) % 10
    trained = Learner(small_net(), batches_of(x, labels), device="cpu", precision="float32", progress=False)
    assert len(trained.lr_find(steps=5, valid=[(x, labels)], judge="valid").losses) == 5


def test_a_sweep_puts_a_loaders_own_generator_back():
    own = torch.Generator().manual_seed(3)
    pictures = torch.utils.data.TensorDataset(torch.randn(40, 3, 32, 32), torch.arange(40) % 10)
    batches = torch.utils.data.DataLoader(pictures, batch_size=10, shuffle=True, generator=own)
    before = own.get_state()
    lr_find(small_net(), batches, steps=5)
    range_test(small_net(), batches, epochs=2)
    assert torch.equal(own.get_state(), before)


def test_no_validation_pictures_are_not_taken_for_no_validation():
    x, labels = torch.randn(40, 3, 32, 32), torch.arange(40) % 10
    with pytest.raises(ValueError, match="validation batches gave no pictures"):
        lr_find(small_net(), batches_of(x, labels), steps=40, confirm=3, valid=[], lr_min=1e-3, lr_max=0.3)


def test_sweeps_in_one_and_the_same_order_give_no_interval():
    x, labels = torch.randn(40, 3, 32, 32), torch.arange(40) % 10
    same = lr_find(small_net(), batches_of(x, labels), steps=20, sweeps=3)
    assert len(same.repeats) == 2 and same.interval is None


def test_batch_sizes_are_searched_with_the_pictures_trained_on():
    seen = []
    net = small_net()
    net.register_forward_pre_hook(lambda module, inputs: seen.append(tuple(inputs[0].shape[1:])))
    pictures = torch.utils.data.TensorDataset(torch.randn(20, 3, 48, 48), torch.arange(20) % 10)
    trained = Learner(net, torch.utils.data.DataLoader(pictures, batch_size=10), device="cpu", precision="float32", progress=False)
    trained.find_batch_size(smallest=2, largest=2, steps=1)
    assert set(seen) == {(3, 48, 48)}


def test_class_means_of_signed_maps_keep_their_sign():
    mean = class_means(named(small_net(), few.classes), few, target=few.classes[:2], layer="layer2", correct_only=False)
    assert np.nanmin(mean.maps) < 0 and "blue against" in mean.colours
    drawn = [text.get_text() for text in mean.plot().texts]
    assert any("blue against" in text for text in drawn)
    plt.close("all")


def test_maps_that_still_have_a_gradient_can_be_scored():
    net, x, maps = named(small_net()), torch.randn(2, 3, 32, 32), torch.rand(2, 8, 8, requires_grad=True)
    masks = np.zeros((2, 32, 32), bool)
    masks[:, 8:16, 8:16] = True
    assert energy_inside(maps, masks).shape == (2,)
    assert deletion(net, x, [0, 1], maps, steps=2, replacement=np.float32(0.5)).values.shape == (2, 3)


def test_a_way_to_fit_that_is_none_is_not_blamed_on_the_pictures(tmp_path):
    for name in "ab":
        (tmp_path/name).mkdir()
        Image.new("RGB", (32, 32)).save(tmp_path/name/"one.png")
    with pytest.raises(ValueError, match="unknown way 'squash' to fit a picture; choose one of crop, pad, stretch"):
        image_folder(tmp_path, how="squash")


def idx_files(folder, pictures=3):
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        (folder/f"{part}-images-idx3-ubyte").write_bytes(bytes([0, 0, 8, 3]) + np.array([pictures, 28, 28], ">i4").tobytes()
                                                         + bytes(pictures * 784))
        (folder/f"{part}-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1]) + np.array([pictures], ">i4").tobytes() + bytes(range(pictures)))
    return folder


def test_clothes_are_not_read_as_digits(tmp_path, monkeypatch):
    raw = idx_files(tmp_path/"FashionMNIST"/"raw")
    monkeypatch.chdir(raw)
    assert {load_data(path)[0].name for path in (raw, ".")} == {"fashion-mnist"}
    assert load_data(idx_files(tmp_path/"digits"))[0].name == "mnist"


def test_a_damaged_history_is_named_before_a_tracker_is_told(tmp_path):
    class Listens(Tracker):
        def start(self, record):
            raise AssertionError("told too early")
    (tmp_path/"run.json").write_text("{}")
    (tmp_path/"history.csv").write_text("epoch,lr\n1,0.x\n")
    with pytest.raises(CheckpointError, match="history.csv is damaged"):
        track(tmp_path, [Listens()])


def test_a_rate_is_not_searched_where_every_step_needs_every_process():
    trained = learner()
    trained.team = Team.__new__(Team)
    trained.team.sync_batch_norm = True
    with pytest.raises(ValueError, match="leave --sync-batch-norm out"):
        _plan(recipe("demo", schedule=dict(recipe("demo").schedule, lr_max="find"), explain_layers=()), trained)


def test_the_timing_of_precisions_leaves_the_gpus_random_numbers_alone(monkeypatch):
    kept = []

    @contextlib.contextmanager
    def fork(devices):
        kept.extend(devices)
        yield
    monkeypatch.setattr(torch.random, "fork_rng", fork)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **settings: True)
    monkeypatch.setattr(machine, "_step_seconds", lambda device, dtype, steps: 1.0)
    assert fastest_precision(torch.device("cuda", 7)) == "float32" and kept == [torch.device("cuda", 7)]


def test_a_compiled_network_is_saved_so_that_it_can_be_loaded(tmp_path):
    net = small_net().eval()
    save_model(tmp_path/"model", torch.compile(net), few.classes, norm)
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(load_model(tmp_path/"model")(x), net.to(memory_format=torch.channels_last)(x))


@pytest.mark.parametrize("theirs", ["README.md", "app.py", "examples/holiday.png"])
def test_a_space_takes_nothing_from_anybody(tmp_path, theirs):
    pytest.importorskip("gradio")
    path = tmp_path/theirs
    path.parent.mkdir(exist_ok=True)
    path.write_text("years of work")
    with pytest.raises(ValueError, match="holds other things .*, which would be lost"):
        save_space(tmp_path, named(small_net(), few.classes), data=held, examples=held[[0]])
    assert path.read_text() == "years of work" and [p for p in tmp_path.rglob("*") if p.is_file()] == [path]


def test_the_app_shows_no_answers_that_were_given_to_other_pictures(tmp_path):
    pytest.importorskip("gradio")
    model = named(small_net(), few.classes)
    save_model(tmp_path/"model", model, few.classes, norm)
    kept = predict(model, held)
    Predictions(-kept.logits, kept.labels, kept.classes, kept.index).save(tmp_path/"predictions.npz")  # those of another network
    subject, noisy = app.Subject("run", model, tmp_path, None), Images(255 - held.images, held.labels, held.classes)
    (tmp_path/"run.json").write_text(json.dumps(dict(data=dict(test_fingerprint=held.fingerprint()))))
    assert np.array_equal(app._predictions(subject, held).logits, -kept.logits)
    assert np.allclose(app._predictions(subject, noisy).logits, predict(model, noisy).logits, atol=1e-5)


def test_a_command_that_reads_a_folder_its_own_way_is_recorded_whole(tmp_path):
    for name in "ab":
        (tmp_path/"photos"/name).mkdir(parents=True)
        for k in range(10):
            Image.fromarray(few.images[k]).resize((40, 40)).save(tmp_path/"photos"/name/f"{k}.png")
    (tmp_path/"photos"/"a"/"broken.png").write_bytes(b"no picture")
    assert main(["train", "--recipe", "demo", "--epochs", "1", "--data", str(tmp_path/"photos"), "--pixels", "32", "--skip-corrupt",
                 "--out", str(tmp_path/"run"), "--device", "cpu", "--precision", "float32", "--quiet"]) == 0
    command = json.loads((tmp_path/"run"/"run.json").read_text())["command"]
    assert command == "cifar-cam train --recipe demo --data photos --pixels 32 --skip-corrupt --seed 0 --epochs 1 --precision float32"
    assert len(load_run(tmp_path/"run").history.batches) > 0  # what every batch gave is read again
    assert "of them set aside for validation" in model_card(tmp_path/"run")


def test_a_card_shows_names_as_names_and_says_what_a_figure_is_worth(tmp_path):
    words = _settings(dict(recipe=dict(data="<img src=x> *a*", batch_size=5)))
    assert "<img" not in words.replace("\\<", "") and "\\*a\\*" in words
    assert "| – | – |" in _results(dict(per_class=[{"class": "a", "n": 0, "accuracy": math.nan, "low": 0, "high": 1}]))
    record = dict(data=dict(name="x", train=9, test=3), recipe=dict(model=dict(name="fast"), quirks=("test_as_validation",)))
    assert "says nothing of new pictures" in _what(record, dict(parameters=1, test_accuracy=0.5), named(small_net(), few.classes))


def test_mistakes_of_two_runs_of_one_name_are_kept_apart():
    desk = app._Desk.__new__(app._Desk)
    desk.subjects = {"run (1)": app.Subject("run", small_net(), None, None), "run (2)": app.Subject("run", small_net(1), None, None)}
    chosen = desk.pick("mistake", "run (1)", "truth", [35])[1]
    assert desk.source(desk.subjects["run (2)"], None, chosen) == (None, None)


@pytest.mark.skipif(os.name != "posix", reason="a umask is POSIX's")
def test_a_figure_can_be_read_by_those_who_may_read_other_files(tmp_path):
    before = os.umask(0o077)
    try:
        saved = save_figure(image_grid([few.images[0]]), tmp_path/"one.png", close=True)
    finally:
        os.umask(before)
    assert saved.stat().st_mode & 0o777 == 0o600


def test_an_opened_picture_that_is_cut_short_is_told_as_such(tmp_path):
    Image.fromarray(np.tile(few.images[0], (8, 8, 1))).save(tmp_path/"whole.jpg")
    (tmp_path/"cut.jpg").write_bytes((tmp_path/"whole.jpg").read_bytes()[:2000])
    with pytest.raises(ValueError, match="is cut short or damaged"):
        read_image(Image.open(tmp_path/"cut.jpg"))
