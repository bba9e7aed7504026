"The report: safe with any text, whole with any piece missing, the same bytes every time, and nothing from outside."
import json
import math
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest

from cifar_cam import show as draw
from cifar_cam.checkpoint import History
from cifar_cam.data import Images
from cifar_cam.evaluate import Predictions
from cifar_cam.report import chart, class_rows, duration, escape, page, percent, read_record, report, round_ticks, verdict

evil = '<script>alert(1)</script>'
names = [evil, 'quo"te', "ampers&nd", "plain", "'; DROP", "ünïcode", "a\x00b", "</style>", "<img src=x onerror=alert(2)>", "</svg>"]
pieces = ["metrics.json", "history.csv", "lr_find.json", "predictions.npz", "figures"]


def write_run(folder, classes=names, n=200, watch=False):
    random = np.random.default_rng(0)
    labels = np.arange(n) % len(classes)
    logits = random.normal(0, 1, (n, len(classes)))
    logits[np.arange(n), labels] += 2
    p = Predictions(logits, labels, classes)
    folder.mkdir(parents=True)
    recipe = dict(name="try" + evil, title="A title " + evil, model=dict(name="resnet18"), augmentation=[dict(op="hflip", p=0.5), dict(op=evil)],
                  epochs=3, select="last", valid_fraction=0.1, watch_test=watch, schedule=dict(name="one_cycle", lr_max="find"), note=evil,
                  reported=dict(train=99.0, test=evil), later=[[1, 2], {"deep": {evil: [evil]}}])
    run = dict(recipe=recipe, seed=7, data=dict(name="shapes", train=50000, test=n, fingerprint="ab" * 32, note="copy " + evil), digest=evil,
               versions={"cifar_cam": "0.1.0", evil: "1"}, machine=dict(device="cpu", name=evil, cores=2), command=f"cifar-cam train '{evil}'",
               started="2026-01-01T00:00:00+00:00", finished="2026-01-01T00:01:00+00:00")
    metrics = dict(test_accuracy=p.accuracy, test_loss=p.loss, per_class=p.per_class(), seconds=61.5, epochs=3, parameters=11_173_962)
    rows = [dict(epoch=k, lr=0.1 / k, train_loss=2 / k, train_accuracy=0.3 * k, valid_loss=math.nan if k == 2 else 2.1 / k, valid_accuracy=0.25 * k,
                 seconds=20.5, **(dict(test_loss=2.2 / k, test_accuracy=0.2 * k) if watch else {})) for k in (1, 2, 3)]
    finder = dict(lrs=[1e-4, 1e-3, 1e-2, 0.1, 1], losses=[2.3, 2.2, 1.5, 1.2, 90], smoothed=[2.3, 2.2, 1.6, 1.3, 60], recommended=0.1,
                  suggestions={"valley": 0.01, evil: 0.2}, stopped="diverged", diverged=1.0)
    for name, content in (("run", run), ("metrics", metrics), ("lr_find", finder)):
        (folder/f"{name}.json").write_text(json.dumps(content))
    (folder/"history.csv").write_text(History(rows).to_csv())
    p.save(folder/"predictions.npz")
    images = Images(random.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8), labels, classes)
    for name in ("gradcam", "gradcam_layers", "mistakes", "augmentation", "schedule", "extra figure <b>"):
        draw.save_figure(draw.image_grid(images.images[:4], tile=0.4), folder/"figures"/f"{name.replace('/', '')}.png", dpi=50, close=True)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs")/"whole")


@pytest.fixture
def run(whole, tmp_path):
    return shutil.copytree(whole, tmp_path/"run")


class Page(HTMLParser):
    "Checks that tags are balanced and collects what a page consists of."
    void = {"meta", "img", "br", "link", "input", "hr"}
    shapes = {"path", "rect", "circle"}

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.words, self.ids = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == [], self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, k, v) for k, v in attributes]
        self.ids += [v for k, v in attributes if k == "id"]
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        assert tag in self.shapes, f"<{tag}/> closes itself only in SVG"
        self.tags.append(tag)
        self.attributes += [(tag, k, v) for k, v in attributes]

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).replace("\u00a0", " ").split())


