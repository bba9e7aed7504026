"Batches are the same bytes however they are made, a lost process costs nothing, and settings that do nothing or something else are refused."
import copy
import faulthandler
import hashlib
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager, suppress

import numpy as np
import pytest
import torch

from cifar_cam.augment import Loader, Pipeline, Policy, cutout, hflip, ops, pad_crop, policy, random_erasing, rotate, transform
from cifar_cam.data import normalisations, shapes

pictures, _ = shapes(train=90, test=10)
everything = Policy(pad_crop(4, fill="mean"), hflip(), rotate(10), cutout(8, fill="mean"), random_erasing(after_norm=True))
methods = multiprocessing.get_all_start_methods()
forks = pytest.mark.skipif("fork" not in methods, reason="needs fork")


def loader(workers=0, **options):
    return Loader(pictures, everything, normalisations["half"], batch_size=16, shuffle=True, seed=5, workers=workers, **options)


def digest(batches):
    seen = hashlib.sha256()
    for batch in batches:
        for part in batch:
            seen.update(part.numpy().tobytes())
    return seen.hexdigest()


expected = {(epoch, start): digest(loader().set_epoch(epoch, start)) for epoch, start in ((0, 0), (1, 0), (1, 4))}


def same_bytes(workers, method, persistent):
    "Two epochs and a part of one, made by processes; a warning would mean that they were not."
    tried = loader(workers, start_method=method, persistent=persistent)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*multi-threaded, use of fork", category=DeprecationWarning)
        found = {place: digest(tried.set_epoch(*place)) for place in expected}
    tried.close()
    assert found == expected and not multiprocessing.active_children()


@forks
@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_any_number_of_forked_processes(workers, persistent):
    same_bytes(workers, "fork", persistent)


@pytest.mark.parametrize("method", [m for m in methods if m != "fork"])
def test_other_ways_to_start(method, monkeypatch):
    "Such a process imports the package anew, so what is changed here shows that nothing was made here."
    monkeypatch.setattr(Loader, "batch", lambda self, epoch, number: pytest.fail("made in the training process"))
    same_bytes(1, method, persistent=True)


@pytest.mark.slow
@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("method", methods)
@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_every_combination(workers, method, persistent):
    same_bytes(workers, method, persistent)


@pytest.mark.parametrize("start", range(7))
def test_an_epoch_can_be_begun_at_every_batch(start):
    whole = list(loader().set_epoch(2))
    assert digest(whole[start:]) == digest(loader(workers=2 if "fork" in methods else 0).set_epoch(2, start))


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=forks)])
def test_global_random_streams_are_left_alone(workers):
    def states():
        return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()
    before = states()
    list(loader(workers))
    assert states() == before


@forks
def test_two_passes_at_once_over_one_loader():
    tried = loader(2, persistent=True)
    one, two = iter(tried.set_epoch(0)), iter(tried.set_epoch(1))
    mixed = [(next(one), next(two)) for _ in range(len(tried))]
    assert digest(a for a, _ in mixed) == expected[0, 0] and digest(b for _, b in mixed) == expected[1, 0]
    assert next(one, None) is None and next(two, None) is None
    tried.close()
    assert not multiprocessing.active_children()


def test_copies_and_pickles_give_the_same_batches():
    for again in (copy.deepcopy(loader()), pickle.loads(pickle.dumps(loader(3)))):
        again.workers = 0
        assert digest(again.set_epoch(1)) == expected[1, 0] and again.policy == everything


# Processes that are lost

home, make = os.getpid(), Loader.batch


def fate(monkeypatch, number, action):
    "Let `action` happen to the process that makes batch `number`, not to the training."
    def batch(self, epoch, which):
        if os.getpid() != home and which == number:
            action()
        return make(self, epoch, which)
    monkeypatch.setattr(Loader, "batch", batch)


def failing():
    raise MemoryError("no room")


def crashing():
    faulthandler.disable()  # pytest's, whose page of text says nothing here
    os.abort()


