"""A corpus of hostile files: nothing of them is ever run, and each is read or refused with a message of ours.

All of it, counted in benchmarks/records/hostile.json:
CIFAR_CAM_RECORD=1 python -m pytest tests/test_hostile.py -s -m "slow or not slow"
"""
import collections
import functools
import gzip
import importlib
import io
import itertools
import json
import operator
import os
import pickle
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import traceback
import types
import warnings
import zipfile
import zlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import cifar_cam
from cifar_cam.augment import Loader
from cifar_cam.checkpoint import import_state_dict, load_model, load_run, load_state, save_model, write_sealed
from cifar_cam.cli import main
from cifar_cam.data import Images, image_folder, load_arrays, load_data, normalisations, read_picture, shapes
from cifar_cam.download import archive_members, plain, read_cifar_pickle, write_atomic
from cifar_cam.evaluate import Predictions
from cifar_cam.model import create_model
from cifar_cam.report import report

root = Path(__file__).resolve().parent.parent
ours = str(Path(cifar_cam.__file__).parent)
tried = collections.Counter()
refused = collections.Counter()
quick = settings(max_examples=150, deadline=None, database=None, derandomize=True,
                 suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large])


@pytest.fixture(autouse=True)
def sentinel(tmp_path):
    "A file that attacks would make; the audit hook notes programs that would start."
    path = tmp_path/"sentinel"
    os.environ["SENTINEL"] = str(path)
    started.clear()
    yield path
    assert not path.exists(), "an attack wrote its file"
    assert not started, f"something was started: {started}"


started = []
armed = False


def note(event, arguments):
    if armed and event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "os.spawn", "pty.spawn"):
        started.append((event, str(arguments)[:80]))


sys.addaudithook(note)


def attempt(kind, call):
    "Read something hostile: its value, or the error, which must be raised by the package itself and say something."
    global armed
    tried[kind] += 1
    armed = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call()
    except (ValueError, TypeError, OSError) as problem:
        last = traceback.extract_tb(problem.__traceback__)[-1].filename
        assert last.startswith(ours), f"{kind}: {problem!r} comes from {last}, not from us"
        text = str(problem)
        assert len(text) > 20, f"{kind}: {text!r} says too little"
        if Path(last).stem in ("download", "data", "augment"):
            assert plain(text.replace("\n", " ")) == text.replace("\n", " "), f"{kind}: {text!r} is not fit to print"
        refused[kind] += 1
        return problem
    finally:
        armed = False


def refuses(kind, call):
    result = attempt(kind, call)
    assert isinstance(result, Exception), f"{kind}: accepted"
    return result


# Pickles

class Reduced:
    "Pickles as a call of `function`, with the further parts that a reduce value may have."
    def __init__(self, function, *arguments, rest=()):
        self.reduced = (function, arguments, *rest)

    def __reduce__(self):
        return self.reduced


def attacks(path):
    "Objects whose ordinary unpickling would write the file `path`."
    path, command, code = str(path), f"echo x > {path}", f"open({str(path)!r}, 'w').close()"
    yield from [Reduced(os.system, command), Reduced(os.popen, command), Reduced(eval, code), Reduced(exec, code), Reduced(open, path, "w"),
                Reduced(io.open, path, "w"), Reduced(subprocess.Popen, ["touch", path]), Reduced(subprocess.call, ["touch", path]),
                Reduced(subprocess.check_output, ["touch", path]), Reduced(Path.touch, Path(path)), Reduced(os.open, path, os.O_CREAT),
                Reduced(os.mkdir, path), Reduced(shutil.copyfile, __file__, path), Reduced(shutil.copy, __file__, path),
                Reduced(importlib.import_module, "this"), Reduced(np.save, path, 1), Reduced(np.savetxt, path, [1]), Reduced(np.load, path),
                Reduced(torch.save, 1, path), Reduced(torch.load, path), Reduced(pickle.loads, b"cos\nsystem\n(S'true'\ntR."),
                Reduced(functools.partial, os.system, command), Reduced(operator.attrgetter("system"), os),
                Reduced(operator.methodcaller("touch"), Path(path)), Reduced(map, os.system, [command]), Reduced(getattr, os, "system"),
                Reduced(compile, code, "x", "exec"), Reduced(bytearray, 10**12), Reduced(list, range(10)), Reduced(type, "T", (), {}),
                Reduced(tarfile.open, path, "w"), Reduced(zipfile.ZipFile, path, "w"), Reduced(gzip.open, path, "w"), Reduced(__import__, "os")]
    yield Reduced(types.SimpleNamespace, rest=({"data": Reduced(os.system, command)},))
    yield Reduced(list, rest=(None, iter([Reduced(os.system, command)])))
    yield Reduced(dict, rest=(None, None, iter([(1, Reduced(os.system, command))])))
    yield Reduced(np.ndarray, (1,), rest=({"x": 1},))
    yield Reduced(np.dtype, "O")
    yield Reduced(np.frombuffer, b"abc", np.uint8)
    yield np.array([Reduced(os.system, command)], dtype=object)
    yield np.array([(Reduced(open, path, "w"),)], dtype=[("f", object)])


def placed(attack):
    "An attack at every place of a CIFAR batch."
    whole = {b"data": np.zeros((1, 3072), np.uint8), b"labels": [0]}
    yield {**whole, b"data": attack}
    yield {**whole, b"labels": [attack]}
    yield {**whole, b"more": {b"deep": [[attack]]}}
    yield attack


