"What is exported answers as the network does, for any number of pictures, without torch; what cannot be exported is refused in words."
import json
import math
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from cifar_cam import export
from cifar_cam.checkpoint import CheckpointError, load_model
from cifar_cam.data import normalisations, shapes
from cifar_cam.export import (ExportError, export_onnx, export_program, from_hub, model_card, push_to_hub, save_pretrained)
from cifar_cam.gradcam import explain
from cifar_cam.model import create_model
from cifar_cam.recipes import recipe, run

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def net(name, seed=0, **options):
    torch.manual_seed(seed)
    if name.startswith("torchvision."):
        model = torchvision.models.get_model(name.split(".")[1], num_classes=10, **options)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):  # as after training: nothing is 0 or 1
                nn.init.uniform_(module.running_mean, -0.3, 0.3), nn.init.uniform_(module.running_var, 0.5, 2), nn.init.uniform_(module.weight, 0.5, 2)
    else:
        model = create_model(name, **options)
        model.classes = tuple("abcdefghij")
    model.normalisation = normalisations["cifar10"]
    return model


def answers(path, images, target=None):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feed = {"images": images} | ({} if target is None else {"target": np.asarray(target)})
    return session.run(None, feed)


def close(found, wanted, share=1e-4):
    return np.abs(found - wanted).max() <= share * max(np.abs(wanted).max(), 1e-12)


cases = [
    ("custom_resnet", dict(width=8), "layer2", 32),                 # max pools and a maximum at the head
    ("resnet18", dict(width=8), "layer4", 32),                      # the last layer: mean and linear
    ("resnet18", dict(width=8, last_stride=1), "layer1.0.conv1", 32),   # nearly the whole network is tail
    ("torchvision.mobilenet_v3_small", {}, "features.8", 64),       # depthwise, squeeze and excite, hard swish
]


@pytest.mark.parametrize("name, options, layer, size", cases, ids=[f"{c[0]}-{c[2]}" for c in cases])
def test_onnx_parity(name, options, layer, size, tmp_path):
    model = net(name, **options).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    exported = export_onnx(model, tmp_path/"net.onnx", layer, size)
    assert exported.difference <= 1e-4 and exported.cam_difference <= 1e-4 and exported.path.stat().st_size == exported.bytes
    assert model.training and all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules()) and all(p.requires_grad for p in model.parameters())
    images = shapes(train=10, test=17, pixels=size)[1].images
    target = np.arange(17) % 11 - 1
    logits, cam = answers(tmp_path/"net.onnx", images, target)
    for k in range(0, 17, 4):
        why = explain(model, images[k:k + 1], layers=layer, targets=["predicted" if target[k] < 0 else int(target[k])])
        assert close(logits[k], why.logits[0].numpy()) and close(cam[k], why.raw[layer][0, 0].numpy()), k


def test_without_a_map_there_is_one_input(tmp_path):
    model = net("custom_resnet", width=8)
    exported = export_onnx(model, tmp_path/"net.onnx")
    assert math.isnan(exported.cam_difference) and list(exported.inputs) == ["images"] and "logits" in exported._repr_html_()
    for number in (1, 2, 9):
        logits, = answers(tmp_path/"net.onnx", np.zeros((number, 32, 32, 3), np.uint8))
        assert logits.shape == (number, 10)
    with pytest.raises(Exception, match="INVALID_ARGUMENT|Unexpected input data type"):
        answers(tmp_path/"net.onnx", np.zeros((1, 32, 32, 3), np.float32))


without_torch = """
import sys
for name in ("torch", "cifar_cam", "torchvision"):
    sys.modules[name] = None
import json, numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
about = session.get_modelmeta().custom_metadata_map
images = np.load(sys.argv[2])
logits, cam = session.run(None, {"images": images, "target": np.full(len(images), -1)})
print(json.dumps(dict(classes=[json.loads(about["classes"])[k] for k in logits.argmax(1)], cam=cam.tolist(), layer=about["cam_layer"])))
"""


