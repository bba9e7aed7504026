"""What each idea of the fast recipe is worth: `python benchmarks/ablation.py --data cifar10` writes benchmarks/records/ablation.json.

The recipe at half its length (four epochs), whole and with one idea at a time left out; one seed unless `--seeds` says more. Every
result is added to the record as soon as it is there, so the same command goes on where it was stopped."""
import argparse
import json
import os
from dataclasses import replace
from pathlib import Path

import torch

from cifar_cam.data import load_data
from cifar_cam.evaluate import predict
from cifar_cam.optim import schedule
from cifar_cam.recipes import prepare, processor_name, recipe

default_record = Path(__file__).resolve().parent/"records"/"ablation.json"
whole = recipe("fast").scaled(4)
model, steps = whole.model, whole.augmentation
momentum = dict(name="sgd", lr=0.4, momentum=0.9, nesterov=True, weight_decay=5e-4)
rows = {
    "the whole recipe": {},
    "first layer trained, not computed": dict(model=dict(model, whiten=False)),
    "later filters begin at random": dict(model=dict(model, dirac=False)),
    "pool after norm and activation": dict(model=dict(model, pool_first=False)),
    "ReLU instead of GELU": dict(model=dict(model, activation="relu")),
    "one rate for all: momentum, one cycle": dict(optimizer=momentum, schedule=dict(name="one_cycle", lr_max=0.4), batch_size=512),
    "biases as slow as filters": dict(optimizer=dict(whole.optimizer, bias_lr=whole.schedule["lr_max"], decay=4e-3 / 442)),
    "no label smoothing": dict(label_smoothing=0.0),
    "mirrored at random each time": dict(augmentation=[dict(op="hflip") if s["op"] == "alternating_flip" else s for s in steps]),
    "not mirrored": dict(augmentation=[s for s in steps if s["op"] != "alternating_flip"]),
    "not shifted": dict(augmentation=[s for s in steps if s["op"] != "pad_crop"]),
}


def run(changes, data, seed):
    "Accuracy without and with test-time augmentation, and seconds of training."
    chosen = replace(whole, **changes)
    learner, _, test = prepare(chosen, data, seed=seed, progress=False)
    learner.fit(chosen.epochs, schedule(chosen.schedule, chosen.epochs, len(learner.train)))
    if learner.interrupted:
        raise KeyboardInterrupt
    accuracy = {views or "plain": predict(learner.model, test, tta=views, precision=learner.precision).accuracy
                for views in ("", "flip", "flip-shift")}
    return dict(accuracy, seconds=sum(learner.history.column("seconds")))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--record", type=Path, default=default_record)
    options = parser.parse_args()
    data, record = load_data(options.data), options.record
    result = json.loads(record.read_text()) if record.is_file() else dict(
        command=f"python benchmarks/ablation.py --data cifar10 --seeds {options.seeds}", note=data[0].note, epochs=whole.epochs,
        torch=torch.__version__, cores=os.cpu_count(), processor=processor_name(),
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu", rows={})
    for seed in range(options.seeds):
        for name, changes in rows.items():
            if str(seed) not in (found := result["rows"].setdefault(name, {})):
                try:
                    found[str(seed)] = run(changes, data, seed)
                except FloatingPointError as problem:
                    found[str(seed)] = dict(broke=str(problem))
                record.write_text(json.dumps(result, indent=1) + "\n")
                print(f"{name:<40} seed {seed}  {found[str(seed)]}", flush=True)


if __name__ == "__main__":
    main()
