"Folders of pictures as people have them: every layout, every bad folder, and a training on one; MNIST and Tiny ImageNet from files."
import gzip
import io
import json
import os
import re
import struct
import unicodedata
import warnings
import zipfile
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from cifar_cam import more_data
from cifar_cam.augment import policy
from cifar_cam.checkpoint import load_run
from cifar_cam.cli import main
from cifar_cam.data import Images, image_folder, load_data, read_picture, shapes, suitable_pixels
from cifar_cam.download import sha256_file
from cifar_cam.model import create_model, models, summary
from cifar_cam.recipes import fitted_to, recipe, recipes
from cifar_cam.pictures import fit, read_image

rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def said():
    "Warnings, kept so that a test can look at them."
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield lambda: [str(w.message) for w in caught if issubclass(w.category, UserWarning)]


def photo(height=40, width=40, tint=None):
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8) if tint is None else np.full((height, width, 3), tint, np.uint8)


def fill(folder, count=5, size=(40, 40), ending="png"):
    "A class folder of `count` pictures that differ."
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        Image.fromarray(photo(*size)).save(folder/f"{k}.{ending}")
    return folder


def two_classes(root, **options):
    for name in ("cat", "dog"):
        fill(root/name, **options)
    return root


def bomb(width, height):
    "A PNG of some hundred bytes that says it has width × height pixels."
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND", b""))


# Layouts

@pytest.mark.parametrize("train, test", [("train", "test"), ("Train", "VAL"), ("training", "valid"), ("train", "validation"), ("TRAIN", "Testing")])
def test_divided_folders_by_any_of_their_names(train, test, tmp_path):
    two_classes(tmp_path/train, count=4)
    two_classes(tmp_path/test, count=3)
    a, b = image_folder(tmp_path)
    assert (len(a), len(b), a.classes) == (8, 6, ("cat", "dog")) and not len(b.overlap(a))
    assert a.labels.tolist() == [0, 1] * 4  # classes take turns


def test_test_goes_before_valid_and_the_other_is_told(tmp_path):
    for part, count in (("train", 4), ("test", 2), ("valid", 3)):
        two_classes(tmp_path/part, count=count)
    a, b = image_folder(tmp_path)
    assert (len(a), len(b)) == (8, 4) and "valid/ is left alone, test/ is there to test on" in a.note


def test_test_pictures_without_answers(tmp_path):
    two_classes(tmp_path/"train", count=10)
    fill(tmp_path/"test", 3)
    a, b = image_folder(tmp_path)
    assert (len(a), len(b)) == (16, 4) and "test/ holds no class folders and is left alone" in a.note and "split off for testing" in a.note


def test_train_alone_is_split(tmp_path):
    two_classes(tmp_path/"train", count=10)
    a, b = image_folder(tmp_path, test_fraction=0.3)
    assert (a.classes, len(a), len(b)) == (("cat", "dog"), 14, 6)


def test_a_class_may_be_called_train(tmp_path):
    for name in ("train", "bus"):
        fill(tmp_path/name)
    assert image_folder(tmp_path)[0].classes == ("bus", "train")


def test_split_is_stratified_seeded_and_leaves_nothing_out(tmp_path):
    for name, count in (("a", 40), ("b", 10), ("c", 3)):
        fill(tmp_path/name, count)
    first, again, other = (image_folder(tmp_path, seed=seed) for seed in (0, 0, 1))
    assert first[1].counts() == dict(a=8, b=2, c=1) and first[0].counts() == dict(a=32, b=8, c=2)
    assert first[1].fingerprint() == again[1].fingerprint() != other[1].fingerprint()
    assert sorted([*first[0].origin, *first[1].origin]) == list(range(53)) and "chosen by seed 0" in first[1].note


def test_a_class_of_one_picture_cannot_be_split(tmp_path):
    fill(tmp_path/"a", 5), fill(tmp_path/"b", 1)
    with pytest.raises(ValueError, match="class 'b' has 1 pictures.*add pictures"):
        image_folder(tmp_path)