fates = {
    "exits": (lambda: os._exit(3), "is gone: it ended with exit code 3"),
    "is killed": (lambda: os.kill(os.getpid(), signal.SIGKILL), "is gone: it was ended by SIGKILL"),
    "crashes": (crashing, "is gone: it was ended by SIGABRT"),
    "is terminated": (lambda: os.kill(os.getpid(), signal.SIGTERM), "is gone: it was ended by SIGTERM"),
    "sleeps": (lambda: time.sleep(600), "has been silent for 2 seconds"),
    "is stopped": (lambda: os.kill(os.getpid(), signal.SIGSTOP), "has been silent for 2 seconds"),
    "raises": (failing, "could not make its batch (MemoryError: no room)"),
}


@forks
@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("number", [0, 2, 5])
@pytest.mark.parametrize("name", fates)
def test_a_lost_process_costs_nothing_but_time(name, number, persistent, monkeypatch):
    action, words = fates[name]
    fate(monkeypatch, number, action)
    tried = loader(2, start_method="fork", persistent=persistent, timeout=2 if "silent" in words else 60)
    with pytest.warns(UserWarning, match="going on without processes") as said:
        assert digest(tried.set_epoch(1)) == expected[1, 0]
    text = str(said[0].message)
    assert len(said) == 1 and words in text and f"from batch {number} of epoch 1" in text and "use fewer workers" in text
    assert not multiprocessing.active_children()
    monkeypatch.setattr(Loader, "batch", make)
    assert digest(tried.set_epoch(0)) == expected[0, 0]  # the next epoch has processes again
    tried.close()


@forks
def test_the_real_error_of_a_batch_is_raised(monkeypatch):
    def batch(self, epoch, number):
        if number == 2:
            raise ZeroDivisionError("picture 7")
        return make(self, epoch, number)
    monkeypatch.setattr(Loader, "batch", batch)
    with pytest.warns(UserWarning, match="could not make its batch"), pytest.raises(ZeroDivisionError, match="picture 7"):
        list(loader(2))


@forks
def test_an_interrupt_is_the_training_process_own_affair():
    "Ctrl-C in a terminal reaches every process of the group; the loader's go on."
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for batch in loader(2).set_epoch(1):
            found.append(batch)
            for process in multiprocessing.active_children():
                os.kill(process.pid, signal.SIGINT)
    assert digest(found) == expected[1, 0]


@contextmanager
def interrupts_from_birth():
    "Interrupts every child from the moment it exists, until the end."
    done = threading.Event()

    def interrupt():
        while not done.is_set():
            for process in multiprocessing.active_children():
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGINT)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@forks
def test_an_interrupt_can_come_while_a_process_starts(capfd):
    with warnings.catch_warnings(), interrupts_from_birth():
        warnings.simplefilter("error")
        for _ in range(20):
            assert digest(loader(2).set_epoch(1)) == expected[1, 0]
    assert capfd.readouterr().err == ""


@forks
def test_leaving_early_ends_the_processes():
    batches = iter(loader(2, persistent=True))
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    batches.close()
    assert not multiprocessing.active_children()


orphans = """
import multiprocessing, sys, time
from cifar_cam.augment import Loader
from cifar_cam.data import shapes
batches = iter(Loader(shapes(60, 10)[0], batch_size=10, workers=2, start_method="fork"))
next(batches)
print(*[p.pid for p in multiprocessing.active_children()], flush=True)
time.sleep(600)
"""


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@forks
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
def test_killing_the_training_leaves_no_orphans():
    training = subprocess.Popen([sys.executable, "-c", orphans], stdout=subprocess.PIPE, text=True)
    pids = [int(word) for word in training.stdout.readline().split()]
    assert len(pids) == 2 and all(map(alive, pids))
    training.kill()
    training.communicate()
    for _ in range(600):
        if not any(map(alive, pids)):
            break
        time.sleep(0.05)
    assert not any(map(alive, pids))


