"The stop button in a live Jupyter kernel: pressed while training, validating or sweeping; the cell is run again and ends with the same bits."
import json

import pytest
from live_kernel import live_kernel

setup = """
import hashlib, itertools, signal, sys, time
import torch
from cifar_cam.augment import Loader, Policy, pad_crop, set_seed
from cifar_cam.data import shapes
from cifar_cam.optim import sgd
from cifar_cam.trainer import Learner

torch.set_num_threads(1)
few = shapes(train=40, test=10)[0]
rest, valid = few.split(0.25)

def wait_for_stop(at):
    "Before the `at`-th batch: say so, and wait until stop is pressed."
    count = itertools.count(1)
    def wait():
        if next(count) == at:
            print("now", flush=True)
            until = time.monotonic() + 120
            while not signal.getsignal(signal.SIGINT).__self__.pressed and time.monotonic() < until:
                time.sleep(0.02)
    return wait

def waiting(function, at):
    wait = wait_for_stop(at)
    return lambda *words: (wait(), function(*words))[1]

class Waiting:
    def __init__(self, loader, at):
        self.loader, self.wait = loader, wait_for_stop(at)
    def __len__(self):
        return len(self.loader)
    def __iter__(self):
        for batch in self.loader:
            self.wait()
            yield batch

def make(folder):
    set_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, stride=4), torch.nn.BatchNorm2d(4), torch.nn.Dropout(0.1), torch.nn.Flatten(),
                              torch.nn.Linear(256, 10))
    return Learner(net, Loader(rest, Policy(pad_crop(2)), batch_size=10, shuffle=True), Loader(valid, batch_size=5), optimizer=sgd(net, 0.1),
                   folder=folder, select="best", precision="float32", device="cpu")

def digest():
    seen = hashlib.sha256(repr([{k: v for k, v in row.items() if k != "seconds"} for row in learner.history]).encode())
    for value in learner.model.state_dict().values():
        seen.update(value.numpy().tobytes())
    return seen.hexdigest()
"""
the_cell = "learner = make(folder)\nif stop: stop(learner)\nlearner.lr_find(steps=4)\nlearner.fit_one_cycle(3, 0.1);"
stops = {"train": "lambda l: setattr(l, 'loss', waiting(l.loss, 4 + 5))", "validation": "lambda l: setattr(l, 'valid', Waiting(l.valid, 3))",
         "lr-find": "lambda l: setattr(l, 'loss', waiting(l.loss, 3))"}


@pytest.fixture(scope="module")
def kernel():
    with live_kernel(setup) as made:
        yield made


@pytest.fixture(scope="module")
def straight(kernel):
    printed, error = kernel.run("folder = stop = None\n" + the_cell + "\nprint(digest())")
    assert not error, printed
    return printed.split()[-1]


@pytest.mark.parametrize("phase", stops)
def test_stop_and_run_the_cell_again(phase, kernel, straight, tmp_path):
    kernel.run(f"folder, stop = {json.dumps(str(tmp_path/'checkpoints'))}, {stops[phase]}")
    printed, error = kernel.run(the_cell, press_at="now")
    assert "stopping after this step" in printed
    assert error == ("KeyboardInterrupt" if phase == "lr-find" else ""), printed
    if phase != "lr-find":
        assert kernel.run("print(learner.interrupted)")[0].strip() == "True"
    printed, error = kernel.run("stop = None\n" + the_cell + "\nprint(learner.interrupted, digest())")
    assert not error, printed
    assert printed.split()[-2:] == ["False", straight]


def test_the_kernel_is_as_before(kernel):
    "After all the stops, an ordinary cell can be interrupted as always."
    printed, error = kernel.run("print('now', flush=True)\nimport time\ntime.sleep(120)", press_at="now")
    assert error == "KeyboardInterrupt"
