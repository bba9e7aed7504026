"The command line from start to report on a tiny run, and every kind of bad input: one clear line, status 2, nothing half-written."
import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cifar_cam.cli import main
from cifar_cam.data import Images, shapes
from cifar_cam.evaluate import Predictions
from cifar_cam.recipes import recipe, run


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory):
    "A finished run of one epoch on a few drawn shapes kept in an .npz file."
    folder = tmp_path_factory.mktemp("tiny")
    train, test = shapes(train=300, test=60)
    write_arrays(folder/"few.npz", train, test)
    chosen = recipe("demo", batch_size=50, schedule=dict(name="one_cycle", lr_max=0.1), valid_fraction=0.1).scaled(1)
    return run(chosen, (train, test), out=folder/"run", precision="float32", progress=False).folder


def write_arrays(path, train, test, classes=None):
    np.savez(path, x_train=train.images, y_train=train.labels, x_test=test.images, y_test=test.labels,
             classes=np.array(classes or train.classes))


def said(capsys, *words):
    "Status, standard output and standard error of one command."
    capsys.readouterr()
    try:
        status = main([str(w) for w in words])
    except SystemExit as end:
        status = end.code
    out, err = capsys.readouterr()
    return status, out, err


def refused(capsys, *words):
    "The one line said about bad input; asserts status 2 and that nothing else was printed."
    status, out, err = said(capsys, *words)
    assert status == 2 and not out, (status, out, err)
    assert err.count("\n") == 1 and "Traceback" not in err, err
    return err


def test_evaluate_prints_every_class_and_its_interval(tiny_run, capsys):
    status, out, err = said(capsys, "evaluate", tiny_run, "--data", tiny_run.parent/"few.npz")
    assert status == 0 and len(out.splitlines()) == 11 and "60 pictures" in out, err


def test_explain_writes_a_figure_for_each_layer(tiny_run, capsys, tmp_path):
    status, out, err = said(capsys, "explain", tiny_run, "--data", tiny_run.parent/"few.npz", "--layers", "layer2", "layer3",
                            "--out", tmp_path, "--count", 10)
    assert status == 0, err
    assert {p.name for p in tmp_path.iterdir()} == {"explain_layer2.png", "explain_layer3.png"}
    assert all(Image.open(p).width > 300 for p in tmp_path.iterdir())


def test_report_is_written_anew(tiny_run, capsys):
    assert said(capsys, "report", tiny_run)[0] == 0
    assert "<html" in (tiny_run/"report.html").read_text()


def test_a_report_is_written_into_the_folder_that_is_named(tiny_run, capsys, tmp_path):
    assert said(capsys, "report", tiny_run, "--out", tmp_path/"reports"/"mine")[0] == 0
    assert said(capsys, "report", tiny_run, "--out", tmp_path/"page.html")[0] == 0
    assert "<html" in (tmp_path/"reports"/"mine"/"report.html").read_text() == (tmp_path/"page.html").read_text()


def test_evaluate_keeps_the_answers_where_it_is_told(tiny_run, capsys, tmp_path):
    status, out, err = said(capsys, "evaluate", tiny_run, "--data", tiny_run.parent/"few.npz", "--out", tmp_path)
    assert status == 0 and f"predictions: {tmp_path/'predictions.npz'}" in out, err
    assert len(Predictions.load(tmp_path/"predictions.npz")) == 60


def test_data_of_which_only_the_name_is_known_is_asked_for(tmp_path, tiny_run, capsys, monkeypatch):
    record = json.loads((tiny_run/"run.json").read_text())
    shutil.copytree(tiny_run, tmp_path/"run")
    (tmp_path/"run"/"run.json").write_text(json.dumps({**record, "data": {**record["data"], "source": "few.npz"}}))
    monkeypatch.chdir(tmp_path)
    assert "say with --data where it is" in refused(capsys, "evaluate", tmp_path/"run")