def check(text):
    "What must hold for every page."
    parsed = Page(text)
    allowed = {"html", "head", "meta", "title", "style", "body", "main", "header", "footer", "section", "h1", "h2", "h3", "p", "b", "i", "br", "ul", "li",
               "dl", "dt", "dd", "div", "span", "figure", "figcaption", "img", "table", "caption", "thead", "tbody", "tr", "th", "td", "pre", "code",
               "svg", "g", "path", "rect", "circle", "text", "clippath", "a"}
    assert set(parsed.tags) <= allowed, set(parsed.tags) - allowed
    assert not [k for _, k, _ in parsed.attributes if k.startswith("on")]
    sources = [v for _, k, v in parsed.attributes if k in ("src", "srcset", "data", "poster", "background", "xlink:href")]
    assert all(v.startswith("data:image/png;base64,") for v in sources)
    assert not re.search(r"""(?:src|srcset)\s*=\s*["']?\s*(?:https?:)?//""", text) and not re.search(r"@import|url\(\s*['\"]?(?!#)", text)
    assert not [v for t, k, v in parsed.attributes if k == "href" and t != "a"]
    assert len(set(parsed.ids)) == len(parsed.ids)
    images = parsed.tags.count("img")
    assert sum(bool(v) for t, k, v in parsed.attributes if (t, k) == ("img", "alt")) == images
    assert parsed.tags.count("h1") == 1 and parsed.tags.count("main") == 1 and "\x00" not in text
    return parsed


def test_a_run_that_compares_no_layers_misses_no_figure(run):
    (run/"figures"/"gradcam_layers.png").unlink()
    record = json.loads((run/"run.json").read_text())
    for layers, missed in ((["layer4"], False), (["layer3", "layer4"], True)):
        record["recipe"]["explain_layers"] = layers
        (run/"run.json").write_text(json.dumps(record))
        assert ("figures/gradcam_layers.png is not in the run folder" in check(report(run).read_text("utf-8")).text) == missed


def test_a_whole_page(run):
    path = report(run)
    assert path == run/"report.html"
    parsed = check(path.read_text("utf-8"))
    assert parsed.tags.count("img") == 6 and parsed.tags.count("svg") == 3
    metrics = json.loads((run/"metrics.json").read_text())
    for words in (percent(metrics["test_accuracy"]).replace("\u00a0", " "), "95 % interval", "11,173,962", "copy " + evil, "was read once", "last epoch",
                  "10 % of the training pictures", "Recommended: 0.1", "50,000", f"cifar-cam train '{evil}'", "99 %"):
        assert words in parsed.text, words
    assert "is not in the run folder" not in parsed.text
    assert not list(run.glob("*.tmp")) and not list(run.glob(".*"))


def test_texts_are_escaped(run):
    text = report(run).read_text("utf-8")
    assert "<script" not in text.lower() and "<img src=x" not in text and text.count("</style>") == 1 and text.count("</svg>") == text.count("<svg ")
    assert escape(evil) in text
    assert check(text).text.count(evil) > 5


@pytest.mark.parametrize("missing", [[p] for p in pieces] + [pieces, pieces[1:], pieces[:1] + pieces[2:]])
def test_pieces_may_be_missing(run, missing):
    for name in missing:
        shutil.rmtree(run/name) if (run/name).is_dir() else (run/name).unlink()
    parsed = check(report(run).read_text("utf-8"))
    if "figures" in missing and "predictions.npz" in missing:
        assert "is not in the run folder" in parsed.text
    if set(missing) >= {"metrics.json", "predictions.npz"}:
        assert "no test result yet" in parsed.text and "has not been read" in parsed.text
    if "metrics.json" in missing:
        assert "This run is not finished" in parsed.text
    headings = [h for h in ("How far to trust", "How it learned", "Learning rate", "Who is taken for whom", "Every class", "Sure, and wrong", "The recipe",
                            "The record", "Run it again") if h in parsed.text]
    assert len(headings) == 9


def test_saved_figures_stand_in_for_missing_numbers(run):
    for name in ("history.csv", "lr_find.json", "predictions.npz", "metrics.json"):
        (run/name).unlink()
    for name in ("curves", "lr_find", "confusion", "per_class"):
        shutil.copy(run/"figures"/"mistakes.png", run/"figures"/f"{name}.png")
    parsed = check(report(run).read_text("utf-8"))
    assert parsed.tags.count("img") == 10 and "is not in the run folder" not in parsed.text


def test_an_empty_record(tmp_path):
    (tmp_path/"run.json").write_text("{}")
    check(report(tmp_path).read_text("utf-8"))


def test_the_same_bytes_every_time(run, tmp_path):
    first = report(run).read_bytes()
    assert report(run).read_bytes() == first
    moved = shutil.copytree(run, tmp_path/"elsewhere"/"run")
    assert report(moved, tmp_path/"deep"/"page.html").read_bytes() == first
    assert str(tmp_path).encode() not in first


def test_every_number_comes_from_the_files(run):
    metrics = json.loads((run/"metrics.json").read_text())
    (run/"predictions.npz").unlink()
    for row in metrics["per_class"]:
        row.update(n=100, correct=50, accuracy=0.999, low=0.9, high=1)  # what does not follow from the counts is not believed
    metrics.update(test_accuracy=0.5, parameters=4321, test_accuracy_tta=0.515)
    (run/"metrics.json").write_text(json.dumps(metrics))
    parsed = check(report(run).read_text("utf-8"))
    for words in ("50.00 %", "4,321", "51.50 %", "second time with its pictures also mirrored", "46.91 % to 53.09 %"):
        assert words in parsed.text, words
    assert "99.9 %" not in parsed.text


