"The app over HTTP, without a browser: answers, refusals, what users may not see of each other, and what never leaves the machine."
import base64
import io
import json
import os
import re
import struct
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("gradio", reason="needs gradio")
from gradio_client import Client, handle_file

from cifar_cam import app as cam_app
from cifar_cam.app import Subject, create_app, save_space, serve
from cifar_cam.augment import Loader
from cifar_cam.cli import main
from cifar_cam.data import Images, shapes
from cifar_cam.model import create_model
from cifar_cam.optim import adam
from cifar_cam.own_images import classify, save_single_file
from cifar_cam.trainer import Learner

root = Path(__file__).resolve().parent.parent
test = shapes(train=10, test=60)[1]


@pytest.fixture(scope="module")
def small_model():
    "A network that learned the drawn shapes for some seconds: mostly right, sometimes wrong."
    train = shapes(train=1000, test=10)[0]
    torch.manual_seed(0)
    model = create_model("custom_resnet", width=8, final_pool="avg", last_stride=1)
    model.classes, model.normalisation = train.classes, train.statistics()
    Learner(model, Loader(train, norm=model.normalisation, batch_size=50, shuffle=True), optimizer=adam(model, 0.006), device="cpu",
            precision="float32", progress=False).fit_one_cycle(4, 0.006, peak_epoch=2)
    return model


@pytest.fixture(scope="module")
def app(small_model):
    running = serve(small_model, data=test, wait=False, largest_upload=100_000)
    yield running
    running.close(verbose=False)


@pytest.fixture
def place(tmp_path):
    for k in range(4):
        Image.fromarray(test.images[k]).save(tmp_path/f"{k}.png")
    return tmp_path


def question(path, **changed):
    "Inputs of the page, in its order."
    asked = dict(picture=path and handle_file(path), model="network 1", how="crop", mode="likeliest", count=3, named=[], one="predicted", other=None,
                 layers=["layer3"], method="gradcam", top=5, opacity=0.65, scale="row")
    return list((asked | changed).values())


def ask(user, path, **changed):
    "Message, probabilities, tiles and links."
    return user.predict(*question(path, **changed), api_name="/explain")


def numbers(links):
    return json.loads(base64.b64decode(links.split("application/json;base64,")[1].split('"')[0]))


def test_the_answer_is_that_of_the_package(app, small_model, place):
    message, label, tiles, links = ask(Client(app.local_url, verbose=False), place/"2.png", count=2, layers=["layer1", "layer3"], top=4)
    found = classify(small_model, place/"2.png")
    names = [found.classes[k] for k in found.order[0, :4]]
    assert label["label"] == names[0] and [c["label"] for c in label["confidences"]] == names
    assert [c["confidence"] for c in label["confidences"]] == pytest.approx(found.probabilities[0, found.order[0, :4]].tolist(), abs=1e-6)
    assert len(tiles) == 1 + 2 * 2 and "2.png · gradcam · " in message
    carried = numbers(links)
    assert carried["logits"][0] == [float(f"{v:.7g}") for v in found.logits[0].tolist()]
    assert [(m["layer"], m["class"]) for m in carried["pictures"][0]["maps"]] == [(n, c) for n in ("layer1", "layer3") for c in names[:2]]
    assert Image.open(io.BytesIO(base64.b64decode(links.split("image/png;base64,")[1].split('"')[0]))).width > 400