@pytest.mark.parametrize("words", [["evaluate", "RUN", "--data", "DATA"], ["explain", "RUN", "--data", "DATA"], ["explain", "PICTURE"]])
def test_a_device_that_is_not_there(words, tiny_run, capsys, tmp_path):
    names = dict(RUN=tiny_run, DATA=tiny_run.parent/"few.npz", PICTURE=wide_picture(tmp_path/"a.png"))
    line = refused(capsys, *(names.get(word, word) for word in words), "--out", tmp_path/"out", "--device", "gpu")
    assert "device 'gpu' is not available" in line and "use auto or cpu" in line


def test_a_way_to_compile_that_does_not_exist(capsys, tmp_path):
    line = refused(capsys, "demo", "--compile", "fastest", "--quiet", "--out", tmp_path/"run")
    assert "unknown way to compile 'fastest'; choose True or one of default" in line and not (tmp_path/"run").exists()


def test_a_quiet_sweep_says_only_what_it_found(capsys, tmp_path):
    status, out, err = said(capsys, "lr-find", "--recipe", "demo", "--quiet", "--steps", 30, "--out", tmp_path)
    assert status in (0, 2) and not err and out.splitlines()[-1].startswith("figure: "), (out, err)


def test_recipes_lists_the_five_documents(capsys):
    status, out, _ = said(capsys, "recipes")
    assert status == 0 and all(name in out for name in ("seed0-s9", "seed1-s9", "seed2-doc", "seed3-s9", "seed4-s7", "custom-resnet"))


@pytest.mark.parametrize("words, expected", [
    (["train", "--recipe", "resnet-18"], "choose one of demo, custom-resnet"),
    (["demo", "--data", "no/such/path"], "neither one of shapes"),
    (["demo", "--device", "tpu9"], "use auto or cpu"),
    (["demo", "--speed", "fast"], "unrecognized arguments: --speed fast"),
    (["demo", "--seed", "one"], "'one' is no whole number from 0"),
    (["demo", "--seed", "-1"], "'-1' is no whole number from 0"),
    (["app", "--port", "99999999"], "a port is a number from 1 to 65535"),
    (["demo", "--epochs", "0"], "at least 1"),
    (["train"], "--recipe"),
    (["explain", "no/such/run"], "holds no trained model"),
    ([], "required"),
])
def test_wrong_words(words, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert expected in refused(capsys, *words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options, expected", [
    (["--layers", "layer9"], "layer9"),
    (["--targets", "submarine"], "submarine"),
    (["--targets", "99"], "99"),
    (["--method", "magic"], "magic"),
])
def test_unknown_layer_class_and_method(tiny_run, options, expected, capsys, tmp_path):
    line = refused(capsys, "explain", tiny_run, "--data", tiny_run.parent/"few.npz", "--out", tmp_path/"figures", *options)
    assert expected in line and not (tmp_path/"figures").exists()


def picture(path, label=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((32, 32, 3), 20 * label, np.uint8)).save(path)


def empty_folder(root): root.mkdir()
def one_class(root): picture(root/"cat"/"1.png")
def class_without_pictures(root): picture(root/"cat"/"1.png"), (root/"dog").mkdir()
def unreadable(root): picture(root/"cat"/"1.png"), (root/"dog").mkdir(), (root/"dog"/"2.png").write_bytes(b"GIF89a not really")
def unlike_test(root): [picture(root/part/name/"1.png") for part, names in (("train", "ab"), ("test", "bc")) for name in names]


@pytest.mark.parametrize("make, expected", [
    (empty_folder, "found none"), (one_class, "only cat"), (class_without_pictures, "holds no picture"),
    (unreadable, "2.png"), (unlike_test, "different classes"),
])
def test_bad_folders(make, expected, capsys, tmp_path):
    make(tmp_path/"pictures")
    assert expected in refused(capsys, "demo", "--data", tmp_path/"pictures", "--out", tmp_path/"run")
    assert not (tmp_path/"run").exists()


