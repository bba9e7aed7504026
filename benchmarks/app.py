"""The app under load: users at the same time, each with pictures of its own; answers compared with what `classify` says of the same picture.

`python benchmarks/app.py [--users 8] [--requests 400] [--out benchmarks/records/app.json]`

The server runs in a process of its own, whose memory (resident, Linux) is read before, during and after. One thread computes. A request is
a whole question: upload, explanation, tiles, figure and numbers. Half of the requests change only the opacity, as a moved slider does. What
the server did before is not measured: three questions of each user warm it up, and uploads over the cap were tried."""
import argparse
import base64
import datetime
import importlib.metadata
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", TQDM_DISABLE="1", NO_ALBUMENTATIONS_UPDATE="1", GRADIO_ANALYTICS_ENABLED="False")
import numpy as np
import torch
from gradio_client import Client, handle_file
from PIL import Image

from cifar_cam.data import shapes
from cifar_cam.model import create_model
from cifar_cam.own_images import classify, save_single_file

torch.set_num_threads(1)
server = "import sys, torch; torch.set_num_threads(1); from cifar_cam.app import serve; serve(sys.argv[1], largest_upload=1_000_000, boxed=False)"


def resident(process):
    "Resident memory of a process in MB, or None where /proc does not tell."
    try:
        return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())[1]) / 1024
    except OSError:
        return None


def logits_in(links):
    return json.loads(base64.b64decode(links.split("application/json;base64,")[1].split('"')[0]))["logits"][0]


def user(client, pictures, expected, opacities, results):
    "Ask about each picture; note seconds, and whether the answer was that of this picture."
    for path, logits in zip(pictures, expected):
        for opacity in opacities:
            start = time.perf_counter()
            try:
                answer = client.predict(handle_file(path), "model", "crop", "likeliest", 3, [], "predicted", None, ["layer3"], "gradcam", 5, opacity,
                                        "row", api_name="/explain")
                right = np.allclose(logits_in(answer[3]), logits, atol=1e-4) and Path(path).name in answer[0]
            except Exception as problem:
                results.append(("lost", 0.0, repr(problem)))
                continue
            results.append(("right" if right else "mixed up", time.perf_counter() - start, ""))


def refused(address, size):
    "The status that an upload of this many bytes ends with."
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="x.png"\r\n\r\n' + bytes(size) + b"\r\n--x--\r\n"
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{address}gradio_api/upload", body, {"Content-Type": "multipart/form-data; boundary=x"})) as a:
            return a.status
    except urllib.error.HTTPError as problem:
        return problem.code
    except urllib.error.URLError as problem:  # refused and hung up while we were still sending
        return str(problem.reason)


def round_of(clients, paths, expected, opacities):
    "All users at once, each with its own pictures; gives their results."
    results, users = [], len(clients)
    threads = [threading.Thread(target=user, args=(client, paths[k::users], expected[k::users], opacities, results))
               for k, client in enumerate(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=8)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=4, help="memory is read after each")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent/"records"/"app.json")
    options = parser.parse_args()
    opacities = [0.4, 0.8]
    each = options.requests // (options.rounds * len(opacities))
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        train, test = shapes(train=10, test=each * options.rounds + 3 * options.users, pixels=64)
        model = create_model("custom_resnet", width=16, final_pool="avg", last_stride=1)
        model.classes, model.normalisation = train.classes, train.statistics()
        path = save_single_file(f"{folder}/model.safetensors", model)
        paths = [f"{folder}/{k:04d}.png" for k in range(len(test))]
        for name, pixels in zip(paths, test.images):
            Image.fromarray(pixels).save(name)
        expected = classify(path, paths).logits.numpy()
        process = subprocess.Popen([sys.executable, "-c", server, str(path)], stdout=subprocess.PIPE, text=True)
        try:
            address = re.search(r"http://\S+", process.stdout.readline())[0]
            statuses = {size: refused(address, size) for size in (900_000, 1_000_001, 30_000_000)}
            warm, rest = 3 * options.users, len(paths) - 3 * options.users
            memory = dict(started=resident(process))
            clients = [Client(address, verbose=False, download_files=False) for _ in range(options.users)]
            round_of(clients, paths[:warm], expected[:warm], opacities[:1])
            memory["warm"], measured, seconds = resident(process), [], 0.0
            for k in range(options.rounds):
                part = slice(warm + k * rest // options.rounds, warm + (k + 1) * rest // options.rounds)
                start = time.perf_counter()
                measured += round_of(clients, paths[part], expected[part], opacities)
                seconds += time.perf_counter() - start
                memory[f"after {len(measured)}"] = resident(process)
                print(len(measured), memory, f"{seconds:.0f} s", flush=True)
        finally:
            process.terminate()
            process.wait()
    times = [t for kind, t, _ in measured if kind != "lost"]
    kinds = {kind: sum(k == kind for k, _, _ in measured) for kind in ("right", "mixed up", "lost")}
    record = dict(command="python benchmarks/app.py", date=datetime.date.today().isoformat(), python=platform.python_version(), cores=os.cpu_count(),
                  versions={n: importlib.metadata.version(n) for n in ("torch", "gradio", "gradio_client")}, users=options.users,
                  requests=len(measured), **kinds, different_logits=len({tuple(np.round(row, 4)) for row in expected}),
                  seconds=round(seconds, 1), requests_per_second=round(len(measured) / seconds, 2),
                  latency_seconds=dict(median=round(statistics.median(times), 3), p95=round(float(np.quantile(times, 0.95)), 3), longest=round(max(times), 3)),
                  resident_mb={k: v and round(v) for k, v in memory.items()}, upload_cap=1_000_000, upload_status=statuses,
                  first_losses=[words for kind, _, words in measured if kind == "lost"][:3])
    options.out.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
