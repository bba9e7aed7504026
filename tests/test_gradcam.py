"`explain` and `capture`: identities, invariances, an untouched model, and what is refused; for every method."
import contextlib
import copy
import sys
import threading
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from cifar_cam.cam_methods import cam_methods, input_methods
from cifar_cam.capture import capture, find_layer, hooked, unwrap
from cifar_cam.gradcam import explain, methods

torch.set_num_threads(1)


# networks

class Branches(nn.Module):
    "Stem, two parallel branches with maps of their own size, linear head; BatchNorm, dropout and optional in-place ReLU."
    def __init__(self, inplace=False):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace))
        self.left, self.right = nn.Conv2d(6, 5, 3, padding=1), nn.Conv2d(6, 4, 3, stride=2, padding=1)
        self.relu, self.dropout, self.head = nn.ReLU(inplace), nn.Dropout(0.5), nn.Linear(9, 4)
        self.unused = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        x = self.stem(x)
        parts = [self.relu(self.left(x)), self.relu(self.right(x))]
        return self.head(self.dropout(torch.cat([part.mean((-2, -1)) for part in parts], 1)))


class Plain(nn.Module):
    "Convolution, ReLU, convolution, ReLU, global mean, linear."
    def __init__(self, channels=6, classes=4):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, channels, 3, padding=1), nn.Conv2d(channels, channels, 3, padding=1)
        self.relu1, self.relu2, self.head = nn.ReLU(), nn.ReLU(), nn.Linear(channels, classes)

    def tail(self, maps):
        return self.head(maps.mean((-2, -1)))

    def forward(self, x):
        return self.tail(self.relu2(self.conv2(self.relu1(self.conv1(x)))))


def made(kind, seed=0, **options):
    torch.manual_seed(seed)
    net = kind(**options).double().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
    return net


@pytest.fixture
def plain():
    return made(Plain)


@pytest.fixture
def branches():
    return made(Branches)


@pytest.fixture
def x():
    return torch.randn(3, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(7))


both = [[0, 3]] * 3


every_method = pytest.mark.parametrize("method", methods())


def but(*names):
    "All methods but these."
    return pytest.mark.parametrize("method", [name for name in methods() if name not in names])


def raw(net, x, layer="relu2", target=1, method="gradcam", **options):
    "The raw maps of one target; the layer is passed to methods that have one."
    layers = None if method in input_methods else "relu2" if method == "cam" else layer
    found = explain(net, x, layers=layers, targets=[target], method=method, **options)
    return found.raw[found.layers[0]][:, 0]


def close(a, b, tolerance=1e-12):
    return float((a - b).detach().abs().max()) <= tolerance


# hand-computed numbers on a net of one convolution

def one_conv():
    "One 1×1 convolution that doubles, ReLU, then a linear layer on the flattened 2×2 map."
    net = nn.Sequential(nn.Conv2d(3, 1, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))
    net[0].weight.data = torch.tensor([2.0, 0.0, 0.0]).reshape(1, 3, 1, 1)
    net[3].weight.data, net[3].bias.data = torch.tensor([[1.0, 2.0, 3.0, -2.0], [0.0, 0.0, 0.0, 1.0]]), torch.zeros(2)
    x = torch.zeros(1, 3, 2, 2)
    x[0, 0] = torch.tensor([[1.0, 2.0], [-1.0, 3.0]])
    return net, x


@pytest.mark.filterwarnings("ignore:coarse")
@pytest.mark.parametrize("method, expected", [
    ("gradcam", [[2, 4], [0, 6]]),               # A = 2 4 0 6, mean gradient (1 + 2 + 3 − 2) / 4 = 1
    ("hirescam", [[2, 8], [0, -12]]),
    ("layercam", [[2, 8], [0, 0]]),
    ("xgradcam", [[-1 / 3, -2 / 3], [0, -1]]),   # weight (2 + 8 − 12) / 12 = −1/6
    ("gradcam++", [[2 * (1/14 + 2/26 + 3/38), 4 * (1/14 + 2/26 + 3/38)], [0, 6 * (1/14 + 2/26 + 3/38)]])])
def test_numbers_computed_by_hand(method, expected):
    net, x = one_conv()
    found = explain(net, x, layers="1", targets=[0], method=method).raw["1"][0, 0]
    assert close(found, torch.tensor(expected, dtype=torch.float32), 1e-6)


# identities

def test_behind_a_mean_and_a_linear_head_gradcam_is_hirescam_and_cam(plain, x):
    A = capture(plain, x, "relu2", [1] * 3).activations["relu2"]
    original_cam = (plain.head.weight[1][:, None, None] * A).sum(1)
    assert close(raw(plain, x), raw(plain, x, method="hirescam"), 1e-15)
    assert close(64 * raw(plain, x), original_cam)


def test_hirescam_sums_to_the_score_without_its_bias(plain, x):
    with torch.no_grad():
        score = plain(x)[:, 1] - plain.head.bias[1]
    assert close(raw(plain, x, method="hirescam").sum((-2, -1)), score)


@every_method
def test_batch_equals_single_and_parts(plain, x, method):
    together = raw(plain, x, "relu1", method=method)
    assert close(together, torch.cat([raw(plain, one[None], "relu1", method=method) for one in x]), 1e-13)
    assert close(together, raw(plain, x, "relu1", method=method, batch_size=2), 1e-13)


@every_method
def test_all_targets_at_once_equal_one_by_one(plain, x, method):
    layers = None if method in input_methods else "relu2"
    together = explain(plain, x, layers=layers, targets="all", method=method)
    assert together.target_names == tuple("0123") and together.targets.tolist() == [[0, 1, 2, 3]] * 3
    for k in range(4):
        assert close(together.raw[together.layers[0]][:, k], raw(plain, x, target=k, method=method), 1e-13)


def test_all_layers_and_targets_at_once_equal_one_by_one(branches, x):
    names = ["right", "stem", "left", "stem.0"]
    together = capture(branches, x, names, both)
    assert list(together.activations) == names
    for name in names:
        for t, k in enumerate((0, 3)):
            alone = capture(branches, x, name, [k] * 3)
            assert close(alone.gradients[name][:, 0], together.gradients[name][:, t], 1e-15)
            assert (alone.activations[name] == together.activations[name]).all()


