"Every method against its paper's formula written as plain loops, and what each of them promises."
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cifar_cam.cam_methods import (ablationcam, cam_methods, deconvnet, eigencam, eigengradcam, full_gradients, fullgrad,
                                   gradcam_plus_plus, gradient, guided_backprop, guided_gradcam, input_methods, method_maps,
                                   methods, occlusion, scorecam)
from cifar_cam.capture import capture, listen, nonlinear_step, tail_logits, undisturbed
from cifar_cam.model import create_model

torch.set_num_threads(1)
functional = nn.functional


class Plain(nn.Module):
    "Convolution, ReLU, convolution, ReLU, global mean, linear: every stage can be run by hand."
    def __init__(self, channels=3, classes=4, inplace=False):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, channels, 3, padding=1), nn.Conv2d(channels, channels, 3, padding=1)
        self.relu1, self.relu2, self.head = nn.ReLU(inplace), nn.ReLU(inplace), nn.Linear(channels, classes)

    def tail(self, maps, layer="relu2"):
        maps = self.relu2(self.conv2(maps)) if layer == "relu1" else maps
        return self.head(maps.mean((-2, -1)))

    def forward(self, x):
        return self.tail(self.relu1(self.conv1(x)), "relu1")


class Normed(nn.Module):
    "BatchNorm, two branches (one used twice), dropout, biases everywhere: a ReLU net of all that is affine."
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(inplace=True))
        self.left, self.right = nn.Conv2d(5, 5, 3, padding=1), nn.Conv2d(5, 5, 1, bias=False)
        self.norm, self.dropout, self.head = nn.BatchNorm2d(5, affine=False), nn.Dropout(0.5), nn.Linear(5, 4)

    def forward(self, x):
        x = self.stem(x)
        x = torch.relu(self.left(x)) + torch.relu_(self.norm(self.right(self.left(x))))
        return self.head(self.dropout(functional.max_pool2d(x, 2).mean((-2, -1))))


def made(net, seed=0):
    "In double precision, with statistics that are not the trivial ones."
    torch.manual_seed(seed)
    net = net.double().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                nn.init.normal_(module.bias, 0, 0.3)
    return net


@pytest.fixture
def net():
    torch.manual_seed(1)
    return made(Plain())


@pytest.fixture
def x():
    return torch.randn(2, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(7))


ids = [[0, 3], [1, 2]]


def close(a, b, tolerance=1e-12):
    return a.shape == b.shape and float((a - b).detach().abs().max()) <= tolerance


def enlarged(map, size):
    return functional.interpolate(map[None, None], (size, size), mode="bilinear", align_corners=False)[0, 0]


# functions of activations and gradients

def loops(method, A, G):
    "One map from A and G (channel, height, width), in plain Python."
    C, H, W = A.shape
    M = np.zeros((H, W))
    places = [(i, j) for i in range(H) for j in range(W)]
    for k in range(C):
        total = sum(A[k][p] for p in places)
        if method == "cam":
            w = H * W * G[k][0, 0]
        elif method == "gradcam":
            w = sum(G[k][p] for p in places) / (H * W)
        elif method == "xgradcam":
            w = sum(A[k][p] * G[k][p] for p in places) / total if total else 0
        elif method == "gradcam++":
            w = 0
            for p in places:
                denominator = 2 * G[k][p]**2 + sum(A[k][q] * G[k][p]**3 for q in places)
                alpha = G[k][p]**2 / denominator if denominator else 0
                w += alpha * max(G[k][p], 0)
        for p in places:
            if method == "hirescam":
                M[p] += G[k][p] * A[k][p]
            elif method == "layercam":
                M[p] += max(G[k][p], 0) * A[k][p]
            else:
                M[p] += w * A[k][p]
    return M


def main_direction(matrix):
    "Projection on the first principal direction by power iteration, with the sign of the sum over channels."
    v, flat = np.ones(len(matrix)) + np.arange(len(matrix)) / 10, matrix.reshape(len(matrix), -1)
    for _ in range(5000):
        v = flat @ (flat.T @ v)
        v = v / np.linalg.norm(v)
    M = (v @ flat).reshape(matrix.shape[1:])
    return M if (M * matrix.sum(0)).sum() >= 0 else -M


