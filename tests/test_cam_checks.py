"Checks of explanations: oracles written as loops, peers, chance, determinism, an untouched model, what is refused."
import copy
import json
import random
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from cifar_cam import cam_checks as checks
from cifar_cam.cam_checks import agreement, attribution, baselines, leaderboard, rank_correlation, sanity_check
from cifar_cam.cam_methods import PatchNet, input_methods, methods
from cifar_cam.data import Images, Normalisation
from cifar_cam.evaluate import wilson
from cifar_cam.gradcam import explain

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore:coarse")


# networks and pictures

class Small(nn.Module):
    "Stem, batch normalisation, second stage, dropout, mean, linear; a layer that is never called, a weight of its own."
    def __init__(self, channels=3, classes=4):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.stage = nn.Sequential(nn.Conv2d(6, 8, 3, padding=1, stride=2), nn.ReLU())
        self.dropout, self.head, self.unused = nn.Dropout(0.5), nn.Linear(8, classes), nn.Conv2d(3, 3, 1)
        self.scale = nn.Parameter(torch.linspace(1, 2, classes))

    def forward(self, x):
        return self.scale * self.head(self.dropout(self.stage(self.stem(x)).mean((2, 3))))


def small(seed=0, **options):
    torch.manual_seed(seed)
    net = Small(**options)
    net.stem[1].running_mean.normal_(0, 0.3)
    net.stem[1].running_var.uniform_(0.5, 2)
    net.head.weight.data *= 6
    return net


def patch_images(count, seed=0):
    "Grey noise with one red or blue patch of 8×8, not aligned with the network's grid."
    generator = np.random.default_rng(seed)
    pictures = generator.uniform(0.45, 0.65, (count, 32, 32, 1)) * np.ones(3)
    masks, labels = np.zeros((count, 32, 32), bool), generator.integers(0, 2, count)
    for k, (top, left) in enumerate(generator.integers(0, 25, (count, 2))):
        masks[k, top:top + 8, left:left + 8] = True
        pictures[k, masks[k]] = [(0.9, 0.15, 0.1), (0.1, 0.2, 0.9)][labels[k]]
    return Images((255 * pictures).round().astype(np.uint8), labels, ("red", "blue"), masks, name="patches")


def patch_net():
    net = PatchNet()
    net.head.weight.data *= 2
    net.classes, net.normalisation = ("red", "blue"), Normalisation((0, 0, 0), (1, 1, 1), "none")
    return net


@pytest.fixture
def net():
    return small()


