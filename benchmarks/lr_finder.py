"""Is the recommended rate near the best one? `python benchmarks/lr_finder.py --data cifar10` writes benchmarks/records/lr_finder.json

Seven small networks on two data sets (drawn shapes, and 4,000 pictures of CIFAR-10). For each: what one sweep alone recommends, what
the finder recommends after short trainings of 300 steps (`confirm=300`) in three orders (`sweeps=3`), judged on 1,000 other pictures,
and one-cycle trainings of six epochs (282 and 378 steps) on a grid of peak rates a factor of three apart, two seeds each. The best of
so many is partly the luckiest, so the rate that won and the recommended one are then trained with eight other seeds, and only these are
compared. Where these leave a standard error of more than 0.85 points, whichever way they point, 24 seeds are added. Every result is added
to the record as soon as it is there, so the same command goes on where it was stopped. About an hour and a half on two cores."""
import argparse
import functools
import json
import multiprocessing
import os
import statistics
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from cifar_cam.augment import Loader
from cifar_cam.data import load_data, shapes
from cifar_cam.evaluate import predict
from cifar_cam.lr_finder import lr_find
from cifar_cam.model import create_model
from cifar_cam.optim import adam, sgd
from cifar_cam.trainer import Learner


class PlainNet(nn.Sequential):
    "Three convolutions without any normalisation, global mean, linear layer."
    def __init__(self, width=16):
        layers = [[nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
                  for a, b in ((3, width), (width, 2 * width), (2 * width, 4 * width))]
        super().__init__(*sum(layers, []), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 10))


first_seeds, further_seeds, more_seeds = (0, 1), tuple(range(6, 14)), tuple(range(14, 38))
largest_error = 0.85  # of a comparison by the further seeds, in points; beyond it more seeds are added
trial_steps = 300  # of the short trainings; the trainings they choose for have 282 and 378
momentum = lambda net: sgd(net, 0.1, weight_decay=5e-4, nesterov=True)
nets = {
    "custom ResNet, width 8": (lambda: create_model("custom_resnet", width=8), momentum),
    "custom ResNet, width 8, mean pool": (lambda: create_model("custom_resnet", width=8, final_pool="avg"), momentum),
    "custom ResNet, width 8, logits / 8": (lambda: create_model("custom_resnet", width=8, logit_scale=0.125), momentum),
    "custom ResNet, width 8, group norm": (lambda: create_model("custom_resnet", width=8, norm="group"), momentum),
    "ResNet-18, width 8": (lambda: create_model("resnet18", width=8), momentum),
    "plain net without norm, Adam": (PlainNet, lambda net: adam(net, 1e-3)),
    "custom ResNet, width 8, Adam": (lambda: create_model("custom_resnet", width=8), lambda net: adam(net, 1e-3)),
}


@functools.cache
def data_sets(cifar):
    "Name -> (train, test, batch size, epochs, pictures to judge the short trainings by)."
    train, test = load_data(cifar)
    return {"shapes": (*shapes(train=3000, test=4000), 64, 6, shapes(train=1000, test=10, seed=1)[0]),
            "CIFAR-10, 4,000": (train[:4000], test[:4000], 64, 6, train[4000:5000])}


def made(net, seed):
    "A fresh network and its optimiser."
    torch.manual_seed(seed)
    model = nets[net][0]()
    return model, nets[net][1](model)


def sweep(net, data):
    "The sweep, and the trainings that confirm it, judged on pictures held out."
    train, _, batch_size, _, held_out = data
    model, optimizer = made(net, 0)
    low, high = (1e-5, 1.0) if "Adam" in net else (1e-3, 10.0)
    loader = Loader(train, batch_size=batch_size, shuffle=True)
    model = model.to(memory_format=torch.channels_last)  # as a Learner has it
    for length in (trial_steps, 3 * trial_steps):  # what the finder asks for when the first are too short to learn anything
        curve = lr_find(model, loader, optimizer=optimizer, lr_min=low, lr_max=high, steps=100, confirm=length, sweeps=3,
                        valid=Loader(held_out, batch_size=500, norm=loader.norm))
        if curve.recommended:
            break
    alone = replace(curve, confirmed=(), repeats=())
    return dict(alone.to_dict(), confirmed=curve.confirmed, confirmed_rate=curve.recommended, trial_steps=length)