def test_pictures_in_folders_below_the_class(tmp_path):
    for name in ("a", "b"):
        fill(tmp_path/name/"images"/"2024", 3), fill(tmp_path/name, 2)
    assert sum(map(len, image_folder(tmp_path))) == 10


def test_names_with_spaces_and_of_other_scripts(tmp_path):
    names = ("Äpfel & Birnen", "ice cream 🍦", "звезда", "猫", "50% off", "-x")
    for name in names:
        fill(tmp_path/name, 2)
    train, _ = image_folder(tmp_path, test_fraction=0.5)
    assert set(train.classes) == set(names) and set(train.counts().values()) == {1}


def test_one_name_in_two_spellings(tmp_path):
    composed, parts = unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")
    assert composed != parts
    for part, name in (("train", composed), ("test", parts)):
        fill(tmp_path/part/name, 2), fill(tmp_path/part/"bar", 2)
    if (tmp_path/"train"/parts).exists():
        pytest.skip("this file system brings names to one form itself")
    assert [images.classes for images in image_folder(tmp_path)] == [("bar", composed)] * 2
    fill(tmp_path/"test"/composed, 2)
    fill(tmp_path/"train"/parts, 2)
    with pytest.raises(ValueError, match="given twice"):
        image_folder(tmp_path)


def test_what_is_no_picture_is_passed_over_and_told(tmp_path):
    two_classes(tmp_path)
    for name in (".DS_Store", ".hidden.png", "Thumbs.db", "desktop.ini"):
        (tmp_path/"cat"/name).write_bytes(b"x")
    for hidden in (".ipynb_checkpoints", "__MACOSX"):
        fill(tmp_path/hidden, 1), fill(tmp_path/"cat"/hidden, 1)
    for name in ("labels.csv", "README"):
        (tmp_path/"cat"/name).write_text("x")
    train, test = image_folder(tmp_path)
    assert len(train) + len(test) == 10 and train.classes == ("cat", "dog")
    assert "2 other files were passed over: README, labels.csv" in train.note


def test_classes_and_counts_are_those_of_torchvision(tmp_path):
    import torchvision
    for name, count in (("b", 3), ("A", 2), ("a10", 2), ("a9", 4), ("ä", 2)):
        fill(tmp_path/name/"below", count)
    theirs = torchvision.datasets.ImageFolder(tmp_path)
    train, test = image_folder(tmp_path, test_fraction=0.5)
    assert list(train.classes) == theirs.classes
    assert [train.counts()[c] + test.counts()[c] for c in train.classes] == np.bincount(theirs.targets).tolist()


# Sizes

@pytest.mark.parametrize("sizes, pixels", [([(16, 16)] * 2, 16), ([(28, 28)] * 3, 28), ([(32, 32)] * 3, 32), ([(97, 97)] * 3, 97), ([(10, 10)] * 3, 16),
                                           ([(3000, 4000)] * 3, 224), ([(33, 90), (70, 40), (61, 300)], 32), ([(224, 300)] * 2, 224), ([], 32)])
def test_the_size_follows_the_pictures(sizes, pixels):
    assert suitable_pixels(sizes) == pixels


def test_the_size_fits_into_memory():
    assert [suitable_pixels([(500, 500)] * 3, n) for n in (1000, 100_000, 1_000_000, 10**9)] == [224, 96, 32, 16]
    assert suitable_pixels([(97, 97)] * 3, 100_000, 10**9) == 48


@pytest.mark.parametrize("how", ["crop", "pad", "stretch"])
def test_mixed_sizes_are_brought_to_one_and_told(how, tmp_path):
    for name in ("a", "b"):
        for size in ((30, 60), (50, 50), (90, 70)):
            fill(tmp_path/name/f"{size[0]}", 3, size)
    train, test = image_folder(tmp_path, how=how)
    assert train.images.shape[1:] == test.images.shape[1:] == (48, 48, 3)
    assert "shorter sides of 30 to 70 pixels were brought to 48×48" in train.note and "6 of them enlarged" in train.note
    first = tmp_path/"a"/"30"/"0.png"
    whole = np.concatenate([train.images, test.images])
    assert (whole == fit(read_image(first), 48, how).pixels).all((1, 2, 3)).sum() == 1