def test_gradients_are_autograds(branches, x):
    "Against a forward pass with ordinary graphs and .retain_grad-free autograd, in every layer."
    kept = {}
    handles = [find_layer(branches, name)[1].register_forward_hook(lambda m, i, o, name=name: kept.__setitem__(name, o))
               for name in ("stem", "left", "right")]
    logits = branches(x)
    for handle in handles:
        handle.remove()
    expected = torch.autograd.grad(logits[:, 3].sum(), list(kept.values()))
    found = capture(branches, x, list(kept), [3] * 3)
    for (name, output), gradient in zip(kept.items(), expected):
        assert close(found.activations[name], output.detach(), 1e-15) and close(found.gradients[name][:, 0], gradient, 1e-15)


def test_channel_weights_by_central_differences(plain, x):
    found = capture(plain, x[:1], "relu1", [2])
    A, weights = found.activations["relu1"], found.gradients["relu1"][0, 0].mean((-2, -1))
    def score(maps):
        with torch.no_grad():
            return plain.tail(plain.relu2(plain.conv2(maps)))[0, 2]
    for k in range(6):
        step = torch.zeros_like(A)
        step[0, k] = 1e-7
        assert float((score(A + step) - score(A - step)) / 2e-7 / 64) == pytest.approx(float(weights[k]), rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("method", ["gradcam", "hirescam", "xgradcam", "ablationcam", "occlusion"])
def test_contrast_is_the_difference(branches, x, method):
    found = explain(branches, x, layers=None if method == "occlusion" else "stem", targets=[0, 2, (0, 2)], method=method)
    maps = found.raw[found.layers[0]]
    assert close(maps[:, 2], maps[:, 0] - maps[:, 1], 1e-14)


@every_method
def test_a_class_against_itself_has_no_map(plain, x, method):
    with torch.no_grad():
        labels = plain(x).argmax(1)
    labels[0] = (labels[0] + 1) % 4
    found = explain(plain, x, labels, layers=None if method in input_methods else "relu2", targets=[("predicted", "true")], method=method)
    maps = found.raw[found.layers[0]]
    assert (maps[1:] == 0).all() and (maps[0] != 0).any()


# invariances

@every_method
def test_adding_a_constant_to_all_logits_changes_nothing(plain, x, method):
    before = raw(plain, x, method=method)
    plain.head.bias.data += 5
    assert close(raw(plain, x, method=method), before, 1e-13)


@but("gradcam++", "eigencam", "scorecam")
def test_scaling_the_logits_scales_the_map(plain, x, method):
    "The product of two maps by the square; FullGrad, whose terms are scaled to 0..1, not at all."
    before, factor = raw(plain, x, method=method), {"guided-gradcam": 16, "fullgrad": 1}.get(method, 4)
    plain.head.weight.data *= 4
    plain.head.bias.data *= 4
    assert close(raw(plain, x, method=method), factor * before, 1e-12)


@every_method
def test_the_order_of_channels_does_not_matter(plain, x, method):
    before, order = raw(plain, x, method=method), torch.tensor([3, 1, 5, 0, 2, 4])
    plain.conv2.weight.data, plain.conv2.bias.data = plain.conv2.weight.data[order], plain.conv2.bias.data[order]
    plain.head.weight.data = plain.head.weight.data[:, order]
    assert close(raw(plain, x, method=method), before, 1e-12)


@but("gradcam++", "eigencam", "scorecam", "ablationcam", "cam")
def test_rescaling_a_channel_and_undoing_it_later_changes_nothing(plain, x, method):
    before, factor = raw(plain, x, "relu1", method=method), torch.tensor([2.0, 0.5, 3, 1, 7, 0.1]).double()
    plain.conv1.weight.data *= factor[:, None, None, None]
    plain.conv1.bias.data *= factor
    plain.conv2.weight.data /= factor[None, :, None, None]
    assert close(raw(plain, x, "relu1", method=method), before, 1e-12)


@but("eigencam", "scorecam")
def test_a_constant_score_has_an_empty_map(plain, x, method):
    plain.head.weight.data[1] = 0
    assert (raw(plain, x, method=method) == 0).all()


@but("deconvnet")
def test_planted_evidence_is_found(method):
    "The class score depends on one known patch; the strongest place must lie in it, always. (Deconvnet cannot know.)"
    net = Plain(channels=2, classes=2)
    for conv, weight in ((net.conv1, 1.0), (net.conv2, 1.0)):
        conv.weight.data.zero_()
        conv.bias.data.zero_()
        conv.weight.data[0, 0, 1, 1], conv.weight.data[1, 1, 1, 1] = weight, weight
    net.head.weight.data, net.head.bias.data = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]), torch.tensor([0.0, 0.1])
    net.conv1.bias.data[:] = -0.1
    random, options = np.random.default_rng(0), dict(patch=2, stride=1) if method == "occlusion" else {}
    for _ in range(20):
        top, left = random.integers(0, 12, 2)
        x = 0.01 * torch.tensor(random.random((1, 3, 16, 16)), dtype=torch.float32)
        x[0, 0, top:top + 4, left:left + 4] = 1
        k = int(raw(net, x, "relu2", 0, method, **options).abs().argmax())
        assert top <= k // 16 < top + 4 and left <= k % 16 < left + 4


def test_the_map_depends_on_the_weights(plain, x):
    "Adebayo et al. 2018: a method whose map survives other weights explains the picture, not the network."
    def ranks(t):
        return t.flatten().argsort().argsort().double()
    pair = torch.stack([ranks(raw(plain, x)), ranks(raw(made(Plain, seed=5), x))])
    assert abs(float(torch.corrcoef(pair)[0, 1])) < 0.5


# where others slip

def test_in_place_operations_do_not_spoil_the_activations(x):
    tame, wild = made(Branches), made(Branches, inplace=True)
    names = ["stem.1", "left", "right", "stem.0"]
    expected, found = capture(tame, x, names, both), capture(wild, x, names, both)
    for name in names:
        assert (expected.activations[name] < 0).any()
        assert (found.activations[name] == expected.activations[name]).all()
        assert (found.gradients[name] == expected.gradients[name]).all()


