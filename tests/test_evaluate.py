"Evaluation against other libraries, and what must never happen: a model changed, a picture lost, a damaged file believed."
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cifar_cam.augment import Loader, normalise
from cifar_cam.data import Images, Normalisation
from cifar_cam.evaluate import Predictions, compare, evaluation_mode, predict, wilson

names = [f"class {k}" for k in range(10)]


def random_predictions(n=2000, classes=10, seed=0):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, n)
    logits = random.normal(0, 1.5, (n, classes)).astype(np.float32)
    logits[np.arange(n), labels] += 2
    return Predictions(logits, labels, [f"class {k}" for k in range(classes)])


def small_images(n=37, classes=10, seed=0):
    random = np.random.default_rng(seed)
    return Images(random.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8), np.arange(n) % classes, names[:classes])


def small_model(classes=10):
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Dropout(0.5), torch.nn.Flatten(),
                               torch.nn.Linear(4 * 36, classes)).train()


half = Normalisation((0.5,) * 3, (0.5,) * 3, "half")


# --- against other libraries -------------------------------------------------------------------------------------------

def test_scikit_learn_agrees():
    metrics = pytest.importorskip("sklearn.metrics")
    p = random_predictions()
    assert p.accuracy == pytest.approx(metrics.accuracy_score(p.labels, p.predicted), abs=1e-12)
    assert p.loss == pytest.approx(metrics.log_loss(p.labels, p.probabilities), abs=1e-9)
    np.testing.assert_array_equal(p.confusion, metrics.confusion_matrix(p.labels, p.predicted))
    recall = metrics.recall_score(p.labels, p.predicted, average=None)
    np.testing.assert_allclose([row["accuracy"] for row in p.per_class()], recall, atol=1e-12)


def test_torchmetrics_agrees():
    classification = pytest.importorskip("torchmetrics.classification")
    p = random_predictions(seed=1)
    logits, labels = torch.tensor(p.logits), torch.tensor(p.labels)
    matrix = classification.MulticlassConfusionMatrix(10)(logits, labels)
    np.testing.assert_array_equal(p.confusion, matrix.numpy())
    for bins in (5, 10, 15):
        error = classification.MulticlassCalibrationError(10, n_bins=bins)(torch.tensor(p.probabilities), labels)
        assert p.calibration(bins).ece == pytest.approx(float(error), abs=1e-6)
    accuracy = classification.MulticlassAccuracy(10, average=None)(logits, labels)
    np.testing.assert_allclose([row["accuracy"] for row in p.per_class()], accuracy.numpy(), atol=1e-6)


def test_torch_loss_agrees():
    p = random_predictions(seed=2)
    logits, labels = torch.tensor(p.logits).double(), torch.tensor(p.labels)
    np.testing.assert_allclose(p.losses, torch.nn.functional.cross_entropy(logits, labels, reduction="none").numpy(), atol=1e-9)


def test_mcnemar_is_the_binomial_test():
    stats = pytest.importorskip("scipy.stats")
    a, b = random_predictions(seed=3), random_predictions(seed=3)
    b.logits = np.random.default_rng(0).normal(0, 1, b.logits.shape).astype(np.float32) + a.logits
    result = compare(a, b)
    flips = result.only_first + result.only_second
    assert flips > 20 and result.p_value == pytest.approx(stats.binomtest(result.only_first, flips).pvalue, rel=1e-9)
    assert result.difference == pytest.approx((result.only_second - result.only_first) / result.n, abs=1e-12)


@pytest.mark.parametrize("correct, n, low, high", [  # from the formula, evaluated by hand with z = 1.959963985
    (0, 10, 0.0, 0.277533), (10, 10, 0.722467, 1.0), (8, 10, 0.490162, 0.943318), (50, 100, 0.403832, 0.596168),
    (9273, 10000, 0.922039, 0.927300 + 0.004936)])
def test_wilson(correct, n, low, high):
    assert wilson(correct, n) == pytest.approx((low, high), abs=3e-5)


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_solves_its_equation(counts):
    correct, n = counts
    low, high = wilson(correct, n)
    assert 0 <= low <= (correct / n if n else 0.5) + 1e-12 and (correct / n if n else 0.5) - 1e-12 <= high <= 1
    for p in (low, high):
        if 1e-9 < p < 1 - 1e-9 and n:
            assert abs(correct / n - p) / np.sqrt(p * (1 - p) / n) == pytest.approx(1.959964, abs=1e-4)


# --- the pass ----------------------------------------------------------------------------------------------------------