@pytest.fixture
def x():
    return torch.randn(5, 3, 12, 16, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def maps():
    "As large as the pictures and without ties, which are broken at random."
    return torch.randn(5, 12, 16, generator=torch.Generator().manual_seed(4))


targets = torch.tensor([0, 1, 2, 3, 1])


def probability(net, picture, k):
    "The plain way: one image, evaluation mode."
    with torch.no_grad():
        return float(copy.deepcopy(net).eval()(picture[None]).double().softmax(1)[0, k])


# deletion, insertion, drop and increase against literal loops

def looped_curve(net, picture, other, k, map, steps):
    "Replace pixels one by one, strongest first, and look at the probability after each step."
    height, width = map.shape
    order = sorted(((float(map[i, j]), i, j) for i in range(height) for j in range(width)), reverse=True)
    now, values, done = picture.clone(), [probability(net, picture, k)], 0
    for step in range(1, steps + 1):
        while done < round(step / steps * height * width):
            _, i, j = order[done]
            now[:, i, j] = other[:, i, j]
            done += 1
        values.append(probability(net, now, k))
    return values, sum((a + b) / 2 / steps for a, b in zip(values, values[1:]))


@pytest.mark.parametrize("steps", [1, 7, 16])
def test_deletion_and_insertion_equal_a_loop(net, x, maps, steps):
    large = checks.enlarged(maps, (12, 16))
    mean = x.mean((2, 3), keepdim=True).expand_as(x)
    gone = checks.deletion(net, x, targets, maps, steps)
    back = checks.insertion(net, x, targets, maps, steps, replacement="mean")
    for k in range(5):
        for found, start, end in ((gone, x, mean), (back, mean, x)):
            values, area = looped_curve(net, start[k], end[k], int(targets[k]), large[k], steps)
            assert np.abs(found.values[k] - values).max() < 1e-6
            assert abs(found.area[k] - area) < 1e-6


def test_insertion_is_deletion_walked_backwards(net, x, maps):
    back = checks.insertion(net, x, targets, maps, 8, replacement=0.0)
    gone = checks.deletion(net, x, targets, -maps, 8, replacement=0.0)
    assert np.abs(back.values - gone.values[:, ::-1]).max() < 1e-6


def test_blur_equals_a_loop():
    x = torch.randn(1, 2, 5, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = x.clone()
    for axis, n in ((2, 5), (3, 8)):
        source = expected.clone()
        for place in range(n):
            weights = {j: np.exp(-((place - j) / (n / 8)) ** 2 / 2) for j in range(-n, 2 * n)}
            parts = [w * source.select(axis, min(max(j, 0), n - 1)) for j, w in weights.items()]
            expected.select(axis, place).copy_(sum(parts) / sum(weights.values()))
    assert (checks.replaced(x, "blur") - expected).abs().max() < 1e-12


def test_drop_and_increase_equal_a_loop(net, x, maps):
    drop, increase = checks.drop_increase(net, x, targets, maps)
    large = checks.enlarged(maps, (12, 16)).clamp(min=0)
    for k in range(5):
        light = large[k] / large[k].max()
        mixed = light * x[k] + (1 - light) * x[k].mean((1, 2), keepdim=True)
        before, after = probability(net, x[k], int(targets[k])), probability(net, mixed, int(targets[k]))
        assert drop[k] == pytest.approx(max(0, (before - after) / before), abs=1e-6)
        assert increase[k] == (after > before)


def test_a_map_of_everything_games_drop(net, x):
    drop, increase = checks.drop_increase(net, x, targets, torch.ones(5, 12, 16))
    assert (drop == 0).all() and (increase == 0).all()


def test_a_map_without_evidence_shows_nothing(net, x):
    assert (checks.displayed(-torch.ones(5, 2, 2), (12, 16)) == 0).all()
    before, blank = (checks.class_probability(net, v, targets) for v in (x, checks.replaced(x)))
    drop, _ = checks.drop_increase(net, x, targets, -torch.ones(5, 2, 2))
    assert np.abs(drop - ((before - blank) / before).clamp(min=0).numpy()).max() < 1e-9


def test_only_the_order_counts(net, x, maps):
    for transformed in (3 * maps + 1, maps.double().exp()):
        assert (checks.removal_ranks(maps) == checks.removal_ranks(transformed)).all()
    assert (checks.deletion(net, x, targets, maps).values == checks.deletion(net, x, targets, 2 * maps).values).all()


def test_ties_are_broken_at_random_and_by_the_seed():
    flat = torch.zeros(400, 4, 4)
    ranks = checks.removal_ranks(flat)
    assert (ranks.flatten(1).sort(1).values == torch.arange(16)).all()
    assert (ranks.double().mean(0) - 7.5).abs().max() < 1.2  # standard error 0.23
    assert (ranks == checks.removal_ranks(flat)).all() and (ranks != checks.removal_ranks(flat, seed=1)).any()
    half = torch.zeros(50, 4, 4)
    half[:, 2:] = 1
    assert (checks.removal_ranks(half)[:, 2:] < 8).all()


# ROAD

def dense(picture, missing):
    "Solve the linear system of one picture (C,H,W) as it is written."
    channels, height, width = picture.shape
    unknown = {place: n for n, place in enumerate(zip(*np.nonzero(missing.numpy())))}
    matrix, right = np.zeros((len(unknown),) * 2), np.zeros((len(unknown), channels))
    for (i, j), row in unknown.items():
        for di in (-1, 0, 1):
            for dj in (-1, 0, 1):
                a, b, weight = i + di, j + dj, 1 / 12 if di and dj else 1 / 6
                if (di, dj) == (0, 0) or not (0 <= a < height and 0 <= b < width):
                    continue
                matrix[row, row] += weight
                if (a, b) in unknown:
                    matrix[row, unknown[a, b]] -= weight
                else:
                    right[row] += weight * picture[:, a, b].numpy()
    filled = picture.clone()
    for (i, j), values in zip(unknown, np.linalg.solve(matrix, right)):
        filled[:, i, j] = torch.tensor(values)
    return filled


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.97])
def test_imputation_equals_a_dense_solve(share):
    generator = torch.Generator().manual_seed(int(100 * share))
    x = torch.randn(4, 3, 6, 7, generator=generator, dtype=torch.float64)
    missing = torch.rand(4, 6, 7, generator=generator) < share
    missing[:, 2, 3] = False
    missing[0] = False
    found = checks.impute(x, missing, noise=0, tolerance=1e-10)
    for k in range(4):
        assert (found[k] - (dense(x[k], missing[k]) if missing[k].any() else x[k])).abs().max() < 1e-7


