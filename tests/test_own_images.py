"Any picture is read rightly or refused in words; any network is asked for what it does not say; answers agree with `explain`."
import io
import json
import struct
import zlib

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from cifar_cam.capture import default_layer
from cifar_cam.checkpoint import CheckpointError
from cifar_cam.data import normalisations, read_picture, shapes
from cifar_cam.evaluate import predict
from cifar_cam.gradcam import explain
from cifar_cam.model import create_model
from cifar_cam.own_images import (classify, default_model, explain_images, known_size, load_single_file, model_from_state_dict,
                                  own_model, save_single_file, suggest_layers)
from cifar_cam.pictures import Picture, fit, read_image, ways_to_fit
from cifar_cam.recipes import recipe, run

rng = np.random.default_rng(0)
photo = np.kron(rng.integers(0, 256, (6, 9, 3)), np.ones((8, 8, 1))).astype(np.uint8)  # 48 x 72, flat patches


def saved(picture, kind="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def small_net(seed=0, classes=10):
    torch.manual_seed(seed)
    model = create_model("custom_resnet", num_classes=classes, width=8, last_stride=1)
    model.normalisation, model.classes = normalisations["half"], tuple("abcdefghij"[:classes])
    return model


# Reading

@pytest.mark.parametrize("kind, options, most", [
    ("PNG", {}, 0), ("BMP", {}, 0), ("TIFF", {}, 0), ("PPM", {}, 0), ("WEBP", dict(lossless=True), 0), ("JPEG", dict(quality=95, subsampling=0), 25)])
def test_formats(kind, options, most, tmp_path):
    data = saved(Image.fromarray(photo), kind, **options)
    (tmp_path/"mein Foto ä.bin").write_bytes(data)
    for source in (data, bytearray(data), io.BytesIO(data), tmp_path/"mein Foto ä.bin", str(tmp_path/"mein Foto ä.bin")):
        found = read_image(source)
        assert found.pixels.dtype == np.uint8 and abs(found.pixels.astype(int) - photo).max() <= most and not found.notes
    assert found.name == "mein Foto ä.bin"


def test_every_way_to_hand_over_the_same_picture():
    tensor = torch.tensor(photo)
    same = [photo, photo / 255, photo.astype(np.float32), Image.fromarray(photo), tensor, tensor.permute(2, 0, 1), tensor.permute(2, 0, 1) / 255,
            photo.astype(np.int64), photo.astype(np.uint16) * 257, Picture(photo), photo[::-1][::-1]]
    assert all(np.array_equal(read_image(source).pixels, photo) for source in same)
    assert np.array_equal(np.asarray(read_image(photo)), photo)
    half = read_image((tensor.permute(2, 0, 1) / 255).bfloat16()).pixels
    assert abs(half.astype(int) - photo).max() <= 1


@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_orientation(turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    back = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270}
    stored = Image.fromarray(photo) if turn == 1 else Image.fromarray(photo).transpose(back[turn])
    found = read_image(saved(stored, "PNG", exif=exif))
    assert np.array_equal(found.pixels, photo)
    assert found.notes == (() if turn == 1 else (f"turned upright (EXIF orientation {turn})",))


def test_alpha_is_laid_on_a_stated_colour():
    clear = np.dstack([photo, np.full(photo.shape[:2], 255, np.uint8)])
    clear[:10, :, 3] = 0
    clear[10:20, :, 3] = 128
    for source in (clear, Image.fromarray(clear), saved(Image.fromarray(clear)), saved(Image.fromarray(clear), "WEBP", lossless=True, exact=True)):
        found = read_image(source, background=(0, 255, 0))
        assert (found.pixels[:10] == (0, 255, 0)).all() and np.array_equal(found.pixels[20:], photo[20:])
        assert abs(found.pixels[10:20].astype(float) - (photo[10:20] * (128 / 255) + np.array([0, 255, 0]) * (127 / 255))).max() <= 1
        assert found.notes == ("transparent places filled with (0, 255, 0)",)
    opaque = np.dstack([photo, np.full(photo.shape[:2], 255, np.uint8)])
    assert np.array_equal(read_image(opaque).pixels, photo) and not read_image(opaque).notes


def test_palette_with_a_transparent_entry():
    palette = Image.fromarray(photo).quantize(16)
    assert np.array_equal(read_image(saved(palette)).pixels, np.asarray(palette.convert("RGB")))
    index = np.asarray(palette)
    found = read_image(saved(palette, transparency=int(index[0, 0])))
    assert (found.pixels[index == index[0, 0]] == 255).all() and found.notes


def test_grey_one_bit_and_grey_with_alpha():
    grey = photo[..., 0]
    for source in (grey, grey[..., None], grey[None], Image.fromarray(grey), saved(Image.fromarray(grey))):
        assert np.array_equal(read_image(source).pixels, np.repeat(grey[..., None], 3, 2))
    bits = grey > 128
    assert np.array_equal(read_image(saved(Image.fromarray(bits))).pixels[..., 1], bits * 255)
    assert np.array_equal(read_image(bits).pixels[..., 1], bits * 255)
    both = Image.merge("LA", (Image.fromarray(grey), Image.new("L", grey.shape[::-1], 0)))
    assert (read_image(saved(both)).pixels == 255).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits(kind):
    deep = photo[..., 0].astype(np.uint16) * 257
    found = read_image(saved(Image.fromarray(deep), kind))
    assert np.array_equal(found.pixels, np.repeat(photo[..., :1], 3, 2))
    assert "16 bits brought to 8" in found.notes[0]


def test_float_and_32_bit_tiff():
    found = read_image(saved(Image.fromarray((photo[..., 0] / 255).astype(np.float32)), "TIFF"))
    assert np.array_equal(found.pixels[..., 2], photo[..., 0])
    with pytest.raises(ValueError, match="no picture's range"):
        read_image(saved(Image.fromarray(photo[..., 0].astype(np.float32) - 300), "TIFF"))
    with pytest.raises(ValueError, match="are no bytes 0..255"):
        read_image(saved(Image.fromarray(photo[..., 0].astype(np.int32) * 1000), "TIFF"))


def test_cmyk_and_ycbcr():
    found = read_image(saved(Image.fromarray(photo).convert("CMYK"), "TIFF"))
    assert abs(found.pixels.astype(int) - photo).max() <= 2 and "CMYK" in found.notes[0]
    assert read_image(saved(Image.fromarray(photo).convert("YCbCr"), "JPEG")).pixels.shape == photo.shape


def test_animation():
    frames = [Image.fromarray(np.full((8, 8, 3), 60 * k, np.uint8)) for k in range(4)]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read_image(data).notes == ("page 0 of 4 (0 is the first)",)
    assert [int(read_image(data, page=k).pixels.mean()) for k in range(4)] == [0, 60, 120, 180]
    for page in (4, -1):
        with pytest.raises(ValueError, match="choose one of 0 to 3"):
            read_image(data, page=page)


def bomb(side=50_000):
    "A PNG of some bytes that says it has side x side pixels."
    chunk = lambda name, data: struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side, words", [(8_000, "more than largest=50,000,000"), (12_000, "pixels, more than"), (50_000, "has too many pixels")])
def test_bombs_are_refused_before_they_are_unpacked(side, words):
    with pytest.raises(ValueError, match=words) as caught:
        read_image(bomb(side))
    assert "scale it down first" in str(caught.value)


@pytest.mark.parametrize("data, words", [
    (b"", "is empty"), (b"shopping list: milk", "it is text, beginning with 'shopping list: milk'"), (b"%PDF-1.7", "PDF"), (b"PK\x03\x04....", "ZIP"),
    (b"  <!DOCTYPE HTML><p>not found", "web page"), (b'<?xml version="1.0"?><svg xmlns="">', "SVG"), (b"\0\0\0\x18ftypheic\0\0", "HEIC"),
    (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS"), (b"%!PS-Adobe", "PostScript"), (bytes(range(256)), "its first bytes belong to none of PNG")])
def test_what_is_no_picture(data, words, tmp_path):
    path = tmp_path/"photo.jpg"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="photo.jpg") as caught:
        read_image(path)
    assert words in str(caught.value) and "; " in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"])
def test_cut_files_are_refused_or_read_whole(kind):
    data = saved(Image.fromarray(photo), kind)
    refused = 0
    for end in range(0, len(data) - 1, max(1, len(data) // 40)):
        try:
            assert read_image(data[:end]).pixels.shape == photo.shape
        except ValueError as problem:
            refused += any(words in str(problem) for words in ("is cut short or damaged", "is empty (0 bytes)", "is no picture"))
    assert refused > 25


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([saved(Image.fromarray(photo), kind) for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP")]),
       st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8))
def test_damaged_bytes_give_a_picture_or_a_value_error(data, changes):
    data = bytearray(data)
    for place, value in changes:
        data[place % len(data)] = value
    try:
        assert read_image(bytes(data), largest=10**6).pixels.shape[2] == 3
    except ValueError as problem:
        assert "; " in str(problem)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 5), st.data())
def test_arrays_of_any_kind_give_bytes_or_words(rank, data):
    shape = tuple(data.draw(st.sampled_from([0, 1, 2, 3, 4, 7])) for _ in range(rank))
    dtype = data.draw(st.sampled_from(["uint8", "int8", "uint16", "int64", "float32", "float64", "bool", "complex64", "U1", "O"]))
    scale = data.draw(st.sampled_from([0, 1, 100, 300, -1, float("nan")]))
    with np.errstate(invalid="ignore"):
        values = np.asarray(np.random.default_rng(0).random(shape) * scale).astype(dtype)
    try:
        found = read_image(values)
        assert found.pixels.dtype == np.uint8 and found.pixels.ndim == 3 and found.pixels.shape[2] == 3
    except ValueError as problem:
        assert "; " in str(problem)


def test_paths_that_lead_nowhere(tmp_path):
    (tmp_path/"loop").symlink_to(tmp_path/"loop")
    for path in (tmp_path/"none.png", tmp_path/"loop", "a" * 5000, "nul\0byte"):
        with pytest.raises(FileNotFoundError, match="correct the path"):
            read_image(path)
    with pytest.raises(ValueError, match="a folder; give a picture file"):
        read_image(tmp_path)
    with pytest.raises(ValueError, match="scale the picture down first"):
        read_image(saved_file(tmp_path/"big.bmp"), largest=100)


def saved_file(path):
    Image.fromarray(photo).save(path)
    return path


def test_pipes_are_not_waited_for(tmp_path):
    import os
    os.mkfifo(tmp_path/"pipe.png")
    with pytest.raises(ValueError, match="no ordinary file"):
        read_image(tmp_path/"pipe.png")


def test_damaged_exif_does_not_cost_the_picture(monkeypatch):
    def broken(self):
        raise SyntaxError("not a TIFF file")
    picture = Image.fromarray(photo)
    monkeypatch.setattr(type(picture), "getexif", broken)
    found = read_image(picture)
    assert np.array_equal(found.pixels, photo) and "EXIF data is damaged" in found.notes[0]


# Fitting

@pytest.mark.parametrize("shape", [(48, 72), (33, 31), (100, 20), (32, 32)])
def test_crop_is_what_image_folder_does(shape, tmp_path):
    Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8)).save(tmp_path/"x.png")
    assert np.array_equal(fit(tmp_path/"x.png", 32).pixels, read_picture(tmp_path/"x.png", 32))


def test_the_used_part_is_the_part_that_is_used():
    marked = np.zeros((40, 100, 3), np.uint8)
    marked[:, 30:70] = 255
    found = fit(marked, 20)
    assert found.box == (30, 0, 70, 40) and (found.pixels[:, 1:-1] == 255).all()
    assert fit(marked, 20, "stretch").pixels[:, :5].max() == 0
    padded = fit(marked, 20, "pad", fill=(9, 8, 7)).pixels
    assert (padded[:6] == (9, 8, 7)).all() and (padded[-6:] == (9, 8, 7)).all() and padded[10, 10].min() == 255
    assert fit(marked, (20, 50)).pixels.shape == (20, 50, 3)


@pytest.mark.parametrize("how", ways_to_fit)
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (33, 31), (32, 32), (500, 700)])
def test_any_shape_fits(how, shape):
    found = fit(Picture(np.full((*shape, 3), 200, np.uint8)), 32, how)
    assert found.pixels.shape == (32, 32, 3) and (found.pixels == 200).any()
    assert found.plot().get_axes() and "data:image/png" in found._repr_html_()
    plt.close("all")


