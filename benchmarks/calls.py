"""What single calls take beside the loop that they replace: measuring a test set, sweeping the learning rate, and the way from `python` to
the first step.

`python benchmarks/calls.py` writes benchmarks/records/calls.json. Both sides take turns in one process (for the cold start, each in a fresh
process), and what is told is the median of the ratios of neighbours. Measured: `predict` beside the loop of the course projects (pictures
opened one by one by torchvision's transforms, batches of 128, the loss read at every batch). Swept: `lr_find` beside as many plain training
steps on the same batches, which is the least that a sweep needs. Cold: from the start of the interpreter to the end of the first training
step, imports included, and a later step for comparison. torch-lr-finder is swept too where it is installed."""
import argparse
import copy
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torchvision import transforms

from cifar_cam.augment import Loader
from cifar_cam.data import shapes
from cifar_cam.evaluate import predict
from cifar_cam.lr_finder import lr_find
from cifar_cam.model import create_model
from cifar_cam.optim import sgd
from cifar_cam.recipes import processor_name

record = Path(__file__).resolve().parent/"records"/"calls.json"
nets = ("resnet18", "custom_resnet", "fast")

cold = {
    "ours": """
import time
import torch
from cifar_cam.model import create_model
from cifar_cam.recipes import recipe
from cifar_cam.trainer import Learner
x, y = torch.randn(128, 3, 32, 32), torch.randint(0, 10, (128,))
learner = Learner(create_model("custom_resnet", width=16, logit_scale=0.125), [(x, y)], device="cpu", progress=False)
learner.fit(1)
first = time.time()
learner.fit(1)
print(first, time.time() - first)
""",
    "plain": """
import time
import albumentations as A
import torch
import torch.nn.functional as F
import torchvision
from cifar_cam.model import create_model
net = create_model("custom_resnet", width=16, logit_scale=0.125)
optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
x, y = torch.randn(128, 3, 32, 32), torch.randint(0, 10, (128,))
def step():
    optimizer.zero_grad()
    loss = F.cross_entropy(net(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()
step()
first = time.time()
step()
print(first, time.time() - first)
"""}


def timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


class Pictures(torch.utils.data.Dataset):
    "A set as torchvision gives it: one picture at a time, opened, turned into a tensor and normalised."
    def __init__(self, images, norm):
        self.images = images
        self.change = transforms.Compose([transforms.ToPILImage(), transforms.ToTensor(), transforms.Normalize(norm.mean, norm.std)])

    def __len__(self):
        return len(self.images)

    def __getitem__(self, k):
        return self.change(self.images.images[k]), int(self.images.labels[k])


def plain_test(net, loader):
    "The loop as the projects wrote it."
    net.eval()
    loss = correct = 0
    with torch.no_grad():
        for x, y in loader:
            output = net(x)
            loss += F.cross_entropy(output, y, reduction="sum").item()
            correct += output.argmax(dim=1, keepdim=True).eq(y.view(-1, 1)).sum().item()
    return correct / len(loader.dataset)


def evaluation(rounds, count):
    "Pictures a second, for each network."
    test, table = shapes(train=10, test=count)[1], {}
    norm = test.statistics()
    loader = torch.utils.data.DataLoader(Pictures(test, norm), batch_size=128)
    for name in nets:
        torch.manual_seed(0)
        net = create_model(name).eval()
        last = copy.deepcopy(net).to(memory_format=torch.channels_last)  # as the Learner and load_model leave a network
        found = {"plain": [], "ours": []}
        for _ in range(rounds + 1):
            found["plain"].append(count / timed(lambda: plain_test(net, loader)))
            found["ours"].append(count / timed(lambda: predict(last, test, norm)))
        alike = abs(plain_test(net, loader) - predict(last, test, norm).accuracy) < 2.5 / count
        ratio = statistics.median(ours / plain for ours, plain in zip(found["ours"][1:], found["plain"][1:]))
        table[name] = dict({side: statistics.median(values[1:]) for side, values in found.items()}, ratio=ratio, same_accuracy=alike, rounds=found)
        print(f"measuring, {name:<14} plain {table[name]['plain']:6,.0f}/s   predict {table[name]['ours']:6,.0f}/s   {ratio:.2f} times", flush=True)
    return table