def bare(function, *arguments):
    "A protocol-0 program that calls module.name with text arguments."
    module, name = function.rsplit(".", 1)
    return f"c{module}\n{name}\n(".encode() + b"".join(b"S%r\n" % a for a in arguments) + b"tR."


def programs(path):
    "Hand-written pickle programs."
    command = f"echo x > {path}"
    for name in ("os.system", "posix.system", "nt.system", "os.popen", "subprocess.getoutput", "builtins.eval", "builtins.exec", "__builtin__.eval",
                 "builtins.__import__", "runpy.run_path", "runpy._run_code", "pty.spawn", "platform.popen", "commands.getoutput", "webbrowser.open",
                 "code.interact", "timeit.timeit", "cProfile.run", "pdb.run", "doctest.debug_script", "numpy.load", "numpy.memmap", "numpy.loadtxt",
                 "numpy.f2py.crackfortran.getlincoef", "numpy.testing._private.utils.runstring", "torch.load", "torch.hub.load", "torch._inductor.codecache.compile_file",
                 "cifar_cam.download.download", "cifar_cam.download.write_atomic", "_codecs.decode", "numpy.dtype.__reduce__", "numpy.ndarray.tofile",
                 "numpy.core.multiarray.scalar", "numpy._core.multiarray._reconstruct.__globals__", "copyreg._reconstructor", "operator.attrgetter"):
        yield bare(name, command)
        module, attribute = name.rsplit(".", 1)
        short = lambda text: b"\x8c" + bytes([len(text)]) + text.encode()
        yield b"\x80\x04" + short(module) + short(attribute) + b"\x93" + short(command[:200]) + b"\x85R."     # STACK_GLOBAL
        yield f"(i{module}\n{attribute}\n.".encode()                                                          # INST
        yield f"(c{module}\n{attribute}\nV{command}\no.".encode()                                             # OBJ
        yield f"\x80\x02c{module}\n{attribute}\n)\x81.".encode("latin1")                                      # NEWOBJ
        yield f"\x80\x04c{module}\n{attribute}\n)}}\x92.".encode("latin1")                                    # NEWOBJ_EX
    for opcode in (b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\x00\x00\x00", b"Pname\n", b"Nq", b"\x97", b"\x98", b"\x8f", b"(\x90", b"(\x91", b"\x96" + bytes(8)):
        yield b"\x80\x05" + opcode + b"."
    for size in (2**31 - 1, 2**32 - 1, 2**62):
        yield b"\x8e" + struct.pack("<Q", size) + b"."
        yield b"\x8d" + struct.pack("<Q", size) + b"."
        yield b"}r" + struct.pack("<I", size % 2**32) + b"."
        yield b"\x80\x04\x95" + struct.pack("<Q", size) + b"}."
    yield from (b"", b".", b"(", b"\x80", b"\x80\xff.", b"}" * 100_000 + b".", b"(" * 100_000 + b".", b"]q\x00h\x00a." * 3, b"I" + b"9" * 10_000 + b"\n.",
                b"L" + b"9" * 10_000 + b"L\n.", b"\x8b" + struct.pack("<i", -1) + b".", b"}}}s.", b"h\x00.", b"g99\n.", b"0.", b"1.", b"2.", b"}(1b.")


def test_pickles_run_nothing(sentinel):
    for attack in attacks(sentinel):
        for protocol, content in itertools.product(range(6), placed(attack)):
            try:
                data = pickle.dumps(content, protocol=protocol)
            except Exception:  # a few kinds cannot be written in the oldest protocols
                continue
            refuses("pickle: calls", lambda: read_cifar_pickle(data))
    for program in programs(sentinel):
        found = attempt("pickle: programs", lambda: read_cifar_pickle(program))
        assert isinstance(found, (Exception, dict)) and not (isinstance(found, dict) and b"\n" in program), program


def test_the_corpus_bites(sentinel):
    "The ordinary unpickler does run these: an attack that cannot bite would prove nothing."
    child = "import sys, pickle; sys.path.insert(0, sys.argv[1]); pickle.loads(bytes.fromhex(sys.argv[2]))"
    for attack in (Reduced(os.system, f"echo x > {sentinel}"), Reduced(open, str(sentinel), "w"), np.array([Reduced(os.mkdir, str(sentinel))])):
        subprocess.run([sys.executable, "-c", child, str(Path(__file__).parent), pickle.dumps(attack).hex()], check=True)
        assert sentinel.exists()
        sentinel.rmdir() if sentinel.is_dir() else sentinel.unlink()


def batch_files(replace=None):
    "The files of a small CIFAR-10 folder; `replace` puts other bytes in place of one."
    return small_batches() | (replace or {})


@functools.cache
def small_batches():
    train, _ = shapes(60, 10)
    files = {}
    for k, name in enumerate([f"data_batch_{k}" for k in range(1, 6)] + ["test_batch"]):
        part = train[10 * k:10 * k + 10]
        rows = np.ascontiguousarray(part.images.transpose(0, 3, 1, 2)).reshape(10, 3072)
        files[name] = pickle.dumps({b"data": rows, b"labels": part.labels.tolist()}, protocol=2)
    files["batches.meta"] = pickle.dumps({b"label_names": [c.encode() for c in train.classes]}, protocol=2)
    return files


def in_folder(folder, files):
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in files.items():
        write_atomic(folder/name, data)
    return folder


def in_archive(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def wrong_batches():
    "Well-formed pickles that are no CIFAR batch."
    rows, row = np.zeros((2, 3072), np.uint8), np.zeros(3072, np.uint8)
    for data, labels in ((None, [0, 1]), ([1, 2], [0, 1]), (b"ab", [0, 1]), (7, [0]), (rows, None), (rows, [0]), (rows, [0, -1]), (rows, [0, 10]),
                         (rows, [0, 999]), (rows, [0, 2**70]), (rows, [0, b"cat"]), (rows, [0, 0.5]), (rows, [0, True]), (rows, {0: 1, 1: 2}), (row, [0]),
                         (rows[:, :3071], [0, 1]), (rows.reshape(2, 3, 32, 32), [0, 1]), (rows[:0], [])):
        yield {b"data": data, b"labels": labels}
    yield from ({}, {b"data": rows}, {b"labels": [0, 1]}, {"data": rows, "labels": [0, 1]}, [1], None, b"text")


def test_hostile_batches_in_folders_and_archives(tmp_path, sentinel):
    hostile = [pickle.dumps(content, protocol=2) for content in wrong_batches()]
    hostile += [pickle.dumps({b"data": attack}, protocol=2) for attack in itertools.islice(attacks(sentinel), 6)] + [b"", b"junk"]
    for k, data in enumerate(hostile):
        for name in ("data_batch_3", "test_batch"):
            files = batch_files({name: data})
            attempt("batches in a folder", lambda: load_data(in_folder(tmp_path/"set", files)))
            if k % 3 == 0:
                attempt("batches in an archive", lambda: load_data(in_archive(tmp_path/"set.tar.gz", files)))
    for names in (None, b"x", [1], ["text"], [b"a"] * 10, [b"a"], [b"\xff\xfe"] + [bytes([65 + k]) for k in range(9)], {}):
        meta = pickle.dumps({b"label_names": names}, protocol=2)
        attempt("batches in a folder", lambda: load_data(in_folder(tmp_path/"set", batch_files({"batches.meta": meta}))))
    whole = batch_files()
    del whole["data_batch_4"]
    assert "beside the other batches" in str(refuses("batches in a folder", lambda: load_data(in_folder(tmp_path/"set", whole))))


@given(st.data())
@quick
def test_damaged_pickles(data):
    whole = batch_files()["batches.meta"]
    damaged = bytearray(whole)
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=4)):
        damaged[place] = data.draw(st.integers(0, 255))
    attempt("pickle: fuzzed", lambda: read_cifar_pickle(bytes(damaged[:data.draw(st.integers(0, len(whole)))])))


# Archives

wanted = "cifar-10-batches-py/data_batch_1"


def tar_bytes(*members, mode="w:gz", kind=tarfile.PAX_FORMAT):
    "An archive of (name, bytes), or TarInfo, or (TarInfo, bytes)."
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=kind) as archive:
        for name, data in ((m, b"") if isinstance(m, tarfile.TarInfo) else m for m in members):
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = info.size or len(data)
            archive.addfile(info, io.BytesIO(data) if data else None)
    return buffer.getvalue()


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, str(target)
    return info


def hostile_archives(sentinel):
    "Archives that try to write, to lead astray, or to fill the memory."
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, tarfile.CONTTYPE, b"S", b"Z")
    for kind, target in itertools.product(kinds, ("/etc/passwd", "../../x", sentinel, wanted)):
        yield tar_bytes(special(wanted, kind, target))
        yield tar_bytes(special("elsewhere", kind, target), (f"elsewhere/{sentinel.name}", b"x"), (wanted, b"x"))
    for name in ("../" * k + sentinel.name for k in range(1, 9)):
        yield tar_bytes((name, b"x"))
    for name in (str(sentinel), f"/{sentinel}", f"./{sentinel}", "C:\\x", "\\\\host\\x", "a/../../x", "con", "\x1b[2J", "<script>", "a" * 5000, "\u202ex"):
        yield tar_bytes((name, b"x"))
        yield tar_bytes((name, b"x"), (wanted, b"x"), (wanted, b"y"))
    lie = tarfile.TarInfo(wanted)
    for size in (10**6, 2**33, 2**62):
        lie.size = size
        yield lie.tobuf(tarfile.GNU_FORMAT) + b"short"
        yield gzip.compress(lie.tobuf(tarfile.GNU_FORMAT) + bytes(10_000))
    lie.size = 10**9
    yield gzip.compress(lie.tobuf(tarfile.GNU_FORMAT) + bytes(30_000_000))
    yield gzip.compress(gzip.compress(bytes(1_000_000)))
    yield gzip.compress(bytes(20_000_000))
    yield gzip.compress(tar_bytes((wanted, b"x"), mode="w") + os.urandom(100))
    pax = tarfile.TarInfo(wanted)
    for headers in ({"size": "-1"}, {"size": "99999999999999999999"}, {"size": "x"}, {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"},
                    {"path": "../" + sentinel.name}, {"path": "\0"}, {"GNU.sparse.map": "0,1,x"}, {"mtime": "nan"}, {"linkpath": str(sentinel)}):
        pax.pax_headers = headers
        yield tar_bytes((pax, b"12345"))
    yield from (b"", b"PK\x03\x04", b"\x1f\x8b", b"BZh91AY", bytes(512), bytes(10_240), b"\xfd7zXZ\x00", b"Rar!", b"ustar" * 200)


def hostile_zips(sentinel):
    def made(*members, method=zipfile.ZIP_DEFLATED):
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a name is there twice
            with zipfile.ZipFile(buffer, "w", method) as archive:
                for name, data in members:
                    archive.writestr(name, data)
        return buffer.getvalue()
    link = zipfile.ZipInfo(wanted)
    link.external_attr = 0o120777 << 16
    yield made((link, "/etc/passwd"))
    yield made((wanted, b"1"), (wanted, b"2"))
    yield made((wanted, bytes(50_000_000)))
    yield made((wanted + "/", b""))
    for name in ("../" + sentinel.name, str(sentinel), "\x1b[2J", "a\\..\\b"):
        yield made((name, b"x"))
    whole = made((wanted, b"hello" * 100))
    for k in range(0, len(whole), 5):
        yield whole[:k] + bytes([whole[k] ^ 255]) + whole[k + 1:]
        yield whole[:k]


def test_hostile_archives(tmp_path, sentinel):
    for name, corpus in (("x.tar.gz", hostile_archives(sentinel)), ("x.zip", hostile_zips(sentinel))):
        path = tmp_path/"inside"/"deep"/name
        for data in corpus:
            write_atomic(path, data)
            found = attempt(f"archive: {path.suffix[1:]}", lambda: archive_members(path, [wanted], 10_000_000))
            assert isinstance(found, Exception) or len(found[wanted]) < 1000
            if name != "x.zip":
                refuses("archive as data", lambda: load_data(path))
    assert {p.name for p in tmp_path.rglob("*")} == {"inside", "deep", "x.tar.gz", "x.zip"}


@given(st.data())
@quick
def test_fuzzed_tar_headers(tmp_path_factory, data):
    whole = bytearray(tar_bytes((wanted, b"12345"), ("other", b"1"), mode="w"))
    for place in data.draw(st.lists(st.integers(0, 511), min_size=1, max_size=6)):
        whole[place] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):  # a right checksum over wrong words gets further
        whole[148:156] = b" " * 8
        whole[148:156] = b"%06o\0 " % sum(whole[:512])
    path = tmp_path_factory.getbasetemp()/"fuzzed.tar"
    path.write_bytes(gzip.compress(bytes(whole)) if data.draw(st.booleans()) else bytes(whole))
    attempt("archive: fuzzed", lambda: archive_members(path, [wanted], 1_000_000))


