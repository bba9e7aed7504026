"""Is the recommended rate near the best one? `python benchmarks/lr_finder.py --data cifar10 --out benchmarks/records/lr_finder.json`

Seven small networks on two data sets (drawn shapes, and 2,500 pictures of CIFAR-10). For each: learning-rate sweeps with three seeds,
and short one-cycle trainings on a grid of peak rates a factor of three apart. Every result is added to the record as
soon as it is there, so the same command goes on where it was stopped. About ten minutes on one core."""
import argparse
import json
import os
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


momentum = lambda net: sgd(net, 0.1, weight_decay=5e-4, nesterov=True)
nets = {
    "custom ResNet, width 8": (lambda: create_model("custom_resnet", width=8), momentum),
    "custom ResNet, width 8, mean pool": (lambda: create_model("custom_resnet", width=8, final_pool="avg"), momentum),
    "custom ResNet, width 8, logits / 8": (lambda: create_model("custom_resnet", width=8, logit_scale=0.125), momentum),
    "custom ResNet, width 8, group norm": (lambda: create_model("custom_resnet", width=8, norm="group"), momentum),
    "ResNet-18, width 8": (lambda: create_model("resnet18", width=8), momentum),
    "plain net without norm": (PlainNet, momentum),
    "custom ResNet, width 8, Adam": (lambda: create_model("custom_resnet", width=8), lambda net: adam(net, 1e-3)),
}


def data_sets(cifar):
    "Name -> (train, test, batch size, epochs)."
    train, test = load_data(cifar)
    return {"shapes": (*shapes(train=2000, test=1000), 64, 6), "CIFAR-10, 2,500": (train[:2500], test[:2000], 64, 6)}


def made(net, seed):
    "A fresh network and its optimiser."
    torch.manual_seed(seed)
    model = nets[net][0]()
    return model, nets[net][1](model)


def sweep(net, train, batch_size, seed):
    model, optimizer = made(net, seed)
    low, high = (1e-5, 1.0) if "Adam" in net else (1e-3, 10.0)
    return lr_find(model, Loader(train, batch_size=batch_size, shuffle=True, seed=seed), optimizer=optimizer,
                   lr_min=low, lr_max=high, steps=100).to_dict()


def trained(net, data, rate, seed):
    "Test accuracy after a short one-cycle run with this peak; None when the loss was not finite."
    train, test, batch_size, epochs = data
    model, optimizer = made(net, seed)
    learner = Learner(model, Loader(train, batch_size=batch_size, shuffle=True, seed=seed), optimizer=optimizer,
                      device="cpu", precision="float32", progress=False)
    try:
        learner.fit_one_cycle(epochs, rate, peak_epoch=2)
    except FloatingPointError:
        return None
    return float(predict(model, test, normalisation=learner.train.norm).is_correct.mean())


def add(path, record, key, value):
    "Keep `value` and write the record."
    record[key] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps(record, indent=0))
    os.replace(aside, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="cifar10", help="cifar10, or a path to it as .npz")
    parser.add_argument("--out", default="benchmarks/records/lr_finder.json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    record = json.loads(options.out.read_text()) if options.out.is_file() else {}
    sets = data_sets(options.data)
    for seed in (0, 1, 2):
        for net in nets:
            for name, data in sets.items():
                scale = 0.01 if "Adam" in net else 1.0
                if (key := f"sweep|{net}|{name}|{seed}") not in record:
                    add(options.out, record, key, sweep(net, data[0], data[2], seed))
                for rate in [scale * 0.01 * 3**k for k in range(6)] if seed == 0 else []:
                    if (key := f"train|{net}|{name}|{seed}|{rate:.3g}") not in record:
                        add(options.out, record, key, trained(net, data, rate, seed))
                print(seed, net, name, flush=True)


if __name__ == "__main__":
    main()
