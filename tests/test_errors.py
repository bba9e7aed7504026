"Every message of the package is quoted by a test, names cause and fix, and stands in the catalogue of the documentation."
import copy
import io
import json
import signal
import socket
import types
import zipfile
from pathlib import Path

import numpy as np
from scripts import tool
import pytest
import torch
from PIL import Image
from torch import nn

from cifar_cam import augment, cam_checks, capture, checkpoint, data, download, evaluate, faithfulness, gradcam, judging, localisation
from cifar_cam import optim, report, sanity, show, trainer
from cifar_cam.augment import Loader, Policy
from cifar_cam.checkpoint import Checkpoints, load_model, save_model, write_sealed
from cifar_cam.data import Images, image_folder, load_arrays, normalisations, read_picture
from cifar_cam.model import Residual, create_model, make_norm
from cifar_cam.recipes import prepare, recipe

root = Path(__file__).resolve().parent.parent
errors = tool("errors")
entries = errors.catalogue()

nan = float("nan")
pictures = np.zeros((4, 8, 8, 3), np.uint8)
few = Images(pictures, [0, 1, 0, 1], "ab")
tiny = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
x = torch.rand(2, 3, 12, 12)
explained = gradcam.explain(tiny, x, labels=[0, 1], layers=["0"])
predictions = evaluate.Predictions(np.eye(2)[[0, 1, 1]], [0, 1, 0], "ab")


def says(call, text, kind=(ValueError, TypeError, OSError)):
    "Whether `call` is refused with a message that holds `text`."
    with pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value)


# What is not tried where it is taught

