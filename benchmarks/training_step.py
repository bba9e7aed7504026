"""Pictures a second in training: the Learner beside the plain loop of the course projects, and how far both are from this machine's limit.

`python benchmarks/training_step.py [--out benchmarks/records/training_step.json]`. Both sides train the same network on the same
pictures, already in memory, in turns; the plain loop as the projects wrote it (32 bits, colour axis first, `loss.item()` at every batch),
the Learner with its defaults, and once more with memory given back to the system at every step, as is the custom. Forward and backward
operations are counted by PyTorch; the limit is the fastest matrix product of 2048 by 2048 numbers in the type the Learner chose (and in
32 bits), measured in the same rounds. In the same rounds too, how many pictures a second the loader of the network's recipe prepares.
Medians over the rounds; the first round warms up and is left out. With `--quick` nothing is written (for a look at a busy machine)."""
import argparse
import collections
import json
import os
import statistics
import time
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from cifar_cam import trainer
from cifar_cam.augment import policy, set_seed
from cifar_cam.batch_augment import make_loader
from cifar_cam.data import shapes
from cifar_cam.machine import pick_device, precisions
from cifar_cam.model import create_model
from cifar_cam.optim import muon, sgd
from cifar_cam.recipes import processor_name, recipe
from cifar_cam.trainer import Learner

record = Path(__file__).resolve().parent/"records"/"training_step.json"
nets = {"resnet18": (128, 6), "custom_resnet": (512, 3), "fast": (2000, 2)}  # batch size, batches in an epoch
recipes = {"resnet18": "resnet9-94", "custom_resnet": "resnet9-94", "fast": "fast"}  # whose augmentation the loader does


def made(name, size):
    "Network, optimiser and one batch; the same every time."
    set_seed(0)
    net, x, y = create_model(name), torch.randn(size, 3, 32, 32), torch.randint(0, 10, (size,))
    if hasattr(net, "prepare"):
        net.prepare(x[:500])
    return net, (muon(net) if name == "fast" else sgd(net, 0.01, nesterov=True)), x, y


def plain_epoch(net, optimizer, x, y, batches, device):
    "The loop as everybody writes it."
    total = 0.0
    for _ in range(batches):
        x_, y_ = x.to(device), y.to(device)
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x_), y_)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total


def operations(name):
    "Floating-point operations of one picture, forward and backward."
    net, _, x, y = made(name, 2)
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(net(x), y).backward()
    return counter.get_total_flops() / 2


def seconds(work, device):
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def product_rate(dtype, device, repeats=8, size=2048):
    "Operations a second of the matrix product."
    a = torch.ones(size, size, dtype=dtype, device=device)
    seconds(lambda: a @ a, device)  # warm, and done, before the clock starts
    return 2 * size**3 * repeats / seconds(lambda: [a @ a for _ in range(repeats)], device)


def measure(name, rounds, device):
    "Pictures a second on both sides for each round, and the limits."
    size, batches = nets[name]
    net, optimizer, x, y = made(name, size)
    plain = net.to(device)
    theirs, its_optimizer, x, y = made(name, size)
    learner = Learner(theirs, [(x, y)] * batches, optimizer=its_optimizer, device=str(device), progress=False)
    half = precisions[learner.precision] or torch.float32
    loader = make_loader(shapes(train=8000, test=10)[0], policy(recipe(recipes[name]).augmentation), "cifar10", size, shuffle=True, device=device)
    found = {"loader": [], "plain": [], "learner": [], "memory_returned": [], "limit_16": [], "limit_32": []}
    for _ in range(rounds + 1):
        found["loader"].append(len(loader.images) / seconds(lambda: collections.deque(loader, maxlen=0), device))
        found["plain"].append(size * batches / seconds(lambda: plain_epoch(plain, optimizer, x, y, batches, device), device))
        found["learner"].append(size * batches / seconds(lambda: learner.fit(1), device))
        with mock.patch.object(trainer, "kept_memory", nullcontext):
            found["memory_returned"].append(size * batches / seconds(lambda: learner.fit(1), device))
        found["limit_16"].append(product_rate(half, device))
        found["limit_32"].append(product_rate(torch.float32, device))
    if learner.interrupted:
        raise KeyboardInterrupt
    middle = {side: statistics.median(values[1:]) for side, values in found.items()}
    work = operations(name)
    return dict(batch_size=size, precision=learner.precision, operations_a_picture=work, **middle, ratio=middle["learner"] / middle["plain"],
                share_of_limit=middle["learner"] * work / middle["limit_16"], loader_share=middle["learner"] / middle["loader"], rounds=found)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", default=list(nets), choices=list(nets))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=record)
    options = parser.parse_args()
    device = pick_device("auto")
    table = {}
    for name in options.nets:
        row = table[name] = measure(name, 1 if options.quick else options.rounds, device)
        print(f"{name:<14} plain {row['plain']:5.0f}/s   Learner ({row['precision']}) {row['learner']:5.0f}/s ({row['memory_returned']:.0f} with "
              f"memory returned)   ratio {row['ratio']:.2f}   "
              f"{row['share_of_limit']:.0%} of the matrix product's {row['limit_16'] / 1e9:,.0f} GFLOP/s   "
              f"the loader takes {row['loader_share']:.1%} of an epoch", flush=True)
    if not options.quick:
        about = dict(torch=torch.__version__, threads=torch.get_num_threads(), cores=os.cpu_count(), processor=processor_name(),
                     device=torch.cuda.get_device_name() if device.type == "cuda" else "cpu")
        options.out.write_text(json.dumps(dict(command="python benchmarks/training_step.py", **about, nets=table), indent=1) + "\n")


if __name__ == "__main__":
    main()