def trained(net, data, rate, seed):
    "Test accuracy after a short one-cycle run with this peak; None when the loss was not finite."
    train, test, batch_size, epochs, _ = data
    model, optimizer = made(net, seed)
    learner = Learner(model, Loader(train, batch_size=batch_size, shuffle=True, seed=seed), optimizer=optimizer,
                      device="cpu", precision="float32", progress=False)
    try:
        learner.fit_one_cycle(epochs, rate, peak_epoch=2)
    except FloatingPointError:
        return None
    if learner.interrupted:
        raise KeyboardInterrupt
    return float(predict(model, test, normalisation=learner.train.norm).is_correct.mean())


def add(path, record, key, value):
    "Keep `value` and write the record."
    record[key] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps(record, indent=0))
    os.replace(aside, path)


def grid(net):
    "Peak rates a factor of three apart."
    return [(0.1 if "Adam" in net else 1.0) * 0.01 * 3**k for k in range(-1, 5)]


def accuracies(record, net, name, rate, seeds):
    "Test accuracy in per cent for each seed; a run that broke counts as nothing right."
    return [100 * (record[f"train|{net}|{name}|{seed}|{rate:.3g}"] or 0.0) for seed in seeds]


def winner(record, net, name):
    "The rate of the grid with the best mean over the first seeds."
    return max(grid(net), key=lambda rate: sum(accuracies(record, net, name, rate, first_seeds)))


def compared(record, net, name, seeds=further_seeds):
    "Accuracies at the confirmed rate and at the best of the grid, in per cent, for each of these seeds."
    return [accuracies(record, net, name, rate, seeds) for rate in both_rates(record, net, name)]


def both_rates(record, net, name):
    "The confirmed rate and the best of the grid."
    return record[f"sweep|{net}|{name}"]["confirmed_rate"], winner(record, net, name)


def is_unsure(record, net, name):
    "Whether the further seeds leave too large an error."
    return standard_error(*compared(record, net, name)) > largest_error


def standard_error(ours, theirs):
    "Of the mean of paired differences."
    return statistics.stdev(a - b for a, b in zip(ours, theirs)) / len(ours) ** 0.5


def summary(record, cases):
    "A row for each network and data set: rates, mean accuracies in per cent, their difference with its standard error, and how many seeds."
    for net, name in cases:
        found, seeds = record[f"sweep|{net}|{name}"], further_seeds + more_seeds * is_unsure(record, net, name)
        ours, theirs = compared(record, net, name, seeds)
        yield dict(network=net, pictures=name, sweep=found["recommended"], confirmed=found["confirmed_rate"], accuracy=statistics.mean(ours),
                   best_rate=winner(record, net, name), best_accuracy=statistics.mean(theirs),
                   difference=statistics.mean(ours) - statistics.mean(theirs), standard_error=standard_error(ours, theirs), seeds=len(ours))


def job(cifar, key):
    "The value that belongs under `key` of the record."
    torch.set_num_threads(1)
    kind, net, name, *seed_and_rate = key.split("|")
    data = data_sets(cifar)[name]
    return sweep(net, data) if kind == "sweep" else trained(net, data, float(seed_and_rate[1]), int(seed_and_rate[0]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10", help="cifar10, or a path to it as .npz")
    parser.add_argument("--processes", default=2, type=int, help="of one thread each")
    parser.add_argument("--out", default=Path(__file__).resolve().parent/"records"/"lr_finder.json", type=Path)
    options = parser.parse_args()
    record = json.loads(options.out.read_text()) if options.out.is_file() else {}
    cases = [(net, name) for net in nets for name in ("shapes", "CIFAR-10, 4,000")]
    training = lambda net, name, rate, seed: f"train|{net}|{name}|{seed}|{rate:.3g}"
    with ProcessPoolExecutor(options.processes, multiprocessing.get_context("spawn")) as pool:
        def fill(keys):
            missing = [key for key in dict.fromkeys(keys) if key not in record]
            for key, value in zip(missing, pool.map(functools.partial(job, options.data), missing)):
                add(options.out, record, key, value)
                print(key, value if key.startswith("train") else value["confirmed_rate"], flush=True)
        fill(f"sweep|{net}|{name}" for net, name in cases)
        fill(training(net, name, rate, seed) for seed in first_seeds for net, name in cases for rate in grid(net))
        fill(training(*case, rate, seed) for seed in further_seeds for case in cases for rate in both_rates(record, *case))
        unsure = [case for case in cases if is_unsure(record, *case)]
        fill(training(*case, rate, seed) for seed in more_seeds for case in unsure for rate in both_rates(record, *case))
    add(options.out, record, "command", "python benchmarks/lr_finder.py --data cifar10")
    add(options.out, record, "summary", list(summary(record, cases)))
    for row in record["summary"]:
        print(*(f"{value:.3g}" if isinstance(value, float) else value for value in row.values()))


if __name__ == "__main__":
    main()