def test_pictures_of_the_right_size_are_not_touched(tmp_path):
    two_classes(tmp_path, size=(36, 36))
    train, test = image_folder(tmp_path)
    found = {picture.tobytes() for images in (train, test) for picture in images.images}
    assert found == {np.asarray(Image.open(f)).tobytes() for f in tmp_path.rglob("*.png")} and "brought to" not in train.note


def test_pixels_asked_for(tmp_path):
    two_classes(tmp_path, count=3)
    assert load_data(tmp_path, pixels=20)[0].images.shape[1:3] == (20, 20)
    for pixels in (3, 1025, 0):
        with pytest.raises(ValueError, match="choose a size from 4 to 1024 that fits"):
            image_folder(tmp_path, pixels=pixels)
    with pytest.raises(ValueError, match="would take 0.0 GB of memory"):
        image_folder(tmp_path, pixels=200, max_bytes=1000)


def test_pictures_of_every_kind_become_the_same_as_when_they_are_explained(tmp_path):
    "Transparent, 16 bits, palette, lying on their side: one reader for all."
    grey, clear = photo()[..., 0], np.dstack([photo(), np.full((40, 40), 255, np.uint8)])
    clear[:20, :, 3] = 0
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a", "b"):
        (tmp_path/name).mkdir()
        Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path/name/"deep.png")
        Image.fromarray(clear).save(tmp_path/name/"clear.png")
        Image.fromarray(photo()).quantize(8).save(tmp_path/name/"palette.gif")
        Image.fromarray(photo(60, 40)).save(tmp_path/name/"side.png", exif=exif)
    with pytest.warns(UserWarning, match="in more than one class"):
        train, test = image_folder(tmp_path, pixels=40, test_fraction=0.25)
    found = [*train.images, *test.images]
    for file in tmp_path.rglob("*.*"):
        assert any(np.array_equal(fit(file, 40).pixels, picture) for picture in found), file.name
        assert np.array_equal(read_picture(file, 40), fit(file, 40).pixels)
    assert any((picture[:20] == 255).all() for picture in found) and any((picture == grey[..., None]).all() for picture in found)


# What is doubtful

def test_imbalance_is_said(tmp_path, said):
    fill(tmp_path/"common", 50), fill(tmp_path/"rare", 5)
    train, _ = image_folder(tmp_path)
    words = "uneven classes: 40 pictures of 'common', 4 of 'rare'; always answering 'common' would be right for 91%"
    assert words in train.note and words in repr(train) and words.replace("'", "&#x27;") in train._repr_html_()
    assert [text.split(": ", 1)[1] for text in said()] == [words]
    assert not Images(np.zeros((4, 8, 8, 3), np.uint8), [0, 0, 0, 1], "ab").imbalance()  # too few to tell


def test_test_pictures_that_were_learned(tmp_path, said):
    two_classes(tmp_path/"train", count=6)
    two_classes(tmp_path/"test", count=2)
    (tmp_path/"test"/"dog"/"copy.png").write_bytes((tmp_path/"train"/"dog"/"3.png").read_bytes())
    train, test = image_folder(tmp_path)
    assert test.overlap(train).tolist() == [4] and any("1 of the 5 test pictures are among the training pictures too" in text for text in said())


def test_one_folder_linked_as_two_classes(tmp_path, said):
    fill(tmp_path/"cat")
    (tmp_path/"Katze").symlink_to(tmp_path/"cat", target_is_directory=True)
    image_folder(tmp_path)
    assert any("training pictures are in more than one class" in text for text in said())


# Bad folders