# Networks

def test_classify_agrees_with_predict_and_leaves_the_model_alone():
    model, images = small_net().train(), shapes(train=10, test=40)[1]
    model.classes = images.classes
    before = {k: v.clone() for k, v in model.state_dict().items()}
    found = classify(model, images)
    assert np.allclose(found.logits.numpy(), predict(small_net_like(model), images).logits, atol=1e-5)
    assert model.training and all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert found.names[7] == "shapes 7" and torch.allclose(found.probabilities.sum(1), torch.ones(40).double())


def small_net_like(model):
    import copy
    return copy.deepcopy(model).eval()


def test_one_hundred_pictures_come_in_order_whatever_the_batches():
    model, images = small_net(), shapes(train=10, test=130)[1].images
    whole = classify(model, images).logits
    assert torch.allclose(whole[100], classify(model, images[100]).logits[0], atol=1e-6)


def test_json_and_html(tmp_path):
    model = small_net(classes=3)
    names = ["a<b>.png", "grüße & co.png"]
    for name in names:
        Image.fromarray(photo).save(tmp_path/name)
    found = classify(model, tmp_path, top=5)
    text = found._repr_html_()
    assert "a&lt;b&gt;.png" in text and "<b>" not in text
    record = json.loads(json.dumps(found.to_dict()))
    assert [len(p["top"]) for p in record["pictures"]] == [3, 3] and record["pictures"][0]["seen_as"].startswith("48×72 → 32×32, crop")
    assert str(found).count("\n") == 1