def test_an_in_place_operation_before_the_layer_or_on_an_alias(x):
    class Alias(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.same, self.head = nn.Conv2d(3, 4, 3), nn.Identity(), nn.Linear(4, 2)
        def forward(self, x):
            y = self.conv(x)
            z = self.same(y)
            y.mul_(0)
            return self.head((z + y).mean((-2, -1)))
    net = made(Alias)
    with torch.no_grad():
        assert (capture(net, x, "same", [0] * 3).activations["same"] == net.conv(x)).all()


def test_the_input_is_not_changed_by_a_model_that_writes_into_it(x):
    class Writes(Plain):
        def forward(self, x):
            return super().forward(x.mul_(2))
    before = x.clone()
    capture(made(Writes), x, "conv1", [0] * 3)
    assert (x == before).all()


def test_parallel_branches_in_any_order(branches, x):
    a, b = capture(branches, x, ["left", "right"], both), capture(branches, x, ["right", "left"], both)
    assert list(b.activations) == ["right", "left"]
    assert all((a.gradients[name] == b.gradients[name]).all() for name in ("left", "right"))
    assert a.gradients["right"].shape[-2:] == (4, 4) and a.gradients["left"].shape[-2:] == (8, 8)


def test_a_shared_module_is_answered_with_its_last_call(branches, x):
    found, right = capture(branches, x, "relu", both), capture(branches, x, "right", both)
    assert (found.activations["relu"] == right.activations["right"].relu()).all()


def test_a_shared_module_called_in_sequence(x):
    class Twice(Plain):
        def forward(self, x):
            return self.tail(self.relu1(self.conv2(self.relu1(self.conv1(x)))))
    net, twin = made(Twice), made(Plain)
    found, expected = capture(net, x, ["relu1", "conv1"], both), capture(twin, x, ["relu2", "conv1"], both)
    assert close(found.gradients["relu1"], expected.gradients["relu2"], 1e-15)
    assert close(found.gradients["conv1"], expected.gradients["conv1"], 1e-15)


def test_the_same_layer_named_twice(plain, x):
    net = nn.Sequential(plain.conv1, plain.relu1, nn.AdaptiveAvgPool2d(1), nn.Flatten(), plain.head).double()
    found = capture(net, x, ["1", "-4", net[1]], both)
    assert list(found.activations) == ["1", "-4"] and (found.gradients["1"] == found.gradients["-4"]).all()


def surroundings():
    return {"no_grad": torch.no_grad, "inference_mode": torch.inference_mode, "enable_grad": torch.enable_grad}


@pytest.mark.parametrize("around", surroundings())
@pytest.mark.parametrize("frozen", [False, True])
def test_frozen_and_under_any_grad_mode(branches, x, around, frozen):
    expected = capture(branches, x, ["stem", "right"], both)
    branches.requires_grad_(not frozen)
    with surroundings()[around]():
        mode = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        found = capture(branches, x.clone(), ["stem", "right"], both)
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == mode
    for name in ("stem", "right"):
        assert (found.gradients[name] == expected.gradients[name]).all()


def test_train_mode_gives_the_maps_of_eval_mode(branches, x):
    expected = capture(branches, x, "stem", both)
    branches.train()
    branches.stem[1].eval()
    assert (capture(branches, x, "stem", both).gradients["stem"] == expected.gradients["stem"]).all()
    assert branches.training and branches.dropout.training and not branches.stem[1].training


def test_bfloat16_autocast(x):
    net = made(Branches).float()
    expected = capture(net, x, "left", both)
    with torch.autocast("cpu", torch.bfloat16):
        found = capture(net, x, "left", both)
        assert torch.is_autocast_cache_enabled()
    assert found.activations["left"].dtype == found.logits.dtype == torch.float32
    assert close(found.activations["left"], expected.activations["left"], 0.05)
    assert (found.activations["left"] != expected.activations["left"]).any()


def test_autocast_still_trains_afterwards(x):
    "Converted weights cached without gradients would silently stop training in the same autocast block."
    net = made(Plain).float()
    with torch.autocast("cpu", torch.bfloat16):
        explain(net, x, targets="predicted")
        net(x.float()).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize("first_run_compiled", [False, True])
def test_compiled_models(plain, x, first_run_compiled):
    expected, compiled = capture(plain, x, "relu1", both), torch.compile(plain, backend="eager")
    if first_run_compiled:
        with torch.no_grad():
            compiled(x)
    for name in ("relu1", "_orig_mod.relu1"):
        assert (capture(compiled, x, name, both).gradients[name] == expected.gradients["relu1"]).all()


def test_models_compiled_in_place_and_compiled_parts(plain, x):
    expected = capture(plain, x, "relu1", both).gradients["relu1"]
    inside = copy.deepcopy(plain)
    inside.conv2 = torch.compile(inside.conv2, backend="eager")
    inplace = copy.deepcopy(plain)
    inplace.compile(backend="eager")
    for net in (inside, inplace):
        with torch.no_grad():
            net(x)
        assert (capture(net, x, "relu1", both).gradients["relu1"] == expected).all()
        assert (capture(net, x, net.relu1, both).gradients["relu1"] == expected).all()


def test_data_parallel_wrapper(plain, x):
    wrapped = nn.DataParallel(plain)
    for name in ("relu1", "module.relu1"):
        assert (capture(wrapped, x, name, both).gradients[name] == capture(plain, x, "relu1", both).gradients["relu1"]).all()
    assert unwrap(torch.compile(wrapped, backend="eager")) is plain


def test_the_model_moves_the_input_to_its_own_type(plain, x):
    assert capture(plain, x.float(), "relu1", both).activations["relu1"].dtype == torch.float64
    assert capture(plain.bfloat16(), x, "relu1", both).activations["relu1"].dtype == torch.float32


def test_two_threads_at_once_do_not_mix(x):
    nets = [made(Plain, seed=s) for s in (0, 1)]
    expected, found = [capture(net, x, "relu1", both) for net in nets], {}
    def work(k):
        for _ in range(10):
            found[k] = capture(nets[k], x, "relu1", both)
    threads = [threading.Thread(target=work, args=(k,)) for k in (0, 1)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert all((found[k].gradients["relu1"] == expected[k].gradients["relu1"]).all() for k in (0, 1))


# one forward, one tail backward for each target

def test_passes_are_counted(branches, x):
    calls = {"forward": 0, "stem": 0, "tail": 0}
    branches.register_forward_hook(lambda *a: calls.__setitem__("forward", calls["forward"] + 1))
    class Count(torch.autograd.Function):
        @staticmethod
        def forward(ctx, t, name):
            ctx.name = name
            return t.view_as(t)
        @staticmethod
        def backward(ctx, g):
            calls[ctx.name] += 1
            return g, None
    branches.stem[0].register_forward_hook(lambda m, i, o: Count.apply(o, "stem"))
    branches.head.register_forward_hook(lambda m, i, o: Count.apply(o, "tail"))
    capture(branches, x, ["left", "right", "stem"], [[0, 1, 2]] * 3)
    assert calls == {"forward": 1, "stem": 0, "tail": 3}


# nothing is left behind

def state_of(net):
    "Everything about a model that a pass could change."
    return dict(tensors={k: v.clone() for k, v in net.state_dict().items()},
                modes=[m.training for m in net.modules()], modules=[id(m) for m in net.modules()],
                grads=[(id(p), None if p.grad is None else (id(p.grad), p.grad.clone()), p.requires_grad) for p in net.parameters()],
                hooks=[(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in net.modules()],
                attributes=[sorted(vars(m)) for m in net.modules()], rng=torch.get_rng_state(),
                grad_mode=torch.is_grad_enabled(), cache=torch.is_autocast_cache_enabled(), default=torch.get_default_dtype())


def same(a, b):
    if torch.is_tensor(a):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def used_model(kind=Branches):
    "A model in the middle of training: mixed modes, some gradients, a frozen part, a hook of the user's."
    net = made(kind, inplace=True).train()
    net.stem[1].eval()
    net.left.requires_grad_(False)
    net.head.weight.grad = torch.ones_like(net.head.weight)
    net.stem.register_forward_hook(lambda *a: None)
    return net


@pytest.mark.parametrize("around", surroundings())
def test_the_model_is_the_same_afterwards(x, around):
    net = used_model()
    before = state_of(net)
    with surroundings()[around]():
        inner = torch.is_grad_enabled()
        with pytest.warns(UserWarning, match="right 4×4"):
            explain(net, x, labels=[0, 1, 2], layers=["right", "stem", "left"], targets=["predicted", "true", (0, 1)])
        explain(net, x, targets="predicted")
        assert torch.is_grad_enabled() == inner
    assert same(before, state_of(net))


class Stop(Exception):
    pass


def raising(*arguments):
    raise Stop


def broken_forward(net, x):
    net.right.register_forward_pre_hook(raising)
    return lambda: explain(net, x, layers=["left", "right"], targets="predicted")


def broken_logits(net, x):
    net.head.register_forward_hook(lambda m, i, o: o * float("nan"))
    return lambda: explain(net, x, layers="left", targets="predicted")


def broken_target(net, x):
    return lambda: capture(net, x, "left", raising)


def broken_backward(net, x):
    class Breaks(torch.autograd.Function):
        forward = staticmethod(lambda ctx, t: t.view_as(t))
        backward = staticmethod(raising)
    net.head.register_forward_hook(lambda m, i, o: Breaks.apply(o))
    return lambda: explain(net, x, layers=["stem", "left"], targets="predicted")


def broken_method(net, x):
    return lambda: explain(net, x, layers="left", targets="predicted", method=raising)


def broken_probe(net, x):
    net.right.register_forward_pre_hook(raising)
    return lambda: explain(net, x, targets="predicted")


def broken_layer(net, x):
    return lambda: explain(net, x, layers=["left", "unused"], targets="predicted")


@pytest.mark.parametrize("phase", [broken_forward, broken_logits, broken_target, broken_backward, broken_method, broken_probe,
                                   broken_layer])
def test_the_model_is_the_same_after_an_error(phase, x):
    net = used_model()
    call = phase(net, x)
    before = state_of(net)
    with pytest.raises((Stop, ValueError)):
        call()
    assert same(before, state_of(net))


def test_an_interrupt_leaves_no_trace_either(x):
    net = used_model()
    def interrupt(*arguments):
        raise KeyboardInterrupt
    net.right.register_forward_hook(interrupt)
    before = state_of(net)
    with pytest.raises(KeyboardInterrupt):
        explain(net, x, layers=["stem", "left"], targets="predicted")
    assert same(before, state_of(net))


def test_the_input_and_its_gradient_are_untouched(plain, x):
    x.requires_grad_()
    found = explain(plain, x, targets="predicted")
    assert x.grad is None and x.requires_grad and not found.raw[found.layers[0]].requires_grad and not found.logits.requires_grad


def test_a_training_step_after_explaining_is_the_same(x):
    def step(with_explanation):
        net = made(Branches).train()
        torch.manual_seed(3)
        if with_explanation:
            explain(net, x, targets="predicted")
        net(x).square().sum().backward()
        return [p.grad for p in net.parameters() if p.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(step(True), step(False)))

# the same promises for every method

class Whole(nn.Module):
    "BatchNorm, parallel branches through one shared ReLU, dropout, global mean and linear head."
    def __init__(self, inplace=False):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace))
        self.left, self.right = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.relu, self.last, self.dropout, self.head = nn.ReLU(inplace), nn.Identity(), nn.Dropout(0.5), nn.Linear(4, 3)

    def forward(self, x):
        x = self.stem(x)
        x = self.last(self.relu(self.left(x)) + self.relu(self.right(x)))
        return self.head(self.dropout(x).mean((-2, -1)))


def ask(net, x, method, **options):
    "All maps of one method, at the layer that suits it."
    layers = None if method in input_methods else "last" if method == "cam" else "stem"
    found = explain(net, x, layers=layers, targets=[0, (1, 2)], method=method, **options)
    return found.raw[found.layers[0]]


def conditions():
    "Ways in which a network may arrive; each gives (network, context)."
    nothing = contextlib.nullcontext
    def changed(change, **options):
        net = made(Whole, **options)
        return change(net) or net
    return {
        "in place": lambda: (made(Whole, inplace=True), nothing()),
        "frozen": lambda: (changed(lambda net: net.requires_grad_(False)), nothing()),
        "no_grad": lambda: (made(Whole), torch.no_grad()),
        "inference_mode": lambda: (made(Whole, inplace=True), torch.inference_mode()),
        "training": lambda: (changed(lambda net: net.train()), nothing()),
        "DataParallel": lambda: (nn.DataParallel(made(Whole)), nothing()),
        "compiled": lambda: (torch.compile(made(Whole), backend="eager"), nothing()),
        "a compiled part": lambda: (changed(lambda net: setattr(net, "left", torch.compile(net.left, backend="eager"))), nothing()),
    }


@every_method
def test_every_method_in_every_condition(x, method):
    expected = ask(made(Whole), x, method)
    for name, condition in conditions().items():
        net, around = condition()
        with around:
            assert close(ask(net, x.clone(), method), expected, 1e-12), name


@every_method
def test_every_method_under_bfloat16_autocast(x, method):
    net = made(Whole).float()
    expected = ask(net, x, method)
    with torch.autocast("cpu", torch.bfloat16):
        found = ask(net, x, method)
    assert found.dtype == torch.float32 and found.isfinite().all()
    a, b = (m.flatten(1) - m.flatten(1).mean(1, keepdim=True) for m in (expected, found))
    assert float((a * b).sum() / (a.norm() * b.norm())) > 0.9


def busy():
    "A model in the middle of training that every method can explain."
    return used_model(Whole)


@every_method
def test_every_method_leaves_the_model_as_it_was(x, method):
    net = busy()
    before = state_of(net)
    ask(net, x, method)
    assert same(before, state_of(net))


@every_method
@pytest.mark.parametrize("where", ["forward", "later forward", "backward"])
def test_every_method_leaves_the_model_as_it_was_after_an_error(x, method, where):
    net, calls = busy(), []
    class Breaks(torch.autograd.Function):
        forward = staticmethod(lambda ctx, t: t.view_as(t))
        backward = staticmethod(raising)
    def stop(module, inputs, output):
        calls.append(1)
        if where == "backward":
            return Breaks.apply(output)
        if where == "forward" or len(calls) == 2:
            raise Stop
    net.head.register_forward_hook(stop)
    before = state_of(net)
    try:
        ask(net, x, method)
    except (Stop, RuntimeError, ValueError):
        failed = True
    else:
        failed = False
    assert same(before, state_of(net))
    assert failed or where != "forward"


@every_method
def test_every_method_at_once_in_two_threads_on_one_model(x, method):
    net = busy()
    before, expected, found = state_of(net), ask(net, x, method), {}
    def work(k):
        found[k] = [ask(net, x, method) for _ in range(3)]
    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert all(close(maps, expected, 0) for k in range(2) for maps in found[k])
    assert same(before, state_of(net))


def test_hooks_hear_only_their_own_thread(plain, x):
    "Who uses the model for something else meanwhile gets its plain output, and is not overheard."
    heard, outputs = [], []
    def other():
        with torch.no_grad():
            outputs.append(plain(x))
    with hooked((plain.conv1, lambda module, inputs, output: heard.append(output))):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert not heard
        plain(x)
    assert len(heard) == 1 and not plain.conv1._forward_hooks and close(outputs[0], plain(x).detach(), 0)


# thirteen defects found by running other libraries

def defect_1(x):
    "A Grad-CAM++ whose weights are the sum of cubed gradients: ours are equation 19 (see also test_cam_methods.py)."
    A, G = torch.rand(5, 4, 4).double(), torch.rand(5, 4, 4).double()
    cubes = ((G ** 3).sum((-2, -1), keepdim=True) * A).sum(-3)
    g, total = G, A.sum((-2, -1), keepdim=True)
    right = ((g ** 2 / (2 * g ** 2 + total * g ** 3) * g).sum((-2, -1), keepdim=True) * A).sum(-3)
    assert close(cam_methods["gradcam++"](A, G), right) and not torch.allclose(right / right.max(), cubes / cubes.max(), rtol=0.02)


def defect_2(x):
    "An in-place step after the layer: kept activations overwritten."
    tame, wild = (raw(made(Branches, inplace=i), x, "stem.1") for i in (False, True))
    assert (tame == wild).all()


def defect_3(x):
    "Targets zipped with outputs: one target for three images leaves two maps empty."
    with pytest.raises(ValueError, match="target ids must have shape"):
        capture(made(Plain), x, "conv1", [0])


def defect_4(x):
    "An error swallowed by the context manager."
    with pytest.raises(ValueError, match="no class 99"):
        explain(made(Plain), x, targets=[99])


def defect_5(x):
    "Side effects: evaluation mode, every .grad, running statistics, hooks, exchanged modules."
    for method in methods():
        net = busy()
        before = state_of(net)
        ask(net, x, method)
        assert same(before, state_of(net)), method


def defect_6(x):
    "Frozen parameters, or no_grad around."
    net = made(Plain)
    expected = raw(net, x)
    with torch.no_grad():
        assert close(raw(net.requires_grad_(False), x), expected, 0)


def defect_7(x):
    "bfloat16 autocast raises TypeError."
    net = made(Plain).float()
    with torch.autocast("cpu", torch.bfloat16):
        assert raw(net, x).isfinite().all()


def defect_8(x):
    "A compiled model that ran before: hooks never fire."
    net = made(Plain)
    compiled = torch.compile(net, backend="eager")
    with torch.no_grad():
        compiled(x)
    assert close(raw(compiled, x), raw(net, x), 0)


def defect_9(x):
    "1×1 maps: an empty picture without a word, and chosen by default."
    from torchvision.models import resnet18
    net, picture = resnet18(), torch.randn(1, 3, 32, 32)
    with pytest.raises(ValueError, match="1×1"):
        explain(net, picture, layers="layer4", targets=[0])
    assert explain(net, picture, targets=[0]).layers == ["layer1"]


def defect_10(x):
    "Min-max for each image: strengths of predicted and true class can no longer be compared; no evidence painted blue."
    net = made(Plain)
    found = explain(net, x, layers="relu2", targets="all")
    strongest = found.raw["relu2"].clamp(min=0).amax((-2, -1))
    shown = found.maps(scale="row", size=8).amax((-2, -1))
    assert close(shown, strongest / strongest.amax(1, keepdim=True)) and float(shown.min()) < 0.9
    net.head.weight.data[0] = -net.head.weight.data[0].abs()
    assert (explain(net, x, layers="relu2", targets=[0]).maps() == 0).all()


def defect_11(x):
    "Ablation-CAM divided by a negative score: evidence against the class appears as evidence for it."
    net = made(Plain)
    net.head.weight.data[0] = -net.head.weight.data[0].abs()
    net.head.bias.data[0] = -1
    found = explain(net, x, layers="relu2", targets=[0], method="ablationcam")
    assert (found.logits[:, 0] < 0).all() and (found.raw["relu2"] <= 0).all() and (found.maps() == 0).all()


def defect_12(x):
    "Layers answered in the order of execution instead of the order asked; shared modules shift them."
    net = made(Whole)
    found = explain(net, x, layers=["last", "relu", "stem"], targets=[0])
    assert found.layers == ["last", "relu", "stem"]
    assert all(close(found.raw[name], explain(net, x, layers=name, targets=[0]).raw[name], 0) for name in found.layers)


def defect_13(x):
    "Eigen-CAM's arbitrary sign, and its order of channels."
    net = made(Plain)
    A = capture(net, x, "relu1", [0] * 3).activations["relu1"]
    for centre in (False, True):
        maps = raw(net, x, "relu1", method="eigencam", centre=centre)
        assert ((maps * A.sum(1)).sum((-2, -1)) >= 0).all()


@pytest.mark.parametrize("defect", [defect_1, defect_2, defect_3, defect_4, defect_5, defect_6, defect_7, defect_8, defect_9,
                                    defect_10, defect_11, defect_12, defect_13], ids=lambda defect: defect.__name__)
def test_where_other_libraries_slip(defect, x):
    torch.manual_seed(0)
    defect(x)


# layers by name

def test_layer_names(branches):
    assert find_layer(branches, "stem.-1") == ("stem.-1", branches.stem[2])
    assert find_layer(branches, branches.stem[1]) == ("stem.1", branches.stem[1])
    net = made(Plain)
    assert explain(net, good, layers=[net.conv2, "conv1"], targets=[0]).layers == ["conv2", "conv1"]


@pytest.mark.parametrize("layer, error, text", [
    ("stemm", ValueError, "did you mean stem"), ("stem.7", ValueError, "did you mean stem"), ("stem.-9", ValueError, "no layer"),
    ("", ValueError, "no layer"), ("zzz", ValueError, "did you mean stem, left"), (4, TypeError, "name or a module"),
    (nn.ReLU(), ValueError, "not a layer inside"), ([], ValueError, "name at least one")])
def test_unknown_layers_name_the_nearest(branches, x, layer, error, text):
    with pytest.raises(error, match=text):
        explain(branches, x, layers=layer, targets="predicted")


def test_the_model_itself_is_no_layer(branches, x):
    with pytest.raises(ValueError, match="not a layer inside"):
        explain(branches, x, layers=branches, targets="predicted")


def test_the_default_layer_says_so(x):
    from cifar_cam.model import create_model
    for name, layer, size in (("resnet18", "layer3", 8), ("resnet50", "layer3", 8), ("custom_resnet", "layer2", 8)):
        found = explain(create_model(name, width=8).eval(), torch.randn(2, 3, 32, 32), targets="predicted")
        assert found.layers == [layer] and found.raw[layer].shape == (2, 1, size, size)
        assert layer in found.note and "deepest" in found.note
    found = explain(create_model("custom_resnet", width=8, last_stride=1).eval(), torch.randn(1, 3, 32, 32), targets=[0])
    assert found.layers == ["layer3"]


def test_the_default_layer_inside_a_wrapper_module():
    from cifar_cam.model import create_model
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = create_model("resnet18", width=8)
        def forward(self, x):
            return self.backbone(x)
    assert explain(Wrapped(), torch.randn(1, 3, 32, 32), targets=[0]).layers == ["backbone.layer3"]


# bad input: one clear error each

class Returns(nn.Module):
    "A convolution and a head whose result is passed through `finish`."
    def __init__(self, finish):
        super().__init__()
        self.conv, self.head, self.finish = nn.Conv2d(3, 4, 3), nn.Linear(4, 3), finish

    def forward(self, x):
        return self.finish(self.head(self.conv(x).mean((-2, -1))))


good = torch.randn(3, 3, 8, 8)
bad_calls = {
    "not reached": (lambda: explain(Branches(), good, layers="unused", targets=[0]), "never reached"),
    "after the head": (lambda: explain(Branches(), good, layers="head", targets=[0]), "before the head"),
    "no gradient": (lambda: explain(made_detached(), good, layers="conv", targets=[0]), "no gradient"),
    "one branch without gradient": (lambda: capture(made_detached(), good, ["conv", "side"], [0] * 3), "no gradient reaches layer 'conv'"),
    "1x1 by guided Grad-CAM": (lambda: explain(nn.Sequential(nn.Conv2d(3, 2, 8), nn.ReLU(), nn.Flatten()), good, layers="1",
                                                targets=[0], method="guided-gradcam"), "1×1"),
    "1x1": (lambda: explain(nn.Sequential(nn.Conv2d(3, 2, 8), nn.Flatten()), good, layers="0", targets=[0]), "1×1"),
    "a module that gives a tuple": (lambda: explain(tuple_layer(), good, layers="pair", targets=[0]), "gives a tuple"),
    "wrong rank": (lambda: explain(Plain(), good[0], targets=[0]), r"x\[None\]"),
    "empty": (lambda: explain(Plain(), good[:0], targets=[0]), "at least one image"),
    "whole numbers": (lambda: explain(Plain(), good.long(), targets=[0]), "float batch"),
    "NaN": (lambda: explain(Plain(), torch.full((2, 3, 8, 8), float("nan")), targets=[0]), "2 of 2 images hold NaN"),
    "infinite": (lambda: explain(Plain(), good / 0, targets=[0]), "infinite"),
    "labels too short": (lambda: explain(Plain(), good, [0, 1]), "3 whole numbers"),
    "labels of two axes": (lambda: explain(Plain(), good, [[0, 1, 2]]), "3 whole numbers"),
    "float labels": (lambda: explain(Plain(), good, [0.5, 1, 2]), "whole numbers"),
    "label out of range": (lambda: explain(Plain(), good, [0, 1, 10]), "0 to 3"),
    "negative label": (lambda: explain(Plain(), good, [0, 1, -1]), "from -1"),
    "true without labels": (lambda: explain(Plain(), good), "needs labels"),
    "class out of range": (lambda: explain(Plain(), good, targets=[10]), "no class 10: the model has 4 logits"),
    "negative class": (lambda: explain(Plain(), good, targets=[-1]), "no class -1"),
    "unknown class": (lambda: explain(Plain(), good, targets=["cut"], classes=["cat", "dog", "ship", "car"]), "one of cat"),
    "truth value": (lambda: explain(Plain(), good, targets=[True]), "unknown target True"),
    "triple": (lambda: explain(Plain(), good, targets=[(0, 1, 2)]), "pair"),
    "no target": (lambda: explain(Plain(), good, targets=[]), "no target"),
    "class names": (lambda: explain(Plain(), good, targets=[0], classes=list("abc")), "3 class names, but the model has 4"),
    "method": (lambda: explain(Plain(), good, targets=[0], method="smoothgrad"), "choose one of cam, gradcam"),
    "option": (lambda: explain(Plain(), good, targets=[0], method="occlusion", size=3), "no option 'size'; it has patch"),
    "option of a plain method": (lambda: explain(Plain(), good, targets=[0], patch=3), "gradcam has no option 'patch'; it has none"),
    "square too large": (lambda: explain(Plain(), good, targets=[0], method="occlusion", patch=9), "does not fit a picture of 8×8"),
    "layers of an input method": (lambda: explain(Plain(), good, layers="conv1", targets=[0], method="gradient"), "no layers"),
    "cam in the middle": (lambda: explain(Plain(), good, layers="relu1", targets=[0], method="cam"), "Relu comes after 'relu1'"),
    "cam at a flattened head": (lambda: explain(flat(), good, layers="1", targets=[0], method="cam"), "differ from place to place"),
    "no ReLU to guide": (lambda: explain(Returns(lambda y: y), good, targets=[0], method="deconvnet"), "has none"),
    "a method that returns nonsense": (lambda: explain(Plain(), good, targets=[0], method=lambda A, G: A.mean()[None, None, None, None, None]), "must turn A"),
    "softmax": (lambda: explain(Returns(nn.Softmax(1)), good, targets=[0]), "remove its final softmax"),
    "log_softmax": (lambda: explain(Returns(nn.LogSoftmax(1)), good, targets=[0]), "remove its final log_softmax"),
    "tuple": (lambda: explain(Returns(lambda y: (y, y)), good, layers="conv", targets=[0]), "got tuple"),
    "dictionary": (lambda: explain(Returns(lambda y: {"logits": y}), good, layers="conv", targets=[0]), "got dict"),
    "one score": (lambda: explain(Returns(lambda y: y[:, :1]), good, layers="conv", targets=[0]), "logits of shape"),
    "dense output": (lambda: explain(Returns(lambda y: y[:, :, None]), good, layers="conv", targets=[0]), "logits of shape"),
    "NaN logits": (lambda: explain(Returns(lambda y: y * float("nan")), good, layers="conv", targets=[0]), "logits of 3 of 3"),
    "raw without normalisation": (lambda: explain(Plain(), np.zeros((2, 8, 8, 3), np.uint8), targets=[0]), "need the normalisation"),
    "one raw picture": (lambda: explain(Plain(), np.zeros((8, 8, 3), np.uint8), targets=[0]), r"x\[None\]"),
    "target ids": (lambda: capture(Plain(), good, "conv1", [0, 1]), "target ids must have shape"),
    "target weights": (lambda: capture(Plain(), good, "conv1", torch.zeros(3, 1, 9)), "target weights must have shape"),
    "target id": (lambda: capture(Plain(), good, "conv1", [0, 1, 4]), "0 to 3"),
}


def flat():
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))


