"""The fast recipe and the script it was learnt from on one GPU, many seeds each: accuracy and seconds.

`python benchmarks/gpu_race.py --data cifar10 --peer airbench94_muon.py --seeds 50` writes benchmarks/records/gpu_race.json. The peer's
script ([airbench94_muon.py](https://github.com/KellerJordan/cifar10-airbench), MIT licence) is read from the path given and run as it is,
but for the number of its runs and a line that prints each result. Ours runs twice, as it is by default and compiled, so that a step is
sent as one piece (the peer is compiled too, with kernels tried out).

Sides take turns in blocks of seeds, each block a process that first makes one run to warm up, which is not counted. The clock is the
peer's: from the computation of the first layer to the last prediction with test-time augmentation; making a network, moving the data to
the GPU and, on the peer's side, measuring after each epoch stand outside."""
import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from time_to_94 import adapted, summary, write_pictures

from cifar_cam.augment import normalise, set_seed
from cifar_cam.batch_augment import make_loader
from cifar_cam.course_recipes import loss_of
from cifar_cam.data import load_data, normalisation
from cifar_cam.evaluate import predict
from cifar_cam.machine import pick_device
from cifar_cam.model import create_model
from cifar_cam.optim import optimizer, schedule
from cifar_cam.recipes import recipe
from cifar_cam.trainer import Learner

default_record = Path(__file__).resolve().parent/"records"/"gpu_race.json"
compiled = {"ours": False, "ours, compiled": "reduce-overhead"}


def peer_block(options, seeds, folder):
    "The peer's script for as many seeds, with its pictures, in this folder; returns the command that runs it there."
    write_pictures(options.data, folder)
    text = adapted(options.peer.read_text(), [
        ("range(200)", f"range({len(seeds)})"), ('main("warmup", model)', f'main("warmup", model); torch.manual_seed({seeds[0]})'),
        ("    return tta_val_acc\n", '    print("RESULT", val_acc, tta_val_acc, time_seconds, flush=True)\n    return tta_val_acc\n')])
    (folder/"peer.py").write_text(text)
    return [sys.executable, "peer.py"]


def one_run(net, chosen, data, seed, mode):
    "Print accuracy without and with test-time augmentation, and seconds, of one training of this network from the start."
    (train, test), device, norm = data, next(net.parameters()).device, normalisation(chosen.normalisation)
    set_seed(seed)
    net.load_state_dict(create_model(**chosen.model).state_dict())
    loader = make_loader(train, chosen.augmentation, norm, chosen.batch_size, shuffle=True, seed=seed, drop_last=True, device=device)
    loader.batch(0, 0)  # moves the pictures to the device
    learner = Learner(net, loader, loss=loss_of(chosen, net), optimizer=optimizer(chosen.optimizer, net), device=str(device),
                      precision="bfloat16", compile=mode, progress=False)
    torch.cuda.synchronize()
    start = time.perf_counter()
    net.prepare(normalise(train.images[:5000], norm, device))
    learner.fit(chosen.epochs, schedule(chosen.schedule, chosen.epochs, len(loader)))
    views = predict(net, test, norm, batch_size=2000, tta=chosen.tta, precision=learner.precision, classes=train.classes).accuracy
    seconds = time.perf_counter() - start
    assert not learner.interrupted
    print("RESULT", predict(net, test, norm, precision=learner.precision, classes=train.classes).accuracy, views, seconds, flush=True)


def our_block(options, seeds, mode):
    "One run to warm up, then one for each seed."
    chosen, data = recipe("fast"), load_data(options.data)
    net = create_model(**chosen.model).to(pick_device("auto"), memory_format=torch.channels_last)
    for seed in [10_000, *seeds]:
        one_run(net, chosen, data, seed, mode)


def run_block(side, seeds, options):
    "The results of a block, a dictionary for each seed, and the seconds of its whole process."
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        again = [sys.executable, __file__, "--data", str(options.data), "--block", side, *map(str, seeds)]
        command = peer_block(options, seeds, Path(folder)) if side == "peer" else again
        done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    results = [list(map(float, line.split()[1:])) for line in done.stdout.splitlines() if line.startswith("RESULT")][1:]
    named = [dict(zip(("accuracy", "accuracy_tta", "seconds"), result)) for result in results]
    return dict(zip(map(str, seeds), named, strict=True)), time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10", help="as for cifar-cam train")
    parser.add_argument("--peer", type=Path, help="path of airbench94_muon.py; left out: only ours runs")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--record", type=Path, default=default_record)
    parser.add_argument("--block", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.data = Path(options.data).resolve() if Path(options.data).exists() else options.data
    if options.block:
        return our_block(options, [int(seed) for seed in options.block[1:]], compiled[options.block[0]])
    sides = ["peer"] * bool(options.peer) + list(compiled)
    command = f"python benchmarks/gpu_race.py --data cifar10 --peer airbench94_muon.py --seeds {options.seeds} --blocks {options.blocks}"
    record = dict(command=command, note=load_data(options.data)[0].note, torch=torch.__version__, device=torch.cuda.get_device_name(),
                  compile_mode=compiled["ours, compiled"],
                  runs={side: {} for side in sides}, seconds_of_blocks={side: [] for side in sides})
    for block in range(options.blocks):
        seeds = list(range(block * options.seeds // options.blocks, (block + 1) * options.seeds // options.blocks))
        for side in sides:
            runs, seconds = run_block(side, seeds, options)
            record["runs"][side] |= runs
            record["seconds_of_blocks"][side].append(round(seconds, 1))
            options.record.write_text(json.dumps(record, indent=1) + "\n")
            print(*summary(record, digits=2), f"{side} block {block}: {seconds:.0f} s in all", sep="\n", flush=True)


if __name__ == "__main__":
    main()