def test_imputation_in_single_precision_is_below_its_noise():
    x = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    missing = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(2)) < 0.9
    exact = checks.impute(x.double(), missing, noise=0, tolerance=1e-10)
    assert (checks.impute(x, missing, noise=0) - exact).abs().max() < 0.01
    noisy = checks.impute(x, missing, noise=0.05)
    assert (noisy - exact)[missing[:, None].expand_as(x)].std() == pytest.approx(0.05, rel=0.1)
    assert (noisy == checks.impute(x, missing, noise=0.05)).all()
    assert (noisy != checks.impute(x, missing, noise=0.05, seed=1)).any()
    assert (noisy == x)[(~missing)[:, None].expand_as(x)].all()


def test_a_constant_picture_is_restored():
    x = torch.full((1, 3, 8, 8), 0.3)
    missing = torch.ones(1, 8, 8, dtype=torch.bool)
    missing[0, 0, 0] = False
    assert (checks.impute(x, missing, noise=0) - x).abs().max() < 1e-4


def test_imputation_equals_that_of_the_package_grad_cam():
    road = pytest.importorskip("pytorch_grad_cam.metrics.road")
    x = torch.randn(1, 3, 9, 9, generator=torch.Generator().manual_seed(5))
    inner, border, scattered = (torch.zeros(1, 9, 9, dtype=torch.bool) for _ in range(3))
    inner[:, 2:7, 3:6], border[:, 3:5, 0], border[:, 0, 8] = True, True, True
    scattered[:] = torch.rand(1, 9, 9, generator=torch.Generator().manual_seed(6)) < 0.7
    for missing in (inner, border, scattered):
        theirs = road.NoisyLinearImputer(noise=0)(x[0], (~missing[0]).float())
        assert (checks.impute(x, missing, noise=0, tolerance=1e-6)[0] - theirs).abs().max() < 1e-5


def test_road_equals_a_loop(net, x, maps):
    found = checks.road(net, x, targets, maps, fractions=(0.2, 0.6), noise=0)
    large = checks.enlarged(maps, (12, 16))
    for k in range(5):
        score = 0
        for f in (0.2, 0.6):
            order, count = large[k].flatten().argsort(), round(f * 192)
            for sign, chosen in ((1, order[:count]), (-1, order[-count:])):
                missing = torch.zeros(192, dtype=torch.bool)
                missing[chosen] = True
                filled = dense(x[k].double(), missing.view(12, 16)).float()
                score += sign * probability(net, filled, int(targets[k])) / 2
        assert found["score"][k] == pytest.approx(score, abs=2e-3)


def test_road_of_the_opposite_map_is_the_opposite(net, x, maps):
    one, other = (checks.road(net, x, targets, m, noise=0)["score"] for m in (maps, -maps))
    assert np.abs(one + other).max() < 1e-6


def test_road_of_chance_is_zero():
    images, net = patch_images(40), patch_net()
    x, ids = torch.tensor(images.images / 255).permute(0, 3, 1, 2).float(), torch.tensor(images.labels)
    score = lambda method: checks.road(net, x, ids, attribution(net, x, ids, method), fractions=(0.1, 0.3, 0.6))["score"]
    for method in baselines()[:2]:
        _, low, high = checks.mean_interval(score(method), 0.999)
        assert low <= 0 <= high
    assert checks.mean_interval(score("gradcam"))[1] > 0.1


# localisation