def test_it_explains_without_torch(tmp_path):
    model, images = net("custom_resnet", width=8, last_stride=1), shapes(train=10, test=10)[1].images[:3]
    export_onnx(model, tmp_path/"net.onnx", "layer3")
    np.save(tmp_path/"x.npy", images)
    said = subprocess.run([sys.executable, "-c", without_torch, tmp_path/"net.onnx", tmp_path/"x.npy"], capture_output=True, text=True, check=True)
    found, why = json.loads(said.stdout), explain(model, images, layers="layer3", targets="predicted")
    assert found["classes"] == [model.classes[k] for k in why.predicted] and found["layer"] == "layer3"
    assert close(np.array(found["cam"]), why.raw["layer3"][:, 0].numpy())


def test_programs(tmp_path):
    model, images = net("resnet18", width=8), shapes(train=10, test=10)[1].images[:6]
    exported = export_program(model, tmp_path/"net.pt2", "layer3")
    assert exported.difference <= 1e-4 and exported.cam_difference <= 1e-4
    program = torch.export.load(tmp_path/"net.pt2").module()
    logits, cam = program(torch.from_numpy(images), torch.full((6,), 2))
    why = explain(model, images, layers="layer3", targets=[2])
    assert close(logits.numpy(), why.logits.numpy()) and close(cam.numpy(), why.raw["layer3"][:, 0].numpy())


def test_nothing_is_written_that_differs(tmp_path, monkeypatch):
    model, real = net("custom_resnet", width=4), export._session

    def wrong(data):
        session = real(data)
        return lambda *inputs: [out + 1e-3 * np.abs(out).max() for out in session(*inputs)]
    monkeypatch.setattr(export, "_session", wrong)
    with pytest.raises(ExportError, match="the exported logits differ"):
        export_onnx(model, tmp_path/"net.onnx", "layer2")
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(export, "_session", lambda data: lambda *inputs: [real(data)(*inputs)[0], 1.1 * real(data)(*inputs)[1]])
    with pytest.raises(ExportError, match="the exported maps differ .*can tip at a ReLU"):
        export_onnx(model, tmp_path/"net.onnx", "layer2")
    monkeypatch.setattr(export, "_session", lambda data: lambda *inputs: [out[:1] for out in real(data)(*inputs)])
    with pytest.raises(ExportError, match="nothing was written"):
        export_onnx(model, tmp_path/"net.onnx")


class Twice(nn.Module):
    "A layer called twice."
    def __init__(self):
        super().__init__()
        self.start, self.same, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.same(self.same(self.start(x))).mean((2, 3)))


class Chance(nn.Module):
    "A network that throws dice."
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(12, 2)

    def forward(self, x):
        return self.head(torch.dropout(nn.functional.adaptive_avg_pool2d(x, 2).flatten(1), 0.5, True))


class Branch(Chance):
    "A network that decides by a value."
    def forward(self, x):
        return self.head(nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)) * (2 if x.sum() > 0 else 3)


up = lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.ConvTranspose2d(4, 4, 2, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


@pytest.mark.parametrize("model, layer, words", [
    (Twice, "same", "is called 2 times in one pass"), (Chance, None, "differ"), (Branch, None, "cannot be traced"),
    (up, "1", "ONNX has no form for this network .*choose a layer nearer to the head"),
])
def test_what_cannot_be_exported(model, layer, words, tmp_path):
    torch.manual_seed(0)
    with pytest.raises(ValueError, match=words):
        export_onnx(model(), tmp_path/"net.onnx", layer, 8, "half")
    assert not list(tmp_path.iterdir())


def test_extras_are_named(monkeypatch, tmp_path):
    model = net("custom_resnet", width=4)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"pip install 'cifar_cam\[export\]'"):
        export_onnx(model, tmp_path/"net.onnx")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"pip install 'cifar_cam\[hub\]'"):
        from_hub("a/b", "0" * 40)


def test_extras_are_in_the_setup():
    text = (Path(__file__).parent.parent/"settings.ini").read_text()
    assert "export_requirements = onnx" in text and "hub_requirements = huggingface_hub" in text