@pytest.mark.parametrize("options, cause", [
    (dict(batch_size=0), "does not fit a set of 90"), (dict(batch_size=91), "choose 1 to 90"),
    (dict(workers=-1), "use 0 or more"), (dict(workers=1.5), "must be a whole number"), (dict(seed=-1), "seed=-1 must be a whole"),
    (dict(start_method="thread"), "cannot be started by 'thread'"), (dict(timeout=0), "give seconds above 0"),
    (dict(timeout=float("nan")), "would call every process hanging"), (dict(norm="cifar"), "unknown normalisation"),
])
def test_wrong_settings_of_a_loader(options, cause):
    with pytest.raises(ValueError, match=cause):
        Loader(pictures, **(dict(batch_size=10) | options))


@pytest.mark.parametrize("place", [(-1, 0), (0, -1), (0, 7)])
def test_wrong_places_to_begin(place):
    with pytest.raises(ValueError, match="cannot begin at batch"):
        loader().set_epoch(*place)


def test_pictures_of_another_size_are_refused():
    pipeline = Pipeline(everything, normalisations["half"], (32, 32))
    with pytest.raises(ValueError, match="this pipeline is made for pictures of 32×32"):
        pipeline(np.zeros((2, 16, 16, 3), np.uint8), [0, 1])
    with pytest.raises(ValueError, match="and 1 positions"):
        pipeline(np.zeros((2, 32, 32, 3), np.uint8), [0])


# What albumentations would answer with a warning, and what would do nothing

retired = {
    "Cutout": dict(num_holes=1), "Flip": dict(p=0.5), "ToFloat32": {}, "JpegCompression": {}, "RandomResizedCropV": {}, "IAAFliplr": {},
    "CoarseDropout": dict(max_holes=1, max_height=8, max_width=8), "PadIfNeeded": dict(value=(1, 2, 3)), "GaussNoise": dict(var_limit=10),
    "Rotate": dict(value=0), "ShiftScaleRotate": dict(value=0), "ElasticTransform": dict(alpha_affine=50), "RandomCrop": dict(always_apply=True),
    "HorizontalFlip": dict(always_apply=True), "Affine": dict(cval=0), "GridDropout": dict(holes_number_x=3), "RandomBrightness": dict(limit=0.2),
    "ImageCompression": dict(quality_lower=50), "Downscale": dict(scale_min=0.5), "RandomSunFlare": dict(angle_lower=0),
    "RandomFog": dict(fog_coef_lower=0.1), "RandomRain": dict(slant_lower=0), "RandomSnow": dict(snow_point_lower=0.1),
    "Perspective": dict(pad_mode=0), "Posterize": dict(num_bits_lower=1), "RandomShadow": dict(num_shadows_lower=1), "MaskDropout": dict(mask_fill=0),
    "Erasing": dict(value=3), "SafeRotate": dict(mask_value=0), "GridDistortion": dict(value=0), "OpticalDistortion": dict(shift_limit=0.1),
}


@pytest.mark.parametrize("name", retired)
def test_retired_transforms_and_arguments_are_errors(name):
    with pytest.raises(ValueError, match="has no transform|has no setting|albumentations refuses"):
        transform(name, **retired[name])


@pytest.mark.parametrize("name, settings", [("RandomCrop", dict(height=-1, width=4)), ("HorizontalFlip", dict(p=2)), ("Rotate", dict(limit="far")),
                                            ("CoarseDropout", dict(num_holes_range=(0, 0))), ("RandomCrop", dict()),
                                            ("PadIfNeeded", dict(min_height=40, min_width=40, border_mode=99))])
def test_values_that_albumentations_would_warn_about(name, settings):
    with pytest.raises(ValueError, match=f"albumentations refuses {name}.*correct these settings"):
        transform(name, **settings)


