"""What the Learner's care costs: an epoch of it beside a plain PyTorch loop that does the same work, in turns, in CPU seconds.

`python benchmarks/overhead.py` writes benchmarks/records/overhead.json. Same network, batches, optimiser, rates and validation on both
sides; the Learner also checks loss and gradient, remembers what it would have to put back, watches for signals, keeps the best weights,
and saves a sealed checkpoint every epoch. Memory is kept between steps on both sides, as `fit` does, so that its gain hides no cost."""
import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from cifar_cam.augment import Loader, Policy, cutout, hflip, pad_crop, set_seed
from cifar_cam.data import shapes
from cifar_cam.machine import Interrupt, kept_memory
from cifar_cam.model import create_model
from cifar_cam.optim import one_cycle, sgd
from cifar_cam.progress import Progress
from cifar_cam.recipes import processor_name
from cifar_cam.trainer import Learner

record = Path(__file__).resolve().parent/"records"/"overhead.json"


def parts(options, images):
    "Network, optimiser, training and validation batches; the same for both sides."
    set_seed(0)
    net, (rest, valid) = create_model("custom_resnet", width=options.width), images.split(0.1)
    policy = Policy(pad_crop(4, fill="mean"), hflip(), cutout(8, fill="mean"))
    return (net, sgd(net, 0.1, weight_decay=5e-4, nesterov=True), Loader(rest, policy, batch_size=options.batch_size, shuffle=True),
            Loader(valid, batch_size=min(200, len(valid))))


def plain_epoch(net, optimizer, train, valid, plan, epoch):
    "What anyone would write: train, sum up, validate; returns mean loss and validation accuracy."
    net.train()
    total, correct, count = 0.0, 0, 0
    for k, (x, y, _) in enumerate(train.set_epoch(epoch)):
        for group in optimizer.param_groups:
            group["lr"] = plan(epoch * len(train) + k)
        x = x.contiguous(memory_format=torch.channels_last)
        logits = net(x)
        loss = F.cross_entropy(logits, y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        total, correct, count = total + loss.item() * len(y), correct + (logits.argmax(1) == y).sum().item(), count + len(y)
    net.eval()
    with torch.inference_mode():
        right = sum((net(x.contiguous(memory_format=torch.channels_last)).argmax(1) == y).sum().item() for x, y, _ in valid)
    return total / count, right / len(valid.images)


def seconds(work):
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(options, folder):
    "CPU seconds of each epoch on both sides, in turns; the first pair warms up and is left out."
    images = shapes(train=options.pictures, test=10)[0]
    net, optimizer, train, valid = parts(options, images)
    net = net.to(memory_format=torch.channels_last)
    theirs = parts(options, images)
    learner = Learner(theirs[0], theirs[2], theirs[3], optimizer=theirs[1], folder=folder, select="best", precision="float32",
                      device="cpu", progress=False)
    plan = one_cycle(0.1, options.pairs + 1, len(train))
    learner._begin(plan, False)
    progress, interrupt = Progress(learner.history, plan.steps, False), Interrupt()
    sides = {"plain": lambda epoch: plain_epoch(net, optimizer, train, valid, plan, epoch),
             "learner": lambda epoch: learner._epoch(plan, progress, interrupt)}
    found = {name: [] for name in sides}
    for epoch in range(options.pairs + 1):
        for name in sorted(sides, reverse=epoch % 2):
            found[name].append(seconds(lambda: sides[name](epoch)))
    same = all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), learner.model.state_dict().values()))
    return {name: times[1:] for name, times in found.items()}, same


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in dict(width=16, pictures=1000, batch_size=128, pairs=6).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, kept_memory():
        found, same = measure(options, folder)
    ratios = [a / b for a, b in zip(found["learner"], found["plain"])]
    result = dict(command=" ".join(["python benchmarks/overhead.py", *(f"--{name} {value}" for name, value in vars(options).items())]), settings=vars(options), unit="CPU seconds an epoch", **found,
                  overhead_median=statistics.median(ratios) - 1, overhead_of_the_fastest=min(found["learner"]) / min(found["plain"]) - 1,
                  weights_equal=same, torch=torch.__version__, cores=os.cpu_count(), processor=processor_name())
    record.write_text(json.dumps(result, indent=1) + "\n")
    print(f"plain {min(found['plain']):.2f} s, Learner {min(found['learner']):.2f} s an epoch; overhead {result['overhead_median']:+.1%} (median of "
          f"{options.pairs} pairs), {result['overhead_of_the_fastest']:+.1%} (fastest); same weights: {same}")


if __name__ == "__main__":
    main()
