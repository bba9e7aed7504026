"""How many pictures a second one core augments: a batch at once, beside albumentations and torchvision v2 one by one.

`python benchmarks/augmentation.py [--batch_size 512] [--repeats 15] [--out benchmarks/records/augmentation.json]`

From bytes (N, 32, 32, 3) in memory to a normalised float batch (N, 3, 32, 32), each picture with its own draw. One thread. The contenders
take turns, and the median of their CPU times counts, so that other work on the machine disturbs all alike. `Compose(images=batch)` stands
apart: it makes one draw for the whole batch."""
import argparse
import datetime
import json
import os
import platform
import statistics
import time
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", NO_ALBUMENTATIONS_UPDATE="1")
import albumentations as A
import cv2
import numpy as np
import torch
import torchvision
from albumentations.pytorch import ToTensorV2
from torchvision.transforms import v2

from cifar_cam.augment import Pipeline, Policy, colour_jitter, cutout, hflip, pad_crop, rotate
from cifar_cam.batch_augment import BatchPipeline
from cifar_cam.data import normalisations, shapes
from cifar_cam.recipes import processor_name

norm = normalisations["cifar10"]
policies = {"crop, mirror, cut-out": Policy(pad_crop(4, border="reflect"), hflip(), cutout(8)),
            "and turn, tint": Policy(pad_crop(4, border="reflect"), hflip(), rotate(15), colour_jitter(0.2, 0.2, 0.2), cutout(8))}


def albumentations_steps(rich):
    "What anyone would write for these policies."
    steps = [A.PadIfNeeded(40, 40, border_mode=cv2.BORDER_REFLECT), A.RandomCrop(32, 32), A.HorizontalFlip()]
    if rich:
        steps += [A.Rotate(15, border_mode=cv2.BORDER_REFLECT_101), A.ColorJitter((0.8, 1.2), (0.8, 1.2), (0.8, 1.2), (0, 0))]
    steps += [A.CoarseDropout((1, 1), (8, 8), (8, 8)), A.Normalize(norm.mean, norm.std), ToTensorV2()]
    return A.Compose(steps, seed=0)


def torchvision_steps(rich):
    "The nearest torchvision has: turning fills with black, as it knows no other border, and its square is cut after normalising."
    steps = [v2.RandomCrop(32, padding=4, padding_mode="symmetric"), v2.RandomHorizontalFlip()]
    if rich:
        steps += [v2.RandomApply([v2.RandomRotation(15, v2.InterpolationMode.BILINEAR)]), v2.RandomApply([v2.ColorJitter(0.2, 0.2, 0.2)])]
    return v2.Compose([*steps, v2.ToDtype(torch.float32, scale=True), v2.Normalize(norm.mean, norm.std),
                       v2.RandomErasing(0.5, (1 / 16, 1 / 16), (1, 1))])


def contenders(policy, images):
    "Name -> function of a round number that makes one batch, the next of an epoch."
    positions, rich = np.arange(len(images)), len(policy) > 3
    ours, adapter = BatchPipeline(policy, norm), Pipeline(policy, norm)
    compose, vision = albumentations_steps(rich), torchvision_steps(rich)
    channels_first = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    return {
        "a batch at once": lambda k: ours(images, positions + k * len(images), 0, 0),
        "Pipeline, one by one": lambda k: adapter(images, positions + k * len(images), 0, 0),
        "albumentations, one by one": lambda k: torch.stack([compose(image=picture)["image"] for picture in images]),
        "torchvision v2, one by one": lambda k: torch.stack([vision(picture) for picture in channels_first]),
        "albumentations, one draw for all": lambda k: compose(images=images)["images"],
    }


def measure(policy, images, repeats):
    "Name -> CPU seconds of each round; the first round warms up and is left out."
    makers = contenders(policy, images)
    found = {name: [] for name in makers}
    for k in range(repeats + 1):
        for name, make in makers.items():
            start = time.process_time()
            batch = make(k)
            found[name].append(time.process_time() - start)
            assert tuple(batch.shape) == (len(images), 3, 32, 32), name
    return {name: times[1:] for name, times in found.items()}


def summary(times, batch_size):
    "Pictures a second, and how many times as fast ours is, the median of the rounds."
    ours = times["a batch at once"]
    return {name: dict(images_per_second=round(batch_size / statistics.median(own)), fastest=round(batch_size / min(own)),
                       ours_is_faster=round(statistics.median(a / b for a, b in zip(own, ours)), 2), seconds=own)
            for name, own in times.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch_size", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent/"records"/"augmentation.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    images = shapes(train=options.batch_size, test=10)[0].images
    results = {}
    for name, policy in policies.items():
        results[name] = dict(policy=policy.to_list(), **summary(measure(policy, images, options.repeats), options.batch_size))
        print(name)
        for who, row in results[name].items():
            if who != "policy":
                print(f"  {who:34}{row['images_per_second']:>9,} images/s   {row['ours_is_faster']:>6.1f} ×")
    settings = dict(batch_size=options.batch_size, repeats=options.repeats, pixels=32)
    versions = dict(torch=torch.__version__, torchvision=torchvision.__version__, albumentations=A.__version__, opencv=cv2.__version__,
                    numpy=np.__version__, python=platform.python_version())
    record = dict(command="python benchmarks/augmentation.py", settings=settings, threads=1,
                  clock="CPU seconds of the process, median of the rounds", results=results, **versions, processor=processor_name(),
                  cores=os.cpu_count(), load=round(os.getloadavg()[0], 1), date=datetime.date.today().isoformat())
    options.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
