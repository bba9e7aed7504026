"""Several processes train one network: the same batches, the same steps, one folder.

The processes are forked from this one, which has imported everything, so that most tests take a second or two; `torchrun` and
`notebook_launcher` start real ones, once each."""
import csv
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing

from cifar_cam.augment import Loader, Policy, cutout, hflip, pad_crop, set_seed
from cifar_cam.batch_augment import BatchLoader
from cifar_cam.checkpoint import Checkpoints
from cifar_cam.data import shapes
from cifar_cam.model import create_model
from cifar_cam.optim import linear, muon, sgd
from cifar_cam.processes import Team, join, leave
from cifar_cam.trainer import Alone, Learner, teams

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks")
few, held = shapes(train=49, test=20)  # batches of 16, 16, 16 and 1: of the last, only the first process has a picture
norm, policy = few.statistics(), Policy(pad_crop(2), hflip(), cutout(8))


def plain_net(dropout=0.0, batch_norm=False):
    "Without batch statistics the shares of a batch come to the same as the whole."
    normed = torch.nn.BatchNorm2d(8) if batch_norm else torch.nn.GroupNorm(2, 8)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 2), normed, torch.nn.ReLU(), torch.nn.Dropout(dropout), torch.nn.AdaptiveAvgPool2d(2),
                               torch.nn.Flatten(), torch.nn.Linear(32, 10))


def learner(folder=None, net=None, kind=Loader, seed=0, optimizer=None, **settings):
    set_seed(seed)
    net = net() if net else plain_net()
    train, valid = kind(few, policy, norm, batch_size=16, shuffle=True), Loader(held, None, norm, batch_size=8)
    settings = dict(precision="float32", device="cpu", progress=False) | settings
    return Learner(net, train, valid, optimizer=optimizer(net) if optimizer else sgd(net, 0.1), folder=folder, **settings)


def result(ours, **more):
    "What a process has to tell, as tensors."
    return dict(loss=torch.tensor(ours.history.batches.column("loss")), accuracy=torch.tensor(ours.history.batches.column("accuracy")),
                valid=torch.tensor([ours.history.column(f"valid_{k}") for k in ("loss", "accuracy")]),
                weights=[v.clone() for v in ours.model.state_dict().values()], interrupted=ours.interrupted, **more)


class Others:
    "Starts forked processes that join; `run(work)` gives what each returned, or the text of its error, or its exit code."
    def __init__(self, folder):
        self.folder = folder

    def run(self, work, processes=2, timeout=60):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = str(server.getsockname()[1])
        context = torch.multiprocessing.get_context("fork")
        started = [context.Process(target=self.begin, args=(work, rank, processes, port, timeout)) for rank in range(processes)]
        for process in started:
            process.start()
        for process in started:
            process.join(120)
        hanging = [process.kill() for process in started if process.is_alive()]
        assert not hanging, "a process hangs"
        return [torch.load(self.folder/f"{rank}.pt", weights_only=True) if process.exitcode == 0 else process.exitcode
                for rank, process in enumerate(started)]

    def begin(self, work, rank, processes, port, timeout):
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(processes), MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
        torch.set_num_threads(1)
        try:
            join(timeout)
            found = work()
        except (ArithmeticError, OSError, ValueError) as problem:
            found = f"{type(problem).__name__}: {problem}"
        torch.save(found, self.folder/f"{rank}.pt")
        os._exit(0)  # nothing of pytest's is to be cleaned up here


@pytest.fixture
def others(tmp_path, monkeypatch):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a pool of threads would not survive the fork
    (tmp_path/"found").mkdir()
    yield Others(tmp_path/"found")
    torch.set_num_threads(threads)


def same_curve(many, one):
    return (many["loss"] - one["loss"]).abs().max() <= 1e-5 and torch.equal(many["accuracy"], one["accuracy"]) and (
        (many["valid"] - one["valid"]).abs().max() <= 1e-5)


def same_bits(a, b):
    return all(torch.equal(v, w) for v, w in zip(a["weights"], b["weights"], strict=True)) and torch.equal(a["loss"], b["loss"])


def trained(folder=None, epochs=3, **settings):
    ours = learner(folder, **settings)
    ours.fit_one_cycle(epochs, 0.2)
    return result(ours)


# ---- the same training

@pytest.mark.parametrize("settings, processes", [(dict(), 2), (dict(kind=BatchLoader, l1=1e-4), 3),
                                                 (dict(select="best", kind=BatchLoader), 2)], ids=["two", "three, L1", "best"])
def test_the_loss_curve_of_one_process(others, settings, processes):
    one = trained(**settings)
    many = others.run(lambda: trained(**settings), processes)
    assert all(same_curve(m, one) for m in many) and all(same_bits(m, many[0]) for m in many)


def test_smaller_parts_in_each_process(others):
    def work():
        ours = learner()
        ours.micro_batch = 3
        ours.fit_one_cycle(3, 0.2)
        return result(ours)
    one = trained()
    assert all(same_curve(m, one) for m in others.run(work))