simple = [
    (lambda: show.image_grid([np.full((4, 4, 3), nan)]), "the picture holds 48 values that are NaN"),
    (lambda: show.denormalise(np.full((1, 3, 4, 4), nan, np.float32), (0, 0, 0), (1, 1, 1)), "the batch holds 48 values"),
    (lambda: show.show_heat(np.full((4, 4), nan)), "the map holds 16 values"),
    (lambda: show.image_grid([np.zeros((4, 4, 3), np.int32)]), "picture values must be uint8 0..255"),
    (lambda: show.denormalise(np.zeros((1, 2, 4, 4), np.float32), (0, 0, 0), (1, 1, 1)), "denormalise takes a float batch"),
    (lambda: show.image_grid(list(pictures), ["one"]), "4 pictures need 4 titles"),
    (lambda: show.image_grid([]), "no picture to draw: the list is empty"),
    (lambda: show.image_table([]), "no picture to draw: the table is empty"),
    (lambda: show.image_table([list(pictures)], row_titles=["a", "b"]), "a table of 1 rows and 4 columns needs"),
    (lambda: show.curves({"a": [1, 2]}, x=[1]), "has 2 values, but x has only 1 places"),
    (lambda: show.matrix(np.eye(3), ["a"]), "1 names need a matrix of shape (1, 1)"),
    (lambda: show.bars([1, 2], ["a"]), "1 names need 1 values, got 2"),
    (lambda: show.save_figure(None, "x.pdf"), "figures are saved as PNG"),
    (lambda: show.html_table([[1]], ["a", "b"]), "the header has 2 columns, but a row has 1"),
    (lambda: make_norm(4, "layer norm"), "unknown norm 'layer norm'"),
    (lambda: Residual(4, skip="triple"), "unknown skip 'triple'"),
    (lambda: create_model("custom_resnet", head="huge"), "unknown head 'huge'; choose one of linear, wide"),
    (lambda: create_model("resnet19"), "unknown model 'resnet19'"),
    (lambda: create_model("resnet18", num_classes=1), "num_classes=1; a classifier needs at least 2"),
    (lambda: create_model("resnet18", colour=1), "resnet18 has no option colour"),
    (lambda: optim.constant(0.1, 0, 5), "a schedule needs at least one epoch of one step"),
    (lambda: optim.one_cycle(0.1, 2, 5, shape="square"), "unknown shape 'square'"),
    (lambda: optim.schedule(dict(name="magic"), 2, 5), "unknown schedule 'magic'"),
    (lambda: optim.schedule(dict(name="one_cycle", speed=1), 2, 5), "schedule one_cycle: "),
    (lambda: optim.parameter_groups(nn.ReLU(), 0.1), "the model has no trainable parameter"),
    (lambda: optim.optimizer(dict(name="magic"), tiny), "unknown optimizer 'magic'"),
    (lambda: optim.optimizer(dict(name="sgd", speed=1), tiny), "optimizer sgd: "),
    (lambda: save_model("x", tiny, "ab", normalisations["half"]), "only a model made by create_model can be rebuilt"),
    (lambda: trainer.Learner(tiny, [], select="first", device="cpu", precision="float32"), "unknown select 'first'"),
    (lambda: trainer.Learner(tiny, [], patience=3, device="cpu", precision="float32"), "needs validation batches (valid=...) and at least 1 epoch"),
    (lambda: trainer.Learner(tiny, [], device="cpu", precision="float8"), "unknown precision 'float8'; choose auto"),
    (lambda: evaluate.Predictions(np.eye(2), [0.5, 1], "ab"), "labels must be 2 whole numbers, one for each picture"),
    (lambda: evaluate.predict(tiny, [(x,)]), "this one gives 1 parts"),
    (lambda: evaluate.predict(tiny, few, normalisations["half"], precision="float8"), "unknown precision 'float8'; choose float32"),
    (lambda: evaluate.predict(tiny, few, normalisations["half"], batch_size=0), "batch_size=0; at least one picture"),
    (lambda: evaluate.predict(nn.Flatten(), [(x[..., :1], torch.zeros(3))]), "gave an output of shape"),
    (lambda: predictions.mistakes(by="mood"), "cannot sort by 'mood'"),
    (lambda: predictions.mistakes(-1), "n=-1; ask for 0 or more"),
    (lambda: predictions.calibration(bins=0), "bins=0; at least one is needed"),
    (lambda: evaluate._in_order([(np.zeros((2, 2)), np.zeros(2, int), np.arange(2))], None, 5), "only 2 of 5 pictures came"),
    (lambda: capture.check_logits(torch.full((2, 2), nan), 2), "the logits of 2 of 2 images are NaN"),
    (lambda: capture.score_weights(torch.tensor([[5], [0]]), torch.zeros(2, 2)), "target ids run from 0 to 5"),
    (lambda: gradcam.explain(tiny, x, targets=[(0, 1, 1)], layers=["0"]), "a contrast is a pair (a, b)"),
    (lambda: gradcam.explain(tiny, x, targets=[0], layers=["0"], method="gradcam", magic=1), "gradcam has no option 'magic'"),
    (lambda: explained.maps("9"), "name it in explain(layers=...)"),
    (lambda: gradcam.explain(tiny, "cat"), "x must be a tensor, an array or an object with .images"),
    (lambda: gradcam.explain(tiny, pictures[0]), "raw images must have shape (images, height, width, 3)"),
    (lambda: gradcam.explain(tiny, x, labels=[0, 7]), "it was trained on other classes"),
    (lambda: gradcam.explain(tiny, x, labels=[0.5, 1.0]), "labels must be 2 whole numbers, one for each image"),
    (lambda: gradcam.explain(tiny, x, labels=[0, 1], layers=["2"]), "it cannot say where; choose an earlier layer"),
    (lambda: explained.plot_layers(target="ship"), "this explanation has no target 'ship'"),
    (lambda: explained._figure_note("0", "mood"), "a figure has scale image or row"),
    (lambda: localisation._on_masks(torch.zeros(2, 4, 4), torch.zeros(2, 4, 4)), "masks must be truth values (image, height, width)"),
    (lambda: judging.mean_interval([nan]), "a mean needs at least one finite number"),
    (lambda: judging.plot_scores({}), "there is no method to draw"),
    (lambda: faithfulness._walk("deletion", tiny, x, x, None, None, 0, 0, 8), "steps must be a whole number of at least 1, got 0"),
    (lambda: faithfulness.impute(x, torch.zeros(2, 12, 12)), "missing must be truth values of shape"),
    (lambda: sanity.plot_sanity([]), "compare checks of one model, at least one"),
    (lambda: cam_checks.agreement(tiny, x, methods=["gradcam"]), "agreement needs at least two methods"),
    (lambda: cam_checks._usable(tiny, None, []), "no method was given; leave methods out"),
    (lambda: recipe("demo", epochs=0), "epochs and batch_size must be at least 1, got 0"),
    (lambda: recipe("demo", select="best", valid_fraction=0), "select='best' needs validation pictures"),
    (lambda: prepare(recipe("demo"), (few, Images(pictures, [0, 1, 0, 1], "cd")), device="cpu", precision="float32"), "training and test set have different classes"),
    (lambda: report.read_record("no/run"), "give the folder a training run wrote, e.g. runs/demo"),
    (lambda: report._check_finder("lr_find.json", dict(lrs=[1], losses=[])), "lrs and losses must be equally many numbers"),
    (lambda: Images(pictures, [0, 1, 0, 1], "ab", masks=np.zeros((4, 8, 8))), "masks must be truth values of shape (4, 8, 8)"),
    (lambda: Images(pictures, [0, 1, 0, 1], "ab", origin=[1]), "origin must be 4 whole numbers"),
    (lambda: few[[]].statistics(), "has no pictures to measure"),
    (lambda: data.Normalisation((0, 0), (1, 1, 1)), "mean must be three finite numbers"),
    (lambda: load_arrays("no.npz"), "no file no.npz; give the path of an .npz file"),
    (lambda: read_picture("no.png"), "no file no.png; correct the path"),
    (lambda: augment.hflip(p=2), "p=2 is not a probability; use 0 < p <= 1 or leave the operation out"),
    (lambda: augment.cutout(holes=0), "cutout: holes=0 changes nothing"),
    (lambda: augment.policy([dict(op="hflip", speed=1)]), "hflip takes no setting speed; it has p"),
    (lambda: augment.transform("HorizontalFlip", speed=1), "HorizontalFlip has no setting speed, it may have been renamed"),
    (lambda: Loader(few, Policy(), batch_size=4, workers=-1), "workers=-1 must be a whole number"),
    (lambda: download._check_arguments(None, 0), "size must be a positive number of bytes"),
]