@pytest.mark.parametrize("how", ways_to_fit)
def test_maps_are_those_of_explain(how):
    model, sources = small_net(), [photo, shapes(train=10, test=10, pixels=50)[1].images[3]]
    found = explain_images(model, sources, targets=4, layers=["layer2", "layer3"], how=how)
    x = np.stack([fit(s, 32, how).pixels for s in sources])
    order = found.classified.order
    for t in range(4):
        for layer in ("layer2", "layer3"):
            for i in range(2):
                wanted = explain(model, x[i:i + 1], layers=layer, targets=[int(order[i, t])]).raw[layer][0, 0]
                assert torch.allclose(found.explanation.raw[layer][i, t], wanted, atol=1e-6 * float(wanted.abs().max() + 1e-9) + 1e-7)
    named = explain_images(model, sources, targets=["c", ("c", "d")], layers="layer3", how=how)
    assert named.explanation.target_names == ("c", "c − d") and "c − d" in json.dumps(named.to_dict()) + "c − d"
    assert named.to_dict()["pictures"][0]["maps"][1]["against"] == "d"
    assert named.plot().get_axes() and named.plot_picture(1).get_axes()
    plt.close("all")


def test_save_writes_what_it_says(tmp_path):
    found = explain_images(small_net(), [photo, photo], targets=2)
    paths = found.save(tmp_path/"neu")
    assert [p.name for p in paths] == ["picture 0.png", "picture 1.png", "explanations.json"]
    assert Image.open(paths[0]).width > 300 and json.loads(paths[2].read_text())["pictures"][1]["maps"][0]["layer"]


