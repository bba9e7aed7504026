"Comparing runs: any number, any names, nothing silently missing; statistics against published numbers and other ways to compute them."
import csv
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings as tried
from hypothesis import strategies as st

from cifar_cam.checkpoint import History
from cifar_cam.cli import main
from cifar_cam.compare import best_result, compare, holm, paired_interval, spelled_out
from cifar_cam.evaluate import Predictions
from cifar_cam.recipes import recipe
from test_report import Page

evil = "<script>alert(1)</script>"
names = ["cat", evil, "d&g", "bird"]
labels = np.arange(400) % 4
hard = np.random.default_rng(5).permutation(400)  # the same pictures are hard for all
base = recipe("demo", schedule=dict(name="one_cycle", lr_max=0.1))


def write_run(folder, accuracy=0.9, seed=0, chosen=base, test="t" * 64, epochs=4, finished=True, valid=True, keep=None, **changes):
    "A run folder as `run` writes it, with as many right answers as asked for."
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    right = np.argsort(hard + random.normal(0, 25, 400)) < accuracy * 400
    logits = np.eye(4)[np.where(right, labels, (labels + 1) % 4)] * 5
    predictions = Predictions(logits, labels, names)
    settings = {**chosen.to_dict(), **changes}
    settings = {k: v for k, v in settings.items() if keep is None or k in keep}
    data = dict(name="drawn", train=1000, test=400, fingerprint="f" * 64, test_fingerprint=test)
    run = dict(recipe=settings, seed=seed, data=data, machine=dict(device="cpu", name="A processor", threads=2, precision="float32"))
    (folder/"run.json").write_text(json.dumps(run))
    rows = [dict(epoch=k, lr=0.1 / k, train_loss=(2 + seed) / (k + 1), train_accuracy=min(1, accuracy * k / (k + 2)), seconds=2.0,
                 **(dict(valid_loss=2.1 / k, valid_accuracy=min(1, accuracy * k / (k + 1))) if valid else {})) for k in range(1, epochs + 1)]
    (folder/"history.csv").write_text(History(rows).to_csv())
    if finished:
        predictions.save(folder/"predictions.npz")
        metrics = dict(test_accuracy=predictions.accuracy, test_loss=predictions.loss, per_class=predictions.per_class(), seconds=8.0,
                       epochs=epochs, train_accuracy=0.95)
        (folder/"metrics.json").write_text(json.dumps(metrics))
    return folder


@pytest.fixture
def three(tmp_path):
    "Two seeds of one recipe and another recipe."
    other = replace(base, batch_size=64, name="other")
    return [write_run(tmp_path/"one"), write_run(tmp_path/"two", 0.91, seed=1), write_run(tmp_path/"other", 0.7, chosen=other)]


# Statistics

def test_the_interval_of_newcombes_first_example():
    "Statistics in Medicine 17, 2635-2650 (1998), method 10: 36, 12, 2 and 0 pairs give 0.0569 to 0.3404."
    assert paired_interval(36, 2, 12, 0) == pytest.approx((0.0569, 0.3404), abs=5e-5)


def test_the_interval_agrees_with_a_paired_bootstrap():
    "Where there are many pictures, resampling them gives nearly the same interval."
    counts = np.array([8500, 300, 380, 820])
    again = np.random.default_rng(0).multinomial(counts.sum(), counts / counts.sum(), size=20_000)
    low, high = np.quantile((again[:, 2] - again[:, 1]) / counts.sum(), (0.025, 0.975))
    assert paired_interval(*map(int, counts)) == pytest.approx((low, high), abs=4e-4)


@tried(deadline=None)
@given(st.lists(st.integers(0, 60), min_size=4, max_size=4).filter(any))
def test_the_interval_is_one(counts):
    low, high = paired_interval(*counts)
    both, first, second, neither = counts
    assert -1 <= low <= (second - first) / sum(counts) <= high <= 1
    assert paired_interval(both, second, first, neither) == pytest.approx((-high, -low))


def test_the_interval_refuses_impossible_counts():
    for counts in ((0, 0, 0, 0), (-1, 1, 1, 1)):
        with pytest.raises(ValueError, match="must be 0 or more and not all 0"):
            paired_interval(*counts)


def test_p_values_are_those_of_the_binomial_test(three):
    stats = pytest.importorskip("scipy.stats")
    pair = compare(three).paired("one", "other")
    flips = pair.only_first + pair.only_second
    assert flips > 10 and pair.p_value == pytest.approx(stats.binomtest(pair.only_first, flips).pvalue)