def made_detached():
    class Detached(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.side, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3), nn.Linear(4, 3)
        def forward(self, x):
            return self.head((self.conv(x).detach() + self.side(x)).mean((-2, -1)))
    return Detached()


def tuple_layer():
    class Pair(nn.Module):
        def forward(self, x):
            return x, x
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.pair = nn.Conv2d(3, 4, 3), Pair()
        def forward(self, x):
            return self.pair(self.conv(x))[0].mean((-2, -1))
    return Net()


@pytest.mark.parametrize("case", bad_calls)
def test_bad_input_has_one_clear_line(case):
    call, text = bad_calls[case]
    with pytest.raises(ValueError, match=text) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", ["resnet18", None, lambda x: x])
def test_what_is_no_model(model):
    with pytest.raises(TypeError, match="nn.Module"):
        explain(model, good, targets=[0])


def test_what_is_no_batch():
    with pytest.raises(TypeError, match="tensor"):
        explain(Plain(), "pictures", targets=[0])


def test_coarse_maps_warn_once_and_name_the_layers(plain):
    with pytest.warns(UserWarning, match="conv1 4×4, relu2 4×4") as caught:
        explain(plain, torch.randn(5, 3, 4, 4), layers=["conv1", "relu2"], targets=[0], batch_size=2)
    assert len([w for w in caught if "coarse" in str(w.message)]) == 1 and caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explain(plain, torch.randn(2, 3, 5, 5), layers="conv1", targets=[0])