def test_large_photographs_are_kept_small(tmp_path):
    Image.fromarray(np.kron(photo, np.ones((30, 30, 1), np.uint8))).save(tmp_path/"large.png")
    found = classify(small_net(), tmp_path)
    kept = found.pictures[0]
    assert max(kept.picture.pixels.shape) == 480 and kept.box == pytest.approx((80, 0, 400, 320), abs=1) and "1440×2160" in kept.picture.notes[0]
    assert np.array_equal(kept.pixels, fit(tmp_path/"large.png", 32).pixels)


def test_bad_files_are_listed_together(tmp_path):
    for k in range(3):
        saved_file(tmp_path/f"good {k}.png")
    (tmp_path/"bad.png").write_bytes(b"")
    (tmp_path/"worse.jpg").write_text("no")
    with pytest.raises(ValueError, match="2 of 5 pictures cannot be used") as caught:
        classify(small_net(), tmp_path)
    assert "bad.png is empty" in str(caught.value) and "worse.jpg is no picture" in str(caught.value)
    found = classify(small_net(), tmp_path, skip=True)
    assert len(found) == 3 and [name for name, _ in found.failed] == ["bad.png", "worse.jpg"] and "left out" in str(found)
    assert "left out" in found._repr_html_() and len(found.to_dict()["left_out"]) == 2
    (tmp_path/"empty").mkdir()
    with pytest.raises(ValueError, match="holds no picture .*; give another one"):
        classify(small_net(), tmp_path/"empty")