# Models and checkpoints

@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")/"model"
    save_model(folder, create_model("custom_resnet", num_classes=3, width=4), ("a", "b", "c"), normalisations["half"])
    return {name: (folder/name).read_bytes() for name in ("weights.safetensors", "model.json")}


def headers():
    "safetensors files whose header lies."
    def made(header, data=bytes(16), length=None):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return struct.pack("<Q", len(text) if length is None else length) + text + data
    entry = dict(dtype="F32", shape=[4], data_offsets=[0, 16])
    for change in (dict(dtype="F99"), dict(dtype=7), dict(shape=[-4]), dict(shape=[2**62, 4]), dict(shape="4"), dict(shape=[5]), dict(shape=[0]),
                   dict(data_offsets=[16, 0]), dict(data_offsets=[0, 2**62]), dict(data_offsets=[-16, 0]), dict(data_offsets=[0]), dict(data_offsets=None),
                   dict(shape=[[4]]), dict(dtype="BOOL"), dict(dtype="I64"), dict(dtype="F8_E4M3")):
        yield made({"t0": entry | change})
    yield made({"t0": entry, "t1": entry})
    yield made({"t0": entry | dict(data_offsets=[8, 16], shape=[2])})
    yield made({"__metadata__": {"x": 1}, "t0": entry})
    yield made({"__metadata__": "<script>", "t0": entry})
    yield made(b'{"t0":' + b"[" * 50_000 + b"]" * 50_000 + b"}")
    yield made(b'{"t0": 1, "t0": 2}')
    for text in (b"", b"{}", b"[]", b"null", b"\xff\xfe", b"{", b"not json", b"{\"\x1b[2J\": 1}", b"\x80\x04cos\nsystem\n."):
        yield made(text)
    for length in (0, 1, 2**31, 2**62, 2**64 - 1):
        yield made({"t0": entry}, length=length)
    for size in range(0, 9):
        yield bytes(size)
    yield pickle.dumps([1])