# the Explanation

@pytest.fixture
def explanation(branches, x):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return explain(branches, x, labels=[0, 1, 2], layers=["right", "left"], classes=list("abcd"),
                       targets=["predicted", "true", "b", ("predicted", "true")])


def test_its_parts(explanation, branches, x):
    with torch.no_grad():
        logits = branches(x)
    predicted = logits.argmax(1)
    assert torch.equal(explanation.logits, logits) and torch.equal(explanation.predicted, predicted)
    assert torch.equal(explanation.targets, torch.stack([predicted, torch.tensor([0, 1, 2]), torch.full((3,), 1), predicted], 1))
    assert explanation.against.tolist() == [[-1, -1, -1, k] for k in range(3)]
    assert explanation.raw["right"].shape == (3, 4, 4, 4) and explanation.raw["left"].shape == (3, 4, 8, 8)
    assert close(explanation.probabilities.sum(1), torch.ones(3)) and explanation.classes == tuple("abcd")
    assert explanation.layers == ["right", "left"] and len(explanation) == 3 and "8×8" in repr(explanation)
    assert close(explanation.raw["left"][:, 3], explanation.raw["left"][:, 0] - explanation.raw["left"][:, 1], 1e-15)


def test_display_maps(explanation):
    raw, plain = explanation.raw["left"], explanation.maps("left", size=8, scale="none")
    assert torch.equal(plain, raw)
    each = explanation.maps("left", size=8)
    assert torch.allclose(each[:, :3], raw[:, :3].clamp(min=0) / raw[:, :3].clamp(min=0).amax((-2, -1), keepdim=True).clamp(min=1e-300))
    row = explanation.maps("left", size=8, scale="row")
    assert row.abs().amax((1, 2, 3)).tolist() == [1, 1, 1] and row[:, :3].min() >= 0
    assert explanation.maps(size=(16, 24)).shape == (3, 4, 16, 24) and explanation.maps("right").shape == (3, 4, 32, 32)
    ratio = raw[0, 0].clamp(min=0) / row[0, 0]
    assert float(ratio[row[0, 0] > 0].std()) < 1e-9 if (row[0, 0] > 0).sum() > 1 else True
    for bad, text in ((dict(layer="stem"), "only right, left"), (dict(scale="min-max"), "choose image or row")):
        with pytest.raises(ValueError, match=text):
            explanation.maps(**bad)


