"Trackers: what they are told is what happened; none can stop a run, change its bits or reach the network."
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch

from cifar_cam.checkpoint import History, load_run
from cifar_cam.cli import main
from cifar_cam.data import shapes
from cifar_cam.recipes import recipe, run
from cifar_cam.tracking import MLflow, TensorBoard, Trackio, Tracker, Tracking, WeightsAndBiases, numbers, pixels, run_name, track, tracker

few = tuple(shapes(train=80, test=20))
tiny = recipe("demo", model=dict(name="custom_resnet", width=4), batch_size=40, epochs=3, schedule=dict(name="one_cycle", lr_max=0.1),
              explain_layers=("layer2", "layer3"))
root = Path(__file__).resolve().parent.parent


class Told(Tracker):
    "Writes down what it is told."
    def __init__(self):
        self.heard = []

    def start(self, record):
        self.heard.append(("start", record))

    def epoch(self, row):
        self.heard.append(("epoch", row))

    def figure(self, name, figure):
        self.heard.append(("figure", name))
        assert pixels(figure).shape[2] == 3

    def finish(self, metrics):
        self.heard.append(("finish", metrics))

    def all(self, what):
        return [news for kind, news in self.heard if kind == what]


def train(out, trackers=(), **more):
    "The tiny run."
    return run(tiny, few, out=out, precision="float32", device="cpu", progress=False, trackers=trackers, **more)


def weights(folder):
    return {name: value.clone() for name, value in load_run(folder).model.state_dict().items()}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    "The tiny run, nobody listening."
    return train(tmp_path_factory.mktemp("plain")/"run")


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    "The same with a listener and TensorBoard."
    listener = Told()
    return train(tmp_path_factory.mktemp("heard")/"run", [listener, "tensorboard"]), listener


def same_weights(one, other):
    one, other = weights(one), weights(other)
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


# What is told

def test_a_run_tells_everything_once_and_in_order(heard):
    result, listener = heard
    record = json.loads((result.folder/"run.json").read_text())
    assert [kind for kind, _ in listener.heard][0] == "start" and [kind for kind, _ in listener.heard][-1] == "finish"
    assert listener.all("start")[0]["digest"] == record["digest"] and listener.all("start")[0]["folder"] == str(result.folder)
    assert listener.all("epoch") == list(result.history)
    assert sorted(listener.all("figure")) == sorted(p.stem for p in (result.folder/"figures").glob("*.png"))
    assert {"mistakes", "gradcam", "gradcam_layers"} <= set(listener.all("figure"))
    assert json.loads(json.dumps(listener.all("finish")[0])) == result.metrics


def test_listening_changes_no_bit(plain, heard):
    assert same_weights(plain.folder, heard[0].folder)
    assert plain.history.column("train_loss") == heard[0].history.column("train_loss")


def test_the_diary_is_always_written(plain):
    lines = [json.loads(line) for line in (plain.folder/"log.jsonl").read_text().splitlines()]
    assert [line["what"] for line in lines if line["what"] != "figure"] == ["start", "epoch", "epoch", "epoch", "finish"]
    assert lines[-1]["finished"] and lines[-1]["test_accuracy"] == plain.metrics["test_accuracy"]
    text = (plain.folder/"log.jsonl").read_text()
    assert str(plain.folder.parent) not in text and os.uname().nodename not in text


def test_tensorboard_is_read_back(heard):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    result, _ = heard
    events = accumulator.EventAccumulator(str(result.folder/"tensorboard"), size_guidance=dict(images=0, scalars=0))
    events.Reload()
    for column, tag in (("train_loss", "loss/train"), ("valid_accuracy", "accuracy/valid"), ("lr", "lr")):
        assert [e.step for e in events.Scalars(tag)] == [1, 2, 3]
        assert [e.value for e in events.Scalars(tag)] == pytest.approx(result.history.column(column), rel=1e-6)
    assert events.Scalars("final/test_accuracy")[0].value == pytest.approx(result.metrics["test_accuracy"])
    images = events.Images("figures/gradcam")
    assert images[0].step == 3 and np.array_equal(pixels(images[0].encoded_image_string), pixels(result.folder/"figures"/"gradcam.png"))
    assert "batch_size" in events.Tensors("settings/text_summary")[0].tensor_proto.string_val[0].decode()