def test_hostile_weights(saved, tmp_path, sentinel):
    for data in headers():
        for name, load, other in (("weights.safetensors", load_model, {"model.json": saved["model.json"]}),
                                  ("tensors.safetensors", load_state, {"state.json": b'{"tensor": "t0"}'})):
            folder = write_sealed(tmp_path/"sealed", {name: data, **other})  # the attacker seals properly
            attempt("safetensors: headers", lambda: load(folder))
    for attack in attacks(sentinel):
        try:
            data = pickle.dumps(attack, protocol=2)
        except Exception:
            continue
        folder = write_sealed(tmp_path/"sealed", {"weights.safetensors": data, "model.json": saved["model.json"]})
        refuses("safetensors: pickles", lambda: load_model(folder))
        if attack.__class__ is Reduced and attack.reduced[0] is bytearray:
            continue  # see below
        (tmp_path/"x.pt").write_bytes(data)
        refuses("legacy: pickles", lambda: import_state_dict(tmp_path/"x.pt", torch.nn.Linear(1, 1)))
        try:
            torch.save({"state_dict": attack}, tmp_path/"x.pt")
        except Exception:
            continue
        refuses("legacy: torch.save", lambda: import_state_dict(tmp_path/"x.pt", torch.nn.Linear(1, 1)))


def test_a_legacy_file_that_asks_for_all_memory(tmp_path):
    (tmp_path/"x.pt").write_bytes(pickle.dumps(Reduced(bytearray, 10**13), protocol=2))
    refuses("legacy: pickles", lambda: import_state_dict(tmp_path/"x.pt", torch.nn.Linear(1, 1)))