def sweep(rounds, steps=60):
    "Seconds of a sweep of the custom ResNet in width 32, and of as many training steps."
    images = shapes(train=4000, test=10)[0]
    loader = Loader(images, norm=images.statistics(), batch_size=128, shuffle=True)
    batches = [(x, y) for x, y, _ in loader]
    torch.manual_seed(0)
    fresh = create_model("custom_resnet", width=32).to(memory_format=torch.channels_last)

    def plain():
        net = copy.deepcopy(fresh)
        optimizer = sgd(net, 1e-6)
        for k in range(steps):
            x, y = batches[k % len(batches)]
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(net(x), y).backward()
            optimizer.step()

    def ours():
        return lr_find(fresh, batches, lr_min=1e-6, lr_max=1e-5, steps=steps)  # rates at which nothing diverges: all steps are taken

    def theirs():
        from torch_lr_finder import LRFinder
        net = copy.deepcopy(fresh)
        LRFinder(net, torch.optim.SGD(net.parameters(), lr=1e-6), F.cross_entropy, device="cpu").range_test(loaded, end_lr=1e-5, num_iter=steps)
    sides = {"plain": plain, "lr_find": ours}
    try:
        import torch_lr_finder  # noqa: F401
        loaded = torch.utils.data.DataLoader([(x[k], int(y[k])) for x, y in batches for k in range(len(y))], batch_size=128)
        sides["torch-lr-finder"] = theirs
    except ImportError:
        pass
    found = {side: [] for side in sides}
    for _ in range(rounds + 1):
        for side, work in sides.items():
            found[side].append(timed(work))
    ratio = {side: statistics.median(a / b for a, b in zip(values[1:], found["plain"][1:])) for side, values in found.items()}
    print(f"a sweep of {steps} steps: " + ", ".join(f"{side} {statistics.median(values[1:]):.2f} s ({ratio[side]:.2f})" for side, values in found.items()))
    return dict(steps=steps, seconds={side: statistics.median(values[1:]) for side, values in found.items()}, ratio=ratio, rounds=found)


def start(rounds):
    "Seconds from the interpreter's start to the end of the first step, and of a later step, in fresh processes."
    found = {side: [] for side in cold}
    for _ in range(rounds + 1):
        for side, program in cold.items():
            began = time.time()
            first, warm = map(float, subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()[-2:])
            found[side].append((first - began, warm))
    middle = {side: dict(cold=statistics.median(a for a, _ in values[1:]), warm=statistics.median(b for _, b in values[1:])) for side, values in found.items()}
    ratio = statistics.median(a[0] / b[0] for a, b in zip(found["ours"][1:], found["plain"][1:]))
    print(f"to the first step: ours {middle['ours']['cold']:.2f} s, plain {middle['plain']['cold']:.2f} s ({ratio:.2f}); a later step "
          f"{middle['ours']['warm']:.3f} and {middle['plain']['warm']:.3f} s")
    return dict(**middle, ratio=ratio, rounds=found)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--quick", action="store_true", help="one round, and nothing is written")
    options = parser.parse_args()
    rounds = 1 if options.quick else options.rounds
    command = "python benchmarks/calls.py" + "".join(f" --{name} {getattr(options, name)}" for name in ("rounds", "pictures")
                                                     if getattr(options, name) != parser.get_default(name))
    result = dict(command=command, pictures=options.pictures, torch=torch.__version__, cores=os.cpu_count(),
                  threads=torch.get_num_threads(), processor=processor_name(), evaluation=evaluation(rounds, options.pictures), sweep=sweep(rounds),
                  start=start(rounds))
    if not options.quick:
        record.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