def test_all_roads_give_the_same():
    model, images = small_model(), small_images()
    reference = predict(model, images, half)
    loaders = [Loader(images, norm=half, batch_size=b, shuffle=s, workers=w) for b, s, w in ((5, True, 0), (37, False, 0), (8, True, 2))]
    x, y = normalise(images.images, half), torch.from_numpy(images.labels)
    torch_loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=7)
    order = torch.randperm(37)
    unshuffled = Loader(images, norm=half, batch_size=5)
    assert torch.equal(torch.cat([batch.index for batch in unshuffled]), torch.arange(37)), "a loader shuffles only when told to"
    for source in (unshuffled, *loaders, torch_loader, [(x[k], y[k], k) for k in order.split(10)]):
        p = predict(model, source)
        np.testing.assert_allclose(p.logits, reference.logits, atol=1e-5)
        np.testing.assert_array_equal(p.labels, images.labels)
        np.testing.assert_array_equal(p.index, np.arange(37))
    for size in (1, 36, 37, 1000):
        np.testing.assert_allclose(predict(model, images, half, batch_size=size).logits, reference.logits, atol=1e-5)


def test_a_subset_keeps_its_positions():
    images = small_images()
    x, y = normalise(images.images, half), torch.from_numpy(images.labels)
    p = predict(small_model(), [(x[20:25], y[20:25], torch.arange(20, 25))])
    np.testing.assert_array_equal(p.pictures(images, [0, 2]), images.images[[20, 22]])


def test_flip_is_the_mean_of_both_views():
    model, images = small_model(), small_images()
    mirrored = Images(np.ascontiguousarray(images.images[:, :, ::-1]), images.labels, images.classes)
    both = predict(model, images, half, tta="flip")
    np.testing.assert_allclose(both.logits, (predict(model, images, half).logits + predict(model, mirrored, half).logits) / 2, atol=1e-5)


class Broken(torch.nn.Module):
    def forward(self, x):
        raise RuntimeError("no")


def test_the_model_is_left_as_it_was():
    model = small_model()
    model[1].eval()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    modes = [m.training for m in model.modules()]
    random = torch.get_rng_state()
    predict(model, small_images(), half, tta="flip", device="cpu", precision="bfloat16")
    with pytest.raises(RuntimeError):
        predict(torch.nn.Sequential(model, Broken()), small_images(), half)
    with pytest.raises(ValueError, match="NaN"):
        predict(torch.nn.Sequential(model, torch.nn.BatchNorm1d(10), torch.nn.Threshold(1e9, float("nan"))), small_images(), half)
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(random, torch.get_rng_state()) and not torch.is_inference_mode_enabled()
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    with torch.no_grad():
        model[0].weight.add_(1)
    model(torch.zeros(2, 3, 8, 8)).sum().backward()


def test_interrupt_restores_modes():
    model = small_model()
    with pytest.raises(KeyboardInterrupt), evaluation_mode(model):
        raise KeyboardInterrupt
    assert all(m.training for m in model.modules())


@pytest.mark.parametrize("case, words", [
    (dict(images=11), "11 classes for a network with 10 outputs; use create_model(..., num_classes=11)"),
    (dict(carry=("half", names[::-1])), "classes of the model and of the data differ"),
    (dict(carry=("cifar10", None)), "normalisation (mean and std) of the model and of the argument differ"),
    (dict(norm=None), "pass the normalisation it was trained with"),
    (dict(norm="hlaf"), "unknown normalisation 'hlaf'"),
])
def test_what_does_not_fit_is_refused(case, words):
    model, count = small_model(), case.get("images", 10)
    images = Images(np.zeros((22, 8, 8, 3), np.uint8), np.arange(22) % count, range(count)) if count > 10 else small_images()
    if "carry" in case:
        from cifar_cam.data import normalisation
        model.normalisation, model.classes = normalisation(case["carry"][0]), case["carry"][1]
    with pytest.raises(ValueError) as caught:
        predict(model, images, case.get("norm", "half"))
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_labels_without_names_are_checked_too():
    x = torch.zeros(4, 3, 8, 8)
    with pytest.raises(ValueError, match="labels run from 0 to 10, but the network knows the classes 0 to 9"):
        predict(small_model(), [(x, torch.tensor([0, 1, 2, 10]))])


def test_the_model_card_is_used():
    model, images = small_model(), small_images()
    expected = predict(model, images, "half")
    model.normalisation, model.classes = half, tuple(names)
    p = predict(model, [(normalise(images.images, half), torch.from_numpy(images.labels))])
    assert p.classes == tuple(names)
    np.testing.assert_allclose(predict(model, images).logits, expected.logits, atol=1e-6)


# --- numbers and orders ------------------------------------------------------------------------------------------------