def test_users_do_not_see_each_other(app, small_model, place):
    "Four users ask at the same time, three times each; every answer belongs to its question, and who asked nothing is told nothing."
    wanted = [classify(small_model, place/f"{k}.png").logits[0] for k in range(4)]
    users, wrong = [Client(app.local_url, verbose=False) for _ in wanted], []

    def asking(k):
        for opacity in (0.2, 0.5, 0.8):
            got = numbers(ask(users[k], place/f"{k}.png", opacity=opacity)[3])["logits"][0]
            if not np.allclose(got, wanted[k].numpy(), atol=1e-5):
                wrong.append(k)

    threads = [threading.Thread(target=asking, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert "Give a picture" in ask(Client(app.local_url, verbose=False), None)[0]


def test_the_desk_holds_nothing_of_a_user(small_model, place):
    gradio = SimpleNamespace(update=dict)
    desk = cam_app._Desk(gradio, {"a": Subject("a", small_model, data=test)}, [])
    before = {name: id(value) for name, value in vars(desk).items()}
    asked = (str(place/"1.png"), None, "a", "crop", "likeliest", 2, [], "predicted", None, ["layer3"], "gradcam", 5, 0.5, "row", None)
    answer = desk.explain(*asked)
    assert {name: id(value) for name, value in vars(desk).items()} == before and desk.mistakes.found == {}
    again = desk.explain(*asked[:-3], 0.9, "row", answer[-1])
    assert again[-1][1] is answer[-1][1]  # drawn again, not computed again
    assert (again[2][1][0] != answer[2][1][0]).any()
    other = desk.explain(str(place/"2.png"), *asked[1:-1], answer[-1])
    assert other[-1][1] is not answer[-1][1]


def bomb():
    "A PNG file of some hundred bytes that says it has 60,000 × 60,000 pixels."
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("name, content, words", [
    ("letter.jpg", b"Dear all, this is no photograph", "letter.jpg is no picture: it is text"),
    ("empty.png", b"", "empty.png is empty (0 bytes)"),
    ("bomb.png", bomb(), "bomb.png has"),
    ("cut.png", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00", "cut.png is"),
    ("page.png", b"<html><script>alert(1)</script>", "it is a web page"),
])
def test_what_is_no_picture_is_one_line(app, place, name, content, words):
    (place/name).write_bytes(content)
    message, label, tiles, links = ask(Client(app.local_url, verbose=False), place/name)
    assert words in message.replace("&#x27;", "'") and 'role="alert"' in message and "Traceback" not in message and "\n" not in message
    assert "<script" not in message and str(place) not in message
    assert (label, tiles, links) == ({}, [], "")


def test_other_files_of_the_server_are_not_read(app, place):
    "A path in place of an upload is refused, whatever it points to."
    call = f"{app.local_url}gradio_api/call/explain"
    for path in (place/"0.png", Path("/etc/hostname")):
        asked = [dict(path=str(path), meta=dict(_type="gradio.FileData")), *question(None)[1:]]
        request = urllib.request.Request(call, json.dumps(dict(data=asked)).encode(), {"Content-Type": "application/json"})
        event = json.load(urllib.request.urlopen(request))["event_id"]
        said = urllib.request.urlopen(f"{call}/{event}").read().decode()
        assert "event: error" in said and "event: complete" not in said


def test_pictures_that_are_gone(small_model, place):
    desk = cam_app._Desk(SimpleNamespace(), {"a": Subject("a", small_model)}, [])
    answer = desk.explain(str(place/"gone.png"), None, "a", "crop", "likeliest", 2, [], "", None, [], "gradcam", 5, 0.5, "row", None)
    assert "your picture is no longer on the server; upload it again" in answer[0] and str(place) not in answer[0]


def test_half_questions_are_one_line(app, place):
    user = Client(app.local_url, verbose=False)
    for changed, words in ((dict(mode="contrast"), "a contrast needs two different classes"), (dict(mode="truth"), "nobody knows the true class"),
                           (dict(mode="named"), "no class is named"), (dict(mode="contrast", one="star", other="disc"), "red for, blue against"),
                           (dict(layers=[]), "gradcam"), (dict(mode="named", named=["disc", "star"]), "gradcam")):
        assert words in ask(user, place/"0.png", **changed)[0]


def post(address, name, content):
    "Upload a file as a form does; gives the status."
    body = (f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\nContent-Type: image/png\r\n\r\n'.encode()
            + content + b"\r\n--x--\r\n")
    request = urllib.request.Request(address, body, {"Content-Type": "multipart/form-data; boundary=x"})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status
    except urllib.error.HTTPError as problem:
        return problem.code


def test_uploads_over_the_cap_are_refused(app):
    assert post(f"{app.local_url}gradio_api/upload", "small.png", bytes(1000)) == 200
    assert post(f"{app.local_url}gradio_api/upload", "large.png", bytes(100_001)) == 413


def test_the_page_asks_nobody(app):
    "No address of another machine is loaded by the page, and nothing is reported."
    page = urllib.request.urlopen(app.local_url).read().decode()
    loaded = re.findall(r'<(?:script|link|img|iframe)\b[^>]*(?:src|href)="([^"]+)"', page)
    assert loaded and not [address for address in loaded if re.match(r"(https?:)?//", address)]
    config = json.loads(urllib.request.urlopen(f"{app.local_url}config").read())
    assert config["analytics_enabled"] is False and not config.get("footer_links") and os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    sheet = urllib.request.urlopen(f"{app.local_url}theme.css").read().decode()
    assert not re.findall(r"@import|url\(.?(?:https?:)?//", sheet)


def test_only_this_machine(app):
    assert app.local_url.startswith("http://127.0.0.1:") and app.share_url is None
    bound = [listening.getsockname() for server in app.server.servers for listening in server.sockets]
    assert bound == [("127.0.0.1", app.server_port)]


listening = """
import os, sys
asked = []
def hook(event, words):
    if event == "socket.connect":
        asked.append(words[1][0] if isinstance(words[1], tuple) else str(words[1]))
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        asked.append(str(words[0]))
    elif event == "urllib.Request":
        asked.append(words[0])
sys.addaudithook(hook)
from cifar_cam.app import serve
from cifar_cam.data import shapes
from cifar_cam.model import create_model
from gradio_client import Client
train = shapes(10, 10)[0]
model = create_model("custom_resnet", width=4)
model.classes, model.normalisation = train.classes, train.statistics()
app = serve(model, wait=False)
import time
time.sleep(2)
app.close()
print(sorted(set(asked)))
"""


def test_starting_asks_nobody():
    "In a process of its own, from the first import on: every connection and every name looked up is this machine."
    done = subprocess.run([sys.executable, "-c", listening], capture_output=True, text=True, cwd=root, timeout=300)
    assert done.returncode == 0, done.stderr
    asked = eval(done.stdout.splitlines()[-1])
    assert set(asked) <= {"127.0.0.1", "localhost", "0.0.0.0", "::1"}, asked


def test_mistakes(small_model):
    desk = cam_app._Desk(SimpleNamespace(), {"a": Subject("a", small_model, data=test), "b": Subject("b", small_model)}, [])
    words, items, number, shown = desk.page_of_mistakes("a", "confidence", 5, 0)
    wrong = desk.mistakes.of(desk.subjects["a"])[1].mistakes()
    assert len(wrong) > 5 and shown == wrong[:5].tolist() and f"{len(wrong)} mistakes in 60 pictures" in words and number == 0
    assert all(" → " in caption for _, caption in items)
    assert desk.page_of_mistakes("a", "confidence", 5, 1)[3] == wrong[5:10].tolist()
    pages = -(-len(wrong) // 5)
    assert desk.page_of_mistakes("a", "index", 5, 99)[2:] == (pages - 1, sorted(wrong.tolist())[5 * (pages - 1):])
    assert "start the app with a run folder" in desk.page_of_mistakes("b", "confidence", 5, 0)[0]
    _, chosen, mode = desk.pick("mistake", "a", "likeliest", shown[:1])
    answer = desk.explain(None, chosen, "a", "crop", mode, 3, [], "predicted", None, [], "gradcam", 5, 0.6, "row", None)
    assert answer[2][0][1] == f"true: {test.classes[test.labels[shown[0]]]}" and len(answer[2]) == 3
    assert desk.explain(None, chosen, "b", "crop", mode, 3, [], "predicted", None, [], "gradcam", 5, 0.6, "row", None)[4] is None  # of another network
    whole = desk.explain(None, desk.pick("mistake", "a", mode, shown)[1], "a", "crop", mode, 3, [], "predicted", None, [], "gradcam", 5, 0.6, "row", None)
    assert len(whole[2]) == 5 * 3 and whole[1] is None
    assert desk.pick("example", "a", "truth", 3) == (None, ("example", 3), "likeliest")


def test_runs(small_model, tmp_path):
    "A run's own data and kept answers are used; a set that would have to be downloaded is not."
    from cifar_cam.evaluate import predict
    folder = tmp_path/"my run"
    folder.mkdir()
    test.save(tmp_path/"x.npz")
    (folder/"run.json").write_text(json.dumps(dict(data=dict(source="cifar10"))))
    subject = Subject("my run", small_model, folder)
    os.environ["CIFAR_CAM_HOME"], before = str(tmp_path/"home"), os.environ.get("CIFAR_CAM_HOME")
    try:
        with pytest.raises(ValueError, match="which is not on this machine; name the data"):
            cam_app._labelled(subject)
    finally:
        os.environ.pop("CIFAR_CAM_HOME") if before is None else os.environ.update(CIFAR_CAM_HOME=before)
    kept = predict(small_model, test)
    kept.logits[:] = np.roll(kept.logits, 1, 1)
    kept.save(folder/"predictions.npz")
    assert np.array_equal(cam_app._predictions(subject, test).logits, kept.logits)
    assert not np.array_equal(cam_app._predictions(subject, test[:30]).logits, kept.logits[:30])


def test_names_and_networks(small_model, tmp_path):
    save_single_file(tmp_path/"mine.safetensors", small_model)
    found = cam_app._subjects([tmp_path/"mine.safetensors", tmp_path/"mine.safetensors", small_model], None, {}, False)
    assert list(found) == ["mine (1)", "mine (2)", "network 3"] and all(s.name == "mine" for s in list(found.values())[:2])
    with pytest.raises(FileNotFoundError, match="holds no trained model"):
        create_app(tmp_path/"nowhere")


def test_without_a_network(monkeypatch):
    from cifar_cam import own_images
    monkeypatch.setattr(cam_app, "default_model", lambda: own_images.default_model("nowhere"))
    with pytest.raises(FileNotFoundError, match="no trained network comes with this installation"):
        create_app()


def test_without_gradio(monkeypatch, small_model):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ImportError, match=r"pip install 'cifar_cam\[app\]'"):
        create_app(small_model)


def test_a_space_runs_unchanged(small_model, tmp_path):
    save_space(tmp_path/"space", small_model, data=test, title='What: "a" test', license="apache-2.0")
    front = (tmp_path/"space"/"README.md").read_text().split("---")[1]
    yaml = pytest.importorskip("yaml").safe_load(front)
    assert (yaml["title"], yaml["sdk"], yaml["app_file"], yaml["license"]) == ('What: "a" test', "gradio", "app.py", "apache-2.0")
    assert len(list((tmp_path/"space"/"examples").iterdir())) == 10
    assert len(Images.load(tmp_path/"space"/"mistakes.npz")) == (classify(small_model, test).logits.argmax(1).numpy() != test.labels).sum()
    running = subprocess.Popen([sys.executable, "app.py"], cwd=tmp_path/"space", stdout=subprocess.PIPE, text=True)
    try:
        line = running.stdout.readline()
        address = re.search(r"http://127.0.0.1:\d+/", line)[0]
        user = Client(address, verbose=False)
        picture = next((tmp_path/"space"/"examples").iterdir())
        answer = ask(user, picture, model="model")
        assert numbers(answer[3])["logits"][0] == pytest.approx(classify(small_model, picture).logits[0].tolist(), abs=1e-5)
    finally:
        running.terminate()
        running.wait(30)


def test_on_the_command_line(tmp_path, capsys):
    assert main(["app", str(tmp_path/"nowhere")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_command_starts_the_page(monkeypatch, tmp_path):
    from cifar_cam import cli
    asked = []
    monkeypatch.setattr(cli, "serve", lambda *words, **named: asked.append((words, named)))
    assert main(["app", "a", "b", "--port", "7999", "--no-browser"]) == main(["app"]) == 0
    assert asked[0] == ((["a", "b"], "127.0.0.1", 7999, False), dict(examples=None, data=None))
    assert asked[1][0] == (None, "127.0.0.1", None, True)


def test_the_command_writes_a_space(small_model, tmp_path, capsys):
    path = save_single_file(tmp_path/"m.safetensors", small_model)
    assert main(["app", str(path), "--space", str(tmp_path/"space")]) == 0
    assert "(14 files)" in capsys.readouterr().out and (tmp_path/"space"/"app.py").is_file()
    assert main(["app", "a", "b", "--space", str(tmp_path/"space")]) == 2
    assert "a Space holds one network" in capsys.readouterr().err
