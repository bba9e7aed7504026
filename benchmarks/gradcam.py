"""What an explanation costs, in units of one forward pass: ours beside grad-cam, torchcam and captum, in one process.

`python benchmarks/gradcam.py [--width 64] [--images 32] [--repeats 3] [--out benchmarks/records/gradcam.json]`

Contenders take turns, and the smallest CPU time of each counts, so that other work on the machine disturbs all alike. One thread, CPU,
CIFAR ResNet-18 with random weights (cost does not depend on them, but for dead channels). A peer that is not installed is left out.
For the two methods of many forward passes `limit` is what these passes would take if every operation ran as fast as in this machine's
fastest matrix product: no exact way that computes each of them can be faster."""
import argparse
import contextlib
import datetime
import importlib
import importlib.metadata
import json
import os
import platform
import time
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", TQDM_DISABLE="1", NO_ALBUMENTATIONS_UPDATE="1")
import torch
from torch.utils.flop_counter import FlopCounterMode

from cifar_cam.cam_methods import method_maps
from cifar_cam.model import create_model

layers = ["layer1", "layer2", "layer3", "layer4"]


def peer(name):
    "The module, or None where it is not installed."
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


gradcam_package, torchcam, captum = peer("pytorch_grad_cam"), peer("torchcam.methods"), peer("captum.attr")


def cpu_seconds(contenders, repeats):
    "Name -> smallest CPU time of a function; the functions take turns."
    times = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, function in contenders.items():
            start = time.process_time()
            function()
            times[name].append(time.process_time() - start)
    return {name: min(found) for name, found in times.items()}


def targets_of(ids):
    return [gradcam_package.utils.model_targets.ClassifierOutputTarget(int(k)) for k in ids]


def with_grad_cam(net, x, names, targets, method="GradCAM"):
    for name in names:
        with getattr(gradcam_package, method)(net, [net.get_submodule(name)]) as cam:
            cam.batch_size = 64
            for ids in targets:
                cam(x, targets_of(ids))


def with_torchcam(net, x, names, targets, method="GradCAM"):
    with getattr(torchcam, method)(net, names) as cam:
        scores = net(x)
        for k, ids in enumerate(targets):
            more = dict(retain_graph=k + 1 < len(targets)) if method == "GradCAM" else {}
            cam(ids.tolist(), scores, normalized=False, **more)


def with_captum(net, x, names, targets):
    for name in names:
        for ids in targets:
            captum.LayerGradCam(net, net.get_submodule(name)).attribute(x, target=ids, relu_attributions=True)


def with_ours(net, x, names, targets, method="gradcam", **options):
    method_maps(net, x, names, torch.stack(targets, 1), method, **options)


def everyone(net, x, names, targets):
    "Grad-CAM by all who are there."
    found = {"ours": lambda: with_ours(net, x, names, targets)}
    for name, package, function in (("grad-cam", gradcam_package, with_grad_cam), ("torchcam", torchcam, with_torchcam),
                                    ("captum", captum, with_captum)):
        if package:
            found[name] = lambda function=function: function(net, x, names, targets)
    return found


def forward(net, x):
    with torch.no_grad():
        return net(x)


def floor(net, x, layer, ids):
    "The least Grad-CAM at a layer can cost: everything before it without gradients, the tail with gradients of activations only."
    children = dict(net.named_children())
    names = [name for name in children if name.startswith("layer")]
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    with torch.no_grad():
        y = children["relu"](children["bn1"](children["conv1"](x)))
        for name in names[:names.index(layer) + 1]:
            y = children[name](y)
    y.requires_grad_()
    z = y
    for name in names[names.index(layer) + 1:]:
        z = children[name](z)
    logits = net.linear(net.pool(z).flatten(1))
    G, = torch.autograd.grad(logits.gather(1, ids[:, None]).sum(), y)
    (G.mean((-2, -1), keepdim=True) * y.detach()).sum(1)
    for parameter in net.parameters():
        parameter.requires_grad_(True)


def saved_bytes(function, net):
    "Bytes that automatic differentiation keeps for the way back, the model's own tensors not counted."
    own, kept = {t.untyped_storage().data_ptr() for t in [*net.parameters(), *net.buffers()]}, {}
    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        function()
    return sum(kept.values())


def stages(net, x):
    "The outputs of the four stages."
    found = []
    handles = [dict(net.named_children())[name].register_forward_hook(lambda module, inputs, output: found.append(output)) for name in layers]
    with torch.no_grad():
        net(x)
    for handle in handles:
        handle.remove()
    return found


def product_rate(repeats=8, size=2048):
    "Operations in a CPU second of the fastest matrix product in 32 bits."
    a = torch.ones(size, size)
    return 2 * size ** 3 / cpu_seconds({"product": lambda: a @ a}, repeats)["product"]