def test_a_run_folder_and_a_loaded_run(tmp_path):
    from cifar_cam.checkpoint import load_run
    chosen = recipe("demo", batch_size=50, schedule=dict(name="one_cycle", lr_max=0.1), model=dict(name="custom_resnet", width=8)).scaled(1)
    made = run(chosen, shapes(train=100, test=20), out=tmp_path/"run", precision="float32", progress=False)
    first = classify(tmp_path/"run", photo).logits
    assert torch.equal(first, classify(load_run(tmp_path/"run"), photo).logits)
    assert torch.allclose(first, classify(made, photo).logits, atol=1e-6)
    assert suggest_layers(tmp_path/"run").recommended


def test_what_a_model_does_not_say_is_asked():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(ValueError, match="does not say how its input was normalised"):
        classify(model, photo, size=8)
    with pytest.raises(ValueError, match="does not say the size"):
        classify(model, photo, normalisation="imagenet")
    model.pretrained_cfg = dict(mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2), input_size=(3, 64, 64))  # as timm's networks have
    with pytest.raises(ValueError, match=r"its configuration says Normalisation\(\(0.5, 0.4, 0.3\)"):
        classify(model, photo, size=8)
    with pytest.raises(ValueError, match="its configuration says size=64"):
        classify(model, photo, normalisation="imagenet")
    model.input_size = 16
    assert known_size(model) == (16, 16) and classify(model, photo, normalisation="imagenet").classes == ("0", "1")


def test_wrapped_models_carry_what_is_inside():
    model = small_net()
    wrapped = nn.DataParallel(model)
    assert torch.allclose(classify(wrapped, photo).logits, classify(model, photo).logits, atol=1e-6)
    assert explain_images(wrapped, photo, targets=1).classes == model.classes


def test_probabilities_are_refused():
    model = nn.Sequential(small_net(), nn.Softmax(1))
    with pytest.raises(ValueError, match="probabilities"):
        classify(model, photo, size=32, normalisation="half")


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenet_v3_small", "squeezenet1_1", "mnasnet0_5", "densenet121", "shufflenet_v2_x0_5",
                                  "vgg11_bn", "convnext_tiny", "efficientnet_b0"])
def test_layers_of_torchvision(name):
    model = torchvision.models.get_model(name, weights=None, num_classes=4).eval()
    found = suggest_layers(model, 128 if name == "vgg11_bn" else 160)
    best = found[0]
    assert found.recommended == best["layer"] and min(best["height"], best["width"]) >= 5 and found.recommended in found._repr_html_()
    x = torch.rand(1, 3, 128 if name == "vgg11_bn" else 160, 128 if name == "vgg11_bn" else 160)
    assert found.recommended == default_layer(model, x)[0]
    why = explain(model, x, layers=found.recommended, targets=[0])
    assert tuple(why.raw[found.recommended].shape[2:]) == (best["height"], best["width"])
    sizes = [row["height"] for row in found]
    assert len(set(sizes)) == len(sizes) and all(s < 5 for s in sizes[len([s for s in sizes if s >= 5]):])


def test_transformers_get_no_recommendation():
    vit = torchvision.models.VisionTransformer(image_size=32, patch_size=4, num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8)
    assert suggest_layers(vit, 32).recommended is None and "tokens" in suggest_layers(vit, 32).reason
    swin = torchvision.models.SwinTransformer([4, 4], 8, [1, 1], [1, 1], [4, 4])
    assert suggest_layers(swin, 64).recommended == "permute"  # where its maps get their channels first
    assert "none recommended" in repr(suggest_layers(vit, 32))