@pytest.mark.parametrize("method", cam_methods)
@pytest.mark.parametrize("scale", [1e-4, 1.0, 30.0])
def test_equals_its_formula(method, scale):
    random = np.random.default_rng(3)
    A, G = np.maximum(random.normal(size=(4, 5, 3)), 0), scale * random.normal(size=(4, 5, 3))
    A[1], G[2] = 0, 0
    G = np.broadcast_to(G[:, :1, :1], G.shape).copy() if method == "cam" else G
    found = cam_methods[method](torch.tensor(A), torch.tensor(G)).numpy()
    if method.startswith("eigen"):
        expected = main_direction(A if method == "eigencam" else G * A)
    else:
        expected = loops(method, A, G)
    assert np.abs(found - expected).max() <= 1e-9 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("method", cam_methods)
def test_pure_and_broadcasting(method):
    A, G = torch.rand(2, 1, 4, 5, 3).double(), torch.randn(2, 3, 4, 5, 3).double()
    G = G[..., :1, :1].expand(G.shape).clone() if method == "cam" else G
    kept, function = (A.clone(), G.clone()), cam_methods[method]
    together = function(A, G)
    assert together.shape == (2, 3, 5, 3) and (A == kept[0]).all() and (G == kept[1]).all()
    assert all(close(together[i, t], function(A[i, 0], G[i, t])) for i in range(2) for t in range(3))
    assert method == "eigencam" or (function(A, 0 * G) == 0).all()


def test_gradcam_plus_plus_survives_tiny_gradients():
    A, G = torch.rand(4, 5, 5, dtype=torch.float64), torch.rand(4, 5, 5, dtype=torch.float64)
    assert torch.allclose(gradcam_plus_plus(A, 1e-200 * G) / 1e-200, gradcam_plus_plus(A, 1e-12 * G) / 1e-12, rtol=1e-9)


@pytest.mark.parametrize("shape", [(3, 8, 8), (20, 3, 3)])
@pytest.mark.parametrize("centre", [False, True])
def test_eigen_methods_by_either_gram_matrix_are_the_svds(shape, centre):
    for seed in range(10):
        A = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) ** 3
        G = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(100 + seed))
        for found, matrix in ((eigencam(A, G, centre), A), (eigengradcam(A, G, centre), G * A)):
            flat = matrix.flatten(1)
            flat = flat - flat.mean(1, keepdim=True) if centre else flat
            _, sizes, right = torch.linalg.svd(flat, full_matrices=False)
            expected = (sizes[0] * right[0]).reshape(shape[1:])
            assert close(found, expected, 1e-8) or close(found, -expected, 1e-8)
            assert (found * matrix.sum(0)).sum() >= 0