def cards(saved):
    "Descriptions of models that do not exist, do not fit, or are something else."
    card = json.loads(saved["model.json"])
    for key, value in itertools.product(("made_by", "classes", "normalisation"), (None, 7, "x", [], {}, [[]], {"name": "x"}, "<script>", True)):
        yield json.dumps(card | {key: value})
    for made_by in (dict(name="os.system"), dict(name="custom_resnet", num_classes=-1), dict(name="custom_resnet", num_classes="3"), dict(name="resnet18"),
                    dict(name="custom_resnet", evil=1), dict(name="custom_resnet", width=0), dict(name=None), dict(name="__class__")):
        yield json.dumps(card | dict(made_by=made_by))
    for norm in (dict(mean=[0] * 3, std=[0] * 3, name="x"), dict(mean=[], std=[], name="x"), dict(mean="abc", std="abc", name="x"), dict(evil=1)):
        yield json.dumps(card | dict(normalisation=norm))
    for key in card:
        yield json.dumps({k: v for k, v in card.items() if k != key})
    yield from ("", "null", "[]", "7", "{", '{"made_by": NaN}', "[" * 100_000, "\x00", '"text"')


def test_hostile_model_cards(saved, tmp_path):
    for card in cards(saved):
        folder = write_sealed(tmp_path/"sealed", {"weights.safetensors": saved["weights.safetensors"], "model.json": card.encode()})
        attempt("model.json", lambda: load_model(folder))


def test_hostile_manifests(saved, tmp_path):
    folder = write_sealed(tmp_path/"sealed", {"weights.safetensors": saved["weights.safetensors"], "model.json": saved["model.json"]})
    entry = dict(sha256="0" * 64, size=1)
    for names in ("../x", "/etc/passwd", "/dev/zero", "", ".", "..", "a/b", "\x00", "manifest.json", "\x1b[2J", "<script>", "x" * 5000):
        (folder/"manifest.json").write_text(json.dumps({names: entry}))
        refuses("manifest.json", lambda: load_model(folder))
    for text in ("", "null", "[]", "7", '"x"', "{}", '{"model.json": 1}', '{"model.json": {}}', "[" * 100_000, "\ufeff{}", '{"model.json": null}'):
        (folder/"manifest.json").write_text(text)
        refuses("manifest.json", lambda: load_model(folder))


def states():
    "Structures in a checkpoint that `pack` would never write."
    yield from ({}, {"tensor": "none"}, {"tensor": 7}, {"array": 1}, {"items": 7}, {"items": [[1]]}, {"items": [[{"list": []}, 1]]}, {"list": 7}, {"evil": 1},
                {"tuple": None}, {"list": [1], "tuple": [2]}, {"array": {"list": []}}, {"eval": "1"}, {"__class__": "x"}, {"items": [["a", 1, 2]]})


def test_hostile_states(tmp_path):
    from safetensors.torch import save as tensors_to_bytes
    tensors = tensors_to_bytes({"t0": torch.zeros(2)})
    for state in [json.dumps(s) for s in states()] + ["", "{", '{"list": [' * 20_000, "\x00", "[1, 2]"]:
        folder = write_sealed(tmp_path/"sealed", {"state.json": state.encode(), "tensors.safetensors": tensors})
        attempt("state.json", lambda: load_state(folder))


@given(st.data())
@settings(quick, max_examples=50)
def test_fuzzed_safetensors(saved, tmp_path_factory, data):
    whole = bytearray(saved["weights.safetensors"])
    end = 8 + struct.unpack("<Q", whole[:8])[0]
    for place in data.draw(st.lists(st.integers(0, end - 1), min_size=1, max_size=5)):
        whole[place] = data.draw(st.sampled_from(b'\x00\xff{}[]",:0123456789-eE.ntF ')) if place > 7 else data.draw(st.integers(0, 255))
    folder = write_sealed(tmp_path_factory.getbasetemp()/"fuzzed", {"weights.safetensors": bytes(whole), "model.json": saved["model.json"]})
    attempt("safetensors: fuzzed", lambda: load_model(folder))


# Pictures

modes = {"1": "png", "L": "png", "LA": "png", "P": "png", "PA": "tiff", "RGB": "png", "RGBA": "png", "CMYK": "jpg", "YCbCr": "jpg", "HSV": "tiff",
         "LAB": "tiff", "I": "tiff", "F": "tiff", "I;16": "png"}
sizes = [(1, 1), (1, 40), (40, 1), (2, 3), (32, 32), (33, 31), (64, 64), (200, 7)]


