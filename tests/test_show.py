"Pictures in, colours out: golden pixels, exactness, purity, and what is refused."
import sys
import subprocess

import numpy as np
import pytest
import torch

from cifar_cam import show

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def drawn(draw, *arguments, **options):
    "The colours that `draw` leaves on a bare 256×256 canvas, floats in 0..1."
    figure = plt.figure(figsize=(2.56, 2.56), dpi=100)
    draw(*arguments, ax=figure.add_axes((0, 0, 1, 1)), **options)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3] / 255


# heat

def test_hot_is_red_and_cold_is_not():
    red, green, blue, alpha = show.heat([[0.0, 0.3, 1.0]])[0, 2]
    assert red > 0.7 and max(green, blue) < 0.1 and alpha == 1
    weak = show.heat([[0.0, 0.3, 1.0]])[0, 1]
    assert weak[1] > 0.4 and 0 < weak[3] < 1


@pytest.mark.parametrize("cmap", [None, "viridis"])
def test_zero_and_negative_evidence_is_transparent(cmap):
    assert (show.heat([[0.0, -3.0, 1.0]], cmap=cmap)[0, :2, 3] == 0).all()
    assert (show.heat(np.zeros((4, 4)), cmap=cmap)[..., 3] == 0).all()
    assert (show.heat(-np.ones((4, 4)), cmap=cmap)[..., 3] == 0).all()
    assert (show.heat(np.zeros((4, 4)), limit=0, signed=True, cmap=cmap)[..., 3] == 0).all()


def test_signed_is_blue_below_and_red_above():
    below, zero, above = show.heat([[-2.0, 0.0, 2.0]], signed=True)[0]
    assert below[2] > below[0] and above[0] > above[2] and zero[3] == 0 and below[3] == above[3] == 1


def test_strength_is_monotone_and_a_shared_limit_means_a_shared_colour():
    alpha = show.heat(np.linspace(0, 1, 256)[None])[0, :, 3]
    assert (np.diff(alpha) > 0).all()
    assert (show.heat([[0.2, 9.0]], limit=2)[0, 0] == show.heat([[0.2, -1.0]], limit=2)[0, 0]).all()
    assert (show.heat([[5.0]], limit=2) == show.heat([[2.0]], limit=2)).all()


@pytest.mark.parametrize("bad, text", [([[np.nan]], "NaN"), ([[np.inf]], "infinite"), (np.zeros(4), "pick one image"),
                                       (np.zeros((0, 4)), "pick one image"), ([["a"]], "pick one image")])
def test_heat_refuses(bad, text):
    with pytest.raises(ValueError, match=text):
        show.heat(bad)


# denormalise

