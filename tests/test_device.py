"""What would happen on a GPU, without one: PyTorch's fake tensors know shape, type and device, but have no values. Two devices mixed up
in one operation are an error there, and so is looking at a value, which on a GPU would make the host wait. The last tests need a GPU, and
are passed over without one."""
from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from cifar_cam import batch_augment, trainer
from cifar_cam.augment import ops, policy
from cifar_cam.batch_augment import BatchLoader, BatchPipeline
from cifar_cam.data import normalisation, shapes
from cifar_cam.model import create_model
from cifar_cam.optim import constant, muon, sgd
from cifar_cam.trainer import Learner

pictures, gpu = shapes(train=64, test=10)[0], "cuda"
pytestmark = pytest.mark.filterwarnings("ignore")


@contextmanager
def fake_gpu():
    "Inside, tensors are fake, and those that the package keeps between calls are not mixed with real ones."
    kept = batch_augment._kept_keys, batch_augment._line_of, batch_augment._smoothing
    for cache in kept:
        cache.cache_clear()
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), mock.patch.object(batch_augment, "fits", return_value=True):
            yield
    finally:
        for cache in kept:
            cache.cache_clear()


@pytest.mark.parametrize("name", sorted(ops))
def test_every_operation_stays_on_its_device(name):
    with fake_gpu():
        pipeline = BatchPipeline(policy([dict(op=name)]), normalisation("cifar10"), device=gpu)
        batch = pipeline(torch.zeros(8, 32, 32, 3, dtype=torch.uint8, device=gpu), torch.arange(8), seed=1, epoch=2)
    assert batch.device.type == gpu and batch.shape == (8, 3, 32, 32)


def learner_there(net, make_optimizer):
    "A learner on the device, about to take steps ahead. Neither fake weights can be moved, nor has a generator's state a fake form."
    loader = BatchLoader(pictures, [dict(op="pad_crop", pad=2), dict(op="hflip")], "cifar10", 16, shuffle=True, device=gpu)
    with mock.patch.object(torch.nn.Module, "to", lambda self, *_, **__: self):
        learner = Learner(net, loader, optimizer=make_optimizer(net), device=gpu, precision="float32", progress=False)
    learner._looked, learner._position = True, dict(epoch=0, batch=0, sums=[0.0, 0.0, 0], seconds=0.0)
    with mock.patch.object(trainer, "random_states", dict):
        learner._remember()
    return learner


def take_steps(learner, count):
    "Some steps, with gradients out of the air: PyTorch's own way back needs the driver of a GPU."
    def backward(loss):
        for weight in learner.model.parameters():
            weight.grad = torch.empty_like(weight) if weight.requires_grad else None
    with mock.patch.object(torch.Tensor, "backward", backward):
        for step in range(count):
            *part, size, rate = learner._step(learner.train.batch(0, step), step, constant(0.1, 1, len(learner.train)))
            learner._unseen.append((step + 1, torch.stack(part), size, rate))


@pytest.mark.parametrize("name, make_optimizer", [("custom_resnet", sgd), ("resnet18", sgd), ("fast", muon)])
def test_steps_are_taken_without_looking(name, make_optimizer):
    options = dict(widths=(8, 8, 8)) if name == "fast" else dict(width=4)
    with fake_gpu():
        with torch.device(gpu):
            net = create_model(name, **options)
        learner = learner_there(net, make_optimizer)
        take_steps(learner, 3)
        assert learner._ahead > 1 and all(p.device.type == gpu for p in learner.model.parameters())
        with pytest.raises(DataDependentOutputException):  # so a look would have been noticed
            learner._look(dict(epoch=0, batch=0, sums=[0.0, 0.0, 0], seconds=0.0), learner._log(1), 0.0)


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


@needs_gpu
@pytest.mark.parametrize("name", sorted(ops))
def test_a_gpu_makes_the_same_pictures(name):
    norm, positions = normalisation("cifar10"), np.arange(64)
    here, there = (BatchPipeline(policy([dict(op=name)]), norm, device=device)(pictures.images, positions, 3, 2).cpu() for device in ("cpu", gpu))
    level = 1 / 255 / min(norm.std)
    assert (here - there).abs().max() <= 1.01 * level and (here != there).float().mean() < 0.01


@needs_gpu
@pytest.mark.parametrize("name", ["custom_resnet", "fast"])
def test_a_gpu_is_not_waited_for(name):
    loader = BatchLoader(pictures, [dict(op="pad_crop", pad=2), dict(op="hflip")], "cifar10", 16, shuffle=True, device=gpu)
    net = create_model(name)
    learner = Learner(net, loader, optimizer=(muon if name == "fast" else sgd)(net), device=gpu, progress=False)
    plan = constant(1e-3, 1, len(loader))
    learner.fit(1, plan)
    learner._position = dict(epoch=0, batch=0, sums=[0.0, 0.0, 0], seconds=0.0)
    learner._remember()
    torch.cuda.synchronize()
    try:
        torch.cuda.set_sync_debug_mode("error")
        for number in range(3):
            learner._step(loader.batch(0, number), number, plan)
    finally:
        torch.cuda.set_sync_debug_mode("default")