# The folder, its card, the Hub

@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    chosen = recipe("demo", batch_size=50, schedule=dict(name="one_cycle", lr_max=0.1), model=dict(name="custom_resnet", width=8), valid_fraction=0.1)
    return run(chosen.scaled(1), shapes(train=200, test=40), out=tmp_path_factory.mktemp("runs")/"run", precision="float32", progress=False)


def test_the_card_tells_what_the_record_tells(trained, tmp_path):
    folder = save_pretrained(trained.folder, tmp_path/"net", license="mit")
    card = (folder/"README.md").read_text()
    assert f"{trained.metrics['test_accuracy']:.2%}" in card and f"{trained.metrics['parameters']:,}" in card and "[More Information Needed]" not in card
    assert all(f"| {r['class']} | {r['n']} | {r['accuracy']:.1%} |" in card for r in trained.metrics["per_class"])
    record = json.loads((folder/"run.json").read_text())
    assert record["command"] in card and record["versions"]["torch"] in card
    yaml = pytest.importorskip("yaml")
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["license"] == "mit" and front["model-index"][0]["results"][0]["metrics"][0]["value"] == pytest.approx(trained.metrics["test_accuracy"], abs=1e-4)
    assert "license" not in model_card(trained.folder)[:200]


def test_saved_folders_load_and_notice_rot(trained, tmp_path):
    folder = save_pretrained(trained.folder, tmp_path/"net")
    assert save_pretrained(trained.folder, folder) == folder  # again is allowed
    images = shapes(train=10, test=10)[1].images
    assert torch.equal(explain(load_model(folder), images, layers="layer2", targets=[0]).logits, explain(trained.model.eval(), images, layers="layer2", targets=[0]).logits)
    data = bytearray((folder/"weights.safetensors").read_bytes())
    data[len(data) // 2] ^= 1
    (folder/"weights.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match="was altered"):
        load_model(folder)


def test_folders_that_are_no_run(tmp_path, trained):
    (tmp_path/"run.json").write_text("{")
    (tmp_path/"metrics.json").write_text("{}")
    with pytest.raises(ValueError, match="is damaged .* train into another folder"):
        save_pretrained(tmp_path, tmp_path/"out")
    (tmp_path/"thesis").mkdir()
    (tmp_path/"thesis"/"a.txt").write_text("years")
    with pytest.raises(ValueError, match="is not empty and holds no model"):
        save_pretrained(trained.folder, tmp_path/"thesis")
    assert [p.name for p in (tmp_path/"thesis").iterdir()] == ["a.txt"]


def test_the_hub_is_asked_for_exactly_this(trained, tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    asked = []

    def note(name, answer):
        monkeypatch.setattr(hub.HfApi, name, lambda self, *words, **options: asked.append((name, words, options)) or answer(options))
    note("create_repo", lambda options: None)
    note("upload_folder", lambda options: types.SimpleNamespace(oid="a" * 40, files=[p.name for p in Path(options["folder_path"]).iterdir()]))
    note("snapshot_download", lambda options: str(save_pretrained(trained.folder, tmp_path/"hub")))
    assert push_to_hub(trained.folder, "me/net") == "a" * 40
    assert asked[0][1:] == (("me/net",), dict(private=True, exist_ok=True, token=None)) and asked[1][2]["repo_id"] == "me/net"
    assert from_hub("me/net", "a" * 40).classes == trained.model.classes
    assert asked[2][2]["revision"] == "a" * 40 and asked[2][2]["allow_patterns"] == ["weights.safetensors", "model.json", "manifest.json"]
    for revision in ("main", "v1.0", "a" * 39, "", None):
        with pytest.raises(ValueError, match="can change its meaning"):
            from_hub("me/net", revision)
    for name in ("net", "a/b/c", "../x/y", "me/net; rm"):
        with pytest.raises(ValueError, match="is no name on the Hub; give user/model"):
            from_hub(name, "a" * 40)
    assert len(asked) == 3
