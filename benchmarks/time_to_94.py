"""The fast recipe and a peer's script on the same pictures and machine, in turns: accuracy and seconds.

`python benchmarks/time_to_94.py --data cifar10 --peer airbench94_muon.py --seeds 3` writes benchmarks/records/time_to_94.json. The peer's
script ([airbench94_muon.py](https://github.com/KellerJordan/cifar10-airbench), MIT licence) is read from the path given. On a machine
without CUDA it is adapted word by word: the device, 16-bit numbers as bfloat16 instead of float16, no compiling, the clock. Each run is
a process of its own. The clock runs from pictures in memory as bytes to the last prediction with test-time augmentation, on both sides;
starting Python, importing and reading files stand outside, compiling and warming up too. Results are added to the record one by one, so
the same command goes on where it was stopped."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from cifar_cam.data import load_data
from cifar_cam.recipes import processor_name

default_record = Path(__file__).resolve().parent/"records"/"time_to_94.json"

to_cpu = [  # without a compiler there is nothing to warm up
    ('main("warmup", model)', "pass"),
    ("torch.backends.cudnn.benchmark = True", ""), ("@torch.compile\n", "\n"), ('torch.device("cuda")', 'torch.device("cpu")'),
    (".cuda()", ""), ('    model.compile(mode="max-autotune")\n', ""), (".half()", ".bfloat16()"), (", fused=True", ""),
    ("starter = torch.cuda.Event(enable_timing=True)", "import time"), ("ender = torch.cuda.Event(enable_timing=True)", "started = 0.0"),
    ("        starter.record()", "        nonlocal started\n        started = time.perf_counter()"),
    ("        ender.record()\n        torch.cuda.synchronize()\n", ""),
    ("time_seconds += 1e-3 * starter.elapsed_time(ender)", "time_seconds += time.perf_counter() - started"),
]
one_run = [
    ("accs = torch.tensor([main(run, model) for run in range(200)])", "torch.manual_seed(SEED); main(0, model); sys.exit()"),
    ("    return tta_val_acc\n", '    print("RESULT", val_acc, tta_val_acc, time_seconds)\n'),
]
ours = """
import sys, time, torch
from cifar_cam.data import load_data
from cifar_cam.evaluate import predict
from cifar_cam.recipes import prepare, recipe
from cifar_cam.optim import schedule
data, seed = load_data(sys.argv[1]), int(sys.argv[2])
chosen = recipe("fast")
start = time.perf_counter()
learner, train, test = prepare(chosen, data, seed=seed, precision=sys.argv[3], progress=False)
learner.fit(chosen.epochs, schedule(chosen.schedule, chosen.epochs, len(learner.train)))
assert not learner.interrupted
with_views = predict(learner.model, test, tta=chosen.tta, precision=learner.precision, batch_size=2000).accuracy
seconds = time.perf_counter() - start
print("RESULT", predict(learner.model, test, precision=learner.precision).accuracy, with_views, seconds)
"""


def adapted(text, changes):
    "The script with every change made; raises ValueError when one no longer applies."
    for old, new in changes:
        if old not in text:
            raise ValueError(f"the peer's script has no {old!r}; it is another version than this benchmark knows")
        text = text.replace(old, new)
    return text


def write_pictures(data, folder):
    "The pictures where the peer's script looks for them."
    (folder/"cifar10").mkdir(exist_ok=True)
    for name, images in zip(("train", "test"), load_data(data)):
        pictures = dict(images=torch.from_numpy(images.images), labels=torch.from_numpy(images.labels), classes=list(images.classes))
        torch.save(pictures, folder/"cifar10"/f"{name}.pt")


def peer_script(options, seed, folder):
    "The peer's script for one run with this seed, and its pictures where it looks for them."
    text = options.peer.read_text().replace('with open(sys.argv[0]) as f:\n    code = f.read()\n', 'code = ""\n')
    text = adapted(text, one_run + ([] if torch.cuda.is_available() else to_cpu)).replace("SEED", str(seed))
    write_pictures(options.data, folder)
    (folder/"peer.py").write_text(text)
    return [sys.executable, "peer.py"]


def run_once(side, seed, options):
    "Accuracy without and with test-time augmentation, and seconds, of one run in a process of its own."
    with tempfile.TemporaryDirectory() as folder:
        command = peer_script(options, seed, Path(folder)) if side == "peer" else [
            sys.executable, "-c", ours, str(options.data), str(seed), options.precision]
        lines = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    plain, views, seconds = map(float, [line for line in lines if line.startswith("RESULT")][-1].split()[1:])  # the first may be a warm-up
    return dict(accuracy=plain, accuracy_tta=views, seconds=seconds)


def summary(record, digits=0):
    "The lines of the table, seconds with so many digits."
    for side, runs in record["runs"].items():
        values = {key: [run[key] for run in runs.values()] for key in ("accuracy", "accuracy_tta", "seconds")}
        error = lambda v: statistics.stdev(v) / len(v) ** 0.5 if len(v) > 1 else float("nan")
        words = [f"{100 * statistics.mean(values[k]):.2f} % (± {100 * error(values[k]):.2f})" for k in ("accuracy", "accuracy_tta")]
        seconds = f"{statistics.median(values['seconds']):.{digits}f}"
        yield f"{side:<15} {len(runs)} seeds: plain {words[0]}, with views {words[1]}, {seconds} s (median)"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10", help="as for cifar-cam train")
    parser.add_argument("--peer", type=Path, help="path of airbench94_muon.py; left out: only ours runs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--record", type=Path, default=default_record)
    options = parser.parse_args()
    options.data = Path(options.data).resolve() if Path(options.data).exists() else options.data
    record = json.loads(options.record.read_text()) if options.record.is_file() else dict(
        command="python benchmarks/time_to_94.py --data cifar10 --peer airbench94_muon.py", note=load_data(options.data)[0].note,
        torch=torch.__version__, cores=os.cpu_count(), processor=processor_name(), runs={})
    for seed in range(options.seeds):
        for side in ["peer"] * bool(options.peer) + ["ours"]:
            if str(seed) not in (runs := record["runs"].setdefault(side, {})):
                runs[str(seed)] = run_once(side, seed, options)
                options.record.write_text(json.dumps(record, indent=1) + "\n")
                print(side, seed, runs[str(seed)], flush=True)
    print(*summary(record), sep="\n")


if __name__ == "__main__":
    main()