def test_channels_last_are_not_taken_for_maps():
    class Last(nn.Module):
        def forward(self, x):
            return x.permute(0, 2, 3, 1)

    class Mean(nn.Module):
        def forward(self, x):
            return x.mean((1, 2))

    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), Last(), nn.Linear(6, 7), Mean(), nn.Linear(7, 2))
    found = suggest_layers(model, 8)
    assert found.recommended is None and "channels last" in found.reason and [row["layer"] for row in found] == ["1"]


def test_small_pictures_and_networks_without_maps():
    found = suggest_layers(torchvision.models.resnet18(), 32)
    assert found.recommended == "layer1" and found[0]["height"] == 8
    assert any("1×1" in row["remark"] for row in found)
    assert "give larger pictures than 4" in suggest_layers(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2)), 4).reason
    assert "no part of this network gives maps" in suggest_layers(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), 4).reason
    with pytest.raises(ValueError, match="pass the size= it was made for"):
        suggest_layers(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), 5)


def test_state_dicts(tmp_path):
    model = small_net()
    torch.save(model.state_dict(), tmp_path/"plain.pt")
    torch.save({"state_dict": model.state_dict(), "epoch": 3}, tmp_path/"nested.pth")
    save_single_file(tmp_path/"single.safetensors", model)
    for name in ("plain.pt", "nested.pth", "single.safetensors"):
        again = model_from_state_dict(tmp_path/name, model.made_by, model.classes, "half")
        assert torch.equal(classify(again, photo).logits, classify(model, photo).logits) and again.classes == model.classes
    with pytest.raises(CheckpointError, match="these are not the weights of this network"):
        model_from_state_dict(tmp_path/"plain.pt", "resnet18", model.classes)
    with pytest.raises(CheckpointError, match="it must hold the weights of this very network"):
        model_from_state_dict(tmp_path/"single.safetensors", "resnet18", model.classes)


def test_no_pickle_is_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path/"touched"), "w"))
    torch.save({"a": Evil()}, tmp_path/"evil.pt")
    with pytest.raises(CheckpointError):
        model_from_state_dict(tmp_path/"evil.pt", small_net())
    assert not (tmp_path/"touched").exists()


def test_single_files(tmp_path):
    model = small_net()
    path = save_single_file(tmp_path/"net.safetensors", model, metrics=dict(test_accuracy=0.5))
    again = own_model(path)
    assert again.record == {"metrics": {"test_accuracy": 0.5}} and torch.equal(classify(again, photo).logits, classify(model, photo).logits)
    data = path.read_bytes()
    for cut in (0, 4, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:cut])
        with pytest.raises(CheckpointError, match="for bare weights use model_from_state_dict"):
            load_single_file(path)
    from safetensors.torch import save_file
    save_file({"a": torch.zeros(2)}, tmp_path/"foreign.safetensors")
    with pytest.raises(CheckpointError, match="holds no network this version can build"):
        load_single_file(tmp_path/"foreign.safetensors")
    with pytest.raises(ValueError, match="missing: made_by, classes, normalisation"):
        save_single_file(tmp_path/"x.safetensors", nn.Linear(1, 1))
    with pytest.raises(ValueError, match="needs a name ending in .safetensors"):
        save_single_file(tmp_path/"x.pt", model)


def test_default_model(tmp_path):
    with pytest.raises(FileNotFoundError, match="no trained network comes with this installation; train one with `cifar-cam demo`"):
        default_model(tmp_path)
    save_single_file(tmp_path/"fast.safetensors", small_net())
    assert default_model(tmp_path).classes == tuple("abcdefghij")


def test_two_normalisations_that_differ():
    model = small_net()
    with pytest.raises(ValueError, match="carries the normalisation half it was trained with, but imagenet was given"):
        classify(model, photo, normalisation="imagenet")
    assert torch.equal(classify(model, photo, normalisation="half").logits, classify(model, photo).logits)