@pytest.mark.parametrize("make, words", [
    (lambda root: None, "no folder .*give a folder that holds one folder of pictures for each class"),
    (lambda root: root.mkdir(), "at least two class folders with pictures, found none"),
    (lambda root: fill(root), "at least two class folders with pictures, found none"),
    (lambda root: fill(root/"cat"), "found only cat; lay pictures out as <folder>/<class name>/picture.png"),
    (lambda root: two_classes(root/"pets"), "found only pets; .*perhaps you mean .*pets"),
    (lambda root: (fill(root/"train"), fill(root/"test")), "train, test hold no class folders; sort the pictures into"),
    (lambda root: (two_classes(root), (root/"cow").mkdir(), (root/"emu").mkdir()), "the class folder .*cow, .*emu holds no picture"),
    (lambda root: (two_classes(root), (root/"cow").mkdir(), (root/"cow"/"x.txt").touch()), "cow holds no picture"),
    (lambda root: (two_classes(root/"train"), fill(root/"test"/"cat"), fill(root/"test"/"cow")), "hold different classes: .*'cow', 'dog'"),
    (lambda root: (two_classes(root/"train"), fill(root/"test"/"cat")), "hold different classes: .*'dog'"),
    (lambda root: root.write_text("x"), "no folder"),
])
def test_bad_folders(make, words, tmp_path):
    make(tmp_path/"data")
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        image_folder(tmp_path/"data")