def test_a_finished_run_is_told_afterwards(plain):
    listener = Told()
    track(plain.folder, [listener])
    assert listener.all("epoch") == list(plain.history) and listener.all("finish")[0] == plain.metrics
    assert "mistakes" in listener.all("figure")


# Stopped, resumed, failed

class Stops(Told):
    "Sends the process SIGINT after the first epoch."
    def epoch(self, row):
        super().epoch(row)
        if row["epoch"] == 1:
            os.kill(os.getpid(), signal.SIGINT)


def test_a_stopped_run_is_finished_as_such_and_goes_on(plain, tmp_path):
    first, second = Stops(), Told()
    assert train(tmp_path/"run", [first]).interrupted
    assert [row["epoch"] for row in first.all("epoch")] == [1] and first.heard[-1] == ("finish", {})
    assert History.from_csv((tmp_path/"run"/"history.csv").read_text()).column("epoch") == [1]
    result = train(tmp_path/"run", [second])
    assert [row["epoch"] for row in second.all("epoch")] == [2, 3] and second.heard[-1][1]["epochs"] == 3
    assert run_name(first.all("start")[0]) == run_name(second.all("start")[0])
    assert same_weights(plain.folder, result.folder)
    lines = [json.loads(line)["what"] for line in (tmp_path/"run"/"log.jsonl").read_text().splitlines()]
    assert [what for what in lines if what != "figure"] == ["start", "epoch", "finish", "start", "epoch", "epoch", "finish"]


def test_a_killed_run_leaves_its_epochs(tmp_path):
    "history.csv is whole after every epoch, also when the process is gone without a word."
    code = f"""
        import os, sys
        sys.path[:0] = [{str(root/'tests')!r}]
        from test_tracking import Tracker, Path, train
        class Killed(Tracker):
            def epoch(self, row):
                if row["epoch"] == 2:
                    os.kill(os.getpid(), 9)
        train(Path({str(tmp_path)!r})/"run", [Killed()])
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert ended.returncode == -9
    assert History.from_csv((tmp_path/"run"/"history.csv").read_text()).column("epoch") == [1, 2]


@pytest.mark.parametrize("where, problem", [("start", OSError(28, "No space left on device")), ("epoch", ConnectionError("server gone")),
                                            ("figure", SystemExit(1)), ("finish", RuntimeError("x" * 500))])
def test_a_failing_tracker_stops_nothing(plain, tmp_path, where, problem):
    class Fails(Tracker):
        pass
    calls = []

    def fail(self, *news):
        calls.append(where)
        torch.rand(3), np.random.rand()
        raise problem
    setattr(Fails, where, fail)
    listener = Told()
    with pytest.warns(UserWarning, match="the tracker Fails failed .*the run goes on without it") as said:
        result = train(tmp_path/"run", [Fails(), listener])
    assert len([w for w in said if "Fails" in str(w.message)]) == 1 and calls == [where]
    assert result.metrics["test_accuracy"] == plain.metrics["test_accuracy"] and same_weights(plain.folder, result.folder)
    assert len(listener.all("epoch")) == 3 and listener.all("finish")[0]


def test_files_that_cannot_be_written_stop_nothing(plain, tmp_path):
    "The diary is a folder here; the run ends well and history.csv is there."
    (tmp_path/"run").mkdir()
    (tmp_path/"run"/"run.json").write_text((plain.folder/"run.json").read_text())
    (tmp_path/"run"/"log.jsonl").mkdir()
    with pytest.warns(UserWarning, match="the tracker RunFiles failed"):
        result = train(tmp_path/"run")
    assert result.metrics and len(History.from_csv((tmp_path/"run"/"history.csv").read_text())) == 3


def test_an_interrupt_inside_a_tracker_is_the_users():
    class Pressed(Tracker):
        def epoch(self, row):
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        Tracking([Pressed()]).epoch({})


def test_an_error_of_the_training_is_its_own_and_trackers_are_finished(tmp_path):
    listener = Told()
    with mock.patch("cifar_cam.recipes.loss_of", lambda *_: lambda logits, y: logits.sum() * float("nan")):
        with pytest.raises(FloatingPointError):
            train(tmp_path/"run", [listener])
    assert listener.heard[-1] == ("finish", {})


# Names and packages

def test_a_missing_package_is_said_before_anything_is_done(tmp_path):
    for name, package in (("tensorboard", "tensorboard"), ("trackio", "trackio"), ("mlflow", "mlflow"), ("wandb", "wandb")):
        with mock.patch.dict("sys.modules", {package: None}), pytest.raises(ImportError, match="pip install 'cifar_cam\\[track\\]'"):
            train(tmp_path/"run", [name])
    assert not (tmp_path/"run").exists()


def test_unknown_trackers(tmp_path, capsys):
    with pytest.raises(ValueError, match="unknown tracker 'comet'; choose one of files, tensorboard, trackio, mlflow, wandb"):
        train(tmp_path/"run", ["comet"])
    with pytest.raises(TypeError, match="a tracker must have the methods start"):
        tracker(object())
    assert main(["train", "--recipe", "demo", "--track", "comet", "--out", str(tmp_path/"run")]) == 2
    assert "unknown tracker" in capsys.readouterr().err and not (tmp_path/"run").exists()


def test_numbers_are_finite_numbers():
    assert numbers(dict(a=1, b=float("nan"), c=True, d="x", e=2.5, f=None, g=float("inf"))) == dict(a=1, e=2.5)


def test_track_says_what_is_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no run .run.json is missing.; give the folder"):
        track(tmp_path, [])
    (tmp_path/"run.json").write_text("{")
    with pytest.raises(ValueError, match="run.json is damaged .*restore it"):
        track(tmp_path, [])


# The network

blocked = """
    import os, sys
    reached = []
    def guard(event, news):
        away = event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
        if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            away = not isinstance(news[1], (str, bytes, type(None)))  # those are files
        if away:
            reached.append((event, news[1:] if event[7:] in ("connect", "sendto", "sendmsg") else news))
            raise OSError("the network is blocked")
    sys.addaudithook(guard)