@tried(deadline=None)
@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm(p_values):
    "Never below the plain value nor above Bonferroni's, in the same order, the smallest as Bonferroni's."
    corrected = holm(p_values)
    assert len(corrected) == len(p_values)
    for plain, now in zip(p_values, corrected):
        assert plain <= now <= min(1.0, len(p_values) * plain) or math.isclose(now, plain)
    assert all(a <= b for (_, a), (_, b) in zip(sorted(zip(p_values, corrected)), sorted(zip(p_values, corrected))[1:]))
    if p_values:
        assert min(corrected) == min(1.0, len(p_values) * min(p_values))


# What is compared

def test_runs_of_one_recipe_form_a_group_and_the_table_says_what_they_reached(three):
    found = compare(three)
    assert [one.group for one in found.runs] == ["demo", "demo", "other"]
    row = found.table()[0]
    assert (row["recipe"], row["seed"], row["epochs"], row["test_accuracy"], row["state"]) == ("demo", 0, 4, 0.9, "finished")
    assert row["gap"] == pytest.approx(0.05) and row["best_epoch"] == "4 (validation)" and row["machine"] == "A processor, 2 threads, float32"
    seeds = found.seeds()
    assert seeds[0]["mean"] == pytest.approx(0.905) and seeds[0]["standard_error"] == pytest.approx(0.005) and seeds[0]["seeds"] == "0, 1"
    assert [row["setting"] for row in found.differences()] == ["name", "batch_size"]


def test_a_title_or_note_makes_no_other_recipe(tmp_path):
    write_run(tmp_path/"a"), write_run(tmp_path/"b", title="Another title", note="and a note", name="renamed")
    found = compare(tmp_path)
    assert len({one.group for one in found.runs}) == 1 and not found.differences()


def test_records_of_earlier_and_later_versions(tmp_path):
    "Settings that were added later count as their defaults; a recipe this version does not know is still compared."
    early = [k for k in base.to_dict() if k not in ("loader", "drop_last", "mode", "quirks")]
    write_run(tmp_path/"now"), write_run(tmp_path/"early", keep=early), write_run(tmp_path/"later", warp=9)
    found = compare([tmp_path/"now", tmp_path/"early", tmp_path/"later"])
    assert found.runs[0].group == found.runs[1].group != found.runs[2].group
    assert {row["setting"]: row[found.runs[2].group] for row in found.differences()} == {"warp": 9}


def test_another_test_set_is_in_the_table_and_refused_as_a_pair(tmp_path):
    found = compare([write_run(tmp_path/"a"), write_run(tmp_path/"b", test="u" * 64), write_run(tmp_path/"c", finished=False)])
    assert len(found.table()) == 3 and found.table()[2]["state"] == "unfinished" and found.table()[2]["test_accuracy"] is None
    with pytest.raises(ValueError, match="tested on other pictures.*test both on one set"):
        found.paired("a", "b")
    with pytest.raises(ValueError, match="c has no predictions .unfinished.; finish it"):
        found.paired("a", "c")
    assert found.plot_pairs() is None and all(row["not_paired"] for row in found.pairs())
    assert "tested on other pictures" in found.page() and "unfinished" in found.page()


def test_a_run_without_epochs_yet(tmp_path):
    write_run(tmp_path/"begun", finished=False)
    (tmp_path/"begun"/"history.csv").unlink()
    found = compare(tmp_path/"begun")
    assert found.table()[0]["epochs"] == 0 and "begun" in repr(found) and found.plot() and not found.seeds()


def test_predictions_that_are_not_for_the_same_pictures_after_all(tmp_path):
    "A fingerprint that lies is noticed."
    write_run(tmp_path/"a"), write_run(tmp_path/"b")
    p = Predictions.load(tmp_path/"b"/"predictions.npz")
    Predictions(p.logits, p.labels[::-1].copy(), p.classes).save(tmp_path/"b"/"predictions.npz")
    with pytest.raises(ValueError, match="not made on the same pictures"):
        compare(tmp_path).paired(0, 1)


damage = {"run.json": b"{", "metrics.json": b"[]", "history.csv": b"epoch,lr\nx,y\n", "predictions.npz": b"PK\x03\x04"}


@pytest.mark.parametrize("file", damage)
def test_a_damaged_folder_is_named(three, file):
    (three[1]/file).write_bytes(damage[file])
    with pytest.raises(ValueError) as caught:
        compare(three)
    assert str(three[1]/file) in str(caught.value)


def test_a_missing_folder_is_named(three, tmp_path):
    for wrong, text in ((tmp_path/"nowhere", "no folder .*nowhere"), (tmp_path, None), (tmp_path/"x*", "no run folder matches")):
        if text:
            with pytest.raises(FileNotFoundError, match=text):
                compare([*three, wrong])
    (tmp_path/"empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty is not a run folder"):
        compare([*three, tmp_path/"empty"])
    with pytest.raises(ValueError, match="there is nothing to compare"):
        compare([])