def test_the_shares_are_the_batches(others):
    def work():
        ours, seen = learner(), []
        make = ours.train.batch
        ours.train.batch = lambda *place: seen.append(make(*place)) or seen[-1]
        ours.fit(2)
        return [tuple(batch) for batch in seen]
    shares, whole = others.run(work, 3), learner().train
    for k in range(8):
        batch = whole.batch(*divmod(k, 4))
        for part, everyones in enumerate(batch):
            assert torch.equal(torch.cat([share[k][part] for share in shares]), everyones)


def test_all_hold_the_same_network_whatever_is_in_it(others):
    "Batch normalisation by shares, dropout of one's own, Muon, and a group of weights that rests after half of the run."
    def work():
        set_seed(0)
        net = create_model("fast", widths=(8, 8, 8))
        net.prepare(torch.randn(8, 3, 32, 32))
        ours = Learner(torch.nn.Sequential(net, torch.nn.Dropout(0.1)), BatchLoader(few, policy, norm, 16, shuffle=True),
                       optimizer=muon(net, first_ends=0.5), device="cpu", precision="float32", progress=False)
        ours.fit(2, linear(0.1, 2, 4))
        return result(ours)
    first, second = others.run(work)
    assert same_bits(first, second) and torch.isfinite(first["loss"]).all()


def test_dropout_differs_between_processes(others):
    def work():
        ours, drawn = learner(), []
        ours.model.register_forward_pre_hook(lambda *_: drawn.append(torch.get_rng_state()) if torch.is_grad_enabled() else None)
        ours.fit(1)
        return drawn
    first, second = others.run(work)
    assert not any(torch.equal(a, b) for a, b in zip(first, second)) and len({tuple(s.tolist()) for s in second}) == len(second)


def test_running_statistics_are_the_mean(others):
    def work():
        ours = learner(net=lambda: plain_net(batch_norm=True))
        ours.optimizer.param_groups[0]["lr"] = 0.0
        means = []
        ours.model[1].register_forward_hook(lambda module, *_: means.append(module.running_mean.clone()) if module.training else None)
        ours.train.batch_size = 48  # one batch, 24 pictures each, and one of one picture
        ours.fit(1)
        return dict(means=means, end=ours.model[1].running_mean)
    first, second = others.run(work)
    mean = (first["means"][0] + second["means"][0]) / 2
    assert torch.equal(first["end"], second["end"]) and len(second["means"]) == 1
    torch.testing.assert_close(first["end"], 0.9 * mean + (first["means"][1] - 0.9 * mean))
    assert not torch.equal(first["means"][0], second["means"][0])


# ---- stopping and going on

def pressing(rank, at, folder, number=signal.SIGINT, **settings):
    "A learner whose process `rank` gets a signal before its batch `at`."
    ours = learner(folder, **settings)
    make, count = ours.train.batch, []

    def batch(*place):
        count.append(place)
        if getattr(ours.team, "rank", 0) == rank and len(count) == at:
            os.kill(os.getpid(), number)
        return make(*place)
    ours.train.batch = batch
    ours.fit_one_cycle(3, 0.2)
    return result(ours)


@pytest.mark.parametrize("at", [3, 4])
def test_stop_in_one_process_stops_all_after_the_same_step(others, tmp_path, at):
    folder, net = tmp_path/"run", lambda: plain_net(0.2, True)
    stopped = others.run(lambda: pressing(1, at, folder, net=net))
    assert [len(s["loss"]) for s in stopped] == [at, at] and all(s["interrupted"] for s in stopped)
    assert Checkpoints(folder).paths()[-1].name == f"step-{at:09d}"
    again = others.run(lambda: trained(folder, net=net, seed=7))
    straight = others.run(lambda: trained(net=net))
    assert all(same_bits(a, s) for a, s in zip(again, straight)) and not again[0]["interrupted"]


def test_another_number_of_processes_goes_on(others, tmp_path):
    folder, one = tmp_path/"run", trained()
    others.run(lambda: pressing(0, 6, folder))
    with pytest.warns(UserWarning, match="begun with processes 2, now 1"):
        alone = pressing(0, 3, folder)
    assert alone["interrupted"] and len(alone["loss"]) == 9
    assert all(same_curve(m, one) for m in others.run(lambda: trained(folder), 3))


def test_killed_and_gone_on_with_alone(others, tmp_path):
    "From the checkpoint on, one process gives the same bits each time, and what it would have given all along up to rounding."
    folder, copies = tmp_path/"run", [tmp_path/"a", tmp_path/"b"]
    first, second = others.run(lambda: pressing(1, 7, folder, signal.SIGKILL, save_seconds=-1))
    assert second == -signal.SIGKILL and first.startswith("ConnectionError: another process of this training is gone")
    assert "Run the same command again" in first and "pair.cc" not in first
    for copy in copies:
        subprocess.run(["cp", "-r", folder, copy], check=True)
    with pytest.warns(UserWarning, match="begun with processes 2"):
        a, b = (trained(copy, seed=k) for k, copy in enumerate(copies))
    assert same_bits(a, b) and same_curve(a, trained())


def test_the_leading_process_is_killed(others, tmp_path):
    first, second = others.run(lambda: pressing(0, 7, tmp_path/"run", signal.SIGKILL))
    assert first == -signal.SIGKILL and "is gone" in second