def test_eleven_classes_for_a_ten_class_model(tiny_run, capsys, tmp_path):
    train, test = shapes(train=22, test=22)
    labels = np.arange(22) % 11
    write_arrays(tmp_path/"eleven.npz", *(Images(s.images, labels, [*s.classes, "extra"]) for s in (train, test)))
    assert "are not the model's" in refused(capsys, "evaluate", tiny_run, "--data", tmp_path/"eleven.npz")


def test_labels_beyond_the_class_names(capsys, tmp_path):
    train, test = shapes(train=20, test=20)
    np.savez(tmp_path/"bad.npz", x_train=train.images, y_train=train.labels + 1, x_test=test.images, y_test=test.labels,
             classes=np.array(train.classes))
    assert "1 to 10, but there are 10 class names" in refused(capsys, "demo", "--data", tmp_path/"bad.npz", "--out", tmp_path/"run")
    assert not (tmp_path/"run").exists()


def archive_bytes():
    "A small tar.gz that is no CIFAR archive."
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo("cifar-10-batches-py/data_batch_1")
        info.size = 50_000
        archive.addfile(info, io.BytesIO(np.random.default_rng(0).bytes(50_000)))
    return buffer.getvalue()


@pytest.mark.parametrize("change", ["truncated", "altered", "incomplete", "no archive at all"])
def test_bad_archives(change, capsys, tmp_path):
    data = bytearray(archive_bytes())
    data = {"truncated": data[:len(data) // 2], "incomplete": data, "no archive at all": b"hello"}.get(change, data)
    if change == "altered":
        data[len(data) // 2] ^= 255
    (tmp_path/"cifar-10-python.tar.gz").write_bytes(data)
    line = refused(capsys, "demo", "--data", tmp_path/"cifar-10-python.tar.gz", "--out", tmp_path/"run")
    assert "cifar-10-python.tar.gz" in line and not (tmp_path/"run").exists()


def test_a_folder_of_another_run_is_left_alone(tiny_run, capsys):
    before = (tiny_run/"run.json").read_bytes()
    assert "holds another run" in refused(capsys, "demo", "--seed", 5, "--data", tiny_run.parent/"few.npz", "--out", tiny_run)
    assert (tiny_run/"run.json").read_bytes() == before


def test_a_foreign_folder_is_left_alone(capsys, tmp_path):
    (tmp_path/"thesis.txt").write_text("years of work")
    assert "is not empty" in refused(capsys, "demo", "--out", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_same_words_in_python():
    with pytest.raises(ValueError, match="choose one of demo"):
        recipe("resnet-18")
    with pytest.raises(FileNotFoundError, match="no folder"):
        from cifar_cam.data import image_folder
        image_folder(Path("no/such/folder"))


# Pictures of one's own, and export

def wide_picture(path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(path)
    return path


def test_pictures_are_explained(tiny_run, capsys, tmp_path):
    first, second = wide_picture(tmp_path/"my photo.jpg"), wide_picture(tmp_path/"zwei.png")
    status, out, err = said(capsys, "explain", first, second, "--model", tiny_run, "--out", tmp_path/"why", "--top", 4, "--class", "star")
    assert status == 0 and not err
    assert sorted(p.name for p in (tmp_path/"why").iterdir()) == ["explanations.json", "my photo.png", "zwei.png"]
    record = json.loads((tmp_path/"why"/"explanations.json").read_text())
    assert [len(p["top"]) for p in record["pictures"]] == [4, 4] and [m["class"] for m in record["pictures"][0]["maps"]] == ["star"]
    best = record["pictures"][0]["top"][0]
    assert f"my photo.jpg: {best['class']} {best['probability']:.1%}" in out


def test_a_folder_of_pictures_and_its_bad_files(tiny_run, capsys, tmp_path):
    (tmp_path/"in").mkdir()
    wide_picture(tmp_path/"in"/"a.png")
    (tmp_path/"in"/"b.jpg").write_text("no picture")
    line = refused(capsys, "explain", tmp_path/"in", "--model", tiny_run, "--out", tmp_path/"why")
    assert "b.jpg is no picture: it is text" in line and "--skip" in line and not (tmp_path/"why").exists()
    status, out, err = said(capsys, "explain", tmp_path/"in", "--model", tiny_run, "--out", tmp_path/"why", "--skip", "--how", "pad")
    assert status == 0 and "left out: b.jpg" in out and (tmp_path/"why"/"a.png").is_file()


@pytest.mark.parametrize("words, expected", [
    (["none.png"], "no file"), (["--class", "submarine"], "submarine"), (["--targets", "true"], "nobody knows the true class"),
    (["--top", "0"], "at least one class"), (["--layers", "layer9"], "layer9"), (["--how", "squash"], "invalid choice"), (["--size", "0"], "size=0"),
    (["--method", "magic"], "magic"),
])
def test_wrong_words_about_pictures(tiny_run, words, expected, capsys, tmp_path):
    picture = wide_picture(tmp_path/"x.png")
    words = words if words[0].startswith("--") else [tmp_path/words[0]]
    line = refused(capsys, "explain", *([] if len(words) == 1 else [picture]), *words, "--model", tiny_run, "--out", tmp_path/"why")
    assert expected in line and not (tmp_path/"why").exists()


def test_without_model_the_packages_own_is_taken(tiny_run, capsys, tmp_path, monkeypatch):
    from cifar_cam import cli, own_images
    monkeypatch.setattr(cli, "default_model", lambda: own_images.default_model(tmp_path/"nowhere"))
    picture = wide_picture(tmp_path/"x.png")
    assert "no trained network comes with this installation" in refused(capsys, "explain", picture, "--out", tmp_path/"why")
    own_images.save_single_file(tmp_path/"fast.safetensors", own_images.own_model(tiny_run))
    monkeypatch.setattr(cli, "default_model", lambda: own_images.default_model(tmp_path))
    assert said(capsys, "explain", picture, "--out", tmp_path/"why")[0] == 0
    assert said(capsys, "explain", picture, "--out", tmp_path/"why2", "--model", tmp_path/"fast.safetensors", "--method", "layercam")[0] == 0
    assert (tmp_path/"why"/"explanations.json").read_bytes() == (tmp_path/"why2"/"explanations.json").read_bytes()


def test_the_model_is_not_there(capsys, tmp_path):
    assert "holds no trained model" in refused(capsys, "explain", wide_picture(tmp_path/"x.png"), "--model", tmp_path/"runs")


def test_export(tiny_run, capsys, tmp_path):
    pytest.importorskip("onnxruntime")
    status, out, err = said(capsys, "export", tiny_run, "--onnx", "--card", "--cam-layer", "layer2", "--out", tmp_path/"to", "--license", "mit")
    assert status == 0 and not err and "maps differ by at most" in out
    assert sorted(p.name for p in (tmp_path/"to").iterdir()) == ["card", "model.onnx"] and "license: mit" in (tmp_path/"to"/"card"/"README.md").read_text()
    assert said(capsys, "explain", wide_picture(tmp_path/"x.png"), "--model", tiny_run, "--out", tmp_path/"why")[0] == 0


def test_export_refuses(tiny_run, capsys, tmp_path, monkeypatch):
    import sys
    assert "choose --onnx, --program or --card" in refused(capsys, "export", tiny_run)
    assert "holds no trained model" in refused(capsys, "export", tmp_path, "--onnx")
    assert "layer9" in refused(capsys, "export", tiny_run, "--program", "--cam-layer", "layer9", "--out", tmp_path/"to")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "pip install 'cifar_cam[export]'" in refused(capsys, "export", tiny_run, "--onnx", "--out", tmp_path/"to")
    assert not (tmp_path/"to").exists()