def test_scores_on_masks_equal_loops():
    generator = torch.Generator().manual_seed(6)
    maps = torch.randn(6, 5, 7, generator=generator).round(decimals=1)
    masks = (torch.rand(6, 5, 7, generator=generator) < 0.3).numpy()
    masks[:, 0, 0] = True
    maps = maps + torch.arange(35).view(5, 7) * 1e-3  # no ties
    for map, mask, point, overlap, energy in zip(maps, masks, checks.pointing_game(maps, masks),
                                                 checks.mask_overlap(maps, masks), checks.energy_inside(maps, masks)):
        places = sorted(((float(map[i, j]), i, j) for i in range(5) for j in range(7)), reverse=True)
        assert point == mask[places[0][1:]]
        chosen, truth = {p[1:] for p in places[:mask.sum()]}, set(zip(*np.nonzero(mask)))
        assert overlap == pytest.approx(len(chosen & truth) / len(chosen | truth))
        total = sum(max(v, 0) for v, *_ in places)
        assert energy == pytest.approx(sum(max(v, 0) for v, i, j in places if mask[i, j]) / total)


def test_a_perfect_map_scores_one_and_a_constant_one_scores_chance():
    masks = patch_images(20).masks
    perfect, flat = torch.tensor(masks).float(), torch.ones(20, 32, 32)
    share = masks.mean((1, 2))
    for score, chance in ((checks.pointing_game, share), (checks.mask_overlap, share / (2 - share)),
                          (checks.energy_inside, share)):
        assert np.allclose(score(perfect, masks), 1) and np.allclose(score(flat, masks), chance)


def test_random_maps_score_chance():
    images = patch_images(1500, seed=1)
    maps, share = torch.rand(1500, 32, 32, generator=torch.Generator().manual_seed(0)), images.masks.mean()
    _, low, high = checks.mean_interval(checks.pointing_game(maps, images.masks), 0.999, hits=True)
    assert low <= share <= high
    assert checks.mask_overlap(maps, images.masks).mean() == pytest.approx(share / (2 - share), abs=0.003)
    assert checks.energy_inside(maps, images.masks).mean() == pytest.approx(share, abs=0.003)


@pytest.mark.parametrize("method", methods())
def test_methods_find_planted_evidence(method):
    "CAMs point at the patch in every picture; only deconvnet, which forgets which ReLUs were open, is blind for it."
    images, net = patch_images(24), patch_net()
    x, ids = torch.tensor(images.images / 255).permute(0, 3, 1, 2).float(), torch.tensor(images.labels)
    maps = attribution(net, x, ids, method, "features")
    hits, overlap = checks.pointing_game(maps, images.masks), checks.mask_overlap(maps, images.masks)
    chance = max(checks.mask_overlap(attribution(net, x, ids, b), images.masks).mean() for b in baselines())
    if method == "deconvnet":
        assert np.allclose(hits, images.masks.mean())
    else:
        assert overlap.mean() > 3 * chance
    if method == "occlusion" or method not in (*input_methods, "guided-gradcam"):
        assert (hits == 1).all()


# means and correlations

def test_intervals():
    assert checks.mean_interval([1] * 30 + [0] * 10, hits=True) == (0.75, *wilson(30, 40))
    generator, covered = np.random.default_rng(0), 0
    for trial in range(200):
        _, low, high = checks.mean_interval(generator.exponential(1, 60), seed=trial, draws=300)
        covered += low <= 1 <= high
    assert 170 <= covered <= 199
    values = generator.normal(size=50)
    one, same, other = (checks.mean_interval(values, seed=seed) for seed in (3, 3, 4))
    assert one == same != other


def test_rank_correlation_equals_scipy():
    stats = pytest.importorskip("scipy.stats")
    generator = torch.Generator().manual_seed(7)
    a, b = torch.randn(30, 6, 5, generator=generator), torch.randn(30, 6, 5, generator=generator)
    a[10:], b[20:] = a[10:].round(), (2 * b[20:]).round().clamp(-1, 1)  # few and many ties
    expected = [stats.spearmanr(p.flatten(), q.flatten())[0] for p, q in zip(a, b)]
    assert np.abs(rank_correlation(a, b) - expected).max() < 1e-12
    assert (checks.ranks_of(b.flatten(1)).numpy() == np.stack([stats.rankdata(v.flatten()) - 1 for v in b])).all()