@pytest.mark.parametrize("mean, std", [((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)), ((0, 0, 0), (1, 1, 1)),
                                       ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_denormalise_brings_back_every_byte(mean, std, dtype):
    picture = np.random.default_rng(0).permutation(np.arange(3072) % 256).reshape(32, 32, 3).astype(np.uint8)
    x = torch.tensor(((picture / 255 - mean) / std).transpose(2, 0, 1), dtype=dtype)
    assert ((show.denormalise(x, mean, std) * 255).round() == picture).all()


def test_denormalise_is_pure():
    for x in (torch.randn(2, 3, 4, 4, requires_grad=True), np.random.default_rng(0).normal(size=(2, 3, 4, 4))):
        kept = (x.detach().numpy() if torch.is_tensor(x) else x).copy()
        first = show.denormalise(x, (0.5,) * 3, (0.2,) * 3)
        first += 1
        assert ((x.detach().numpy() if torch.is_tensor(x) else x).copy() == kept).all()


def test_denormalise_takes_bfloat16_and_clips():
    pictures = show.denormalise(torch.full((1, 3, 2, 2), 9.0, dtype=torch.bfloat16), (0.5,) * 3, (0.2,) * 3)
    assert (pictures == 1).all() and pictures.shape == (1, 2, 2, 3)


@pytest.mark.parametrize("bad", [np.zeros((3, 4, 4), np.uint8), np.zeros((4, 4)), np.zeros((2, 4, 4, 3)), np.full((3, 2, 2), np.nan)])
def test_denormalise_refuses(bad):
    with pytest.raises(ValueError):
        show.denormalise(bad, (0.5,) * 3, (0.2,) * 3)


# pictures

def test_as_pictures_accepts_every_layout():
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    for same in (picture, picture.transpose(2, 0, 1), torch.tensor(picture), picture / 255, (picture / 255).astype(np.float32)):
        assert np.allclose(show.as_pictures(same), picture / 255, atol=1e-7)
    assert show.as_pictures(picture[..., :1]).shape == (5, 7, 3)
    assert show.as_pictures(picture[None].transpose(0, 3, 1, 2)).shape == (1, 5, 7, 3)


@pytest.mark.parametrize("bad, text", [(np.zeros((4, 4)), "shape"), (np.zeros((5, 4, 4)), "3 colour channels"),
                                       (np.full((4, 4, 3), 1.5), "denormalise"), (np.full((4, 4, 3), np.nan), "NaN"),
                                       (np.zeros((4, 4, 3), int), "uint8")])
def test_as_pictures_refuses(bad, text):
    with pytest.raises(ValueError, match=text):
        show.as_pictures(bad)


def test_enlarge_is_torchs_bilinear():
    for size, to in (((4, 4), (32, 32)), ((8, 8), (32, 48)), ((7, 5), (9, 31))):
        values = np.random.default_rng(1).normal(size=size)
        expected = torch.nn.functional.interpolate(torch.tensor(values)[None, None], size=to, mode="bilinear")[0, 0]
        assert np.abs(show.enlarge(values, *to) - expected.numpy()).max() < 1e-12


# overlays

picture = np.full((32, 32, 3), (0.2, 0.4, 0.8))


def test_overlay_is_red_where_hot_and_the_picture_itself_where_cold():
    one = np.zeros((4, 4))
    one[1, 2] = 1
    colours, plain = drawn(show.show_overlay, picture, one, opacity=0.9), drawn(show.show_image, picture)
    hot = colours[96, 160]
    assert hot[0] > 0.6 and hot[0] > hot[1:].max() + 0.3
    assert (colours[230:250, 5:30] == plain[230:250, 5:30]).all()


def test_overlay_has_the_right_place_on_pictures_that_are_not_square():
    wide = np.full((16, 32, 3), 0.5)
    map = np.zeros((4, 8))
    map[0, 7] = 1
    colours = drawn(show.show_overlay, wide, map, opacity=1.0)
    assert colours[72, 250, 0] > colours[72, 250, 2] + 0.3
    assert colours[180, 5].tolist() == pytest.approx([0.5] * 3, abs=0.01)


def words(map, **options):
    return [text.get_text().replace("\n", " ") for text in show.show_overlay(picture, map, **options).texts]


def test_missing_evidence_is_said():
    assert words(-np.ones((4, 4))) == words(np.zeros((4, 4))) == words(np.zeros((4, 4)), limit=0) == ["no positive evidence"]
    assert words(np.zeros((4, 4)), signed=True) == ["no evidence"]
    assert words(np.full((4, 4), 0.01), limit=1) == ["hardly any positive evidence"]
    assert words(np.ones((4, 4))) == words(-np.ones((4, 4)), signed=True) == []


def test_the_native_grid_is_drawn():
    assert len(show.show_overlay(picture, np.ones((8, 8))).lines) == 14
    assert len(show.show_overlay(picture, np.ones((32, 32)), native=(4, 4)).lines) == 6
    assert len(show.show_overlay(picture, np.ones((32, 32))).lines) == 0


# grids and tables

def text_boxes(figure):
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    return [ax.title.get_window_extent(renderer) for ax in figure.axes if ax.title.get_text()]


@pytest.mark.parametrize("tile", [0.6, 0.75, 1.0])
@pytest.mark.parametrize("title", ["cat", "automobile", "true: automobile\ndog 0.93", "a very long name of a class"])
def test_titles_do_not_touch_each_other(tile, title):
    boxes = text_boxes(show.image_grid([picture] * 6, [title] * 6, columns=3, tile=tile))
    for k, a in enumerate(boxes):
        assert a.x0 >= 0 and not any(a.overlaps(b) for b in boxes[k + 1:])


def test_titles_are_readable():
    figure = show.image_grid([picture] * 4, ["automobile"] * 4, tile=0.75)
    assert all(6 <= ax.title.get_fontsize() <= 9 for ax in figure.axes if ax.title.get_text())


def test_titles_do_not_run_into_the_picture_above():
    figure = show.image_grid([picture] * 4, ["true: cat\ndog 0.93"] * 4, columns=2)
    figure.canvas.draw()
    below, above = text_boxes(figure)[2], figure.axes[0].get_window_extent()
    assert below.y1 <= above.y0


def test_tables_accept_functions_and_gaps():
    figure = show.image_table([[picture, None], [lambda ax: show.show_heat(np.ones((2, 2)), ax)]], ["a", "b"], ["x", "y"],
                              cell_titles=[["1", ""], ["2"]], suptitle="s", note="n")
    assert sum(ax.axison for ax in figure.axes) == 2 and {"a", "b", "x", "y", "s", "n"} <= {t.get_text() for t in figure.texts}


def test_a_title_too_many_moves_no_other():
    figure = show.image_table([[picture, picture], [picture, picture]], cell_titles=[["1", "2", "too many"], ["3", "4"]])
    assert [ax.get_title() for ax in figure.axes] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("call, text", [
    (lambda: show.image_grid([]), "empty"), (lambda: show.image_grid([picture], ["a", "b"]), "need 1 titles"),
    (lambda: show.image_grid([picture] * 5, columns=2, rows=2), "do not fit"), (lambda: show.image_table([]), "empty"),
    (lambda: show.image_table([[picture]], row_titles=["a", "b"]), "needs 1 row_titles"),
    (lambda: show.matrix(np.zeros((2, 3)), ["a", "b"]), "2 names"), (lambda: show.bars([1], ["a", "b"]), "2 names"),
    (lambda: show.curves({"loss": [1, 2]}, x=[1]), "only 1 places"), (lambda: show.save_figure(None, "a.pdf"), ".png"),
    (lambda: show.html_table([[1]], ["a", "b"]), "2 columns")])
def test_misfits_are_refused(call, text):
    with pytest.raises(ValueError, match=text):
        call()


# curves, matrix, bars

def test_curves_leave_gaps_and_mark_places():
    ax = show.curves({"a": [1, np.nan, 3], "b": torch.tensor([1.0, 2.0])}, marks={"peak": 2}, log_x=True)
    assert ax.get_xscale() == "log" and np.isnan(ax.lines[0].get_ydata()[1]) and len(ax.lines) == 3
    assert [t.get_text().strip() for t in ax.texts] == ["peak"]


def test_matrix_writes_counts_and_tells_the_diagonal():
    counts = np.array([[5, 1], [0, 6]])
    ax = show.matrix(counts, ["cat", "dog"])
    assert sorted(t.get_text() for t in ax.texts) == ["1", "5", "6"]
    colours = show._matrix_colours(counts)
    assert colours[0, 0, 2] > colours[0, 0, 0] and colours[0, 1, 0] > colours[0, 1, 2] and (colours[1, 0] == 1).all()
    assert not show.matrix(np.eye(100), list(map(str, range(100)))).texts


def test_matrix_survives_an_empty_class():
    show.matrix(np.array([[5, 1], [0, 0]]), ["cat", "dog"])


def test_bars_show_values_from_the_top():
    ax = show.bars([0.5, 0.25], ["a", "b"], low=[0.4, 0.2], high=[0.6, 0.3])
    assert [t.get_text().strip() for t in ax.texts] == ["0.5", "0.25"] and ax.yaxis_inverted()


# files and tables

def test_saving_is_all_or_nothing(tmp_path, monkeypatch):
    figure = show.image_grid([picture])
    path = show.save_figure(figure, tmp_path / "new" / "a.png")
    before = path.read_bytes()
    assert len(np.unique(plt.imread(path).reshape(-1, 4), axis=0)) > 1, "a white page"
    assert before.startswith(b"\x89PNG") and [p.name for p in path.parent.iterdir()] == ["a.png"]
    monkeypatch.setattr(show.os, "replace", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError):
        show.save_figure(figure, path)
    assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == ["a.png"]


def test_the_same_figure_gives_the_same_bytes_and_close_forgets_it():
    assert show.png_bytes(show.image_grid([picture], ["a"])) == show.png_bytes(show.image_grid([picture], ["a"]))
    plt.close("all")
    show.png_bytes(show.image_grid([picture]), close=True)
    assert not plt.get_fignums()


def test_tables_escape_and_align():
    table = show.html_table([["<script>alert(1)</script>", 12345, 0.5, True, None, np.float32("nan")]], list("abcdef"), caption="<b>")
    assert "<script>" not in table and "<b>" not in table and "12,345" in table and "–" in table and "yes" in table
    assert "<i>x</i>" in show.html_table([["<i>x</i>"]], ["a"], escape=False)


def test_importing_does_not_load_matplotlib():
    code = "import sys, cifar_cam.show; assert 'matplotlib' not in sys.modules and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