def test_nothing_of_an_earlier_comparison_stays(three, tmp_path):
    compare(three).save(tmp_path/"out")
    before = {path.name for path in (tmp_path/"out").iterdir()}
    compare(three[0]).save(tmp_path/"out")
    after = {path.name for path in (tmp_path/"out").iterdir()}
    alone = {path.name for path in compare(three[0]).save(tmp_path/"new").parent.iterdir()}
    assert after == alone < before and {"differences.csv", "pairs.csv", "pairs.png"} <= before - after


def test_names_that_are_patterns_or_formulas(tmp_path):
    "A folder called run[1] is a folder; dollars, underscores and controls do no harm in figures and terminals."
    for k, name in enumerate(["run[1]", "$x_1$", "_hidden", "a\x1b[31mred", "naïve–名前", "-" * 100]):
        write_run(tmp_path/name, 0.8 + 0.01 * k, seed=k)
    found = compare([tmp_path/"run[1]", *(p for p in tmp_path.iterdir() if p.name != "run[1]")])
    assert len(found) == 6 and found.runs[0].name == "run[1]" and "\x1b" not in repr(found)
    found.save(tmp_path/"out")


def test_html_in_names_is_text(tmp_path):
    write_run(tmp_path/"<b>bold", name=evil), write_run(tmp_path/"b", name="other</style>", batch_size=7, note="<i>")
    page = compare([tmp_path/"<b>bold", tmp_path/"b"]).page()
    assert evil not in page and "<b>bold" not in page and "<i>" not in page and page.count("</style>") == 1
    found = Page(page)
    assert "script" not in found.tags and any(evil in word for word in found.words)


def test_twenty_runs(tmp_path):
    "All in one table and figure; 190 pairs; every file written."
    for k in range(20):
        write_run(tmp_path/"runs"/f"run-{k:02}", 0.6 + 0.015 * k, seed=k, epochs=3 + k, batch_size=32 + k // 2, valid=k % 2 == 0)
    found = compare(tmp_path/"runs")
    assert len(found) == 20 and len(found.seeds()) == 10 and len(found.pairs()) == 190
    page = found.save(tmp_path/"out")
    assert sorted(p.name for p in page.parent.iterdir()) == ["compare.html", "curves.png", "differences.csv", "pairs.csv", "pairs.png", "seeds.csv",
                                                              "table.csv"]
    rows = list(csv.DictReader((tmp_path/"out"/"table.csv").open()))
    assert len(rows) == 20 and float(rows[3]["test_accuracy"]) == found.table()[3]["test_accuracy"]
    Page(page.read_text())


def test_records_without_weights_and_predictions():
    "The records in the repository can be compared too."
    found = compare(Path(__file__).resolve().parent.parent/"nbs"/"records")
    assert len(found) >= 2 and all(row["test_accuracy"] > 0.5 for row in found.table())


# Parts

def test_nested_settings_are_spelled_out():
    plan = dict(name="chain", parts=[dict(name="linear", epochs=2), dict(name="one_cycle", epochs=3)])
    spelled = spelled_out(dict(schedule=plan, augmentation=[dict(op="hflip", p=0.5), dict(op="hflip", p=0.1)], layers=["a", "b"]))
    assert spelled["schedule.parts.2.epochs"] == 3 and spelled["augmentation.hflip#2.p"] == 0.1
    assert spelled["augmentation in order"] == "hflip#1, hflip#2" and spelled["layers"] == ["a", "b"]


def test_best_result_of_the_course():
    history = History([dict(epoch=1, train_accuracy=0.8, test_accuracy=0.7), dict(epoch=2, train_accuracy=0.9, test_accuracy=0.6)])
    told = {row["part"]: row for row in best_result(history)}
    assert told["training"]["epoch"] == 2 and told["test, only watched"]["epoch"] == 1
    assert told["gap to test"]["best"] == pytest.approx(0.1) and told["gap to test"]["last"] == pytest.approx(0.3)


# The command

def test_the_command(three, tmp_path, capsys):
    assert main(["compare", *map(str, three), "--out", str(tmp_path/"out")]) == 0
    out = capsys.readouterr().out
    assert "one" in out and "90.00" in out and "compare.html" in out and (tmp_path/"out"/"compare.html").is_file()
    shutil.rmtree(three[0])
    assert main(["compare", *map(str, three), "--out", str(tmp_path/"again")]) == 2
    assert "no folder" in capsys.readouterr().err and not (tmp_path/"again").exists()