def test_structural_similarity_equals_a_loop():
    generator = torch.Generator().manual_seed(8)
    a, b = torch.rand(2, 9, 10, generator=generator), torch.rand(2, 9, 10, generator=generator)
    for p, q, found in zip(a.double().numpy(), b.double().numpy(), checks.structural_similarity(a, b)):
        values = []
        for i in range(3):
            for j in range(4):
                u, v = p[i:i + 7, j:j + 7].ravel(), q[i:i + 7, j:j + 7].ravel()
                (vu, uv), (_, vv) = np.cov(u, v)
                values.append((2 * u.mean() * v.mean() + 1e-4) * (2 * uv + 9e-4)
                              / ((u.mean()**2 + v.mean()**2 + 1e-4) * (vu + vv + 9e-4)))
        assert found == pytest.approx(np.mean(values), abs=1e-12)


# sanity

def test_groups_go_from_the_head_to_the_stem(net, x):
    groups = checks.layer_groups(net, x)
    assert list(groups) == ["(model)", "head", "stage", "stem"]
    assert groups["stem"] == ["stem.1", "stem.0"] and "unused" not in str(groups)


def test_cascade_draws_more_and_more_anew(net, x):
    before = {name: value.clone() for name, value in net.state_dict().items()}
    expected, changed = set(), {"(model)": {"scale"}, "head": {"head.weight", "head.bias"},
                                "stage": {"stage.0.weight", "stage.0.bias"},
                                "stem": {"stem.0.weight", "stem.0.bias", "stem.1.running_mean", "stem.1.running_var"}}
    for group, twin in checks.randomised(net, x):
        expected |= changed[group]
        found = {name for name, value in twin.state_dict().items() if not torch.equal(value, before[name])}
        assert found == expected
    for group, twin in checks.randomised(net, x, independent=True):
        found = {name for name, value in twin.state_dict().items() if not torch.equal(value, before[name])}
        assert found == changed[group]
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_cascade_is_decided_by_its_seed(net, x):
    def weights(seed):
        return [twin.stem[0].weight.clone() for _, twin in checks.randomised(net, x, seed=seed)][-1]
    assert torch.equal(weights(0), weights(0)) and not torch.equal(weights(0), weights(1))


def test_a_shared_layer_is_drawn_once_and_stays_shared(x):
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.twice, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 3)
            self.again = self.twice

        def forward(self, x):
            return self.head(self.again(self.twice(self.stem(x)).relu()).mean((2, 3)))
    twins = [copy.deepcopy(twin) for _, twin in checks.randomised(Shared(), x)]
    assert len(twins) == 3 and all(twin.again is twin.twice for twin in twins)


def test_gradcam_does_not_fail_and_a_method_that_ignores_the_network_does(net, x):
    passing = sanity_check(net, x, "gradcam", layers="stage", draws=8)
    assert passing.score < 0.4 and passing.correlation.shape == (8, 4, 5)  # the weights of this network were never more than chance
    own = [lambda model, x, targets: torch.ones(len(x), 1, 1), lambda model, x, targets: x.mean(1)]
    for method in [*baselines(), *own]:
        failing = sanity_check(net, x, method, draws=1)
        assert failing.score == 1 and failing.verdict == "fails" and np.allclose(failing.similarity, 1)


def test_a_map_that_vanishes_is_no_longer_alike(net, x):
    def only_as_trained(model, x, targets):
        return torch.rand(len(x), 4, 4) if model is net else torch.zeros(len(x), 4, 4)
    found = sanity_check(net, x, only_as_trained, draws=1)
    assert not found.correlation.any() and found.score == pytest.approx(-found.chance.mean() / (1 - found.chance.mean())) and found.verdict == "passes"


def test_a_coin_for_the_sign_does_not_pass(net, x):
    signs = iter(np.resize([1, -1], 99))

    def tossed(model, x, targets):
        maps = torch.linspace(0, 1, 64).view(1, 8, 8).repeat(len(x), 1, 1)
        return maps if model is net else maps * int(next(signs))
    found = sanity_check(net, x, tossed, draws=2)
    assert abs(found.correlation.mean()) < 0.3 and found.score == pytest.approx(1) and found.verdict == "fails"


def test_unrelated_maps_have_nothing_left(net, x):
    def drawn(model, x, targets):
        coarse = torch.rand(len(x), 4, 4)
        return torch.nn.functional.interpolate(coarse[:, None], (32, 32), mode="bilinear")[:, 0]
    torch.manual_seed(0)
    found = sanity_check(net, x, drawn, draws=8)
    assert abs(found.score) < 0.06 < np.abs(found.correlation).mean()  # smooth maps are alike by chance; above that nothing is