def one_of(mode, size):
    "A picture of a mode and size with some content."
    base = Image.fromarray(np.random.default_rng(sum(size)).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    if mode == "HSV" or mode == "LAB" or mode == "YCbCr" or mode == "CMYK":
        return base.convert(mode) if mode != "LAB" else Image.merge("LAB", base.split())
    if mode == "I;16":
        return Image.fromarray(np.asarray(base.convert("L")).astype(np.uint16) * 257)
    if mode == "PA":
        return base.convert("P").convert("PA")
    return base.convert(mode)


def test_pictures_of_every_mode_and_size(tmp_path):
    "As many as can be written to a file must come back as RGB bytes of the size asked for."
    read = 0
    for (mode, ending), size in itertools.product(modes.items(), sizes):
        for kind in {ending, "png", "tiff", "bmp", "gif", "webp", "jpg"}:
            file = tmp_path/f"x.{kind}"
            try:
                one_of(mode, size).save(file)
            except (OSError, ValueError, KeyError, SystemError):
                continue  # the format cannot hold this mode
            for pixels in (None, 8):
                found = attempt("picture: mode × size × format", lambda: read_picture(file, pixels))
                if not isinstance(found, Exception):
                    assert found.dtype == np.uint8 and found.shape == ((8, 8, 3) if pixels else (*size[::-1], 3))
                    read += 1
            file.unlink()
    assert read > 500


def test_damaged_pictures(tmp_path):
    whole = {}
    for kind in ("png", "jpg", "gif", "bmp", "webp", "tiff", "ppm"):
        one_of("RGB", (32, 32)).save(tmp_path/f"x.{kind}")
        whole[kind] = (tmp_path/f"x.{kind}").read_bytes()
    for kind, data in whole.items():
        step = max(1, len(data) // 40)
        for k in range(0, len(data), step):
            for damaged in (data[:k], data[:k] + bytes([data[k] ^ 255]) + data[k + 1:], data[:k] + bytes(64) + data[k + 64:]):
                (tmp_path/f"x.{kind}").write_bytes(damaged)
                found = attempt("picture: damaged", lambda: read_picture(tmp_path/f"x.{kind}", 8))
                assert isinstance(found, Exception) or found.shape == (8, 8, 3)
    for other, data in (("png", whole["jpg"]), ("jpg", b"<svg onload='alert(1)'/>"), ("png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) (w) file"),
                        ("gif", b""), ("bmp", pickle.dumps([1])), ("png", whole["png"][:8])):
        (tmp_path/f"y.{other}").write_bytes(data)
        attempt("picture: something else", lambda: read_picture(tmp_path/f"y.{other}", 8))


def huge_png(width, height):
    "A few hundred bytes that announce a picture of any size."
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND", b""))


def test_picture_bombs(tmp_path):
    for width, height in ((8000, 8000), (65535, 65535), (2**31 - 1, 1), (1, 2**31 - 1), (100_000, 100_000), (0, 0), (0, 5)):
        (tmp_path/"bomb.png").write_bytes(huge_png(width, height))
        refuses("picture: bombs", lambda: read_picture(tmp_path/"bomb.png", 32))
        refuses("picture: bombs", lambda: read_picture(io.BytesIO(huge_png(width, height))))
    png = huge_png(8, 8)
    text = b"tEXtx\0" + bytes(100)
    ztxt = b"zTXtx\0\0" + zlib.compress(bytes(100_000_000))
    for chunk in (text, ztxt):
        bad = png[:33] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[33:]
        (tmp_path/"bomb.png").write_bytes(bad)
        attempt("picture: bombs", lambda: read_picture(tmp_path/"bomb.png", 32))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_what_is_no_file_is_not_waited_for(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path/name).mkdir()
        one_of("RGB", (8, 8)).save(tmp_path/name/"1.png")
    for make in (os.mkfifo, os.mkdir, lambda p: os.symlink("/dev/zero", p), lambda p: os.symlink("nowhere", p), lambda p: os.symlink(p, p)):
        make(tmp_path/"dog"/"2.png")
        signal.alarm(20)
        assert "2.png" in str(refuses("picture: no file", lambda: image_folder(tmp_path)))
        signal.alarm(0)
        (tmp_path/"dog"/"2.png").rmdir() if (tmp_path/"dog"/"2.png").is_dir() else (tmp_path/"dog"/"2.png").unlink()


@given(st.data())
@quick
def test_fuzzed_picture_headers(data):
    kind = data.draw(st.sampled_from(["png", "gif", "bmp", "tiff", "jpeg", "webp"]))
    buffer = io.BytesIO()
    one_of("RGB", (16, 16)).save(buffer, kind)
    whole = bytearray(buffer.getvalue())
    for place in data.draw(st.lists(st.integers(0, min(120, len(whole) - 1)), min_size=1, max_size=5)):
        whole[place] = data.draw(st.integers(0, 255))
    attempt("picture: fuzzed", lambda: read_picture(io.BytesIO(bytes(whole)), 8, largest=1_000_000))


# Arrays

def good_arrays():
    return dict(x_train=np.zeros((6, 8, 8, 3), np.uint8), y_train=np.arange(6) % 2, x_test=np.zeros((4, 8, 8, 3), np.uint8), y_test=np.arange(4) % 2)


def test_arrays_of_every_type_and_layout(tmp_path):
    path = tmp_path/"x.npz"
    dtypes = [np.uint8, np.int8, np.uint16, np.int32, np.int64, np.float16, np.float32, np.float64, np.complex64, bool, "U3", "S3", "M8[s]", "V4", ">u2", object]
    layouts = [(6, 8, 8, 3), (6, 3, 8, 8), (6, 8, 8), (6, 8, 8, 1), (6, 8, 8, 4), (8, 8, 3), (6, 192), (), (0,), (0, 8, 8, 3), (6, 0, 8, 3), (1, 6, 8, 8, 3)]
    for dtype, shape in itertools.product(dtypes, layouts):
        for order in "CF":
            np.savez(path, **good_arrays() | dict(x_train=np.zeros(shape, dtype, order=order)))
            found = attempt("arrays: type × layout", lambda: load_arrays(path))
            assert isinstance(found, Exception) == (dtype is not np.uint8 or shape != (6, 8, 8, 3))
    for dtype, shape in itertools.product(dtypes, [(6,), (6, 1), (5,), (7,), (), (0,)]):
        np.savez(path, **good_arrays() | dict(y_train=np.zeros(shape, dtype)))
        found = attempt("arrays: labels", lambda: load_arrays(path))
        assert isinstance(found, Exception) or shape == (6,)


def test_arrays_with_wrong_values(tmp_path):
    path, six = tmp_path/"x.npz", np.arange(6)
    wrong = [dict(x_train=np.full((6, 8, 8, 3), v, np.float32)) for v in (np.nan, np.inf, -np.inf, 0.5)]
    wrong += [dict(y_train=np.where(six == 3, v, 0)) for v in (-1, 10**6, 2**62, -2**63)] + [dict(y_train=np.full(6, np.nan))]
    wrong += [dict(classes=c) for c in (np.array(["a"]), np.array([]), np.array("a"), np.array([["a"], ["b"]]), np.array(["a", "a"]), np.array([1, 2, 3]),
                                        np.array([None, 1], object), np.full(3, np.nan), np.array(["\x1b[2J", "<script>"]))]
    wrong += [dict(name=np.array(v)) for v in ("\x1b[31m", "<b>", [1, 2], b"\xff")] + [dict(note=np.zeros((50, 50)))]
    wrong += [{"../../x": six}, {"x_train.npy": six}, {"<script>": six}, {"\x1b[2J": six}]
    for change in wrong:
        np.savez(path, **good_arrays() | change)
        found = attempt("arrays: values", lambda: load_arrays(path))
        if not isinstance(found, Exception):
            assert plain(found[0]) == str(found[0]) and all(plain(c) == c for c in found[0].classes)
    for missing in good_arrays():
        np.savez(path, **{k: v for k, v in good_arrays().items() if k != missing})
        assert f"lacks {missing}" in str(refuses("arrays: values", lambda: load_arrays(path)))


def npy(header, data=b""):
    text = header if isinstance(header, bytes) else repr(header).encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text + b"\n" + data


def test_hostile_npz_files(tmp_path, sentinel):
    shape = dict(descr="|u1", fortran_order=False, shape=(6, 8, 8, 3))
    bad = [npy(shape | change) for change in (dict(shape=(10**13,)), dict(shape=(-1,)), dict(shape=(2**62, 2**62)), dict(shape="x"), dict(descr="O"), dict(descr="|O"),
                                              dict(descr="zzz"), dict(descr=[("a", "O")]), dict(descr="<U99999999"), dict(fortran_order="maybe"))]
    bad += [npy(b"__import__('os').system('echo x > " + str(sentinel).encode() + b"')"), npy(b"{" * 5000), npy(b""), npy(b"\xff"), b"\x93NUMPY\x09\x00", b"", b"x",
            pickle.dumps(Reduced(os.system, f"echo x > {sentinel}")), npy(b"{'descr': '|u1', 'fortran_order': False, 'shape': (" + b"9" * 4000 + b",)}")]
    for data in bad:
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            with zipfile.ZipFile(tmp_path/"x.npz", "w", method) as archive:
                archive.writestr("x_train.npy", data)
            refuses("npz: headers", lambda: load_arrays(tmp_path/"x.npz"))
            refuses("npz: headers", lambda: Images.load(tmp_path/"x.npz"))
    for attack in attacks(sentinel):
        try:
            np.savez(tmp_path/"x.npz", **good_arrays() | dict(classes=np.array([attack, 1], dtype=object)))
        except Exception:
            continue
        refuses("npz: objects", lambda: load_arrays(tmp_path/"x.npz"))
        (tmp_path/"y.npz").write_bytes(pickle.dumps(attack, protocol=2))
        refuses("npz: pickles", lambda: load_data(tmp_path/"y.npz"))
    np.save(tmp_path/"z.npy", np.zeros(3))
    refuses("npz: headers", lambda: load_arrays(tmp_path/"z.npy"))
    with zipfile.ZipFile(tmp_path/"bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_train.npy", npy(shape | dict(shape=(50_000_000,)), bytes(50_000_000)))
    assert "more than max_bytes" in str(refuses("npz: bombs", lambda: load_arrays(tmp_path/"bomb.npz", max_bytes=10_000_000)))


def test_a_saved_set_with_any_byte_changed(tmp_path):
    "Images.save: a changed byte is noticed, or changes nothing that is read."
    train, _ = shapes(10, 10, pixels=8)
    whole = train.save(tmp_path/"x.npz").read_bytes()
    for k in range(0, len(whole), 7):
        (tmp_path/"x.npz").write_bytes(whole[:k] + bytes([whole[k] ^ (1 << k % 8)]) + whole[k + 1:])
        found = attempt("npz: one byte changed", lambda: Images.load(tmp_path/"x.npz"))
        if not isinstance(found, Exception):
            assert found.fingerprint() == train.fingerprint() and (found.masks == train.masks).all() and found.name == train.name
    for k in range(0, len(whole), 40):
        (tmp_path/"x.npz").write_bytes(whole[:k])
        refuses("npz: cut", lambda: Images.load(tmp_path/"x.npz"))


# Names

evil_names = ["<script>alert(1)</script>", "<img src=x onerror=alert(2)>", "\"><svg onload=alert(3)>", "\x1b[2J\x1b[31mred", "\x1b]0;title\x07", "\x9b31m", "a\rb",
              "a\nb", "\u202egod", "\u200bzero", "\x00", "\ud800", "'; DROP TABLE x", "$\\frac{", "$x$", "%s %n {0}", "`rm`", "${HOME}", "\\x1b", "名前 🐸", "a" * 300]


class Elements(HTMLParser):
    "The elements and attributes of a page."
    def __init__(self, text):
        super().__init__()
        self.found, self.attributes = collections.Counter(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found[tag] += 1
        self.attributes |= {name for name, _ in attrs}


def only_text(html):
    "Nothing that runs in a page, nothing that a terminal would obey."
    seen = Elements(html)
    assert not {"script", "iframe", "object", "embed", "base", "form", "input", "link"} & seen.found.keys()
    assert not any(name.startswith("on") for name in seen.attributes)
    assert not set("\x1b\x9b\x07\x00") & set(html)
    return seen


def fit_to_print(text):
    assert plain(text.replace("\n", "")) == text.replace("\n", ""), repr(text)


def named(names):
    count = len(names)
    return Images(np.random.default_rng(0).integers(0, 256, (3 * count, 8, 8, 3), dtype=np.uint8), np.arange(3 * count) % count, names, name=names[0])


def test_names_are_text_in_notebook_and_terminal():
    images = named(evil_names)
    tried["names"] += len(evil_names)
    only_text(images._repr_html_())
    fit_to_print(repr(images))
    fit_to_print(repr(Loader(images, batch_size=10)))
    predictions = Predictions(np.random.default_rng(1).normal(size=(len(images), len(evil_names))), images.labels, images.classes)
    fit_to_print(repr(predictions))
    for part in (predictions, predictions.per_class(), predictions.top_confusions(5)):
        if hasattr(part, "_repr_html_"):
            only_text(part._repr_html_())
        fit_to_print(repr(part))


def test_names_can_be_drawn():
    import matplotlib.pyplot as plt
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # glyphs that the font lacks
        named(evil_names).show(count=len(evil_names)).savefig(io.BytesIO(), dpi=20)
        named(evil_names[13:]).show_classes(count=1).savefig(io.BytesIO(), dpi=20)
    plt.close("all")


def test_folder_and_file_names(tmp_path, capsys):
    usable = [name for name in evil_names if "\x00" not in name and "/" not in name and "\ud800" not in name and len(name) < 200]
    for name in usable:
        for part in (name, "plain class"):
            (tmp_path/"set"/part).mkdir(parents=True)
            for k in range(2):
                one_of("RGB", (8, 8)).save(tmp_path/"set"/part/f"{k}.png")
        train, test = attempt("names: folders", lambda: image_folder(tmp_path/"set", 8, 0.5))
        only_text(train._repr_html_())
        fit_to_print(repr(train))
        (tmp_path/"set"/name/f"{name}.png").write_bytes(b"no picture")
        refuses("names: files", lambda: image_folder(tmp_path/"set", 8, 0.5))
        shutil.rmtree(tmp_path/"set")
    for name in evil_names:
        for call in (load_data, load_arrays, image_folder, lambda n: load_data(n + ".npz"), lambda n: load_data(n + "/")):
            refuses("names: nothing there", lambda: call(name))
        for call in (load_run, load_model, load_state, report) if len(name) < 200 else ():
            refuses("names: nothing there", lambda: call(name))


@pytest.mark.parametrize("name", ["\x1b[2Jrun", "<script>", "\u202egod", "a" * 300])
def test_names_on_the_command_line(name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in (["demo", "--data", name], ["evaluate", name], ["report", name], ["explain", name], ["train", "--recipe", name], ["recipes", name]):
        tried["names: command line"] += 1
        try:
            status = main(words)
        except SystemExit as end:
            status = end.code
        out, err = capsys.readouterr()
        assert status == 2 and not out and "Traceback" not in err
        fit_to_print(err)


def test_names_in_the_report(tmp_path):
    names = [plain(name) for name in evil_names]
    predictions = Predictions(np.random.default_rng(1).normal(size=(3 * len(names), len(names))), np.arange(3 * len(names)) % len(names), evil_names)
    for name in evil_names:
        tried["names: report"] += 1
        folder = tmp_path/"run"
        shutil.rmtree(folder, ignore_errors=True)
        (folder/"figures").mkdir(parents=True)
        settings_ = dict(name=name, title=name, note=name, model={name: name}, schedule=dict(name=name))
        run = dict(recipe=settings_, data=dict(name=name, note=name), command=name, versions={name: name}, machine=dict(device=name, name=name))
        metrics = dict(test_accuracy=predictions.accuracy, per_class=[dict(r, **{"class": name}) for r in predictions.per_class()])
        (folder/"run.json").write_text(json.dumps(run))
        (folder/"metrics.json").write_text(json.dumps(metrics))
        if name == evil_names[0]:
            Predictions(predictions.logits, predictions.labels, names).save(folder/"predictions.npz")
        only_text(report(folder).read_text(encoding="utf-8"))


def test_every_kind_was_tried():
    "Runs last: what was tried, and kept when asked for."
    kinds = json.loads((root/"benchmarks"/"records"/"hostile.json").read_text(encoding="utf-8"))["kinds"]
    assert set(tried) <= set(kinds) or os.environ.get("CIFAR_CAM_RECORD"), "a new kind: record it (see above)"
    if set(kinds) - set(tried):
        pytest.skip("only a part of this file was run in this process")
    width = max(map(len, tried))
    print("\n" + "\n".join(f"{kind:<{width}} {count:>6} tried, {refused[kind]:>6} refused" for kind, count in sorted(tried.items())))
    print(f"{'all':<{width}} {sum(tried.values()):>6} tried, {sum(refused.values()):>6} refused, 0 sentinels, 0 foreign errors")
    assert sum(tried.values()) > 3000
    if os.environ.get("CIFAR_CAM_RECORD"):
        command = [line for line in __doc__.splitlines() if "pytest" in line][0]
        kinds = {kind: dict(tried=count, refused=refused[kind]) for kind, count in sorted(tried.items())}
        content = dict(command=command, tried=sum(tried.values()), refused=sum(refused.values()), sentinels=0, foreign_errors=0, kinds=kinds)
        write_atomic(root/"benchmarks"/"records"/"hostile.json", (json.dumps(content, indent=1) + "\n").encode())