def test_eigencam_never_comes_out_inverted():
    "Elsewhere half of all pictures do: an eigenvector has no sign."
    A = torch.rand(64, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    maps = eigencam(A, A)
    assert (maps >= -1e-5).all() and ((maps - maps.mean()) * (A.sum(1) - A.sum(1).mean())).mean() > 0


# forward passes

@pytest.mark.parametrize("layer", ["relu1", "relu2"])
def test_ablationcam_equals_running_the_tail_for_each_channel(net, x, layer):
    "At relu2 the tail is linear and nothing is run; at relu1 it is."
    found = ablationcam(net, x, layer, ids)
    A = capture(net, x, layer, [0, 0]).activations[layer]
    for i in range(2):
        for t in range(2):
            expected = torch.zeros(6, 6, dtype=torch.float64)
            for k in range(3):
                without = A[i].clone()
                without[k] = 0
                expected += (found.logits[i] - net.tail(without[None], layer)[0])[ids[i][t]] * A[i, k]
            assert close(found.maps[layer][i, t], expected)


def test_ablationcam_weight_is_head_weight_times_mean(net, x):
    A = capture(net, x, "relu2", [0, 0]).activations["relu2"]
    weights = net.head.weight[torch.tensor(ids)] * A.mean((-2, -1))[:, None]
    assert close(ablationcam(net, x, "relu2", ids).maps["relu2"], (weights[..., None, None] * A[:, None]).sum(2))


@pytest.mark.parametrize("kind", [lambda: create_model("resnet18", width=4), lambda: create_model("custom_resnet", width=4),
                                  lambda: Normed()])
def test_running_the_tail_alone_equals_running_everything(kind):
    "Skips, branches, in-place steps and max-pooling between the layer and the logits."
    torch.manual_seed(0)
    net, x = made(kind()), torch.randn(2, 3, 32, 32, dtype=torch.float64)
    layer = "stem" if isinstance(net, Normed) else "layer1"
    with undisturbed(net, x):
        nodes, logits, _ = listen(net, x, layer)
        A = nodes[layer].detach()
        without = tail_logits(net, x, layer, lambda k: A * (torch.arange(A.shape[1]) != k)[:, None, None],
                              torch.arange(A.shape[1]), at_once=3)
        module = net.get_submodule(layer)
        for k in range(A.shape[1]):
            handle = module.register_forward_hook(lambda m, i, o: o * (torch.arange(A.shape[1]) != k)[:, None, None])
            assert close(without[k], net(x))
            handle.remove()
    assert nonlinear_step(logits, nodes[layer])


def test_the_first_convolution_of_the_tail_is_not_repeated():
    "It is linear: once for the whole output, and for each channel alone, counted in operations."
    torch.manual_seed(0)
    net, x, operations = create_model("fast", widths=(8, 16, 16)).eval(), torch.randn(1, 3, 32, 32), []
    A = capture(net, x, "layer2", [0]).activations["layer2"]
    plain = lambda: tail_logits(net, x, "layer2", lambda k: A * (torch.arange(16) != k)[:, None, None], torch.arange(16), at_once=16)
    for work in (lambda: net(x), plain, lambda: ablationcam(net, x, "layer2", [0])):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            work()
        operations.append(counter.get_total_flops())
    convolution, sums = 2 * A.numel() * 9 * 16, 2 * 16 * 10 + 2 * A.numel()  # 16 channels in and out, 3×3; weights and map
    assert operations[2] == operations[0] + operations[1] - 16 * convolution + 2 * convolution + sums  # once whole, once in sixteen parts


class Deciding(Plain):
    "Looks at values to decide what to do, which vmap cannot follow."
    def forward(self, x):
        y = self.relu1(self.conv1(x))
        return self.tail(y if float(y.detach().sum()) > -1 else -y, "relu1")


class Shared(Plain):
    "One ReLU for both places, the same second convolution twice."
    def forward(self, x):
        y = self.relu1(self.conv1(x))
        return self.tail(self.relu1(self.conv2(self.relu1(self.conv2(y)))))


def test_tails_that_cannot_be_run_all_at_once_are_run_one_by_one(net, x):
    torch.manual_seed(1)
    deciding = made(Deciding())
    deciding.load_state_dict(net.state_dict())
    assert close(ablationcam(deciding, x, "relu1", ids).maps["relu1"], ablationcam(net, x, "relu1", ids).maps["relu1"])


def test_ablation_at_a_module_called_several_times_changes_its_last_call(x):
    torch.manual_seed(1)
    net = made(Shared())
    found, A = ablationcam(net, x, "conv2", ids), capture(net, x, "conv2", [0, 0]).activations["conv2"]
    weights = torch.stack([torch.stack([(found.logits[i] - net.tail(net.relu1(A[i] * (torch.arange(3) != k)[:, None, None])[None])[0])
                                        for k in range(3)]) for i in range(2)])
    expected = torch.stack([(weights[i][:, ids[i]].T[..., None, None] * A[i]).sum(1) for i in range(2)])
    assert close(found.maps["conv2"], expected)


def test_what_counts_as_linear():
    x = torch.randn(2, 3, 8, 8)
    def step(tail):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv, self.tail = nn.Conv2d(3, 4, 3), tail
            def forward(self, x):
                return self.tail(self.conv(x))
        net = Net().eval()
        with undisturbed(net, x):
            nodes, logits, _ = listen(net, x, "conv")
            return nonlinear_step(logits, nodes["conv"])
    end = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(4, 3)]
    assert step(nn.Sequential(*end)) == "" and step(nn.Sequential(nn.BatchNorm2d(4), nn.AvgPool2d(2), *end)) == ""
    assert step(nn.Sequential(nn.Conv2d(4, 4, 1), *end)) == ""
    assert step(nn.Sequential(nn.ReLU(), *end)) == "Relu"
    assert "MaxPool2D" in step(nn.Sequential(nn.AdaptiveMaxPool2d(1), *end[1:]))
    assert step(nn.Sequential(nn.GELU(), *end)) == "Gelu"
    class Square(nn.Module):
        def forward(self, y):
            return y * y
    assert step(nn.Sequential(Square(), *end)) in ("Mul", "Pow")


