"""What other tools suggest for one network, and ours: `python benchmarks/lr_tools.py` writes benchmarks/records/lr_tools.json

Each tool sweeps the same fresh network over the same data with its own default range, number of steps and rules. Then one-cycle
trainings at each suggestion and on a grid of peak rates show what they are worth. Needs torch-lr-finder, lightning and fastai beside this package; a few minutes."""
import argparse
import copy
import json
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch
import torch.nn.functional as F

from cifar_cam.augment import Loader
from cifar_cam.data import shapes
from cifar_cam.lr_finder import lr_find
from cifar_cam.model import create_model
from cifar_cam.optim import sgd
from cifar_cam.trainer import Learner

torch.set_num_threads(1)
train, _ = shapes(train=2000, test=200)
norm = train.statistics()
x = torch.cat([batch.x for batch in Loader(train, norm=norm, batch_size=500)])
pictures = torch.utils.data.TensorDataset(x, torch.as_tensor(train.labels))
torch.manual_seed(0)
fresh = create_model("custom_resnet", width=8, final_pool="avg")


def net():
    "A copy of the network with its optimiser."
    model = copy.deepcopy(fresh)
    return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def loader():
    return torch.utils.data.DataLoader(pictures, batch_size=64, shuffle=True, generator=torch.Generator().manual_seed(0))


def torch_lr_finder():
    from torch_lr_finder import LRFinder
    model, optimizer = net()
    for group in optimizer.param_groups:
        group["lr"] = 1e-7
    finder = LRFinder(model, optimizer, F.cross_entropy, device="cpu")
    finder.range_test(loader(), end_lr=10, num_iter=100)
    import matplotlib
    matplotlib.use("agg")
    return {"torch-lr-finder": float(finder.plot(suggest_lr=True)[1])}


def lightning():
    import lightning as L
    from lightning.pytorch.tuner import Tuner

    class Module(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.net, self.lr = net()[0], 0.1

        def training_step(self, batch, _):
            return F.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)

    with tempfile.TemporaryDirectory() as folder:
        trainer = L.Trainer(max_epochs=10, accelerator="cpu", logger=False, enable_checkpointing=False,
                            enable_progress_bar=False, default_root_dir=folder)
        return {"Lightning": float(Tuner(trainer).lr_find(Module(), train_dataloaders=loader()).suggestion())}


def fastai():
    from fastai.callback.schedule import minimum, slide, steep, valley
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner as FastaiLearner
    from fastai.optimizer import SGD
    model, _ = net()
    learner = FastaiLearner(DataLoaders(loader(), loader()), model, loss_func=F.cross_entropy, opt_func=lambda p, **k: SGD(p, mom=0.9, **k))
    rules = (valley, slide, minimum, steep)
    with tempfile.TemporaryDirectory() as folder:
        learner.path = Path(folder)
        with learner.no_bar():
            found = learner.lr_find(suggest_funcs=rules, show_plot=False)
    return {f"fastai {rule.__name__}": float(rate) for rule, rate in zip(rules, found)}


def ours():
    model, _ = net()
    options = dict(optimizer=sgd(model, 0.1), sweeps=3)
    loader = Loader(train, norm=norm, batch_size=64, shuffle=True)
    curve, confirmed = lr_find(model, loader, **options), lr_find(model, loader, **options, confirm=True)
    return {"cifar_cam": curve.recommended, "cifar_cam, confirm=True": confirmed.recommended}


def trained(rate):
    "Mean training loss of the last epoch of six, one-cycle with this peak; None when it broke."
    model, _ = net()
    learner = Learner(model, Loader(train, norm=norm, batch_size=64, shuffle=True), optimizer=sgd(model, 0.1), device="cpu",
                      precision="float32", progress=False)
    try:
        loss = learner.fit_one_cycle(6, rate, peak_epoch=2)[-1]["train_loss"]
    except FloatingPointError:
        return None
    if learner.interrupted:
        raise KeyboardInterrupt
    return loss


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=Path(__file__).resolve().parent/"records"/"lr_tools.json", type=Path)
    out = parser.parse_args().out
    suggestions = {}
    for tool in (torch_lr_finder, lightning, fastai, ours):
        suggestions |= tool()
        print(suggestions, flush=True)
    grid = {f"{rate:.2g}": trained(rate) for rate in [0.003 * 2**k for k in range(10)]}
    there = {tool: trained(rate) for tool, rate in suggestions.items()}
    versions = {name: version(name) for name in ("torch", "torch-lr-finder", "lightning", "fastai")}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(dict(command="python benchmarks/lr_tools.py", suggestions=suggestions, loss_at_suggestion=there, loss_after_one_cycle=grid,
                                       versions=versions), indent=1) + "\n")
    print(out.read_text())


if __name__ == "__main__":
    main()