def test_a_map_without_positive_evidence_stays_empty():
    net = Plain()
    net.head.weight.data[0] = -1
    found = explain(net, good, layers="relu2", targets=[0])
    assert found.raw["relu2"].max() <= 0 and (found.maps() == 0).all() and (found.maps(scale="row") == 0).all()


def test_rows(explanation):
    rows = explanation.rows()
    assert len(rows) == 3 * 4 * 2 and {"image", "target", "class_name", "probability", "layer", "highest"} <= rows[0].keys()
    assert rows[-1]["target"] == "predicted − true" and rows[-1]["against"] == "c" and rows[-1]["layer"] == "left"


def test_pictures_bytes_and_images_agree():
    from cifar_cam.data import Images, Normalisation
    norm = Normalisation((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
    pictures = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    x = torch.tensor(((pictures / 255 - norm.mean) / norm.std).transpose(0, 3, 1, 2), dtype=torch.float32)
    images, net = Images(pictures, np.array([0, 1, 2, 3]), list("abcd")), made(Plain).float()
    expected = explain(net, x, labels=[0, 1, 2, 3], classes=list("abcd"), normalisation=norm)
    net.normalisation = norm
    for found in (explain(net, images), explain(net, pictures, [0, 1, 2, 3], classes=list("abcd")),
                  explain(net, torch.tensor(pictures).permute(0, 3, 1, 2), [0, 1, 2, 3], normalisation=norm, classes=list("abcd"))):
        assert torch.equal(found.raw[found.layers[0]], expected.raw[expected.layers[0]])
        assert np.allclose(found.pictures, pictures / 255, atol=1e-6) and found.classes == tuple("abcd")
        assert torch.equal(found.labels, expected.labels)
    assert np.allclose(expected.pictures, pictures / 255, atol=1e-6)
    net.classes = list("abcde")
    with pytest.raises(ValueError, match="other classes \\(4: a, b, c, …\\) than the model \\(5"):
        explain(net, images)


def test_a_function_is_a_method(plain, x):
    def mean_activation(A, G):
        return A.mean(-3).expand(*G.shape[:-3], *A.shape[-2:])
    found = explain(plain, x, layers="relu2", targets=[0], method=mean_activation)
    assert found.method == "mean_activation" and found.raw["relu2"].shape == (3, 1, 8, 8)


# figures

@pytest.fixture
def pyplot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    yield plt
    plt.close("all")


def words(figure):
    texts = figure.texts + [text for ax in figure.axes for text in (ax.title, *ax.texts)]
    return " ".join(text.get_text().replace("\n", " ") for text in texts)


def test_figures_say_layer_scale_classes_and_probabilities(explanation, pyplot):
    text = words(explanation.plot())
    assert "left (8×8)" in text and "one colour scale for each picture" in text and "red for, blue against" in text
    k = int(explanation.predicted[0])
    assert f"{'abcd'[k]} {explanation.probabilities[0, k]:.2f}" in text
    assert "own colour scale" in words(explanation.plot(layer="right", scale="image"))
    assert "right 4×4" in words(explanation.plot_layers(target="true"))
    with pytest.raises(ValueError, match="no target"):
        explanation.plot_layers(target="dog")


@pytest.mark.parametrize("grid", [(2, 5), (4, 5), (5, 5)])
def test_gallery_shapes(grid, pyplot):
    net, count = Plain(), grid[0] * grid[1] + 2
    x = torch.randn(count, 3, 8, 8)
    with torch.no_grad():
        wrong = (net(x).argmax(1) + 1) % 4
    figure = explain(net, x, wrong).plot_mistakes(grid)
    assert sum(ax.axison for ax in figure.axes) == 3 * grid[0] * grid[1]


def test_gallery_shows_only_mistakes(pyplot):
    net = Plain()
    with torch.no_grad():
        labels = net(good).argmax(1)
    with pytest.raises(ValueError, match="no mistake"):
        explain(net, good, labels).plot_mistakes()
    labels[1] = (labels[1] + 1) % 4
    found = explain(net, good, labels)
    assert found.mistakes().tolist() == [1] and sum(ax.axison for ax in found.plot_mistakes().axes) == 3
    with pytest.raises(ValueError, match="need labels"):
        explain(net, good, targets=[0]).plot_mistakes()


def test_missing_evidence_is_written(pyplot):
    net = Plain()
    net.head.weight.data[0] = -1
    assert "no positive evidence" in words(explain(net, good, targets=[0]).plot())


def test_notebook_view_and_file(explanation, pyplot, tmp_path):
    page = explanation._repr_html_()
    assert "data:image/png;base64," in page and "gradcam" in page and not pyplot.get_fignums()
    assert explanation.save(tmp_path / "why.png").read_bytes().startswith(b"\x89PNG") and not pyplot.get_fignums()
    explanation.classes = ("<script>", "b", "c", "d")
    assert "<script>" not in explanation._repr_html_()


def test_sensitivities_are_drawn_with_both_signs(plain, x, pyplot):
    found = explain(plain, x, targets=[0], method="gradient", classes=list("abcd"))
    assert found.layers == ["input"] and found.signed and found.raw["input"].shape == (3, 1, 8, 8)
    assert found.colours["input"].shape == (3, 1, 3, 8, 8) and found.maps().min() < 0 < found.maps().max()
    assert "red: a higher value raises the score" in words(found.plot()) and "gradient at input" in words(found.plot())
    assert not explain(plain, x, targets=[0]).signed and not explain(plain, x, targets=[0]).colours


def test_methods_side_by_side(plain, x, pyplot):
    from cifar_cam.gradcam import compare_methods, plot_methods
    found = compare_methods(plain, x, layers=["relu1", "relu2"], names=["Grad-CAM", "occlusion", "gradient"], classes=list("abcd"))
    assert list(found) == ["gradcam", "occlusion", "gradient"] and found["gradcam"].layers == ["relu1", "relu2"]
    figure = plot_methods(found, count=2)
    assert sum(ax.axison for ax in figure.axes) == 2 * (1 + 2 + 1 + 1)  # picture, Grad-CAM twice, the others once
    text = words(figure)
    assert all(word in text for word in ("gradcam", "occlusion", "relu1", "relu2", "own colour scale", "gradient: red raises"))


def test_to_frame(explanation, monkeypatch):
    class Pandas:
        DataFrame = staticmethod(lambda rows: ("frame", rows))
    monkeypatch.setitem(sys.modules, "pandas", Pandas)
    assert explanation.to_frame() == ("frame", explanation.rows())
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        explanation.to_frame()


def test_a_real_frame(explanation):
    pytest.importorskip("pandas")
    assert list(explanation.to_frame().columns) == list(explanation.rows()[0])