@pytest.mark.parametrize("layer", ["relu1", "relu2"])
def test_scorecam_equals_its_loop(net, x, layer):
    "One masked picture after the other; a dead channel has the empty picture."
    net.conv1.bias.data[1], net.conv1.weight.data[1] = -1, 0   # dead at relu1
    found, A = scorecam(net, x, layer, ids, at_once=3), capture(net, x, layer, [0, 0]).activations[layer]
    assert layer == "relu2" or (A[:, 1] == 0).all()
    for i in range(2):
        scores = []
        for k in range(3):
            mask = enlarged(A[i, k], 6)
            span = mask.max() - mask.min()
            mask = (mask - mask.min()) / span if span > 0 else 0 * mask
            with torch.no_grad():
                scores.append(net((x[i] * mask)[None])[0])
        for t in range(2):
            w = torch.stack([s[ids[i][t]] for s in scores]).softmax(0)
            assert close(found.maps[layer][i, t], sum(w[k] * A[i, k] for k in range(3)))


def test_scorecam_does_not_run_dead_channels(net, x):
    net.conv1.bias.data[1:], net.conv1.weight.data[1:] = -1, 0
    count = []
    handle = net.register_forward_hook(lambda m, i, o: count.append(len(o)))
    scorecam(net, x, "relu1", ids)
    handle.remove()
    assert sum(count) == 2 + 1 + 2   # the pictures, an empty one for all dead channels, one live channel each


@pytest.mark.parametrize("patch, stride, fill", [(2, 1, 0.0), (3, 2, 0.5), (6, 4, 0.0), (4, 3, -1.0)])
def test_occlusion_equals_its_loop(net, x, patch, stride, fill):
    found = occlusion(net, x, ids, patch=patch, stride=stride, fill=fill, at_once=5)
    starts = sorted({*range(0, 6 - patch, stride), 6 - patch})
    for i in range(2):
        total, often = torch.zeros(2, 6, 6, dtype=torch.float64), torch.zeros(6, 6)
        for top in starts:
            for left in starts:
                covered = x[i].clone()
                covered[:, top:top + patch, left:left + patch] = fill
                with torch.no_grad():
                    loss = (net(x[i:i + 1]) - net(covered[None]))[0][ids[i]]
                total[:, top:top + patch, left:left + patch] += loss[:, None, None]
                often[top:top + patch, left:left + patch] += 1
        assert often.min() >= 1 and close(found.maps["input"][i], total / often)


def test_several_occluding_sizes_are_averaged(net, x):
    parts = [occlusion(net, x, ids, patch=p).maps["input"] for p in (2, 5)]
    assert close(occlusion(net, x, ids, patch=(2, 5)).maps["input"], (parts[0] + parts[1]) / 2)


# on the input

def backward(net, x, k, rule):
    "d logit k / d x through Plain by hand; `rule(gradient, forward input)` is what a ReLU passes back."
    a = net.conv1(x)
    b = net.conv2(a.relu())
    g = net.head.weight[k][:, None, None].expand_as(b[0]) / b[0, 0].numel()
    g = functional.conv_transpose2d(rule(g[None], b), net.conv2.weight, padding=1)
    return functional.conv_transpose2d(rule(g, a), net.conv1.weight, padding=1)[0].detach()


rules = {gradient: lambda g, a: g * (a > 0), deconvnet: lambda g, a: g.clamp(min=0),
         guided_backprop: lambda g, a: g.clamp(min=0) * (a > 0)}


@pytest.mark.parametrize("method", rules, ids=lambda method: method.__name__)
@pytest.mark.parametrize("inplace", [False, True])
def test_backward_rules_equal_the_backward_pass_by_hand(x, method, inplace):
    torch.manual_seed(1)
    net = made(Plain(inplace=inplace))
    found = method(net, x, ids)
    for i in range(2):
        for t in range(2):
            assert close(found.colours["input"][i, t], backward(net, x[i:i + 1], ids[i][t], rules[method]))
    assert close(found.maps["input"].abs(), found.colours["input"].abs().amax(2))  # Simonyan et al.: max over colours
    signs = found.colours["input"].gather(2, found.colours["input"].abs().argmax(2, keepdim=True))[:, :, 0]
    assert (found.maps["input"] == signs).all()


def test_gradient_by_central_differences(net, x):
    g = gradient(net, x[:1], [2]).colours["input"][0, 0]
    random = np.random.default_rng(0)
    for _ in range(20):
        c, i, j = random.integers(0, 3), *random.integers(0, 6, 2)
        step = torch.zeros_like(x[:1])
        step[0, c, i, j] = 1e-6
        with torch.no_grad():
            assert float((net(x[:1] + step) - net(x[:1] - step))[0, 2] / 2e-6) == pytest.approx(float(g[c, i, j]), rel=1e-5, abs=1e-9)