@pytest.mark.parametrize("call, text", simple, ids=[text[:40] for _, text in simple])
def test_message(call, text):
    says(call, text)


# Those that need a file, a pickle or a broken model

def test_arrays(tmp_path):
    path = tmp_path/"x.npz"
    path.write_text("hello")
    says(lambda: load_arrays(path), "x.npz cannot be read as .npz arrays")
    whole = dict(x_train=pictures, y_train=np.zeros(4, int), x_test=pictures, y_test=np.zeros(4, int))
    np.savez(path, x_train=pictures)
    says(lambda: load_arrays(path), "lacks y_train, x_test, y_test; it must hold")
    np.savez(path, **whole | dict(y_test=np.zeros(4)))
    says(lambda: load_arrays(path), "labels (y_train, y_test) must be rows of whole numbers")
    np.savez(path, **whole | dict(y_test=np.full(4, 10**9)))
    says(lambda: load_arrays(path), "stands for a class without a name")
    np.savez(path, images=pictures, labels=np.zeros(4, int), classes=np.array(["a"]))
    says(lambda: Images.load(path), "written by an early version; save the set anew")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "hello")
    says(lambda: load_arrays(path), "notes.txt is no array")


def test_pictures(tmp_path):
    Image.new("RGB", (100, 100)).save(tmp_path/"x.png")
    says(lambda: read_picture(tmp_path/"x.png", largest=999), "100×100 pixels, more than largest=999; scale it down first")
    for part, names in (("train", "ab"), ("test", "bc")):
        for name in names:
            (tmp_path/part/name).mkdir(parents=True)
            Image.new("RGB", (9, 9)).save(tmp_path/part/name/"1.png")
    says(lambda: image_folder(tmp_path), "/train and test hold different classes")


def pickled(state):
    "A pickle of a byte array with another state, as numpy writes it."
    return (b"}S'data'\ncnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR" + state + b"bs.")


@pytest.mark.parametrize("program, text", [
    (b"}S'x'\ncnumpy\ndtype\n(S'u1'\ntR(I3\nS'|'\n(I1\ntNNI-1\nI-1\nI0\ntbs.", "holds an array of a composite type"),
    (pickled(b"(I1\n(I7\ntcnumpy\ndtype\n(S'u1'\ntRI00\nS'abc'\nt"), "holds an array of shape (7,) made of 3 bytes"),
    (b"c_codecs\nencode\n(Vx\nVrot13\ntR.", "holds text in the encoding"),
    (b"cos\nsystem\n.", "asks for os.system, which no CIFAR file needs"),
    (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "asks for os.system, which no CIFAR file needs"),
    (b"\x80\x02\x82\x01.", "uses the opcode EXT1 at byte 2"),
])
def test_pickles(program, text):
    says(lambda: download.read_cifar_pickle(program), text)


def test_references_out_of_a_pickle():
    says(lambda: download._CifarUnpickler(io.BytesIO(b"Pname\n.")).load(), "refers to objects outside the file")


def test_batches_without_names():
    says(lambda: data._read_cifar(lambda name: b"}.", "cifar10", "here"), "holds no class names")


def test_archives(tmp_path):
    (tmp_path/"x.tar").write_text("hello")
    says(lambda: download.archive_members(tmp_path/"x.tar", ["a"]), "; fetch the archive again")
    says(lambda: download._keep({}, "a", True, 5, 9, lambda: b"123"), "a is cut short: 3 of 5 bytes")


class Bar:
    "A progress bar that shows nothing."
    def reset(self, total): pass
    def update(self, count): pass


def test_mirrors(tmp_path):
    for sent, text in ((b"123456", "sends more than 5 bytes"), (b"123", "connection lost after 3 of 5 bytes")):
        with open(tmp_path/"x", "wb") as file:
            says(lambda: download._receive(io.BufferedReader(io.BytesIO(sent)), file, 0, 5, 0, 9, Bar()), text, download._MirrorFailed)


def test_the_other_end_of_a_socket():
    here, there = socket.socketpair()
    here.close()
    with there:
        says(lambda: augment._receive(there, bytearray(4)), "the other end hung up", ConnectionError)


