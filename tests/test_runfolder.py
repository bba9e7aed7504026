"What can happen to a run folder, and to the words that stand in it: two trainings, damaged files, drives that fail for a moment, odd names."
import errno
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from torch import nn

from cifar_cam import checkpoint, recipes
from cifar_cam.cam_checks import Curve
from cifar_cam.cam_gallery import class_means
from cifar_cam.cam_methods import xgradcam
from cifar_cam.checkpoint import CheckpointError, Checkpoints, load_run, read_sealed, write_sealed
from cifar_cam.cli import main
from cifar_cam.data import Images, load_data, shapes
from cifar_cam.evaluate import carried, predict
from cifar_cam.export import model_card
from cifar_cam.gradcam import explain
from cifar_cam.optim import Muon, muon, one_cycle
from cifar_cam.own_images import explain_images, load_single_file, save_single_file
from cifar_cam.pictures import read_image
from cifar_cam.recipes import recipe, run
from cifar_cam.report import report
from cifar_cam.trainer import Learner

train, test = shapes(train=60, test=20)
small = recipe("demo", batch_size=20, normalisation="half", model=dict(name="custom_resnet", width=4),
               schedule=dict(name="one_cycle", lr_max=0.02, peak_epoch=1)).scaled(2)


def trained(out, chosen=small, data=(train, test), seed=0):
    return run(chosen, data, out, seed, device="cpu", precision="float32", progress=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("runs")/"one")


def copied(finished, tmp_path):
    "A copy of the finished run's folder."
    import shutil
    return Path(shutil.copytree(finished.folder, tmp_path/"one"))


def test_a_folder_holds_one_training_at_a_time(tmp_path):
    out = tmp_path/"one"
    out.mkdir()
    with FileLock(out/".lock"), pytest.raises(ValueError, match="another training is running in .*wait for its end, or choose another folder"):
        trained(out)
    assert [path.name for path in out.iterdir()] == [".lock"]
    assert trained(out).metrics["epochs"] == 2  # held no more


def test_of_two_processes_at_once_only_one_trains(tmp_path):
    program = ("import sys; from tests.test_runfolder import *\n"
               "try: print(trained('one', seed=int(sys.argv[1])).metrics['test_accuracy'])\n"
               "except ValueError as problem: print(problem)")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    both = [subprocess.Popen([sys.executable, "-c", program, str(seed)], cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE)
            for seed in (0, 1)]
    said = [process.communicate()[0].strip().splitlines()[-1] for process in both]
    noted, metrics = (json.loads((tmp_path/"one"/name).read_text()) for name in ("run.json", "metrics.json"))
    assert said[noted["seed"]] == str(metrics["test_accuracy"])  # the record is that of the run that trained there
    assert "another" in said[1 - noted["seed"]] and "folder" in said[1 - noted["seed"]]


def test_hidden_files_do_not_make_a_folder_another_run_s(tmp_path):
    (tmp_path/"one").mkdir()
    (tmp_path/"one"/".DS_Store").touch()
    assert trained(tmp_path/"one").metrics["epochs"] == 2