def test_a_process_that_is_silent(others, tmp_path):
    "The other waits no longer than the timeout; this one hangs until it is ended by the other."
    def work():
        team = teams[-1]
        if team.rank == 1:
            (tmp_path/"pid").write_text(str(os.getpid()))
            team.any(False)
            threading.Event().wait()
        team.any(False)
        try:
            team.any(False)
        finally:
            os.kill(int((tmp_path/"pid").read_text()), signal.SIGKILL)
    first, second = others.run(work, timeout=2)
    assert "has been silent for 2 seconds" in first and second == -signal.SIGKILL


# ---- what goes wrong in one process

def test_a_loss_that_is_no_number_stops_all_before_the_step(others):
    def work():
        ours = learner(net=lambda: plain_net(batch_norm=True))
        before = [v.clone() for v in ours.model.state_dict().values()]
        make = ours.train.batch
        if ours.team.rank == 1:
            ours.train.batch = lambda *place: make(*place)._replace(x=make(*place).x * float("nan"))
        try:
            ours.fit(1)
        except FloatingPointError as problem:
            index = make(0, 0).index[:8].tolist()
            return dict(said=str(problem), index=str(index), same=all(torch.equal(a, b) for a, b in zip(before, ours.model.state_dict().values())))
    first, second = others.run(work)
    assert "the loss became nan at step 0" in second["said"] and second["index"][1:-1] in second["said"]
    assert "another process found a loss that is not finite" in first["said"] and "pictures [" not in first["said"]
    assert first["same"] and second["same"]


def test_another_run_in_the_folder_is_refused(others, tmp_path):
    trained(tmp_path/"run")

    def work():
        ours = learner(tmp_path/"run")
        ours.fit_one_cycle(5, 0.2)
    first, second = others.run(work)
    assert "another schedule" in first and "ConnectionError" in second


def test_what_cannot_be_shared(others):
    def work():
        said = []
        for settings in (dict(train=torch.utils.data.DataLoader([(torch.zeros(3, 8, 8), 0)])), dict(sync=True), dict(sync=True, size=24),
                         dict(net=torch.nn.Conv2d(3, 10, 1).to("meta"))):
            team = Team(60, settings.get("sync", False))
            try:
                team.prepare(settings.get("net") or plain_net()) if "size" not in settings and "train" not in settings else None
                team.share(settings.get("train") or Loader(few, None, norm, settings.get("size", 16)))
            except ValueError as problem:
                said.append(str(problem))
        return said
    said = others.run(work)[0]
    assert "a DataLoader cannot be divided among 2 processes" in said[0] and "synchronises batch normalisation on CUDA only" in said[1]
    assert "the last batch has 1 pictures for 2 processes" in said[2] and "cannot share a training on meta" in said[3]


def test_alone_nothing_is_joined(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert type(join()) is Alone
    leave()
    assert len(teams) == 1
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ValueError, match="RANK"):
        join()


# ---- launchers

def clean():
    "The environment without what a launcher says."
    left = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    return {**{k: v for k, v in os.environ.items() if k not in left}, "OMP_NUM_THREADS": "1"}


def test_torchrun(tmp_path):
    "One run folder, one report, one voice."
    train, test = shapes(train=300, test=40)
    np.savez(tmp_path/"few.npz", x_train=train.images, y_train=train.labels, x_test=test.images, y_test=test.labels, classes=train.classes)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "cifar_cam", "demo",
               "--data", "few.npz", "--epochs", "1", "--out", "run", "--device", "cpu", "--precision", "float32", "--process-timeout", "300"]
    done = subprocess.run(command, cwd=tmp_path, env=clean(), capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test accuracy") == done.stdout.count("report:") == 1 and done.stdout.count("epoch 1/1") == 1
    run = tmp_path/"run"
    assert json.loads((run/"run.json").read_text())["machine"]["processes"] == 2
    steps = list(csv.DictReader((run/"batches.csv").open()))
    assert [row["batch"] for row in steps] == [str(k + 1) for k in range(len(steps))] and len(steps) > 1
    assert (run/"report.html").is_file() and (run/"figures"/"batches.png").is_file()


launch = '''
import sys
from accelerate import notebook_launcher
sys.path.insert(0, {tests!r})
from test_processes import few, learner, join, leave, result, torch

def train():
    join(60)
    ours = learner({place!r} + "/run")
    ours.fit(1)
    torch.save(result(ours), f"{place}/{{ours.team.rank}}.pt")
    leave()

notebook_launcher(train, num_processes=2, use_port="{port}")
'''


def test_accelerates_notebook_launcher(tmp_path):
    pytest.importorskip("accelerate")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    code = launch.format(tests=str(Path(__file__).parent), place=str(tmp_path), port=port)
    done = subprocess.run([sys.executable, "-c", code], env={**clean(), "ACCELERATE_USE_CPU": "true"}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (torch.load(tmp_path/f"{k}.pt", weights_only=True) for k in (0, 1))
    assert same_bits(first, second) and len(first["loss"]) == 4 and (tmp_path/"run").is_dir()