@pytest.mark.parametrize("size", [(2, 2), (2, 5), (3, 3), (4, 4), (8, 8)])
def test_what_is_left_of_unrelated_maps_is_nothing_at_any_size(size):
    a, b = torch.rand(2, 400, *size, generator=torch.Generator().manual_seed(0))
    left = checks.above_chance(rank_correlation(a, b), checks.chance_likeness(a))
    assert abs(left.mean()) < 0.06
    half = b.clone()
    half[::2] = a[::2]
    assert checks.above_chance(rank_correlation(a, half), checks.chance_likeness(a)).mean() == pytest.approx(0.5, abs=0.06)


def test_chance_is_the_mean_over_all_moves_of_a_small_map():
    maps = torch.rand(3, 3, 5, generator=torch.Generator().manual_seed(1))
    moves = [(a, b) for a in range(3) for b in range(5)][1:]
    expected = np.mean([np.abs(rank_correlation(maps, maps.roll(move, (1, 2)))) for move in moves], 0)
    assert np.allclose(checks.chance_likeness(maps), expected)


def test_sanity_check_equals_its_parts(net, x):
    found = sanity_check(net, x, "layercam", layers="stage", draws=2, seed=5)
    ids = explain(net, x, targets=["predicted"], layers="stage").predicted
    original = attribution(net, x, ids, "layercam", "stage")
    for draw in range(2):
        for k, (group, twin) in enumerate(checks.randomised(net, x, seed=5 + draw)):
            assert group == found.groups[k]
            now = attribution(twin, x, ids, "layercam", "stage")
            assert (found.correlation[draw, k] == rank_correlation(original, now)).all()
    assert (found.chance == checks.chance_likeness(original)).all()
    left = (np.abs(found.correlation) - found.chance.mean()) / (1 - found.chance.mean())
    assert np.allclose(found.left, left) and found.score == pytest.approx(left.mean())
    assert found.rows()[0]["left"] == pytest.approx(left[:, 0].mean())
    assert found.rows()[0]["rank correlation"] == pytest.approx(found.correlation[:, 0].mean())


# agreement and leaderboard

def test_agreement_is_symmetric(net, x):
    found = agreement(net, x, ["gradcam", "hirescam", baselines()[0]], layers="stage")
    assert np.allclose(found.matrix, found.matrix.T) and np.allclose(found.matrix.diagonal(), 1)
    assert found.matrix[0, 1] > 0.9999  # a mean and a linear layer follow: identical by formula
    assert json.loads(json.dumps(found.to_dict()))["images"] == 5
    assert found._repr_html_().count("data:image/png") == 1
    with pytest.raises(ValueError, match="at least two"):
        agreement(net, x, ["gradcam"])


def table(*arguments, **options):
    return leaderboard(*arguments, **{"steps": 3, "sanity_images": 2, **options})


def without_cost(board):
    found = board.to_dict()
    for row in found["rows"]:
        row.pop("cost")
    return found


def test_leaderboard_holds_what_the_scores_say():
    images, net = patch_images(12), patch_net()
    board = table(net, images, ["gradcam"], layers="features")
    x, ids = torch.tensor(images.images / 255).permute(0, 3, 1, 2).float(), torch.tensor(images.labels)
    maps = attribution(net, x, ids, "gradcam", "features")
    values = board.values["gradcam"]
    assert (values["pointing"] == checks.pointing_game(maps, images.masks)).all()
    assert np.abs(values["deletion"] - checks.deletion(net, x, ids, maps, 3).area).max() < 1e-9
    assert np.abs(values["road"] - checks.road(net, x, ids, maps)["score"]).max() < 1e-9
    assert board.order[0] == "gradcam" and board.mean_rank("gradcam") == 1
    won = [score for score in board.columns if checks.scores[score].decides and board.beats_baselines("gradcam", score)]
    assert won == ["pointing", "overlap", "deletion", "insertion", "road"]
    assert not any(board.beats_baselines(b, "pointing") for b in board.ignored)


