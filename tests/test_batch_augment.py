"The batched road and the one through albumentations: the same draw gives the same pixels, their own draws the same distribution."
import copy
import hashlib
import itertools
import math
import pickle
import warnings

import cv2
import numpy as np
import pytest
import torch
from scipy import stats

from cifar_cam import batch_augment
from cifar_cam.augment import (AlternatingFlip, ClippedCutout, Loader, Pipeline, Policy, alternating_flip, borders, colour_jitter,
                               crop_resize, cutout, elastic, flip_any, hflip, ops, pad_crop, random_erasing, rotate, transform, vflip)
from cifar_cam.batch_augment import (BatchLoader, BatchPipeline, bend, erase, fits, make_loader, mirrored, shifted, tint, turn, uniform,
                                     whole, zoom)
from cifar_cam.data import Images, normalisations, shapes

half = normalisations["half"]
drawn_by_code, _ = shapes(train=40, test=10)
noise = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)  # the hardest: every neighbour differs
both = np.concatenate([drawn_by_code.images, noise])
wide = np.random.default_rng(1).integers(0, 256, (20, 24, 40, 3), dtype=np.uint8)


# The numbers

many = torch.arange(400_000)


def test_numbers_are_evenly_spread():
    for seed, epoch, stream in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (2**63, 299, 7 << 32), (12345678901234567890123, 5, 3)):
        counts = np.bincount(whole(uniform(seed, epoch, many, stream), 256), minlength=256)
        assert stats.chisquare(counts).pvalue > 1e-4
        assert stats.kstest(uniform(seed, epoch, many[:5000], stream), "uniform").pvalue > 1e-4


def test_single_bits_are_even():
    "Each of the 24 bits is one half of the time."
    bits = (uniform(3, 4, many) * 2**24).long()
    ones = torch.stack([(bits >> k & 1).double().mean() for k in range(24)])
    assert (ones - 0.5).abs().max() < 4.5 * 0.5 / len(many)**0.5


@pytest.mark.parametrize("other", ["position", "far position", "epoch", "seed", "stream", "swapped", "operation"])
def test_neighbours_have_nothing_in_common(other):
    "Pairs fall evenly into 16 × 16 fields, when the second number has a neighbour of the first one's arguments."
    first, second = uniform(5, 6, many, 7), {
        "position": lambda: uniform(5, 6, many + 1, 7), "far position": lambda: uniform(5, 6, many + 2**16, 7),
        "epoch": lambda: uniform(5, 7, many, 7), "seed": lambda: uniform(6, 6, many, 7), "stream": lambda: uniform(5, 6, many, 8),
        "swapped": lambda: uniform(6, 5, many, 7), "operation": lambda: uniform(5, 6, many, 7 + (1 << 32))}[other]()
    counts = np.bincount(whole(first, 16) * 16 + whole(second, 16), minlength=256)
    assert stats.chisquare(counts).pvalue > 1e-4


def test_no_two_keys_are_alike():
    "Seeds, epochs and streams in any combination give different numbers."
    seen = {tuple(uniform(*three[:2], range(3), three[2]).tolist()) for three in itertools.product(range(12), range(12), range(12))}
    assert len(seen) == 12**3