def spoil(folder):
    "Every kind of file that cannot be read, by name."
    whole = (folder/"0.png").read_bytes()
    bad = {"empty.png": b"", "cut.png": whole[:len(whole) // 2], "letter.jpg": b"Dear cat,", "page.png": b"<!DOCTYPE html>404",
           "bomb.png": bomb(10_000, 10_000), "huge.png": bomb(60_000, 60_000), "photo.webp": b"\0\0\0\x18ftypheic\0\0\0\0"}
    for name, data in bad.items():
        (folder/name).write_bytes(data)
    (folder/"loop.png").symlink_to(folder/"loop.png")
    (folder/"gone.png").symlink_to(folder/"nowhere.png")
    (folder/"zero.png").symlink_to("/dev/zero")
    (folder/"folder.png").mkdir()
    os.mkfifo(folder/"pipe.png")
    return [*bad, "loop.png", "gone.png", "zero.png", "folder.png", "pipe.png"]


def test_all_bad_files_are_listed_at_once(tmp_path, said):
    two_classes(tmp_path)
    bad = spoil(tmp_path/"dog")
    with pytest.raises(ValueError) as caught:
        image_folder(tmp_path)
    text = str(caught.value)
    assert text.startswith("12 of 22 pictures cannot be read; repair or remove them, or pass skip_corrupt=True (--skip-corrupt) to go on without:\n")
    assert len(text.splitlines()) == 13 and all(any(name in line for line in text.splitlines()) for name in bad)
    for words in ("dog/empty.png is empty (0 bytes)", "dog/letter.jpg is no picture: it is text", "dog/page.png is no picture: it is a web page",
                  "10000×10000 pixels, more than largest=50,000,000", "dog/huge.png has too many pixels", "HEIC", "dog/cut.png is cut short"):
        assert words in text
    train, test = image_folder(tmp_path, skip_corrupt=True)
    assert len(train) + len(test) == 10
    told = [text for text in said() if "left out" in text]
    assert len(told) == 1 and "12 of 22 pictures cannot be read and were left out: dog/bomb.png" in told[0] and "and 2 more" in told[0]
    assert "were left out" in test.note


def test_a_class_of_which_nothing_is_left(tmp_path):
    two_classes(tmp_path)
    (tmp_path/"emu").mkdir()
    (tmp_path/"emu"/"a.png").touch()
    with pytest.raises(ValueError, match="no picture of the class 'emu' can be read"):
        image_folder(tmp_path, skip_corrupt=True)


def test_folders_linked_in_a_circle(tmp_path):
    two_classes(tmp_path)
    (tmp_path/"cat"/"again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path/"cat"/"more").mkdir()
    (tmp_path/"cat"/"more"/"up").symlink_to(tmp_path/"cat", target_is_directory=True)
    train, test = image_folder(tmp_path, pixels=16)
    assert "up" in train.note and len({picture.tobytes() for picture in np.concatenate([train.images, test.images])}) == 10


# Other sets from files

def idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def write_mnist(folder, seed=0, packed=True):
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    for part, count in (("train", 30), ("t10k", 10)):
        files = {"images-idx3": random.integers(0, 256, (count, 28, 28), dtype=np.uint8), "labels-idx1": (np.arange(count) % 10).astype(np.uint8)}
        for name, array in files.items():
            (folder/f"{part}-{name}-ubyte{'.gz' if packed else ''}").write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    return folder


@pytest.mark.parametrize("packed", [True, False])
def test_mnist_from_a_folder(packed, tmp_path):
    train, test = load_data(write_mnist(tmp_path/"MNIST"/"raw", packed=packed))
    assert (train.name, len(train), len(test), train.images.shape[1:]) == ("mnist", 30, 10, (28, 28, 3))
    assert (train.images[..., 0] == train.images[..., 2]).all() and test.labels.tolist() == list(range(10)) and train.classes == tuple("0123456789")
    assert "checksums are not the published ones" in train.note
    assert load_data(write_mnist(tmp_path/"fashion", packed=packed))[0].classes[0] == "T-shirt/top"


@pytest.mark.parametrize("kind", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize("below", ["", "own"])
def test_mnist_by_name_from_a_mirror(kind, below, tmp_path, monkeypatch):
    near = write_mnist(tmp_path/"near"/(kind if below else ""), seed=len(kind))
    layout = dict(more_data._idx_sets[kind], sha256=[sha256_file(near/name) for name in more_data._files], sizes=(None,) * 4, urls=["file:///nowhere/"])
    monkeypatch.setitem(more_data._idx_sets, kind, layout)
    monkeypatch.setenv("CIFAR_CAM_MIRROR", (tmp_path/"near").as_uri())
    monkeypatch.setenv("CIFAR_CAM_HOME", str(tmp_path/"home"))
    train, _ = load_data(kind)
    assert (train.name, train.note, len(train)) == (kind, "", 30) and len(list((tmp_path/"home"/kind).glob("*.gz"))) == 4
    monkeypatch.delenv("CIFAR_CAM_MIRROR")
    assert load_data(kind)[0].fingerprint() == train.fingerprint()


def test_another_file_under_the_name_is_not_taken(tmp_path, monkeypatch):
    write_mnist(tmp_path/"near")
    layout = dict(more_data._idx_sets["mnist"], sizes=(None,) * 4, urls=[])
    monkeypatch.setitem(more_data._idx_sets, "mnist", layout)
    monkeypatch.setenv("CIFAR_CAM_MIRROR", str(tmp_path/"near"))
    with pytest.raises(OSError, match="SHA-256"):
        more_data.mnist(tmp_path/"home")


def test_published_sums_are_those_of_torchvision():
    "torchvision pins MD5, we SHA-256; the addresses and names at least must be the same, and the sums of the right length."
    import torchvision
    for kind, theirs in (("mnist", torchvision.datasets.MNIST), ("fashion-mnist", torchvision.datasets.FashionMNIST)):
        assert [name for name, _ in theirs.resources] == list(more_data._files)
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in more_data._idx_sets[kind]["sha256"])
        assert set(theirs.mirrors) & set(more_data._idx_sets[kind]["urls"])
    assert len({digest for layout in more_data._idx_sets.values() for digest in layout["sha256"]}) == 8


@pytest.mark.parametrize("data, words", [(b"", "begins with nothing"), (b"PK\3\4", "is no IDX file"), (idx(np.zeros((2, 3), np.uint8)), "with 3 axes"),
                                         (idx(np.zeros((2, 3, 3), np.uint8))[:-1], "but 17 follow"), (b"\x1f\x8bgarbage", "cannot be unpacked")])
def test_bad_idx_files(data, words):
    with pytest.raises(ValueError, match=words):
        more_data.read_idx(data, 3, "x")


def tiny_members(count=6, classes=3):
    "The members of a small Tiny ImageNet."
    def jpeg():
        buffer = io.BytesIO()
        Image.fromarray(photo(64, 64)).save(buffer, "JPEG")
        return buffer.getvalue()
    numbers = [f"n0{k}" for k in range(classes)]
    members = {f"train/{n}/images/{n}_{k}.JPEG": jpeg() for n in numbers for k in range(count)}
    members |= {f"val/images/val_{k}.JPEG": jpeg() for k in range(classes)}
    members["val/val_annotations.txt"] = "\n".join(f"val_{k}.JPEG\t{n}\t0\t0\t9\t9" for k, n in enumerate(numbers)).encode()
    members["words.txt"] = "\n".join(f"{n}\tthing{n}, other" for n in numbers).encode()
    return members | {"test/images/test_0.JPEG": jpeg(), "wnids.txt": "\n".join(numbers).encode(), "train/n00/n00_boxes.txt": b"x"}


def pack(path, members, top="tiny-imagenet-200/"):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(top + name, data)
    return path


def test_tiny_imagenet_from_an_archive_and_a_folder(tmp_path):
    members = tiny_members()
    train, test = load_data(pack(tmp_path/"x.zip", members))
    assert (train.name, len(train), len(test), train.classes) == ("tiny-imagenet", 18, 3, ("thingn00", "thingn01", "thingn02"))
    assert test.labels.tolist() == [0, 1, 2] and train.images.shape[1:] == (64, 64, 3)
    assert np.array_equal(train.images[4], read_image(members["train/n01/images/n01_1.JPEG"]).pixels)
    assert train.labels.tolist() == [0, 1, 2] * 6  # classes take turns
    for name, data in members.items():
        (tmp_path/"folder"/name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path/"folder"/name).write_bytes(data)
    assert [images.fingerprint() for images in load_data(tmp_path/"folder")] == [train.fingerprint(), test.fingerprint()]


@pytest.mark.parametrize("change, words", [
    (lambda m: m.pop("words.txt"), "is not laid out as Tiny ImageNet"),
    (lambda m: m.update({"val/val_annotations.txt": b"val_0.JPEG\tn00"}), "2 validation pictures have no known class, val/images/val_1.JPEG"),
    (lambda m: m.update({"val/val_annotations.txt": b"\n".join(b"val_%d.JPEG\tdog" % k for k in range(3))}), "3 validation pictures have no known class"),
    (lambda m: m.update({"train/n01/images/n01_1.JPEG": b"no"}), "n01_1.JPEG is no picture"),
    (lambda m: m.update({"train/n01/images/n01_1.JPEG": b""}), "n01_1.JPEG is empty"),
    (lambda m: [m.pop(name) for name in list(m) if name.startswith("train/n0") and name[8] != "0"], "is not laid out as Tiny ImageNet"),
])
def test_bad_tiny_imagenet(change, words, tmp_path):
    members = tiny_members()
    change(members)
    with pytest.raises(ValueError, match=words):
        load_data(pack(tmp_path/"x.zip", members))


def test_zip_files_that_are_none(tmp_path):
    (tmp_path/"x.zip").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="is no zip archive that can be read"):
        load_data(tmp_path/"x.zip")
    with zipfile.ZipFile(tmp_path/"y.zip", "w") as archive:
        archive.writestr("cat/1.png", b"x")
    with pytest.raises(ValueError, match="unpack another one and give its folder"):
        load_data(tmp_path/"y.zip")


def test_tiny_imagenet_by_name(tmp_path, monkeypatch):
    path = pack(tmp_path/"near.zip", tiny_members(count=9))
    monkeypatch.setattr(more_data, "_tiny", dict(file="tiny-imagenet-200.zip", size=None, sha256=sha256_file(path), urls=[path.as_uri()]))
    monkeypatch.setenv("CIFAR_CAM_HOME", str(tmp_path/"home"))
    monkeypatch.delenv("CIFAR_CAM_MIRROR", raising=False)
    train, test = load_data("tiny-imagenet")
    whole, aside = load_data("tiny-imagenet-70-30")
    assert (len(train), len(test), len(whole), len(aside)) == (27, 3, 21, 9) and set(aside.counts().values()) == {3}
    assert whole.name == "tiny-imagenet" and "poured together, 30% of each class" in whole.note
    assert sorted(p.name for p in (tmp_path/"home").iterdir() if p.suffix == ".zip") == ["tiny-imagenet-200.zip"]


def test_every_recipe_names_data_that_is_known():
    known = {"shapes", "cifar10", "cifar100", *more_data.data_sets}
    assert {r.data for r in recipes()} <= known and "tiny-imagenet" in {r.data for r in recipes()}


# Recipes on other pictures

def blank(count, pixels, classes=3, name="pets"):
    return Images(np.zeros((count, pixels, pixels, 3), np.uint8), np.arange(count) % classes, [f"c{k}" for k in range(classes)], name=name)


@pytest.mark.parametrize("pixels", [16, 20, 32, 64, 224])
@pytest.mark.parametrize("chosen", [r for r in recipes()], ids=lambda r: r.name)
def test_every_recipe_fits_every_size(chosen, pixels):
    model = {**chosen.model, **({"width": 4} if chosen.model["name"] in ("resnet18", "custom_resnet") else {})}
    chosen = recipe(chosen.name, model=model)
    fitted, notes = fitted_to(chosen, blank(96, pixels))
    assert fitted.batch_size <= 16 and fitted.normalisation in ("measured", "half") and fitted.data == "pets"
    assert fitted_to(fitted, blank(96, pixels)) == (fitted, []) and all(note in fitted.note for note in notes)
    torch.manual_seed(0)
    out = create_model(**{**fitted.model, "num_classes": 3}).eval()(torch.zeros(1, 3, pixels, pixels))
    assert out.shape == (1, 3)


def test_the_recipes_own_data_changes_nothing():
    images = shapes(train=10, test=10)[0]
    assert fitted_to(recipe("demo"), images) == (recipe("demo"), [])
    assert fitted_to(recipe("custom-resnet"), blank(10, 32, classes=10, name="cifar10")) == (recipe("custom-resnet"), [])


def test_a_large_set_keeps_the_batch():
    fitted, notes = fitted_to(recipe("resnet9-94"), blank(9000, 32, classes=10))
    assert (fitted.batch_size, fitted.schedule, fitted.augmentation) == (512, recipe("resnet9-94").schedule, recipe("resnet9-94").augmentation)
    assert notes == ["normalisation measured on the training pictures instead of cifar10",
                     "24 epochs are 432 steps, with 50,000 pictures they would be 2,352; more epochs (epochs=131, --epochs 131) may be worth their time"]


def test_imbalance_is_among_the_notes():
    images = blank(96, 32)
    uneven = Images(images.images, (np.arange(96) > 80).astype(int), images.classes[:2], name="pets")
    assert "uneven classes: 81 pictures of 'c0', 15 of 'c1'" in fitted_to(recipe("demo"), uneven)[1][-1]


def test_lengths_in_pixels_keep_their_share():
    steps = [dict(op="pad_crop", pad=4), dict(op="cutout", size=[4, 16]), dict(op="crop_resize", size=24), dict(op="elastic"), dict(op="hflip")]
    large, small = (policy(fitted_to(recipe("demo", augmentation=steps), blank(96, pixels))[0].augmentation) for pixels in (80, 8))
    assert large == policy([dict(op="pad_crop", pad=10), dict(op="cutout", size=[10, 40]), dict(op="crop_resize", size=60),
                            dict(op="elastic", alpha=75, sigma=10), dict(op="hflip")])
    assert small == policy([dict(op="pad_crop", pad=1), dict(op="cutout", size=[1, 4]), dict(op="crop_resize", size=6),
                            dict(op="elastic", alpha=8, sigma=1), dict(op="hflip")])


def test_rates_go_down_with_the_batch():
    for name, factor in (("resnet9-94", 8 / 512), ("fast", (8 / 2000) ** 0.5)):
        before, fitted = recipe(name), fitted_to(recipe(name), blank(64, 32))[0]
        assert fitted.batch_size == 8 and fitted.schedule["lr_max"] == pytest.approx(before.schedule["lr_max"] * factor)
    assert fitted_to(recipe("demo"), blank(64, 32))[0].schedule == recipe("demo").schedule  # its rate is found


def test_a_batch_of_one_is_left_out():
    fitted, notes = fitted_to(recipe("resnet9-94"), blank(73, 32))
    assert fitted.drop_last and any("a batch of one cannot be normalised" in note for note in notes)
    assert not fitted_to(recipe("resnet9-94"), blank(74, 32))[0].drop_last


@pytest.mark.parametrize("name", ["resnet18", "custom_resnet"])
def test_the_stem_gives_later_layers_the_maps_they_were_made_for(name):
    for size, stride in ((64, 2), (128, 4)):
        fitted, _ = fitted_to(recipe("custom-resnet", model=dict(name=name, width=8)), blank(96, size))
        assert fitted.model["stem_stride"] == stride
        rows = lambda model, pixels: {r[0]: r[2] for r in summary(create_model(**model), pixels).rows if r[0].startswith("layer")}
        assert rows(fitted.model, size) == rows(dict(name=name, width=8), 32)


def test_stem_strides():
    assert {"resnet18", "custom_resnet", "fast"} <= set(models())
    with pytest.raises(ValueError, match="choose 1 for pictures of about 32 pixels"):
        create_model("resnet18", stem_stride=3)


# The whole way, by the command line

def drawn_folder(root, count=40, pixels=48):
    "Three easy classes of drawn shapes at mixed sizes."
    images = shapes(train=10 * count, test=10, pixels=pixels)[0]
    sizes = [(48, 48), (60, 48), (48, 72), (96, 96)]
    for label, name in ((1, "long bar"), (4, "диск"), (8, "Stern")):
        (root/name).mkdir(parents=True)
        for k, picture in enumerate(images.images[images.labels == label]):
            Image.fromarray(picture).resize(sizes[k % 4]).save(root/name/f"{k}.{'jpg' if k % 2 else 'png'}")
    return root


def test_train_on_a_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder, out = drawn_folder(tmp_path/"my pictures", count=16), str(tmp_path/"run")
    (folder/"Stern"/"bad.png").write_bytes(b"no")
    words = ["train", "--recipe", "demo", "--data", str(folder), "--out", out, "--epochs", "2", "--device", "cpu"]
    assert main(words) == 2
    err = capsys.readouterr().err
    assert "Stern/bad.png" in err and "--skip-corrupt" in err and len(err.strip().splitlines()) == 1
    assert main([*words, "--skip-corrupt"]) == 0
    said = capsys.readouterr().out
    record = json.loads((tmp_path/"run"/"run.json").read_text())
    assert record["notes"] and all(f"- {note}" in said for note in record["notes"]) and record["data"]["pixels"] == [48, 48]
    assert record["data"]["classes"] == ["Stern", "long bar", "диск"] and "Stern/bad.png" in record["data"]["note"]
    assert "fitted to my pictures" in record["recipe"]["note"] and str(tmp_path) not in (tmp_path/"run"/"run.json").read_text()
    page = (tmp_path/"run"/"report.html").read_text()
    assert "batches of 8 instead of 128" in page and "3 logits" in page
    model = load_run(out).model
    assert tuple(model.input_size) == (48, 48) and model.linear.out_features == 3
    for command in (["evaluate", out], ["explain", out, "--count", "2"]):
        assert main([*command, "--data", str(folder), "--skip-corrupt"]) == 0
    assert main(["explain", str(folder/"Stern"/"0.png"), "--model", out, "--out", str(tmp_path/"why")]) == 0


def test_the_command_line_takes_a_size(tmp_path, capsys):
    folder = drawn_folder(tmp_path/"few", count=8)
    words = ["--data", str(folder), "--device", "cpu"]
    assert main(["train", "--recipe", "demo", *words, "--pixels", "16", "--epochs", "1", "--out", str(tmp_path/"run"), "--quiet"]) == 0
    assert json.loads((tmp_path/"run"/"run.json").read_text())["data"]["pixels"] == [16, 16]
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path/"run"), *words]) == 0
    assert "test accuracy" in capsys.readouterr().out