def test_ranks_by_hand():
    values = {"a": {"deletion": np.array(3 * [0.1, 0.3]), "insertion": np.array(3 * [0.5, 0.5])},
              "b": {"deletion": np.array(3 * [0.4, 0.4]), "insertion": np.array(3 * [0.5, 0.5])},
              "c": {"deletion": np.array(3 * [0.2, 0.2]), "insertion": np.array(3 * [0.9, 0.7])}}
    board = checks.Leaderboard(values, ("b",), dict(seed=0, images=6, target="predicted"), [])
    assert [board.mean_rank(name) for name in "abc"] == [(1.5 + 2.5) / 2, (3 + 2.5) / 2, (1.5 + 1) / 2]
    assert board.order == ["c", "a", "b"] and board.beats_baselines("c", "insertion")
    assert not board.beats_baselines("a", "insertion")


def test_leaderboard_is_decided_by_its_seed(net, x):
    one, same, other = (without_cost(table(net, x, ["gradcam"], layers="stage", seed=s)) for s in (0, 0, 1))
    assert one == same != other


def test_leaderboard_in_any_mode_and_any_form(x):
    "Training or evaluation mode, frozen, wrapped, in parts, bytes or floats: the same table."
    images, net = patch_images(6), patch_net()
    expected = without_cost(table(net.eval(), images, ["gradcam"], layers="features"))
    floats = torch.tensor(images.images / 255).permute(0, 3, 1, 2).float()
    for found in (table(net.train(), images, ["gradcam"], layers="features"),
                  table(nn.DataParallel(patch_net()), images, ["gradcam"], layers="features"),
                  table(net.requires_grad_(False), images.images, "gradcam", layers="features", masks=images.masks),
                  table(net, floats, ["gradcam"], layers="features", labels=images.labels, masks=images.masks)):
        assert without_cost(found)["rows"] == expected["rows"]
    found = without_cost(table(net, images, ["gradcam"], layers="features", batch_size=4))["rows"]
    assert [row["road"] for row in found] == pytest.approx([row["road"] for row in expected["rows"]], abs=1e-5)


def test_every_method_gets_a_row_or_a_reason(net, x):
    board = table(net, x[:2], layers="stage", steps=1, sanity_images=1)
    told = [note.split(" ")[0] for note in board.notes]
    assert set(methods()) == (set(board.order) - set(board.ignored)) | (set(told) & set(methods()))
    assert "gradcam" in board.order and "gradient" in board.order


def test_several_layers_and_own_methods(net, x):
    def own(model, x, targets):
        return x.abs().sum(1)
    board = table(net, x[:3], ["gradcam", own], layers=["stem", "stage"])
    assert set(board.values) - set(board.ignored) == {"gradcam stem", "gradcam stage", "own"}


