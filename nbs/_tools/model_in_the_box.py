"""Put a trained network into the package: `python nbs/_tools/model_in_the_box.py RUN --data cifar10`.

Writes cifar_cam/models/fast.safetensors (16-bit weights; loaded as 32), its card README.md and the run's own record beside it. The file is
read back and measured on the test set: what the card and the metadata say is the accuracy of the file that is shipped."""
import argparse
import json
from pathlib import Path

import torch

from cifar_cam.checkpoint import load_run
from cifar_cam.data import load_data
from cifar_cam.evaluate import predict
from cifar_cam.export import model_card
from cifar_cam.own_images import load_single_file, save_single_file

place = Path(__file__).resolve().parents[2]/"cifar_cam"/"models"
most = 4_000_000  # bytes


def measured(path, test, tta):
    "Test accuracy of the file, without and with test-time augmentation."
    model = load_single_file(path)
    return {name: round(predict(model, test, tta=views).accuracy, 4) for name, views in (("test_accuracy", None), ("test_accuracy_tta", tta))}


def card(folder, sizes, found, tta):
    "The run's card, with what is different about the file in the box."
    text = model_card(folder, "apache-2.0", "model")
    head, rest = text.split("## Use", 1)
    use, rest = rest.split("Input: ", 1)
    return f"""{head}**This file**: weights rounded to 16 bits, {sizes:,} bytes; read back and measured on all test pictures: {found['test_accuracy']:.2%} right,
{found['test_accuracy_tta']:.2%} with the mean of six views ({tta}). The figures below are those of the run, before rounding.

## Use

```python
from cifar_cam.own_images import classify, default_model, explain_images

model = default_model()                  # this file
classify(model, "photo.jpg")             # the likeliest classes
explain_images(model, "photo.jpg")       # and where the evidence for them lies
```

Input: {rest}
Licence of the weights: Apache 2.0. The pictures it learned from are CIFAR-10's (Krizhevsky, 2009, "Learning multiple layers of features from
tiny images"); none of them is in the file.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--data", default="cifar10")
    options = parser.parse_args()
    run, (_, test) = load_run(options.run), load_data(options.data)
    record = json.loads((options.run/"run.json").read_text())
    tta, path = run.recipe["tta"], place/"fast.safetensors"
    keep = dict(recipe=run.recipe, data=record["data"], license="apache-2.0", seed=record["seed"])
    place.mkdir(exist_ok=True)
    save_single_file(path, run.model, dtype=torch.float16, **keep)
    found = measured(path, test, tta)
    save_single_file(path, run.model, dtype=torch.float16, **keep, metrics=dict(found, tta=tta))
    if path.stat().st_size > most:
        raise SystemExit(f"{path.name} has {path.stat().st_size:,} bytes, more than {most:,}")
    for name in ("run.json", "metrics.json", "history.csv"):
        (place/name).write_bytes((options.run/name).read_bytes())
    (place/"README.md").write_text(card(options.run, path.stat().st_size, found, tta))
    print(path.stat().st_size, found)


if __name__ == "__main__":
    main()