def splitmix(x):
    "The scrambling in Python's whole numbers, which do not overflow: Steele et al. 2014."
    x = (x + 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    return x ^ x >> 31


def test_numbers_are_those_of_splitmix64():
    "Vigna's published first outputs of splitmix64 for seed 1234567, and ours by whole numbers without end."
    assert [splitmix(1234567 + k * 0x9E3779B97F4A7C15) for k in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]
    gamma = 0x9E3779B97F4A7C15
    for seed, epoch, position, stream in itertools.product((0, 7, 2**63 + 5), (0, 3, 10**6), (0, 49_999), (0, 5, 3 << 32)):
        key = splitmix(splitmix(splitmix(seed) + epoch * gamma) + stream * gamma)
        assert uniform(seed, epoch, [position], stream).item() == (splitmix(key + position * gamma) >> 40) * 2**-24


def test_numbers_belong_to_their_positions():
    all_at_once = uniform(1, 2, range(100), torch.arange(4))
    assert all_at_once.shape == (4, 100) and 0 <= all_at_once.min() and all_at_once.max() < 1
    assert torch.equal(uniform(1, 2, [7, 3], torch.tensor([2]))[0], all_at_once[2, [7, 3]])
    assert torch.equal(uniform(1, 2, [7, 3], 2), all_at_once[2, [7, 3]])


def test_whole_numbers_stay_below():
    largest = torch.tensor([1 - 2**-24])
    assert all(whole(largest, below).item() == below - 1 for below in range(1, 5000))


# The same draw, the same pixels

def drawn(step, picture):
    "What an albumentations transform draws, and what comes out."
    params = step.update_transform_params(step.get_params(), {"image": picture})
    params |= step.get_params_dependent_on_data(params, {"image": picture})
    return params, step.apply(picture, **params)


def difference(ours, theirs):
    return np.abs(ours.numpy().astype(int) - np.stack(theirs).astype(int)).max()


def same_pixels(ours, theirs):
    "To one level. An OpenCV that rounds places to 1/32 pixel may round one in thousands the other way than we do."
    apart = np.abs(ours.numpy().astype(int) - np.stack(theirs).astype(int)) > 1
    return apart.mean() <= (5e-4 if batch_augment._is_coarse() else 0)


def parameters(found, *names):
    "One tensor for each of the drawn parameters."
    return [torch.tensor([params[name] for params, _ in found]) for name in names]


@pytest.mark.parametrize("pictures", [both, wide], ids=["32×32", "24×40"])
@pytest.mark.parametrize("border", borders)
@pytest.mark.parametrize("limit", [10, 180])
def test_turning(pictures, border, limit):
    fill = (10, 200, 90) if border == "constant" else (0, 0, 0)
    step = transform("Rotate", limit=limit, border_mode=borders[border], fill=fill, p=1.0)
    step.set_random_seed(1)
    found = [drawn(step, picture) for picture in pictures]
    degrees = torch.tensor([math.degrees(math.atan2(p["matrix"][0, 1], p["matrix"][0, 0])) for p, _ in found])
    assert same_pixels(turn(torch.from_numpy(pictures), degrees, border, fill), [out for _, out in found])


@pytest.mark.parametrize("size", [4, 17, 24, 31])
def test_zooming(size):
    crop, resize = transform("RandomCrop", height=size, width=size, p=1.0), transform("Resize", height=32, width=32, p=1.0)
    crop.set_random_seed(2)
    found = [drawn(crop, picture) for picture in both]
    left, top = torch.tensor([params["crop_coords"][:2] for params, _ in found]).T
    theirs = [resize.apply(out, interpolation=cv2.INTER_LINEAR) for _, out in found]
    assert same_pixels(zoom(torch.from_numpy(both), top, left, size), theirs)


@pytest.mark.parametrize("pictures", [both, wide], ids=["32×32", "24×40"])
@pytest.mark.parametrize("alpha, sigma, border", [(30, 4, "reflect101"), (120, 4, "reflect"), (300, 6, "replicate"), (20, 1.3, "constant")])
def test_bending(pictures, alpha, sigma, border):
    step = transform("ElasticTransform", alpha=alpha, sigma=sigma, border_mode=borders[border], p=1.0)
    fields = [np.random.default_rng(k).standard_normal((2, *pictures.shape[1:3]), dtype=np.float32) for k in range(len(pictures))]
    theirs = []
    for k, picture in enumerate(pictures):
        step.set_random_state(np.random.default_rng(k), None)
        theirs.append(drawn(step, picture)[1])
    assert same_pixels(bend(torch.from_numpy(pictures), torch.from_numpy(np.stack(fields)), alpha, sigma, border), theirs)


@pytest.mark.parametrize("hue", [0, 0.1, 0.5])
def test_tinting(hue):
    step = transform("ColorJitter", brightness=0.4, contrast=0.4, saturation=0.4, hue=hue, p=1.0)
    step.set_random_seed(3)
    found = [drawn(step, picture) for picture in both]
    count = 4 if hue else 3
    factors = torch.stack(parameters(found, "brightness", "contrast", "saturation", "hue"))[:count].float()
    order = torch.tensor([[kind for kind in params["order"] if kind < count] for params, _ in found]).T
    assert same_pixels(tint(torch.from_numpy(both), factors, order), [out for _, out in found])


@pytest.mark.parametrize("pictures", [both, wide], ids=["32×32", "24×40"])
@pytest.mark.parametrize("border", borders)
@pytest.mark.parametrize("pad", [1, 4, 45])
def test_shifting(pictures, border, pad):
    height, width = pictures.shape[1:3]
    fill = (10, 200, 90) if border == "constant" else (0, 0, 0)
    padded = transform("PadIfNeeded", min_height=height + 2 * pad, min_width=width + 2 * pad, border_mode=borders[border], fill=fill, p=1.0)
    crop = transform("RandomCrop", height=height, width=width, p=1.0)
    crop.set_random_seed(4)
    found = [drawn(crop, drawn(padded, picture)[1]) for picture in pictures]
    starts = torch.tensor([params["crop_coords"][1::-1] for params, _ in found]).T
    assert difference(shifted(starts, pad, (height, width), border, fill)(torch.from_numpy(pictures)), [out for _, out in found]) == 0


def test_mirroring():
    flips = torch.tensor(list(itertools.product([False, True], repeat=2)) * 5)
    ours = mirrored(*flips.T, wide.shape[1:3])(torch.from_numpy(wide))
    theirs = []
    for picture, which in zip(wide, flips.tolist()):
        for name in itertools.compress(["VerticalFlip", "HorizontalFlip"], which):
            picture = drawn(transform(name, p=1.0), picture)[1]
        theirs.append(picture)
    assert difference(ours, theirs) == 0


@pytest.mark.parametrize("pictures", [both, wide, both.astype(np.float32) / 99 - 1], ids=["32×32", "24×40", "after normalisation"])
@pytest.mark.parametrize("step", [
    transform("CoarseDropout", num_holes_range=(3, 3), hole_height_range=(2, 9), hole_width_range=(2, 9), fill=(1, 2, 3), p=1.0),
    transform("Erasing", scale=(0.02, 0.4), ratio=(0.3, 3), fill=(1, 2, 3), p=1.0), ClippedCutout(2, (5, 12), (1, 2, 3), 1.0)],
    ids=["CoarseDropout", "Erasing", "ClippedCutout"])
def test_hiding(pictures, step):
    step = copy.deepcopy(step)
    step.set_random_seed(5)
    found = [drawn(step, picture) for picture in pictures]
    if isinstance(step, ClippedCutout):
        holes = torch.tensor([params["boxes"] for params, _ in found])[..., [0, 2, 1, 3]]
    else:
        holes = torch.tensor(np.stack([params["holes"] for params, _ in found]))[..., [1, 0, 3, 2]]
    ours = erase(torch.from_numpy(pictures), holes.transpose(0, 1), (1, 2, 3))
    assert ours.dtype == torch.from_numpy(pictures).dtype and (ours.numpy() == np.stack([out for _, out in found])).all()


def test_the_opencv_that_rounds_is_imitated(monkeypatch):
    "Both kinds of OpenCV are known; the wrong one would be noticed."
    right = batch_augment._is_coarse()
    monkeypatch.setattr(batch_augment, "_is_coarse", lambda: not right)
    with pytest.raises(AssertionError):
        test_turning(noise, "reflect101", 180)
    with pytest.raises(AssertionError):
        test_bending(noise, 120, 4, "reflect")


# Their own draws, the same distribution

height, width = 16, 20
ramp = np.stack(np.broadcast_arrays(np.linspace(0, 255, width)[None], np.linspace(0, 255, height)[:, None],
                                    np.linspace(0, 255, width)[None, ::-1] * np.linspace(0.2, 1, height)[:, None]), -1).astype(np.uint8)
looks = np.random.default_rng(6).standard_normal((6, ramp.size))  # ways to see a picture as one number


def views(road, policy, count=1000, epoch=0):
    "The augmented copies of one picture, each seen in six ways: (6, count)."
    made = road(policy, half, (height, width))(np.broadcast_to(ramp, (count, *ramp.shape)).copy(), np.arange(count), 8, epoch)
    return looks @ made.permute(0, 2, 3, 1).reshape(count, -1).double().numpy().T


def p_value(one, two):
    "Smallest of the six Kolmogorov-Smirnov p-values, times six."
    return 6 * min(stats.ks_2samp(np.round(a, 6), np.round(b, 6)).pvalue for a, b in zip(one, two))


policies = [pad_crop(2, p=0.7), pad_crop(3, "reflect"), pad_crop(5, "reflect101"), pad_crop(4, "replicate"), pad_crop(4, fill="mean"),
            hflip(), hflip(0.2), vflip(), flip_any(0.8), alternating_flip(), alternating_flip(0.3), rotate(30),
            rotate(90, "constant", (9, 8, 7), p=1), crop_resize(9), cutout(6), cutout((2, 8), holes=3, p=0.8),
            cutout(9, clip=True, fill="mean", p=1), cutout((3, 9), 2, clip=True),
            cutout(7, after_norm=True, fill="mean"), random_erasing(), random_erasing((0.1, 0.6), (0.3, 3), p=1, after_norm=True),
            random_erasing((0.3, 0.9), (0.4, 2.5), p=0.9), elastic(30, 4, p=1), elastic(60, 3, "constant"), colour_jitter(p=1),
            colour_jitter(0.8, 0.2, 0.5, 0.3), colour_jitter(0, 0, 0, 0.5, p=0.9), colour_jitter(1.5, 0, 0)]


@pytest.mark.parametrize("operation", policies, ids=str)
def test_equal_in_distribution(operation):
    assert p_value(views(Pipeline, Policy(operation)), views(BatchPipeline, Policy(operation))) > 1e-3


def test_every_operation_is_compared():
    assert {operation.name for operation in policies} == set(ops)


@pytest.mark.parametrize("one, other", [
    (hflip(), hflip(0.6)), (pad_crop(3, "reflect"), pad_crop(4, "reflect")), (pad_crop(3, "reflect"), pad_crop(3, "replicate")),
    (rotate(30, p=1), rotate(42, p=1)), (cutout(6, p=1), cutout(6, p=1, clip=True)), (cutout(6, p=1), cutout(7, p=1)),
    (elastic(30, 4, p=1), elastic(34, 4, p=1)), (random_erasing(p=1), random_erasing((0.02, 0.25), p=1)),
    (colour_jitter(p=1), colour_jitter(0.13, p=1)), (crop_resize(9, p=1), crop_resize(10, p=1))],
    ids=str)
def test_another_distribution_is_noticed(one, other):
    assert p_value(views(Pipeline, Policy(one)), views(BatchPipeline, Policy(other))) < 1e-3


def shift_counts(road):
    "How often each of the 9 × 9 windows of pad_crop(4) is taken, found by the place a single bright pixel goes to."
    spot = np.zeros((3000, 32, 32, 3), np.uint8)
    spot[:, 16, 16] = 255
    moved = np.asarray(road(Policy(pad_crop(4)), half).pictures(spot, np.arange(3000), 0, 0))
    rows, places = np.nonzero(moved[..., 0])[1:]
    return np.bincount((rows - 12) * 9 + places - 12, minlength=81)


def test_every_window_is_as_likely():
    one, two = shift_counts(Pipeline), shift_counts(BatchPipeline)
    assert one.sum() == two.sum() == 3000 and len(one) == len(two) == 81
    assert stats.chisquare(two).pvalue > 1e-3 and stats.chi2_contingency([one, two]).pvalue > 1e-3


@pytest.mark.parametrize("operation", [cutout(8, p=1), cutout(8, p=1, clip=True), cutout((1, 12), p=1), random_erasing((0.02, 0.3), p=1)],
                         ids=str)
def test_holes_are_as_often_at_each_place_and_of_each_size(operation):
    white = np.full((2000, 32, 32, 3), 255, np.uint8)
    made = [road(Policy(operation), half).pictures(white, np.arange(2000), 0, 0) for road in (Pipeline, BatchPipeline)]
    found = [np.asarray(pictures)[..., 0] == 0 for pictures in made]
    area, top, left = lambda hole: hole.sum((1, 2)), lambda hole: hole.any(2).argmax(1), lambda hole: hole.any(1).argmax(1)
    for measure in (area, top, left, lambda hole: hole.any(2).sum(1)):
        one, two = map(measure, found)
        assert stats.ks_2samp(one, two).pvalue > 1e-3


def test_share_of_mirrored_pictures():
    for p in (0.1, 0.5, 0.9):
        copies = np.broadcast_to(ramp, (4000, *ramp.shape))
        made = BatchPipeline(Policy(hflip(p)), half, (height, width)).pictures(copies, np.arange(4000), 1, 0)
        mirrored_ = int((made.numpy() != ramp).any((1, 2, 3)).sum())
        assert stats.binomtest(mirrored_, 4000, p).pvalue > 1e-3


def test_draws_of_two_operations_are_independent():
    "Mirroring twice in one policy: all four outcomes are equally likely."
    spot = np.zeros((4000, 8, 8, 3), np.uint8)
    spot[:, 1, 2] = 255
    made = BatchPipeline(Policy(hflip(), vflip()), half, (8, 8)).pictures(spot, np.arange(4000), 0, 0)[..., 0].numpy()
    corners = np.array([(made[:, y, x] > 0).sum() for y in (1, 6) for x in (2, 5)])
    assert corners.sum() == 4000 and stats.chisquare(corners).pvalue > 1e-3


# Alternating flip, on both roads

@pytest.mark.parametrize("road", [Pipeline, BatchPipeline])
def test_alternating_flip(road):
    pictures = both
    seen = [np.asarray(road(Policy(alternating_flip()), half).pictures(pictures, np.arange(80), 3, epoch)) for epoch in range(4)]
    turned = (seen[0] != pictures).any((1, 2, 3))
    assert (seen[0] == np.where(turned[:, None, None, None], pictures[:, :, ::-1], pictures)).all() and 20 < turned.sum() < 60
    assert (seen[1] == seen[0][:, :, ::-1]).all() and (seen[2] == seen[0]).all() and (seen[3] == seen[1]).all()
    other = np.asarray(road(Policy(alternating_flip()), half).pictures(pictures, np.arange(80), 4, 0))
    assert (other != seen[0]).any()


@pytest.mark.parametrize("road", [Pipeline, BatchPipeline])
def test_some_take_no_part_in_the_alternating_flip(road):
    seen = [np.asarray(road(Policy(alternating_flip(0.4)), half).pictures(both, np.arange(80), 3, epoch)) for epoch in range(2)]
    turned = [(made != both).any((1, 2, 3)) for made in seen]
    assert not (turned[0] & turned[1]).any() and 15 < (turned[0] | turned[1]).sum() < 50


@pytest.mark.parametrize("road", [Pipeline, BatchPipeline])
def test_alternating_flip_belongs_to_the_picture(road):
    "Neither the other operations nor the company in the batch change which pictures are mirrored."
    alone = np.asarray(road(Policy(alternating_flip()), half).pictures(both, np.arange(80), 0, 0))
    last = np.asarray(road(Policy(alternating_flip(), cutout(4, p=1e-9)), half).pictures(both[60:], np.arange(60, 80), 0, 0))
    assert (alone[60:] == last).all()


def test_alternating_flip_is_told_what_to_do():
    step = AlternatingFlip(share=1.0)
    step.choose(0, 0, 5)
    first = step.mirrored
    step.choose(0, 1, 5)
    assert step.mirrored != first


# Pipeline and loader

everything = Policy(pad_crop(4, fill="mean"), alternating_flip(), rotate(10), crop_resize(24), cutout(8, fill="mean"), elastic(),
                    colour_jitter(hue=0.1), pad_crop(2, "reflect"), vflip(0.1), random_erasing(after_norm=True))


def batch_loader(**options):
    return BatchLoader(drawn_by_code, everything, half, batch_size=16, shuffle=True, seed=5, **options)


def digest(batches):
    seen = hashlib.sha256()
    for batch in batches:
        for part in batch:
            seen.update(part.contiguous().numpy().tobytes())
    return seen.hexdigest()


def test_a_picture_is_the_same_in_any_company():
    pipeline = BatchPipeline(everything, half)
    whole_set = pipeline(both, np.arange(80), 1, 2)
    assert all(torch.equal(pipeline(both[k:k + 1], [k], 1, 2)[0], whole_set[k]) for k in (0, 7, 41, 79))
    order = np.random.default_rng(0).permutation(80)
    assert torch.equal(pipeline(both[order], order, 1, 2), whole_set[order])


def test_moves_made_as_one_are_the_same():
    "Several moves in a row, two of them with an outside, against one pipeline for each."
    moves = [pad_crop(4, fill=(9, 8, 7)), hflip(), pad_crop(3, "reflect"), vflip(), pad_crop(6, fill=(200, 100, 50)), flip_any()]
    at_once = BatchPipeline(Policy(*moves), half).pictures(both, np.arange(80), 0, 0)
    one_by_one = torch.from_numpy(both)
    for step, move in enumerate(moves):
        quiet = [cutout(1, p=1e-9)] * step  # so that it is the same operation number, and draws the same
        one_by_one = BatchPipeline(Policy(*quiet, move), half).pictures(one_by_one, np.arange(80), 0, 0)
    assert torch.equal(at_once, one_by_one)


@pytest.mark.parametrize("start", range(4))
def test_an_epoch_can_be_begun_at_every_batch(start):
    whole_epoch = list(batch_loader().set_epoch(2))
    assert digest(whole_epoch[start:]) == digest(batch_loader().set_epoch(2, start))
    assert digest(whole_epoch) != digest(batch_loader().set_epoch(3))


def test_copies_pickles_and_repetitions_give_the_same_batches():
    expected = digest(batch_loader().set_epoch(1))
    for again in (copy.deepcopy(batch_loader()), pickle.loads(pickle.dumps(batch_loader())), batch_loader().set_epoch(1)):
        assert digest(again.set_epoch(1)) == expected


def test_order_of_the_other_loader():
    other = Loader(drawn_by_code, everything, half, batch_size=16, shuffle=True, seed=5)
    for epoch in (0, 3):
        for a, b in zip(batch_loader().set_epoch(epoch), other.set_epoch(epoch), strict=True):
            assert torch.equal(a.index, b.index) and torch.equal(a.y, b.y) and a.x.shape == b.x.shape and a.x.dtype == b.x.dtype
    assert len(batch_loader(drop_last=True)) == len(list(batch_loader(drop_last=True))) == 2


def test_without_policy_the_bits_of_the_other_loader():
    for name in normalisations:
        ours, theirs = (kind(drawn_by_code, None, name, batch_size=40).batch(0, 0).x for kind in (BatchLoader, Loader))
        assert torch.equal(ours, theirs) and ours.is_contiguous(memory_format=torch.channels_last)


def test_random_streams_are_left_alone():
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    list(batch_loader())
    assert torch.equal(torch.get_rng_state(), before[0]) and np.random.get_state()[1].tolist() == before[1]


def test_pictures_are_not_changed():
    kept = both.copy()
    BatchPipeline(everything, half)(both, np.arange(80))
    assert (both == kept).all()


def test_inference_mode_leaves_nothing_behind():
    "What is kept from a validation pass can be trained on."
    loader = batch_loader()
    with torch.inference_mode():
        list(loader)
    layer = torch.nn.Conv2d(3, 2, 3)
    layer(next(iter(loader)).x).sum().backward()
    assert layer.weight.grad is not None


def memory_mapped(tmp_path, mode):
    np.save(tmp_path/"pictures.npy", drawn_by_code.images)
    return Images(np.load(tmp_path/"pictures.npy", mmap_mode=mode), drawn_by_code.labels, drawn_by_code.classes)


@pytest.mark.parametrize("mode", ["r", "c"])
def test_memory_mapped_pictures(tmp_path, mode):
    mapped = BatchLoader(memory_mapped(tmp_path, mode), everything, half, batch_size=16, shuffle=True, seed=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert digest(mapped) == digest(batch_loader())
        BatchPipeline(everything, half)(mapped.images.images[:4], range(4))
    assert not fits(mapped.images, "cuda")


def test_what_stays_on_a_device(monkeypatch):
    "Half of the free memory is the limit; the host keeps what is more."
    for free, expected in ((drawn_by_code.images.nbytes * 2, True), (drawn_by_code.images.nbytes * 2 - 2, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10 * free))
        assert fits(drawn_by_code, "cuda") is expected
    assert fits(drawn_by_code, "mps")


def test_a_resident_set_gives_the_same_batches():
    loader = batch_loader()
    loader.resident = True
    assert digest(loader) == digest(batch_loader()) and loader._there is not None
    assert pickle.loads(pickle.dumps(loader))._there is None


def test_another_device_changes_all_and_keeps_some(monkeypatch):
    "What is done where picking out would make the host wait, done here: the same bytes."
    expected = BatchPipeline(everything, half)(both, np.arange(80), 0, 0)
    asked = []
    monkeypatch.setattr(batch_augment, "_can_look", lambda device: asked.append(device))
    assert torch.equal(BatchPipeline(everything, half)(both, np.arange(80), 0, 0), expected) and len(asked) == 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_makes_the_same_batches():
    there = batch_loader(device="cuda")
    assert there.resident
    for a, b in zip(there, batch_loader(), strict=True):
        assert a.x.is_cuda and a.y.is_cuda and not a.index.is_cuda and torch.equal(a.index, b.index) and torch.equal(a.y.cpu(), b.y)
        levels = (a.x.cpu() - b.x).abs() * 255 * torch.tensor(half.std).view(3, 1, 1)
        assert (levels > 1.5).float().mean() < 1e-3
    positions = torch.arange(1000)
    assert torch.equal(uniform(1, 2, positions.cuda(), torch.arange(9)).cpu(), uniform(1, 2, positions, torch.arange(9)))


@pytest.mark.parametrize("options, kind", [
    (dict(), BatchLoader), (dict(kind="tensor"), BatchLoader),
    (dict(kind="albumentations"), Loader), (dict(kind="albumentations", workers=1), Loader)])
def test_choice_of_the_loader(options, kind):
    made = make_loader(drawn_by_code, everything, "half", 16, True, seed=5, drop_last=True, **options)
    assert type(made) is kind and made.policy == everything and made.norm == half and made.seed == 5 and made.shuffle and len(made) == 2
    assert made.workers == options.get("workers", 0)


@pytest.mark.parametrize("call, text", [
    (lambda: make_loader(drawn_by_code, kind="quick"), "unknown kind of loader 'quick'; choose one of auto, albumentations, tensor"),
    (lambda: make_loader(drawn_by_code, batch_size=9, kind="tensor", workers=2), "workers=2 would have nothing to do"),
    (lambda: make_loader(drawn_by_code, batch_size=9, workers=2), "which makes whole batches at once; use workers=0"),
    (lambda: BatchLoader(drawn_by_code, batch_size=41), "choose 1 to 40"),
    (lambda: BatchLoader(drawn_by_code, [hflip()], batch_size=4, seed=-1), "seed=-1 must be a whole number"),
    (lambda: BatchPipeline(Policy(crop_resize(32)), half), "is not smaller than the picture"),
    (lambda: BatchPipeline(Policy(), half)(both.astype(np.int64), range(80)), "this batch pipeline takes bytes (N, 32, 32, 3)"),
    (lambda: BatchPipeline(Policy(), half, (24, 40))(both, range(80)), "this batch pipeline takes bytes (N, 24, 40, 3)"),
    (lambda: Policy(alternating_flip(), flip_any()), "beside flip_any a picture is no longer seen both ways"),
    (lambda: Policy(alternating_flip(), alternating_flip()), "beside another one a picture is no longer seen both ways")])
def test_messages(call, text):
    with pytest.raises(ValueError) as caught:
        call()
    assert text in str(caught.value)