def test_the_table_in_all_its_forms(net, x):
    def script(model, x, targets):
        return x[:, 0]
    script.__name__ = "<script>|"
    board = table(net, x, [script, "gradcam"], layers="stage")
    json.dumps(board.to_dict())
    assert "<script>" not in board._repr_html_() and "&lt;script&gt;" in board._repr_html_()
    lines = [line for line in board.to_markdown().splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 5 and len({line.replace("\\|", "").count("|") for line in lines}) == 1
    assert {"rows", "columns", "settings", "notes"} == board.to_dict().keys()
    for column in board.columns:
        assert {"better", "says", "misleads"} == board.to_dict()["columns"][column].keys()


def test_figures(net, x):
    import matplotlib.pyplot as plt
    board = table(net, x, ["gradcam"], layers="stage")
    assert len(board.plot().axes) == len(board.columns)
    check = sanity_check(net, x, layers="stage", draws=1)
    figure = check.plot(count=2)
    assert len(figure.axes) == 2 * (2 + len(check.groups)) + 1
    boxes = [ax.get_position() for ax in figure.axes]
    assert all(0 <= box.y0 < box.y1 <= 1 for box in boxes) and boxes[-1].y1 < min(box.y0 for box in boxes[:-1])
    assert check._repr_html_().count("data:image/png") == 1
    assert len(checks.plot_sanity([check, check]).lines) == 3
    plt.close("all")


# nothing is changed

def state(net):
    return ({name: value.clone() for name, value in net.state_dict().items()}, [m.training for m in net.modules()],
            [(p.requires_grad, None if p.grad is None else p.grad.clone()) for p in net.parameters()],
            [(id(m), len(m._forward_hooks), len(m._backward_hooks)) for m in net.modules()],
            torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())


def same(a, b):
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(p, q) for p, q in zip(a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, np.ndarray) or torch.is_tensor(a):
        return bool(np.array_equal(a, b))
    return a == b


def broken(model, x, targets):
    torch.rand(3)
    raise RuntimeError("broken on purpose")


@pytest.mark.parametrize("work", [
    lambda net, x: leaderboard(net, x, ["gradcam", "gradient"], layers="stage", steps=2, sanity_images=2),
    lambda net, x: sanity_check(net, x, "guided-backprop", draws=1),
    lambda net, x: agreement(net, x, ["gradcam", "gradcam++"], layers="stage"),
    lambda net, x: list(checks.randomised(net, x)),
    lambda net, x: leaderboard(net, x, [broken], layers="stage"),
    lambda net, x: sanity_check(net, x, broken)],
    ids=["leaderboard", "sanity", "agreement", "randomised", "broken", "broken sanity"])
def test_model_data_and_random_state_stay_as_they_were(net, x, work):
    net.train()
    net.stage.eval()
    net.stem[0].requires_grad_(False)
    net.head.weight.grad = torch.ones_like(net.head.weight)
    before, copied = state(net), x.clone()
    try:
        work(net, x)
    except RuntimeError as error:
        assert "on purpose" in str(error)
        torch.set_rng_state(before[4])  # the method drew this number itself
    assert same(state(net), before) and torch.equal(x, copied)


# bad input

def test_what_is_refused(net, x, maps):
    for message, work in {
            "one class is judged": lambda: leaderboard(net, x, target=(0, 1)),
            "needs labels": lambda: leaderboard(net, x, ["gradcam"], target="true"),
            "choose one of": lambda: leaderboard(net, x, ["gradcan"], layers="stage"),
            "no method": lambda: leaderboard(net, x, [], layers="stage"),
            "masks must be truth values": lambda: table(net, x, "gradcam", layers="stage", masks=np.ones((5, 12, 16))),
            "masks are empty": lambda: table(net, x, "gradcam", layers="stage", masks=np.zeros((5, 12, 16), bool)),
            "finite numbers": lambda: table(net, x, [lambda model, x, targets: x], layers="stage"),
            "unknown replacement": lambda: checks.deletion(net, x, targets, maps, replacement="black"),
            "whole number": lambda: checks.deletion(net, x, targets, maps, steps=0),
            "below 1": lambda: checks.road(net, x, targets, maps, fractions=[0.5, 1]),
            "nothing to fill in": lambda: checks.impute(x, torch.ones(5, 12, 16, dtype=torch.bool)),
            "truth values of shape": lambda: checks.impute(x, torch.zeros(12, 16, dtype=torch.bool)),
            "enlarge both": lambda: rank_correlation(maps, maps[:, :2]),
            "at least 7 pixels": lambda: checks.structural_similarity(maps[:, :3], maps[:, :3]),
            "nothing to randomise": lambda: checks.layer_groups(nn.Flatten(), x),
            "same groups": lambda: checks.plot_sanity([]),
            "NaN": lambda: leaderboard(net, x * float("nan"), ["gradcam"]),
            "did you mean": lambda: sanity_check(net, x, layers="stag"),
            "at least one finite": lambda: checks.mean_interval([])}.items():
        with pytest.raises(ValueError, match=message):
            work()


def test_a_model_that_cannot_be_copied_is_named(net, x):
    net.kept = (net.head.weight * 2)
    with pytest.raises(ValueError, match="cannot be copied"):
        sanity_check(net, x, layers="stage")


def test_without_masks_two_columns_are_left_out_and_said(net, x):
    board = table(net, x, ["gradcam"], layers="stage", sanity_images=0)
    assert board.columns == ["deletion", "insertion", "road", "drop", "increase", "cost"]
    assert "pointing and overlap were left out" in board.notes[0] and "left out" in board._repr_html_()


def test_one_image_and_one_colour():
    "A single grey picture, not square, is enough; SSIM takes a smaller window."
    net, x = small(channels=1), torch.randn(1, 1, 10, 14)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        board = table(net, x, ["gradcam"], layers="stage")
        assert len(board.rows()) == 4 and sanity_check(net, x, layers="stage", draws=1).plot() is not None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu(net, x):
    expected = table(net, x, ["gradcam"], layers="stage")
    found = table(net.cuda(), x, ["gradcam"], layers="stage")
    for score in ("deletion", "insertion", "road"):
        assert np.abs(expected.values["gradcam"][score] - found.values["gradcam"][score]).max() < 1e-2