def test_loss_does_not_depend_on_batches():
    p = random_predictions(1037)
    sizes = [len(part) for part in np.array_split(np.arange(len(p)), 9)]
    parts = np.split(p.losses, np.cumsum(sizes)[:-1])
    assert p.loss == pytest.approx(sum(part.mean() * len(part) for part in parts) / len(p), abs=1e-12)


def test_huge_logits_stay_finite():
    p = Predictions([[1e30, -1e30], [3e38, 0]], [1, 0], "ab")
    assert np.isfinite(p.probabilities).all() and np.isfinite(p.losses).all() and p.accuracy == 0.5


def test_a_class_without_pictures():
    p = Predictions(np.eye(3), [0, 1, 1], "abc")
    row = p.per_class()[2]
    assert row["n"] == 0 and np.isnan(row["accuracy"]) and (row["low"], row["high"]) == (0, 1)
    p.plot_per_class(), p.plot_confusion(), p._repr_html_()


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 6), st.integers(1, 60), st.integers(0, 10**6), st.sampled_from(["confidence", "loss", "margin", "index"]))
def test_mistakes_are_all_there_in_a_fixed_order(classes, n, seed, by):
    random = np.random.default_rng(seed)
    logits, labels = random.integers(-1, 2, (n, classes)).astype(float), random.integers(0, classes, n)
    index = random.permutation(1000)[:n]
    p = Predictions(logits, labels, range(classes), index)
    order = random.permutation(n)
    q = Predictions(logits[order], labels[order], range(classes), index[order])
    assert set(p.mistakes(by=by)) == set(np.flatnonzero(~p.is_correct))
    np.testing.assert_array_equal(p.index[p.mistakes(by=by)], q.index[q.mistakes(by=by)])
    assert len(p.mistakes()) + len(p.successes()) == n
    np.testing.assert_array_equal(p.mistakes(3, by), p.mistakes(by=by)[:3])
    for row in p.top_confusions(100):
        assert len(p.mistakes(true=row["true"], predicted=row["predicted"])) == row["count"] > 0
    assert sum(row["count"] for row in p.top_confusions(100)) == len(p.mistakes())


def test_names_are_escaped_where_html_is_made():
    p = Predictions(np.eye(2), [0, 1], ["<script>alert(1)</script>", "b&c"])
    assert "<script>" not in p._repr_html_() and "&lt;script&gt;" in p._repr_html_()


# --- files -------------------------------------------------------------------------------------------------------------

def test_saved_and_read(tmp_path):
    p = random_predictions(50)
    p.classes = tuple("ünï “quoted” <b> \\ " + str(k) for k in range(10))
    q = Predictions.load(p.save(tmp_path/"deep"/"p.npz"))
    assert q.classes == p.classes and q.logits.dtype == np.float32
    for name in ("logits", "labels", "index"):
        np.testing.assert_array_equal(getattr(p, name), getattr(q, name))
    assert [f.name for f in (tmp_path/"deep").iterdir()] == ["p.npz"]


def test_a_damaged_file_is_never_believed(tmp_path):
    p = random_predictions(12)
    path = p.save(tmp_path/"p.npz")
    data, good = path.read_bytes(), (p.logits.tobytes(), p.labels.tobytes(), p.index.tobytes(), p.classes)
    noticed = 0
    for k in range(len(data)):
        path.write_bytes(data[:k] + bytes([data[k] ^ 0x41]) + data[k + 1:])
        try:
            q = Predictions.load(path)
        except ValueError as problem:
            noticed += "damaged" in str(problem)
        else:
            assert (q.logits.tobytes(), q.labels.tobytes(), q.index.tobytes(), q.classes) == good, k
    assert noticed > len(data) / 2
    for cut in range(0, len(data), 37):
        path.write_bytes(data[:cut])
        with pytest.raises(ValueError, match="damaged"):
            Predictions.load(path)


def test_other_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        Predictions.load(tmp_path/"nothing.npz")
    np.savez(tmp_path/"pickled.npz", logits=np.array([{}], dtype=object), labels=[0], index=[0], classes=[0])
    np.savez(tmp_path/"other.npz", x=[1])
    for name in ("pickled", "other"):
        with pytest.raises(ValueError, match="not a file of predictions"):
            Predictions.load(tmp_path/f"{name}.npz")


def test_rows_go_into_json():
    rows = json.loads(json.dumps(random_predictions(100).per_class()))
    assert set(rows[0]) == {"class", "n", "correct", "accuracy", "low", "high"}
    json.dumps(random_predictions(100).calibration().rows + random_predictions(100).top_confusions())