def test_a_refused_run_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(recipes, "_write_json", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        trained(tmp_path/"one")
    assert not (tmp_path/"one").exists()


def test_a_folder_that_cannot_be_made_is_said_with_a_way_out(tmp_path):
    (tmp_path/"file").touch()
    with pytest.raises(OSError, match="cannot use .*save in another folder"):
        trained(tmp_path/"file"/"one")
    with pytest.raises(OSError, match="cannot use .*save in another folder"):
        trained(tmp_path/"file")


@pytest.mark.parametrize("name, damage", [("metrics.json", b"{"), ("metrics.json", b"[]"), ("predictions.npz", b"PK"), ("predictions.npz", None),
                                          ("history.csv", b"epoch,lr\nx,y")])
def test_what_a_finished_run_left_is_written_anew(finished, tmp_path, name, damage):
    folder = copied(finished, tmp_path)
    (folder/name).unlink()
    if damage is not None:
        (folder/name).write_bytes(damage)
    with pytest.warns(UserWarning, match="measuring and writing it anew from the last checkpoint"):
        again = trained(folder)
    assert again.metrics == finished.metrics and (again.predictions.logits == finished.predictions.logits).all()
    assert (folder/"history.csv").read_bytes() == (finished.folder/"history.csv").read_bytes()
    assert trained(folder).metrics == finished.metrics  # silently, from what was written


@pytest.mark.parametrize("content, words", [("{", "run.json is damaged"), ("{}", "lacks recipe, seed, data: another version"),
                                            ('{"recipe": {"name": "demo"}, "seed": 0, "data": {}}', "was written by another version or by hand")])
def test_a_record_that_is_none_is_named(finished, tmp_path, content, words):
    folder = copied(finished, tmp_path)
    (folder/"run.json").write_text(content)
    with pytest.raises(ValueError, match=words):
        trained(folder)
    assert (folder/"metrics.json").is_file()
    if words != "was written by another version or by hand":
        with pytest.raises(ValueError, match="run.json (is damaged|lacks)"):
            model_card(folder)


@pytest.mark.parametrize("words", ["evaluate {run}", "export {run} --card --out {card}", "train --recipe demo --out {run} --data shapes"])
def test_commands_name_the_record_that_lacks_parts(finished, tmp_path, words, capsys):
    folder = copied(finished, tmp_path)
    (folder/"run.json").write_text('{"recipe": {"name": "demo"}, "seed": 0, "machine": {}}' if "train" in words else '{"recipe": {"name": "demo"}, "seed": 0, "data": {}}')
    assert main(words.format(run=folder, card=tmp_path/"card").split()) == 2
    assert "run.json lacks" in capsys.readouterr().err


def test_a_drive_that_fails_for_a_moment_costs_no_checkpoint(tmp_path, monkeypatch):
    kept = Checkpoints(tmp_path/"checkpoints")
    for step in (1, 2):
        kept.save(step, dict(step=step))
    reading = Path.read_bytes

    def fails(path):
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
    monkeypatch.setattr(Path, "read_bytes", fails)
    with pytest.raises(OSError, match="bring its drive back and run again, or move this folder away"):
        Checkpoints(tmp_path/"checkpoints").latest()
    monkeypatch.setattr(Path, "read_bytes", reading)
    assert Checkpoints(tmp_path/"checkpoints").latest() == dict(step=2)


def test_damaged_checkpoints_are_kept_and_told(tmp_path):
    kept = Checkpoints(tmp_path/"checkpoints")
    for step in (1, 2):
        kept.save(step, dict(step=step))
    for path in kept.paths():
        (path/"state.json").write_bytes(b"{}")
    with pytest.warns(UserWarning, match="trying the one before"), pytest.raises(CheckpointError, match="none of the 2 checkpoints .*move this folder away"):
        kept.latest()
    assert len(kept.paths()) == 2


def test_a_cut_save_is_recovered_whatever_the_folder_s_name(tmp_path):
    for name in ("plain", "run[1]", "a*b"):
        write_sealed(tmp_path/name, {"a": name.encode()})
        (tmp_path/name).rename(tmp_path/f".{name}.999999999.old")
        assert read_sealed(tmp_path/name)["a"] == name.encode()


def test_class_names_with_dollars_and_markup(tmp_path):
    names = ["$$", "$5_$10", "<b>x", "[a](http:evil)", "a|b", "`c`", "^", "100%", "猫", "\\frac{1}"]
    sets = [Images(part.images, part.labels, names, name="prices $ and $x_1") for part in (train, test)]
    done = trained(tmp_path/"one", data=sets)
    page = report(done.folder).read_text(encoding="utf-8")
    assert "&lt;b&gt;x" in page and "<b>x" not in page
    card = model_card(done.folder)
    assert "<b>x" not in card and "[a](http" not in card and r"\<b\>x" in card and r"a\|b" in card and r"a\\|b" not in card
    explain(done.model, test.images[:2], targets=["likeliest", "second"]).plot()


@pytest.mark.parametrize("words", [["train", "--recipe", "demo", "--epochs", "1", "--data", "{data}", "--out", "{out}"]])
def test_a_terminal_that_lacks_characters_stops_nothing(tmp_path, words):
    data = tmp_path/"large.npz"
    rng = np.random.default_rng(0)
    np.savez(data, x_train=rng.integers(0, 255, (40, 64, 64, 3), dtype=np.uint8), y_train=np.arange(40) % 2, x_test=rng.integers(0, 255, (10, 64, 64, 3), dtype=np.uint8),
             y_test=np.arange(10) % 2, classes=np.array(["猫", "犬"]))
    words = [word.format(data=data, out=tmp_path/"one") for word in words]
    done = subprocess.run([sys.executable, "-c", "import sys; from cifar_cam.cli import main; sys.exit(main(sys.argv[1:]))", *words], capture_output=True,
                          env={**os.environ, "PYTHONIOENCODING": "cp1252", "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-500:]
    assert b"report:" in done.stdout


def test_options_for_folders_are_refused_elsewhere(tmp_path, capsys):
    for words in (["--pixels", "64"], ["--skip-corrupt"]):
        assert main(["train", "--recipe", "demo", "--data", "shapes", "--out", str(tmp_path/"one"), *words]) == 2
        assert f"{words[0]} would do nothing: shapes is no folder of class folders" in capsys.readouterr().err


def test_unpacked_cifar_100(tmp_path):
    rng = np.random.default_rng(0)
    for name, count in (("train", 200), ("test", 100)):
        content = {b"data": rng.integers(0, 255, (count, 3072), dtype=np.uint8), b"fine_labels": [k % 100 for k in range(count)]}
        (tmp_path/name).write_bytes(pickle.dumps(content, protocol=2))
    (tmp_path/"meta").write_bytes(pickle.dumps({b"fine_label_names": [f"c{k}".encode() for k in range(100)]}, protocol=2))
    first, second = load_data(tmp_path)
    assert (len(first), len(second), first.classes[7], first.name) == (200, 100, "c7", "cifar100")


def test_a_picture_becomes_an_array_in_every_numpy():
    picture = read_image(np.zeros((6, 7, 3), np.uint8))
    assert picture.__array__().shape == picture.__array__(np.float32, copy=True).shape == np.asarray(picture).shape == (6, 7, 3)


# what a review of the numbers found

def test_the_area_of_one_point_is_its_height():
    assert Curve("one", np.array([0.5]), np.array([[0.25], [0.75]])).area.tolist() == [0.25, 0.75]


def test_class_means_of_oblong_pictures(finished):
    oblong = Images(np.tile(test.images, (1, 1, 2, 1))[:, :, :48], test.labels, test.classes)
    means = class_means(finished.model, oblong, correct_only=False)
    assert means.pictures.shape == (10, 32, 48, 3) and means.maps.shape == (10, 32, 48)


def test_pictures_of_one_channel_are_explained_in_grey():
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
    found = explain(net, torch.randn(2, 1, 16, 16), normalisation="half", layers="1", targets="predicted")
    assert found.pictures.shape == (2, 16, 16, 3) and "no three colours" in found.note


def test_a_schedule_leaves_the_momentum_of_muon_s_filters_alone():
    net = recipes.create_model("custom_resnet", width=4)
    learner = Learner(net, [(torch.randn(4, 3, 32, 32), torch.arange(4))], optimizer=muon(net), device="cpu", precision="float32", progress=False)
    before = [group["momentum"] for group in learner.optimizer.param_groups]
    learner.fit(2, one_cycle(0.01, 2, 1, momentum=(0.85, 0.95), peak_epoch=1))
    after = [group["momentum"] for group in learner.optimizer.param_groups]
    assert after[0] == before[0] == 0.6 and all(value != 0.6 for value in after[1:])
    with pytest.raises(ValueError, match="brought to one length at every step; leave it out"):
        Muon([dict(params=[nn.Parameter(torch.zeros(2, 2))], orthogonal=True, weight_decay=0.1)])


def test_xgradcam_warns_where_sums_may_vanish():
    with pytest.warns(UserWarning, match="weights can explode; name a layer behind a ReLU"):
        xgradcam(torch.tensor([[[1.0, -0.99]]]), torch.ones(1, 1, 2))


def test_ranks_mean_ranks_whatever_classes_are_called():
    names = ("hour", "minute", "second")
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
    found = explain_images(net, [np.full((8, 9, 3), 80, np.uint8)], 2, layers="1", size=8, classes=names, normalisation="half")
    assert (found.explanation.targets == found.classified.order[:, :2]).all() and found.explanation.target_names == ("likeliest", "second")


def test_a_drive_that_vanishes_does_not_hide_the_reason(tmp_path):
    import shutil
    with pytest.raises(RuntimeError, match="the reason"), recipes._held(tmp_path/"one"):
        shutil.rmtree(tmp_path/"one")
        raise RuntimeError("the reason")


def test_an_averaged_network_is_saved_as_the_network_it_is(finished, tmp_path):
    averaged = torch.optim.swa_utils.AveragedModel(finished.model)
    again = load_single_file(save_single_file(tmp_path/"model.safetensors", averaged))
    assert predict(again, test).accuracy == finished.metrics["test_accuracy"]


def test_three_measured_columns_are_all_drawn():
    history = checkpoint.History([dict(epoch=1, train_loss=1.0, test_loss=1.1, train_accuracy=0.5), dict(epoch=2, train_loss=0.9, test_loss=1.0, train_accuracy=0.6)])
    titles = [ax.get_title() for ax in history.plot(apart=True).axes if ax.axison]
    assert titles == ["training", "test (nothing was chosen by it)", "training"]


def test_wrapped_networks_keep_what_they_carry(finished):
    for wrapped in (nn.DataParallel(finished.model), torch.optim.swa_utils.AveragedModel(finished.model)):
        assert carried(wrapped, "classes") == finished.model.classes
        assert predict(wrapped, test, device="cpu").accuracy == finished.metrics["test_accuracy"]


def test_a_damaged_history_is_told_when_a_run_is_loaded(finished, tmp_path):
    folder = copied(finished, tmp_path)
    (folder/"history.csv").write_text("epoch,lr\n1,0.1,7\n")
    with pytest.raises(CheckpointError, match="history.csv is damaged .*take it away"):
        load_run(folder)