def test_relu6_is_a_rectifier_too(x):
    net = made(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)))
    same = made(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)))
    same.load_state_dict(net.state_dict())
    assert close(guided_backprop(net, x, [0, 1]).colours["input"], guided_backprop(same, x, [0, 1]).colours["input"])


@pytest.mark.filterwarnings("ignore:coarse")
def test_guided_gradcam_is_the_product(net, x):
    found, guided = guided_gradcam(net, x, ["relu2", "conv1"], ids), guided_backprop(net, x, ids).colours["input"]
    A, G, _ = capture(net, x, ["relu2", "conv1"], ids)
    for layer in ("relu2", "conv1"):
        for i in range(2):
            for t in range(2):
                coarse = torch.tensor(loops("gradcam", A[layer][i].numpy(), G[layer][i, t].numpy())).clamp(min=0)
                assert close(found.colours[layer][i, t], guided[i, t] * enlarged(coarse, 6))


def test_fullgrad_equals_its_formula_on_a_plain_net(net, x):
    found, terms = fullgrad(net, x, ids), full_gradients(net, x, ids)[0]
    for i in range(2):
        for t in range(2):
            picture = x[i:i + 1].clone().requires_grad_()
            a = net.conv1(picture)
            b = net.conv2(a.relu())
            gx, ga, gb = torch.autograd.grad(net.tail(b.relu())[0, ids[i][t]], [picture, a, b])
            parts = [gx * picture, ga * net.conv1.bias[:, None, None], gb * net.conv2.bias[:, None, None]]
            assert all(close(mine[i, t], part[0]) for mine, part in zip(terms.values(), parts))
            expected = 0
            for part in parts:
                size = part[0].abs().detach()
                expected = expected + ((size - size.min()) / (size.max() - size.min())).sum(0)
            assert close(found.maps["input"][i, t], expected)


@pytest.mark.parametrize("kind", [Plain, Normed, lambda: create_model("resnet18", width=4), lambda: create_model("resnet50", width=4),
                                  lambda: create_model("custom_resnet", width=4)])
def test_full_gradients_are_complete(kind):
    "Input and bias terms add up to the logits: no bias is missed, batch-norm's hidden one included."
    torch.manual_seed(0)
    net, x = made(kind()), torch.randn(2, 3, 32, 32, dtype=torch.float64)
    terms, logits = full_gradients(net, x, ids)
    total = sum(term.flatten(2).sum(2) for term in terms.values())
    assert close(total, logits.gather(1, torch.tensor(ids)), 1e-10)
    assert len(terms) > 3 and close(logits, net(x).detach(), 0)


def test_terms_do_not_add_up_without_the_biases(net, x):
    "The test above would notice a missing term."
    terms, logits = full_gradients(net, x, ids)
    assert not close(terms["input"].flatten(2).sum(2), logits.gather(1, torch.tensor(ids)), 1e-3)


# all together

def test_sixteen_names():
    assert sorted(methods()) == sorted(
        "cam gradcam gradcam++ hirescam xgradcam layercam scorecam ablationcam eigencam eigengradcam fullgrad "
        "guided-backprop guided-gradcam deconvnet occlusion gradient".split())


@pytest.mark.parametrize("method", methods())
def test_answers_have_one_form(net, x, method):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = method_maps(net, x, None if method in input_methods else "relu2", ids, method)
    (layer, maps), = found.maps.items()
    assert layer == ("input" if method in input_methods else "relu2") and maps.shape == (2, 2, 6, 6)
    assert close(found.logits, net(x).detach(), 0) and not maps.requires_grad and not found.logits.requires_grad
    assert maps.isfinite().all() and maps.dtype == torch.float64
    assert all(c.shape == (2, 2, 3, 6, 6) for c in found.colours.values())


@pytest.mark.parametrize("method", methods())
def test_float32_agrees_with_float64(net, x, method):
    layers = None if method in input_methods else "relu2"
    exact = next(iter(method_maps(net, x, layers, ids, method).maps.values()))
    single = next(iter(method_maps(net.float(), x, layers, ids, method).maps.values()))
    assert single.dtype == torch.float32 and float((single - exact).abs().max()) <= 1e-4 * float(exact.abs().max())
