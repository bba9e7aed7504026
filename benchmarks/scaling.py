"""How cost grows: `python benchmarks/scaling.py` writes benchmarks/records/scaling.json.

Seconds and peak memory of a training step against batch size and against picture size, of an epoch's batches against the number of
pictures (up to a million, read from a memory-mapped file of 3 GB by a process that may have 2 GB of memory of its own), and of an explanation against the
number of layers and of targets. Each measurement is a process of its own, so that peak memory is its own; the best of three repeats counts.
`--parts` chooses some of them, `--quick` makes the sizes small and writes nothing."""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch

from cifar_cam.recipes import processor_name

record = Path(__file__).resolve().parent/"records"/"scaling.json"


def best_of(work, repeats=3):
    "Seconds of the fastest of several repeats, after one to warm up."
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def training_step(batch_size, pixels, name="custom_resnet", width=16):
    "Seconds of a step of the Learner."
    from cifar_cam.model import create_model
    from cifar_cam.trainer import Learner
    batch = torch.randn(batch_size, 3, pixels, pixels), torch.arange(batch_size) % 10
    learner = Learner(create_model(name, width=width), [batch], progress=False, device="cpu", precision="float32")
    return dict(seconds=best_of(lambda: learner.fit(1)))


def epoch_of_batches(count, folder):
    "Seconds a batch, over batches spread through the epoch, of pictures read from a memory-mapped file, with at most 2 GB of memory."
    from cifar_cam.batch_augment import make_loader
    from cifar_cam.data import Images
    path = Path(folder)/f"{count}.npy"
    if not path.is_file():
        pictures = np.lib.format.open_memmap(path, "w+", np.uint8, (count, 32, 32, 3))
        for k in range(0, count, 10_000):
            pictures[k:k + 10_000] = np.random.default_rng(k).integers(0, 256, pictures[k:k + 10_000].shape, np.uint8)
        pictures.flush()
    resource.setrlimit(resource.RLIMIT_DATA, (2 * 10**9, 2 * 10**9))
    images = Images(np.load(path, mmap_mode="r"), np.arange(count) % 10, tuple("0123456789"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    loader = make_loader(images, [dict(op="pad_crop", pad=4), dict(op="hflip")], "cifar10", 512, shuffle=True, seed=0)
    numbers = np.linspace(0, len(loader) - 1, 20).astype(int)
    return dict(seconds=best_of(lambda: [loader.batch(0, int(k)) for k in numbers]) / len(numbers), batches=len(loader), file_bytes=path.stat().st_size,
                megabytes_before=before / 1024)


def explanation(layers, targets):
    "Seconds to explain 32 pictures."
    from cifar_cam.gradcam import explain
    from cifar_cam.model import create_model
    torch.manual_seed(0)
    model, x = create_model("resnet18", width=32).eval(), torch.randn(32, 3, 32, 32)
    names = ["layer4", "layer3", "layer2", "layer1"][:layers]
    warnings.simplefilter("ignore")  # that the last layer's map is coarse
    return dict(seconds=best_of(lambda: explain(model, x, layers=names, targets=tuple(range(targets)))))


def with_processes(count):
    "Seconds an epoch of batches made picture by picture, by this many processes beside the main one."
    from cifar_cam.augment import Loader
    from cifar_cam.data import shapes
    images = shapes(train=4000, test=10)[0]
    loader = Loader(images, [dict(op="pad_crop", pad=4), dict(op="hflip"), dict(op="cutout", size=8)], batch_size=500, workers=count, persistent=True)
    return dict(seconds=best_of(lambda: [None for _ in loader]))


parts = {
    "batch size": (training_step, [dict(batch_size=n, pixels=32) for n in (32, 64, 128, 256, 512, 1024)]),
    "picture size": (training_step, [dict(batch_size=64, pixels=n) for n in (16, 32, 64, 96, 128, 224)]),
    "pictures": (epoch_of_batches, [dict(count=n) for n in (10_000, 50_000, 200_000, 1_000_000)]),
    "layers and targets": (explanation, [dict(layers=n, targets=k) for n in (1, 2, 4) for k in (1, 2, 5, 10)]),
    "processes": (with_processes, [dict(count=n) for n in (0, 1, 2)]),
}
quick = {"batch size": 2, "picture size": 2, "pictures": 1, "layers and targets": 2, "processes": 2}


def one(part, settings):
    "What a process of its own measures: prints its result."
    torch.set_num_threads(min(2, os.cpu_count()))
    result = parts[part][0](**settings)
    print(json.dumps(dict(result, megabytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=list(parts), choices=list(parts))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        return one(options.one[0], json.loads(options.one[1]))
    found = {} if options.quick or not record.is_file() else json.loads(record.read_text())["parts"]
    with tempfile.TemporaryDirectory() as folder:
        for part in options.parts:
            found[part] = []
            for settings in parts[part][1][:quick[part] if options.quick else None]:
                given = dict(settings, folder=folder) if part == "pictures" else settings
                done = subprocess.run([sys.executable, __file__, "--one", part, json.dumps(given)], check=True, stdout=subprocess.PIPE, text=True)
                found[part].append(dict(settings, **json.loads(done.stdout.splitlines()[-1])))
                print(part, found[part][-1], flush=True)
    if not options.quick:
        about = dict(torch=torch.__version__, cores=os.cpu_count(), processor=processor_name())
        record.write_text(json.dumps(dict(command="python benchmarks/scaling.py", **about, parts=found), indent=1) + "\n")


if __name__ == "__main__":
    main()