def test_checkpoint_warnings(tmp_path):
    kept = Checkpoints(tmp_path)
    kept.save(1, {"a": 1})
    (kept.save(2, {"a": 2})/"state.json").write_text("{}")
    with pytest.warns(UserWarning, match="trying the one before"):
        assert kept.latest() == {"a": 1}


def test_models_that_cannot_be_built(tmp_path):
    folder = write_sealed(tmp_path/"model", {"model.json": b"{}", "weights.safetensors": b""})
    says(lambda: load_model(folder), "holds no model this version can build")


def learner(folder=None, loss=None):
    return trainer.Learner(copy.deepcopy(tiny), Loader(few, norm="half", batch_size=2), loss=loss, device="cpu", precision="float32", progress=False, folder=folder)


def test_training_that_goes_wrong(tmp_path, monkeypatch):
    broken = learner(loss=lambda logits, labels: logits.sum() * nan)
    says(lambda: broken.fit(1), "the loss became nan", FloatingPointError)

    def pressed(logits, labels):
        signal.raise_signal(signal.SIGINT)
        return logits.sum()
    says(lambda: learner(loss=pressed).lr_find(steps=30), "the sweep was stopped; nothing has changed", KeyboardInterrupt)
    learner(tmp_path/"run").fit(1)
    made_with = trainer.Learner._made_with
    monkeypatch.setattr(trainer.Learner, "_made_with", lambda self: {k: "other" for k in made_with(self)})
    with pytest.warns(UserWarning, match="It goes on, but its last digits may come out differently"):
        learner(tmp_path/"run").fit(1)


def test_damaged_history(tmp_path):
    (tmp_path/"history.csv").write_text("epoch,lr\nx,y\n")
    says(lambda: checkpoint.read_history(tmp_path), "all else in this folder can be used without it")


def test_layers_that_give_no_tensor():
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.pair, self.rest = Pair(), tiny

        def forward(self, x):
            return self.rest(self.pair(x)[0])

    says(lambda: gradcam.explain(Net(), x, layers=["pair"]), "gives a tuple, not one tensor")


def test_no_layer_large_enough():
    says(lambda: gradcam.explain(nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)), x[..., :5, :5]),
         "no layer gives a map of at least")


def test_pictures_that_cannot_be_drawn():
    net = nn.Sequential(nn.Conv2d(5, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    says(lambda: gradcam.explain(net, torch.rand(2, 5, 12, 12), labels=[0, 1], layers=["0"]).plot(), "there are no pictures to draw on")


def test_coarse_maps_are_told():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    with pytest.warns(UserWarning, match="they can only say roughly where"):
        gradcam.explain(net, x, labels=[0, 1], layers=["0"])


def test_models_that_cannot_be_copied():
    class Stubborn(nn.Linear):
        def __deepcopy__(self, memo):
            raise RuntimeError("no")
    says(lambda: sanity._copy_of(Stubborn(1, 1)), "the model cannot be copied (no)")


def test_unknown_scores():
    board = types.SimpleNamespace(columns=())
    says(lambda: cam_checks.Leaderboard.beats_baselines(board, "gradcam", "mood"), "is not compared image by image with baselines")


# The catalogue itself

def test_every_message_is_quoted_by_a_test():
    missing = errors.untested(entries, list(errors.quotations()))
    assert not missing, "no test quotes (8 characters of its own in a row are enough):\n" + "\n".join(
        f"  {e.notebook} {e.function} {e.kind}: {e.message}" for e in missing)


def test_every_message_names_cause_and_fix():
    "`cause; fix` is the house's form. What stands inside another message needs no fix of its own: the words around it have one."
    missing = errors.without_fix(entries)
    assert not missing, "say what to do about it:\n" + "\n".join(f"  {e.notebook} {e.function} {e.kind}: {e.message}" for e in missing)


def test_the_catalogue_is_whole():
    "Every module that raises is in it, and the page in the documentation shows every message."
    assert {e.module for e in entries} >= {"show", "download", "data", "augment", "model", "optim", "lr_finder", "checkpoint", "trainer", "evaluate",
                                           "gradcam", "recipes", "report"}
    assert len(entries) > 200 and all(e.message and e.parts for e in entries)
    cells = json.loads((root/"nbs"/"31_errors.ipynb").read_text(encoding="utf-8"))["cells"]
    assert any("errors.catalogue()" in "".join(cell["source"]) for cell in cells)
    shown = "".join("".join(output.get("data", {}).get("text/plain", ())) for cell in cells for output in cell.get("outputs", ()))
    stale = [e.message for e in entries if e.message not in shown]
    assert not stale, f"run python nbs/_tools/save_outputs.py nbs/31_errors.ipynb; it lacks {stale[:3]}"