"""


def without_network(code, folder, **environment):
    "Run code in a process that may not reach the network and must not try to; what it prints."
    clean = {k: v for k, v in os.environ.items() if k != "NO_ALBUMENTATIONS_UPDATE"}
    clean |= dict(OMP_NUM_THREADS="1", HOME=str(folder), CIFAR_CAM_HOME=str(folder/"cache"), MPLBACKEND="agg", **environment)
    whole = textwrap.dedent(blocked) + textwrap.dedent(code) + "\nassert not reached, reached\n"
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", whole], env=clean, cwd=folder, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stdout


def test_no_default_path_reaches_the_network(plain, tmp_path):
    "Import, training, report, comparison and explanation, with the two trackers that are at hand."
    without_network(f"""
        sys.path[:0] = [{str(root/'tests')!r}]
        import cifar_cam
        from test_tracking import few, train
        from cifar_cam.cli import main
        from cifar_cam.compare import compare
        from cifar_cam.gradcam import explain
        from cifar_cam.report import report
        result = train("runs/demo", ["tensorboard"])
        report("runs/demo")
        compare(["runs/demo", {str(plain.folder)!r}]).save("compared")
        explain(result.model, few[1][:2], layers=["layer2"]).plot()
        assert main(["recipes"]) == 0
    """, tmp_path)
    assert (tmp_path/"runs"/"demo"/"report.html").is_file() and (tmp_path/"compared"/"compare.html").is_file()


def test_the_guard_of_the_network_guards(tmp_path):
    with pytest.raises(AssertionError, match="the network is blocked|example.invalid"):
        without_network("import socket; socket.create_connection(('example.invalid', 80))", tmp_path)


def test_trackio_is_read_back_and_reaches_nothing(plain, tmp_path):
    "Not even the login that is configured, nor the Space or server named in the environment."
    pytest.importorskip("trackio")
    out = without_network(f"""
        import json
        from pathlib import Path
        from cifar_cam.tracking import Trackio, run_name, track
        folder = {str(plain.folder)!r}
        for _ in range(2):  # told twice, it stays one run
            track(folder, [Trackio("mine")])
        import trackio
        from trackio.sqlite_storage import SQLiteStorage
        runs = list(trackio.Api().runs("mine"))
        logs = SQLiteStorage.get_logs("mine", runs[0].name, run_id=runs[0].id)
        print(json.dumps(dict(runs=[r.name for r in runs], config=runs[0].config, logs=logs, space=os.environ["TRACKIO_SPACE_ID"]), default=str))
    """, tmp_path, TRACKIO_DIR=str(tmp_path/"trackio"), HF_TOKEN="hf_" + "x" * 34, TRACKIO_SPACE_ID="somebody/space",
        TRACKIO_SERVER_URL="http://192.0.2.1:1?write_token=x", TRACKIO_WEBHOOK_URL="http://192.0.2.1:2")
    told = json.loads(out.strip().splitlines()[-1])
    assert len(told["runs"]) == 1 and told["runs"][0].startswith("run-") and told["space"] == "somebody/space"
    assert told["config"]["batch_size"] == 40 and told["config"]["_Username"] is None
    losses = {entry["step"]: entry["loss/train"] for entry in told["logs"] if "loss/train" in entry}
    assert list(losses.values()) == pytest.approx(plain.history.column("train_loss")) and sorted(losses) == [1, 2, 3]
    final = next(entry for entry in told["logs"] if "final/test_accuracy" in entry)
    assert final["final/test_accuracy"] == pytest.approx(plain.metrics["test_accuracy"])
    images = [entry for entry in told["logs"] if "figures/gradcam" in entry]
    assert images and (tmp_path/"trackio"/"media").is_dir() and "image" in json.dumps(images[0]["figures/gradcam"])


def test_mlflow_is_read_back(plain, tmp_path):
    pytest.importorskip("mlflow", reason="mlflow is not installed here; pip install 'cifar_cam[track]'")
    out = without_network(f"""
        import json, shutil
        from cifar_cam.tracking import MLflow, track
        shutil.copytree({str(plain.folder)!r}, "runs/run")
        for _ in range(2):
            track("runs/run", [MLflow()])
        import mlflow
        client = mlflow.MlflowClient("sqlite:///runs/mlflow.db")
        runs = client.search_runs([client.get_experiment_by_name("cifar_cam").experiment_id])
        history = {{m.step: m.value for m in client.get_metric_history(runs[0].info.run_id, "loss/train")}}
        files = [f.path for f in client.list_artifacts(runs[0].info.run_id, "figures")]
        print(json.dumps([len(runs), history, runs[0].data.params, runs[0].data.metrics, files, runs[0].info.status]))
    """, tmp_path)
    count, history, settings, metrics, files, status = json.loads(out.strip().splitlines()[-1])
    assert count == 1 and status == "FINISHED" and settings["batch_size"] == "40" and "figures/gradcam.png" in files
    assert [history[str(k)] for k in (1, 2, 3)] == pytest.approx(plain.history.column("train_loss"))
    assert metrics["final/test_accuracy"] == pytest.approx(plain.metrics["test_accuracy"])


def test_wandb_stays_offline(plain, tmp_path):
    pytest.importorskip("wandb", reason="wandb is not installed here; pip install 'cifar_cam[track]'")
    without_network(f"""
        import shutil
        from cifar_cam.tracking import WeightsAndBiases, track
        shutil.copytree({str(plain.folder)!r}, "runs/run")
        os.environ["WANDB_MODE"] = "online"
        track("runs/run", [WeightsAndBiases()])
    """, tmp_path)
    kept = list((tmp_path/"runs"/"run"/"wandb").glob("offline-run-*/*.wandb"))
    assert len(kept) == 1 and b"loss/train" in kept[0].read_bytes()


def test_all_four_are_trackers():
    for kind in (TensorBoard, Trackio, MLflow, WeightsAndBiases):
        assert issubclass(kind, Tracker)