def operations(net, x, layer=None):
    "Floating-point operations of a forward pass, or of the part behind `layer`."
    names, counts = [*dict(net.named_children())], {}
    with torch.no_grad(), FlopCounterMode(net, display=False) as counter:
        net(x)
    counts = {name.split(".")[-1]: sum(kinds.values()) for name, kinds in counter.get_flop_counts().items() if name.count(".") == 1}
    return counter.get_total_flops() if layer is None else sum(counts.get(name, 0) for name in names[names.index(layer) + 1:])


def measure(width, images, repeats):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = create_model("resnet18", width=width).eval()
    x = torch.randn(images, 3, 32, 32)
    predicted = forward(net, x).argmax(1)
    both, one = [predicted, (predicted + 1) % 10], x[:1]
    found = {}

    def record(job, contenders, repeats, unit=None):
        contenders = {"forward": unit or (lambda: forward(net, x)), **contenders}
        times = cpu_seconds(contenders, repeats)
        found[job] = {name: seconds / times["forward"] for name, seconds in times.items() if name != "forward"}
        found[job]["forward in seconds"] = times["forward"]
        print(job, {name: round(value, 3) for name, value in found[job].items()}, flush=True)

    repeats = max(2, repeats)  # the first round warms up
    record("4 layers x predicted and true", everyone(net, x, layers, both), repeats)
    for name in layers:
        contenders = {"floor": lambda name=name: floor(net, x, name, predicted)} | everyone(net, x, [name], both[:1])
        record(f"gradcam at {name}", contenders, repeats)
    alone = [ids[:1] for ids in both]
    single = lambda: forward(net, one)
    for name in ("layer3", "layer4"):
        contenders = {"ours": lambda name=name: with_ours(net, one, [name], alone[:1], "ablationcam")}
        if gradcam_package:
            contenders["grad-cam"] = lambda name=name: with_grad_cam(net, one, [name], alone[:1], "AblationCAM")
        record(f"ablationcam at {name}, one picture", contenders, max(1, repeats - 1), single)
    for what, targets in (("one class", alone[:1]), ("two classes", alone)):
        contenders = {"ours": lambda targets=targets: with_ours(net, one, ["layer4"], targets, "scorecam")}
        if gradcam_package:
            contenders["grad-cam"] = lambda targets=targets: with_grad_cam(net, one, ["layer4"], targets, "ScoreCAM")
        if torchcam:
            contenders["torchcam"] = lambda targets=targets: with_torchcam(net, one, ["layer4"], targets, "ScoreCAM")
        record(f"scorecam at layer4, one picture, {what}", contenders, max(1, repeats - 1), single)
    channels = {name: node.shape[1] for name, node in zip(layers, stages(net, one))}
    passes = {"ablationcam at layer3, one picture": channels["layer3"] * operations(net, one, "layer3"),
              "scorecam at layer4, one picture, one class": channels["layer4"] * operations(net, one)}
    rate = product_rate()
    for job, work in passes.items():  # what the passes would take if every operation ran as fast as in a matrix product
        found[job] |= {"limit": work / rate / found[job]["forward in seconds"], "operations": work, "operations a second, matrix product": rate}
        print(job, "limit", round(found[job]["limit"], 1), flush=True)
    found["saved for backward at layer4 in bytes"] = {
        name: saved_bytes(function, net) for name, function in everyone(net, x, ["layer4"], both[:1]).items()}
    return found


def table(found):
    "The ratios as text, a line for each job."
    names = ["floor", "limit", "ours", "grad-cam", "torchcam", "captum"]
    lines = [f"{'':44}" + "".join(f"{name:>12}" for name in names)]
    for job, values in found.items():
        cells = [f"{values[name]:12,.0f}" if "bytes" in job else f"{values[name]:12.2f}" if name in values else f"{'–':>12}"
                 for name in names if name in values or "bytes" not in job]
        lines.append(f"{job:44}" + ("" if "bytes" not in job else f"{'–':>12}") + "".join(cells))
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "records" / "gradcam.json")
    options = parser.parse_args()
    with contextlib.suppress(OSError):
        load = os.getloadavg()[0]
    ratios = measure(options.width, options.images, options.repeats)
    versions = {}
    for name in ("torch", "grad-cam", "torchcam", "captum"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    record = dict(what="CPU time in units of one forward pass, minima of interleaved runs", date=str(datetime.date.today()),
                  machine=f"{platform.machine()}, {os.cpu_count()} cores, one thread used, load {load:.1f} at the start",
                  versions=versions, net=f"CIFAR ResNet-18, width {options.width}, {options.images} images of 32x32",
                  repeats=options.repeats, ratios=ratios)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(table(ratios))