def test_contradicting_files_are_named(run):
    metrics = json.loads((run/"metrics.json").read_text()) | dict(test_accuracy=0.987)
    (run/"metrics.json").write_text(json.dumps(metrics))
    assert "metrics.json says 98.70 %, predictions.npz counts" in check(report(run).read_text("utf-8")).text


def test_watching_the_test_set_is_said(tmp_path):
    parsed = check(report(write_run(tmp_path/"run", watch=True)).read_text("utf-8"))
    assert "also measured after every epoch" in parsed.text and "nothing was chosen by it" in parsed.text and "read once" not in parsed.text


def test_best_epoch_is_said(run):
    record = json.loads((run/"run.json").read_text())
    record["recipe"]["select"] = "best"
    (run/"run.json").write_text(json.dumps(record))
    assert "best validation accuracy (epoch 3, 75.00 %)" in check(report(run).read_text("utf-8")).text


def test_no_mistake_at_all(run):
    Predictions(np.eye(10) * 9, range(10), names).save(run/"predictions.npz")
    assert "There is no mistake in the test set" in check(report(run).read_text("utf-8")).text


def test_many_classes(tmp_path):
    parsed = check(report(write_run(tmp_path/"run", [f"class {k}" for k in range(100)], 300)).read_text("utf-8"))
    assert "Most frequent confusions" in parsed.text and parsed.tags.count("td") < 1500


@pytest.mark.parametrize("name, content, words", [
    ("run.json", "{", "run.json is damaged"), ("run.json", "[1]", "must hold a JSON object"), ("run.json", b"\xff\xfe", "run.json is damaged"),
    ("metrics.json", '{"test_accuracy": 0.9', "metrics.json is damaged"), ("metrics.json", '{"test_accuracy": "high"}', "test_accuracy not as a run writes it"),
    ("metrics.json", '{"per_class": [{"class": "cat"}]}', "per_class not as a run writes it"), ("lr_find.json", '{"lrs": [1, 2], "losses": [1]}', "lr_find.json is damaged"),
    ("history.csv", "epoch,lr\none,2\n", "history.csv is damaged"), ("predictions.npz", b"PK\x03\x04 nonsense", "damaged or not a file of predictions"),
])
def test_damaged_files_are_named(run, name, content, words):
    (run/name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError) as caught:
        report(run)
    assert words in str(caught.value) and str(run/name) in str(caught.value)
    assert not (run/"report.html").exists()


def test_a_damaged_figure_is_said(run):
    data = (run/"figures"/"gradcam.png").read_bytes()
    (run/"figures"/"gradcam.png").write_bytes(data[:len(data) // 2])
    parsed = check(report(run).read_text("utf-8"))
    assert "figures/gradcam.png is damaged" in parsed.text and parsed.tags.count("img") == 5


def test_not_a_run_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder .*; give the folder a training run wrote"):
        report(tmp_path/"nowhere")
    with pytest.raises(FileNotFoundError, match="is not a run folder"):
        report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_out_may_be_a_folder(run, tmp_path):
    (tmp_path/"pages").mkdir()
    assert report(run, tmp_path/"pages") == tmp_path/"pages"/"report.html"


def test_reading_changes_nothing(run):
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    page(read_record(run))
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


def test_class_without_pictures(run):
    Predictions(np.eye(10)[:9] * 9, range(9), names).save(run/"predictions.npz")
    (run/"metrics.json").unlink()
    record = read_record(run)
    assert math.isnan(class_rows(record)[9]["accuracy"])
    check(page(record))
    assert "nan" not in verdict(record)


@pytest.mark.parametrize("low, high", [(0, 1), (0.11, 0.97), (1, 24), (-5, 1e6), (3, 3), (1e-9, 2e-9)])
def test_ticks(low, high):
    ticks = round_ticks(low, high)
    assert len(ticks) <= 7 and all(low - 1e-9 * abs(low) <= t <= high * (1 + 1e-9) for t in ticks)
    assert high == low or len(ticks) >= 2


def test_charts_of_little():
    assert chart("x", [], {}, "e") == "" and chart("x", [1, 2], {"a": [math.nan, None]}, "e") == ""
    for values in ([1.0], [2.0, 2.0], [math.nan, 1.0, math.inf], [0, 0, 0]):
        svg = chart("x", list(range(1, len(values) + 1)), {"a": values}, "e")
        assert "nan" not in svg and "inf" not in svg.replace("info", "")
        Page(svg)
    assert duration(math.nan) == "–"