refused = [
    ("pad_crop", dict(pad=0), "pad=0 changes nothing"), ("pad_crop", dict(pad=2.5), "give a whole number"), ("pad_crop", dict(pad=True), "wrong kind"),
    ("pad_crop", dict(border="black"), "choose one of constant"), ("pad_crop", dict(border=["reflect"]), "unknown border"),
    ("pad_crop", dict(border="reflect", fill=7), "has no effect beside border='reflect'"), ("pad_crop", dict(fill=(0.49, 0.48, 0.44)), "scale 0..1"),
    ("pad_crop", dict(fill=300), "is outside 0..255"), ("pad_crop", dict(fill="red"), "is no colour"), ("pad_crop", dict(fill=None), "is no colour"),
    ("pad_crop", dict(fill=(1, 2)), "is no colour"), ("pad_crop", dict(fill=float("nan")), "is no colour"), ("pad_crop", dict(fill=-1), "outside"),
    ("rotate", dict(limit=0), "limit=0"), ("rotate", dict(limit=float("inf")), "give a finite number"), ("rotate", dict(limit=181), "at most 180"),
    ("rotate", dict(fill=9), "has no effect"), ("crop_resize", dict(size=2), "nothing to recognise"), ("hflip", dict(p=0), "never happens"),
    ("vflip", dict(p=1.01), "is not a probability"), ("flip_any", dict(p=float("nan")), "give a finite number"), ("hflip", dict(p="half"), "wrong kind"),
    ("cutout", dict(size=0), "is no size"), ("cutout", dict(size=(9, 4)), "is no size"), ("cutout", dict(size="big"), "is no size"),
    ("cutout", dict(size=(1, 2, 3)), "is no size"), ("cutout", dict(holes=0), "holes=0 changes nothing"), ("cutout", dict(clip=1), "True or False"),
    ("cutout", dict(fill=127, after_norm=True), "normalised pictures end at about 3"), ("random_erasing", dict(scale=0.1), "is no range"),
    ("random_erasing", dict(scale=(0, 0.1)), "is no range"), ("random_erasing", dict(ratio=(2, 1)), "ratio=.*is no range"),
    ("elastic", dict(alpha=0), "both must be positive"), ("colour_jitter", dict(brightness=0, contrast=0, saturation=0), "all changes are 0"),
    ("colour_jitter", dict(hue=0.6), "out of range"), ("colour_jitter", dict(contrast=-0.1), "out of range"),
]


@pytest.mark.parametrize("name, settings, cause", refused)
def test_operations_that_do_nothing_or_something_else_are_refused(name, settings, cause):
    with pytest.raises(ValueError, match=f"^{name}: .*{cause}"):
        ops[name](**settings)


def test_unknown_settings_are_refused():
    for name, make_op in ops.items():
        with pytest.raises(TypeError, match=f"^{name}: .*nonsense.*; its settings are "):
            make_op(nonsense=1)
        with pytest.raises(ValueError, match=f"{name} takes no setting nonsense"):
            policy([dict(op=name, nonsense=1)])


@pytest.mark.parametrize("entries", ["hflip", [["hflip"]], {"op": "hflip"}, 7, None, {hflip()}])
def test_what_is_no_policy(entries):
    with pytest.raises(TypeError, match="a policy is read from a list"):
        policy(entries)


@pytest.mark.parametrize("name", [None, 3, ["hflip"], "Flip", "<script>"])
def test_unknown_operations(name):
    with pytest.raises(ValueError, match="unknown operation"):
        policy([dict(op=name)])


def test_sizes_beyond_the_picture_are_refused_when_the_picture_is_known():
    for step, cause in ((cutout(33), "larger than the picture"), (ops["crop_resize"](32), "is not smaller than the picture")):
        with pytest.raises(ValueError, match=cause):
            Loader(pictures, Policy(step), batch_size=10)


def test_every_operation_changes_pictures_and_is_deterministic():
    for name, make_op in ops.items():
        always = Policy(make_op(p=1.0))
        first, second = (Pipeline(always, normalisations["half"])(pictures.images[:8], range(8), seed=1, epoch=0) for _ in range(2))
        plain = Pipeline(Policy(), normalisations["half"])(pictures.images[:8], range(8))
        assert torch.equal(first, second) and not torch.equal(first, plain), name
