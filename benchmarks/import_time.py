"""What `import cifar_cam` costs beyond what it stands on: `python benchmarks/import_time.py` writes benchmarks/records/import_time.json.

Fresh processes, in turns: one imports torch, torchvision, albumentations, the other these three and then every module of the package. Seconds
of processor time; the difference of each pair, and their median."""
import json
import os
import pkgutil
import statistics
import subprocess
import sys
from pathlib import Path

import torch

import cifar_cam
from cifar_cam.recipes import processor_name

record = Path(__file__).resolve().parent/"records"/"import_time.json"
ground = "import os; os.environ['NO_ALBUMENTATIONS_UPDATE'] = '1'; import torch, torchvision, albumentations"
modules = [m.name for m in pkgutil.iter_modules(cifar_cam.__path__) if not m.name.startswith("_")]
sides = {"ground": ground, "first_page": f"{ground}; import cifar_cam.recipes, cifar_cam.gradcam",
         "everything": f"{ground}; import " + ", ".join(f"cifar_cam.{name}" for name in modules)}


def seconds(code):
    "Processor seconds of a fresh process that runs `code`."
    script = f"{code}; import time; print(time.process_time())"
    return float(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()[-1])


def main():
    rounds = 7
    for code in sides.values():
        seconds(code)
    found = {side: [] for side in sides}
    for _ in range(rounds):
        for side, code in sides.items():
            found[side].append(seconds(code))
    beyond = {side: statistics.median(a - b for a, b in zip(found[side], found["ground"])) for side in sides if side != "ground"}
    record.write_text(json.dumps(dict(command="python benchmarks/import_time.py", unit="processor seconds", seconds=found, beyond=beyond,
                                      torch=torch.__version__, cores=os.cpu_count(), processor=processor_name()), indent=1) + "\n")
    print(f"torch, torchvision, albumentations {statistics.median(found['ground']):.2f} s; beyond that: recipes and gradcam "
          f"{beyond['first_page']:+.2f} s, all {len(modules)} modules {beyond['everything']:+.2f} s")


if __name__ == "__main__":
    main()
