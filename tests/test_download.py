"""Fetching under fire: servers that drop, stall and lie, processes that are killed, archives and pickles that attack.

The whole matrix, printed and kept in benchmarks/records/download.json:
CIFAR_CAM_RECORD=1 python -m pytest tests/test_download.py -s -m "slow or not slow" -k "matrix or killed_at or rot"
"""
import collections
import errno
import gzip
import hashlib
import http.server
import io
import json
import os
import pickle
import random
import re
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cifar_cam import data, download as fetching
from cifar_cam.data import cifar10, shapes
from cifar_cam.download import (DownloadError, archive_members, cache_dir, download, read_cifar_pickle, sha256_file, sync_folder,
                                write_atomic)

content = np.random.default_rng(1).bytes(300_000)
fingerprint = hashlib.sha256(content).hexdigest()
half = len(content) // 2
root = Path(__file__).resolve().parent.parent


def record(name, counts):
    "Print counts, and keep them under `name` in the record when asked to."
    print(f"\n{name}: " + ", ".join(f"{key} {value}" for key, value in counts.items() if not isinstance(value, (dict, list))))
    if os.environ.get("CIFAR_CAM_RECORD"):
        path = root/"benchmarks"/"records"/"download.json"
        kept = json.loads(path.read_text()) if path.is_file() else {}
        kept["command"] = [line for line in __doc__.splitlines() if "pytest" in line][0]
        kept[name] = counts
        write_atomic(path, (json.dumps(kept, indent=1, sort_keys=True) + "\n").encode())


class Handler(http.server.BaseHTTPRequestHandler):
    "Each behaviour is a method; the first part of the address chooses it."
    def do_GET(self):
        habit = self.path.split("/")[1]
        wanted = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        self.start = int(wanted[1]) if wanted else 0
        self.server.asked.append((habit, self.start))
        getattr(self, habit)()

    def log_message(self, *words):
        pass

    def head(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def whole(self, data=content, until=None, ranges=True):
        start = self.start if ranges else 0
        if start >= len(data):
            return self.head(416, Content_Range=f"bytes */{len(data)}", Content_Length=0)
        if start:
            self.head(206, Content_Length=len(data) - start, Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.head(200, Content_Length=len(data))
        self.wfile.write(data[start:until])

    def ignores(self):
        self.whole(ranges=False)

    def drops(self):
        self.whole(until=half)

    def trickles(self):  # gives 40,000 bytes a request
        self.whole(until=self.start + 40_000)

    def nothing(self):
        self.head(200, Content_Length=len(content))

    def stalls(self):
        self.whole(until=half)
        self.server.half_sent.set()
        self.server.closing.wait(20)

    def silent(self):
        self.server.closing.wait(20)

    def waits(self):
        self.server.gate.wait(20)
        self.whole()

    def lies(self):
        self.whole(b"?" + content[1:])

    def endless(self):
        self.head(200)
        self.wfile.write(content + b"more")

    def shifted(self):  # claims another start than was asked for
        self.head(206, Content_Length=10, Content_Range=f"bytes 5-14/{len(content)}")
        self.wfile.write(content[5:15])

    def busy(self):
        self.head(503, Content_Length=0)

    def circle(self):
        self.head(302, Location=f"/circle/{len(self.server.asked)}", Content_Length=0)

    def moved(self):
        self.head(302, Location="/whole/x", Content_Length=0)

    def passwords(self):
        self.head(302, Location="file:///etc/passwd", Content_Length=0)

    def nonsense(self):
        self.wfile.write(b"\x00\x01 what?\r\n\r\n")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []
        self.half_sent, self.gate, self.closing = threading.Event(), threading.Event(), threading.Event()

    def handle_error(self, request, client_address):
        pass

    def at(self, habit):
        return f"http://127.0.0.1:{self.server_address[1]}/{habit}/data.bin"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("CIFAR_CAM_MIRROR", raising=False)
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs=dict(poll_interval=0.01))
    thread.start()
    yield running
    running.closing.set()
    running.gate.set()
    running.shutdown()
    running.server_close()
    thread.join()


def fetch(urls, path, **changes):
    options = dict(sha256=fingerprint, size=len(content), timeout=5, minimum_speed=0, progress=False)
    return download(urls, path, **(options | changes))


@pytest.mark.parametrize("bad", ["drops", "busy", "lies", "circle", "endless", "shifted", "passwords", "nonsense", "nothing"])
def test_goes_on_with_the_next_mirror(server, tmp_path, bad):
    path = fetch([server.at(bad), server.at("whole")], tmp_path/"deep"/"data.bin")
    assert path.read_bytes() == content
    assert not path.with_name("data.bin.part").exists()


@pytest.mark.parametrize("bad", ["stalls", "silent"])
def test_a_silent_mirror_costs_one_time_out(server, tmp_path, bad):
    assert fetch([server.at(bad), server.at("whole")], tmp_path/"data.bin", timeout=1).read_bytes() == content
    assert server.asked[1] == ("whole", half if bad == "stalls" else 0)


def test_a_slow_mirror_is_left_and_its_bytes_are_kept(server, tmp_path):
    fetch([server.at("stalls"), server.at("whole")], tmp_path/"data.bin", timeout=0.5, minimum_speed=1e12, patience=0)
    assert [habit for habit, _ in server.asked] == ["stalls", "whole", "stalls", "whole"]
    assert server.asked[1][1] > 0


def test_dead_host(server, tmp_path):
    dead = Server()
    dead.server_close()
    assert fetch([dead.at("whole"), server.at("whole")], tmp_path/"data.bin").read_bytes() == content


def test_a_mirror_that_breaks_off_is_asked_again_while_it_gives_something(server, tmp_path):
    assert fetch(server.at("trickles"), tmp_path/"data.bin", rounds=8).read_bytes() == content
    assert [start for _, start in server.asked] == list(range(0, len(content), 40_000))


def test_rounds_are_bounded(server, tmp_path):
    with pytest.raises(DownloadError, match="80,000 of 300,000"):
        fetch(server.at("trickles"), tmp_path/"data.bin", rounds=2)
    assert len(server.asked) == 2 and (tmp_path/"data.bin.part").stat().st_size == 80_000


def test_a_server_that_ignores_range_starts_again(server, tmp_path):
    fetch([server.at("drops"), server.at("ignores")], tmp_path/"data.bin")
    assert server.asked == [("drops", 0), ("ignores", half)]


def test_redirect_is_followed(server, tmp_path):
    assert fetch(server.at("moved"), tmp_path/"data.bin").read_bytes() == content


def test_redirect_loop_is_bounded(server, tmp_path):
    with pytest.raises(DownloadError, match="HTTP 302"):
        fetch(server.at("circle"), tmp_path/"data.bin")
    assert len(server.asked) <= 7


@pytest.mark.parametrize("size", [len(content), None])
def test_bytes_spoiled_by_one_mirror_do_not_condemn_the_next(server, tmp_path, size):
    (tmp_path/"data.bin.part").write_bytes(b"?" * half)
    assert fetch(server.at("whole"), tmp_path/"data.bin", size=size).read_bytes() == content
    assert server.asked == [("whole", half), ("whole", 0)]


@pytest.mark.parametrize("size", [len(content), None])
@pytest.mark.parametrize("extra", [0, 10])
def test_a_part_as_long_as_the_file_or_longer(server, tmp_path, size, extra):
    (tmp_path/"data.bin.part").write_bytes(b"?" * (len(content) + extra))
    assert fetch(server.at("whole"), tmp_path/"data.bin", size=size).read_bytes() == content


def test_a_complete_part_is_only_checked(server, tmp_path):
    (tmp_path/"data.bin.part").write_bytes(content)
    fetch(server.at("whole"), tmp_path/"data.bin")
    assert server.asked == []


def test_nothing_is_resumed_without_a_fingerprint(server, tmp_path):
    (tmp_path/"data.bin.part").write_bytes(b"another version")
    assert fetch(server.at("whole"), tmp_path/"data.bin", sha256=None, size=None).read_bytes() == content
    assert server.asked == [("whole", 0)]


def test_what_is_there_is_checked_and_not_fetched_again(server, tmp_path):
    (tmp_path/"data.bin").write_bytes(content)
    fetch(server.at("busy"), tmp_path/"data.bin")
    assert server.asked == []


def test_a_rotten_file_is_replaced_only_by_a_good_one(server, tmp_path):
    (tmp_path/"data.bin").write_bytes(b"rotten")
    with pytest.raises(DownloadError):
        fetch(server.at("busy"), tmp_path/"data.bin")
    assert (tmp_path/"data.bin").read_bytes() == b"rotten"
    assert fetch(server.at("whole"), tmp_path/"data.bin").read_bytes() == content


def test_the_error_names_every_mirror_its_cause_and_the_ways_out(server, tmp_path):
    with pytest.raises(DownloadError) as caught:
        fetch([server.at("busy"), server.at("lies"), "ftp://host/x"], tmp_path/"data.bin")
    text = str(caught.value)
    for expected in (f"{server.at('busy')}: HTTP 503", f"{server.at('lies')}: wrong bytes: SHA-256", "ftp://host/x: cannot read ftp",
                     f"put the file at {tmp_path/'data.bin'} by hand", fingerprint, "CIFAR_CAM_MIRROR"):
        assert expected in text
    assert isinstance(caught.value, OSError)
    assert not (tmp_path/"data.bin").exists() and not (tmp_path/"data.bin.part").exists()


def test_nearby_mirror_first_folder_or_address_and_checked(server, tmp_path, monkeypatch):
    near = write_atomic(tmp_path/"a stick é"/"data.bin", content).parent
    monkeypatch.setenv("CIFAR_CAM_MIRROR", str(near))
    fetch(server.at("whole"), tmp_path/"one"/"data.bin")
    assert server.asked == []
    write_atomic(near/"data.bin", b"#" + content[1:])
    assert fetch(server.at("whole"), tmp_path/"two"/"data.bin").read_bytes() == content
    monkeypatch.setenv("CIFAR_CAM_MIRROR", server.at("moved").rsplit("/", 1)[0] + "/")
    fetch(server.at("busy"), tmp_path/"three"/"data.bin")
    assert server.asked[-2:] == [("moved", 0), ("whole", 0)]


def test_file_addresses_resume_too(tmp_path):
    source = write_atomic(tmp_path/"source.bin", content)
    (tmp_path/"data.bin.part").write_bytes(content[:half])
    assert fetch(source.as_uri(), tmp_path/"data.bin").read_bytes() == content
    with pytest.raises(DownloadError, match="No such file"):
        fetch((tmp_path/"none").as_uri(), tmp_path/"other.bin")


def test_a_full_disk_is_not_blamed_on_the_mirror(server, tmp_path, monkeypatch):
    monkeypatch.setattr("cifar_cam.download.os.fsync", lambda number: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(DownloadError, match="cannot write to .*: No space left on device; free some space") as caught:
        fetch(server.at("whole"), tmp_path/"data.bin")
    assert "whole" not in str(caught.value) and not (tmp_path/"data.bin").exists()


def test_a_folder_that_cannot_be_made_is_told(server, tmp_path):
    (tmp_path/"file").write_text("")
    with pytest.raises(DownloadError, match="cannot write to .*CIFAR_CAM_HOME"):
        fetch(server.at("whole"), tmp_path/"file"/"data.bin")


def test_wrong_arguments(tmp_path):
    with pytest.raises(ValueError, match="64 hexadecimal"):
        download("https://a.org/x", tmp_path/"x", sha256="abc")
    with pytest.raises(ValueError, match="no address"):
        download([], tmp_path/"x")


script = """
import sys
from cifar_cam.download import download
print("ready", flush=True)
download(sys.argv[1], sys.argv[2], sha256=sys.argv[3], size=int(sys.argv[4]), timeout=20, progress=False)
"""


def start(server, habit, path):
    return subprocess.Popen([sys.executable, "-c", script, server.at(habit), path, fingerprint, str(len(content))],
                            stdout=subprocess.PIPE, text=True)


@pytest.mark.skipif(os.name != "posix", reason="needs kill -9")
def test_kill_and_go_on(server, tmp_path):
    process = start(server, "stalls", tmp_path/"data.bin")
    assert server.half_sent.wait(20)
    part = tmp_path/"data.bin.part"
    while not part.exists() or part.stat().st_size < half:
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (tmp_path/"data.bin").exists()
    fetch(server.at("whole"), tmp_path/"data.bin")
    assert server.asked == [("stalls", 0), ("whole", half)]


def test_two_processes_fetch_once(server, tmp_path):
    processes = [start(server, "waits", tmp_path/"data.bin") for _ in range(2)]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 2
    server.gate.set()
    for process in processes:
        process.communicate(timeout=20)
        assert process.returncode == 0
    assert server.asked == [("waits", 0)]
    assert sha256_file(tmp_path/"data.bin") == fingerprint


def test_cache_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("CIFAR_CAM_HOME", str(tmp_path/"home"))
    assert cache_dir() == tmp_path/"home" and cache_dir().is_dir()


# The matrix: every habit of a mirror × what lies there already × with or without a good mirror after it

habits = ("whole", "moved", "ignores", "trickles", "drops", "stalls", "silent", "nothing", "busy", "lies", "endless", "shifted", "circle",
          "passwords", "nonsense", "dead")
leftovers = {
    "nothing": {}, "half": {"data.bin.part": content[:half]}, "spoiled half": {"data.bin.part": b"?" * half},
    "all of it": {"data.bin.part": content}, "too much": {"data.bin.part": content + b"more"}, "rotten file": {"data.bin": b"rotten"},
    "whole file": {"data.bin": content},
}


def outcome(server, folder, habit, left, then):
    "right: the right bytes arrived; error: a DownloadError, and the target holds what it held before."
    folder.mkdir(parents=True)
    for name, data_ in leftovers[left].items():
        (folder/name).write_bytes(data_)
    dead = f"http://127.0.0.1:{server.unused}/x/data.bin"
    urls = [dead if habit == "dead" else server.at(habit)] + ([server.at("whole")] if then else [])
    try:
        fetch(urls, folder/"data.bin", timeout=0.5, rounds=20)
    except DownloadError as problem:
        assert "could not download data.bin" in str(problem) and "CIFAR_CAM_MIRROR" in str(problem)
        assert ((folder/"data.bin").read_bytes() if (folder/"data.bin").exists() else None) == leftovers[left].get("data.bin")
        return "error"
    assert (folder/"data.bin").read_bytes() == content and not (folder/"data.bin.part").exists()
    return "right"


def test_matrix_of_habits_and_leftovers(server, tmp_path):
    unused = Server()
    server.unused = unused.server_address[1]
    unused.server_close()
    table = {habit: {left: [outcome(server, tmp_path/habit/left/str(then), habit, left, then) for then in (False, True)] for left in leftovers}
             for habit in habits}
    print("\n" + " " * 10 + "".join(f"{left:>14}" for left in leftovers) + "   (alone, then a good mirror)")
    for habit, row in table.items():
        print(f"{habit:<10}" + "".join(f"{'/'.join(cell):>14}" for cell in row.values()))
    cells = [cell for row in table.values() for pair in row.values() for cell in pair]
    record("matrix", dict(tried=len(cells), right=cells.count("right"), clear_error=cells.count("error"), wrong_cache=0, table=table))
    assert all(pair[1] == "right" for row in table.values() for pair in row.values()), "with one good mirror the bytes must arrive"
    assert all(pair[0] == "right" for habit in ("whole", "moved", "ignores", "trickles") for pair in table[habit].values())
    assert all(table[habit]["nothing"][0] == "error" for habit in habits[5:])


# Killed at every line

def killed_at(line, module_files, work):
    "Fork, and kill the child when it is about to run the `line`-th line of these files; the function it was in, or None if it finished first."
    done = 0
    read, write = os.pipe()

    def trace(frame, event, argument):
        nonlocal done
        if frame.f_code.co_filename not in module_files or frame.f_code.co_name == "_check_program":
            return None  # (that one is thousands of lines in memory)
        done += event == "line"
        if done == line:
            os.write(write, frame.f_code.co_name.encode())
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    child = os.fork()
    if not child:
        try:
            os.close(read)
            sys.settrace(trace)
            work()
        finally:
            os._exit(0)
    os.close(write)
    deadline = time.monotonic() + 60
    while not os.waitpid(child, os.WNOHANG)[0]:
        assert time.monotonic() < deadline, os.kill(child, signal.SIGKILL)
        time.sleep(0.002)
    with os.fdopen(read) as pipe:
        return pipe.read() or None


def sweep(share, module_files, start, check):
    "Kill at a share of all lines (1: every line); a count of cuts by function."
    cuts, line, choose = collections.Counter(), 1, random.Random(0)
    while True:
        work = start(line)
        function = killed_at(line, module_files, work)
        if function is None:
            return cuts
        cuts[function] += 1
        check(line)
        line += 1 if share == 1 else choose.randint(1, round(2 / share) - 1)


posix = pytest.mark.skipif(os.name != "posix", reason="needs fork and kill -9")


def fetch_killed_at_lines(server, tmp_path, share):
    def start(line):
        (tmp_path/str(line)).mkdir()
        return lambda: fetch([server.at("drops"), server.at("whole")], tmp_path/str(line)/"data.bin")

    def check(line):
        path = tmp_path/str(line)/"data.bin"
        assert not path.exists() or path.read_bytes() == content
        assert fetch(server.at("whole"), path).read_bytes() == content
        assert {p.name for p in path.parent.iterdir()} <= {"data.bin", ".data.bin.lock"}
    return sweep(share, {fetching.__file__}, start, check)


@posix
def test_killed_at_a_tenth_of_the_lines(server, tmp_path):
    cuts = fetch_killed_at_lines(server, tmp_path, 0.1)
    assert sum(cuts.values()) > 15


@posix
@pytest.mark.slow
def test_killed_at_every_line(server, tmp_path):
    cuts = fetch_killed_at_lines(server, tmp_path, 1)
    record("kill -9 at every line of a download", dict(cuts=sum(cuts.values()), survived=sum(cuts.values()), by_function=dict(cuts)))
    assert {"_open_http", "_receive", "_pieces", "_difference", "sha256_file", "_publish", "sync_folder", "_one_mirror"} <= cuts.keys()


def small_cifar(folder, monkeypatch):
    "A small archive of the official layout behind `cifar10`, at a file address; its training set."
    train, _ = shapes(60, 10)
    members = []
    for k, name in enumerate([f"data_batch_{k}" for k in range(1, 6)] + ["test_batch"]):
        part = train[10 * k:10 * k + 10]
        rows = np.ascontiguousarray(part.images.transpose(0, 3, 1, 2)).reshape(10, 3072)
        members.append((f"cifar-10-batches-py/{name}", pickle.dumps({b"data": rows, b"labels": part.labels.tolist()}, protocol=2)))
    members.append(("cifar-10-batches-py/batches.meta", pickle.dumps({b"label_names": [c.encode() for c in train.classes]}, protocol=2)))
    archive = pack(folder/"cifar-10-python.tar.gz", *members)
    changed = dict(data._archives["cifar10"], sha256=sha256_file(archive), size=archive.stat().st_size, urls=[archive.as_uri()])
    monkeypatch.setitem(data._archives, "cifar10", changed)
    monkeypatch.delenv("CIFAR_CAM_MIRROR", raising=False)
    return train[:50].fingerprint()


def cifar10_killed_at_lines(tmp_path, monkeypatch, share):
    expected = small_cifar(tmp_path, monkeypatch)

    def check(line):
        assert cifar10(tmp_path/str(line))[0].fingerprint() == expected
        assert data._cached("cifar10", tmp_path/str(line))[0].fingerprint() == expected
    return sweep(share, {fetching.__file__, data.__file__}, lambda line: lambda: cifar10(tmp_path/str(line)), check)


@posix
def test_cifar10_killed_at_a_few_lines(tmp_path, monkeypatch):
    assert sum(cifar10_killed_at_lines(tmp_path, monkeypatch, 0.04).values()) > 10


@posix
@pytest.mark.slow
def test_cifar10_killed_at_every_line(tmp_path, monkeypatch):
    cuts = cifar10_killed_at_lines(tmp_path, monkeypatch, 1)
    record("kill -9 at every line of cifar10()", dict(cuts=sum(cuts.values()), survived=sum(cuts.values()), by_function=dict(cuts)))
    assert {"_keep", "write_atomic", "_read_batches", "_publish", "archive_members"} <= cuts.keys()


# Rot: cached files with one byte changed, or cut

def rot(tmp_path, monkeypatch, step):
    "Change every `step`-th byte of the cached files, and cut them at every block; the counts."
    expected, home_ = small_cifar(tmp_path, monkeypatch), tmp_path/"home"
    cifar10(home_)
    counts = {}
    for name in ("cifar10.npz", "cifar10.sha256", "cifar-10-python.tar.gz"):
        path, whole = home_/name, (home_/name).read_bytes()
        blocks = range(0, len(whole), min(4096, max(1, len(whole) // 16)))
        damaged = [(k, bytes([whole[k] ^ (1 << k % 8)])) for k in range(0, len(whole), step if len(whole) > 100 else 1)]
        noticed = 0
        for k, byte in damaged:
            path.write_bytes(whole[:k] + byte + whole[k + 1:])
            noticed += not usable(home_, name)
        for length in blocks:
            path.write_bytes(whole[:length])
            noticed += not usable(home_, name)
        counts[name] = dict(bytes=len(whole), flipped=len(damaged), cut=len(blocks), noticed=noticed)
        assert noticed == len(damaged) + len(blocks)
        for other in home_.iterdir():  # damage everything at once: it is fetched and made anew
            other.write_bytes(other.read_bytes()[:-1])
        assert cifar10(home_)[0].fingerprint() == expected and path.read_bytes() == whole
    return counts


def usable(home_, name):
    "Whether the damaged file would be used."
    if name.endswith(".gz"):
        layout = data._archives["cifar10"]
        return not fetching._difference(home_/name, layout["sha256"], layout["size"])
    return data._cached("cifar10", home_) is not None


def test_rot_is_noticed(tmp_path, monkeypatch):
    rot(tmp_path, monkeypatch, 1499)


@pytest.mark.slow
def test_rot_is_noticed_everywhere(tmp_path, monkeypatch):
    record("every 17th byte of the cached files flipped, and cut at every block", rot(tmp_path, monkeypatch, 17))


def test_both_archives_are_guarded_by_their_sha256():
    assert {kind: (layout["sha256"][:8], layout["size"]) for kind, layout in data._archives.items()} == {
        "cifar10": ("6d958be0", 170_498_071), "cifar100": ("85cd44d0", 169_001_437)}
    assert all(re.fullmatch("[0-9a-f]{64}", layout["sha256"]) for layout in data._archives.values())


# Several processes, and disks that fail

@posix
def test_when_one_of_three_processes_is_killed_the_others_finish(server, tmp_path):
    processes = [start(server, "waits", tmp_path/"data.bin") for _ in range(3)]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 3
    while not server.asked:
        time.sleep(0.01)
    holder = next(process for process in processes if str(process.pid) in holders(tmp_path/".data.bin.lock"))
    holder.kill()
    server.gate.set()
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == (-9 if process is holder else 0)
    assert sha256_file(tmp_path/"data.bin") == fingerprint and not (tmp_path/"data.bin.part").exists()


def holders(lock):
    "Process ids that hold a lock on a file."
    number = f":{lock.stat().st_ino} "
    return [line.split()[4] for line in Path("/proc/locks").read_text().splitlines() if number in line and "->" not in line]


def failing_with(number):
    def fail(*arguments):
        raise OSError(number, os.strerror(number))
    return fail


def test_sync_folder_is_loud_when_the_disk_fails_and_quiet_where_it_cannot(tmp_path, monkeypatch):
    sync_folder(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path/"none")
    if os.name == "posix":
        monkeypatch.setattr("cifar_cam.download.os.fsync", failing_with(errno.EINVAL))
        sync_folder(tmp_path)
        monkeypatch.setattr("cifar_cam.download.os.fsync", failing_with(errno.EIO))
        with pytest.raises(OSError, match="Input/output error"):
            sync_folder(tmp_path)


@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EPERM, errno.EROFS])
def test_failing_disks_leave_the_old_file(tmp_path, monkeypatch, function, number):
    path = write_atomic(tmp_path/"x", b"old")
    monkeypatch.setattr(f"cifar_cam.download.os.{function}", failing_with(number))
    with pytest.raises(OSError) as caught:
        write_atomic(path, b"new")
    assert caught.value.errno == number and path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["x"]


# Archives

def pack(path, *members, mode="w:gz"):
    "Members are (name, bytes) or TarInfo objects."
    with tarfile.open(path, mode) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return path


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


good = [("set/train", b"train" * 1000), ("set/test", b"test" * 1000)]


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_archive_reads_only_what_was_asked_for_and_writes_nothing(tmp_path, mode):
    inside = tmp_path/"a"/"b"
    inside.mkdir(parents=True)
    hostile = [("../../escaped", b"x"), (str(tmp_path/"absolute"), b"x"), special("set/link", tarfile.SYMTYPE, "/etc"),
               ("set/link/passwd", b"x"), special("set/pipe", tarfile.FIFOTYPE)]
    path = pack(inside/"set.tar", *hostile, *good, mode=mode)
    assert archive_members(path, ["set/test", "set/train"], 200_000) == dict(reversed(good))
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "b", "set.tar"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_archive_refuses_what_is_not_a_file(tmp_path, kind):
    path = pack(tmp_path/"bad.tar.gz", *good, special("set/wanted", kind, "set/train"))
    with pytest.raises(ValueError, match=r"bad\.tar\.gz cannot be used: set/wanted is not an ordinary file"):
        archive_members(path, ["set/train", "set/wanted"], 200_000)


def test_archive_refuses_duplicates(tmp_path):
    with pytest.raises(ValueError, match=r"twice\.tar\.gz cannot be used: holds set/test twice"):
        archive_members(pack(tmp_path/"twice.tar.gz", *good, ("set/test", b"other")), ["set/test"], 200_000)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_archive_cut_anywhere(tmp_path, mode):
    whole = pack(tmp_path/"set.tar", *good, mode=mode).read_bytes()
    end = len(whole) if mode == "w:gz" else 512 + 5120 + 512 + 4000  # what follows in a plain tar is padding
    for length in np.linspace(0, end - 1, 40).astype(int):
        cut = write_atomic(tmp_path/"cut.tar", whole[:length])
        with pytest.raises(ValueError, match=r"cut\.tar cannot be used"):
            archive_members(cut, ["set/train", "set/test"], 200_000)


def test_archive_with_a_flipped_bit(tmp_path):
    data = bytearray(pack(tmp_path/"set.tar.gz", *good).read_bytes())
    data[len(data) // 2] ^= 4
    with pytest.raises(ValueError, match="cannot be used"):
        archive_members(write_atomic(tmp_path/"bit.tar.gz", bytes(data)), ["set/train", "set/test"], 200_000)


def test_archive_bombs(tmp_path):
    bomb = tmp_path/"bomb.tar.gz"
    info = tarfile.TarInfo("unasked")
    info.size = 30_000_000
    bomb.write_bytes(gzip.compress(info.tobuf() + bytes(info.size)))
    with pytest.raises(ValueError, match="bomb.tar.gz cannot be used: unpacks to more than 100,000"):
        archive_members(bomb, ["set/train"], 100_000)
    with zipfile.ZipFile(tmp_path/"bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(60_000))
        archive.writestr("b", bytes(60_000))
    with pytest.raises(ValueError, match="bomb.zip cannot be used: b unpacks to 60,000 bytes"):
        archive_members(tmp_path/"bomb.zip", ["a", "b"], 100_000)


def test_zip_links_duplicates_and_lies(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with pytest.warns(UserWarning, match="Duplicate"):
        with zipfile.ZipFile(tmp_path/"set.zip", "w") as archive:
            archive.writestr(link, "/etc/passwd")
            archive.writestr("a", b"one")
            archive.writestr("a", b"two")
            archive.writestr("honest", b"three")
    assert archive_members(tmp_path/"set.zip", ["honest"]) == {"honest": b"three"}
    for name, cause in (("link", "not an ordinary file"), ("a", "twice"), ("none", "no member none")):
        with pytest.raises(ValueError, match=cause):
            archive_members(tmp_path/"set.zip", [name])
    spoiled = (tmp_path/"set.zip").read_bytes().replace(b"three", b"throw")
    with pytest.raises(ValueError, match="spoiled.zip cannot be used"):
        archive_members(write_atomic(tmp_path/"spoiled.zip", spoiled), ["honest"])


@pytest.mark.parametrize("data", [b"", b"PK", b"\x1f\x8b", b"\x1f\x8b\x08" + bytes(100), b"hello" * 1000, bytes(2000)])
def test_not_an_archive(tmp_path, data):
    with pytest.raises(ValueError, match="cannot be used"):
        archive_members(write_atomic(tmp_path/"x.tar.gz", data), ["a"])


# Pickles

class Runs:
    def __init__(self, function, *arguments):
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


def test_hostile_pickles_run_nothing(tmp_path):
    sentinel = tmp_path/"ran"
    path = str(sentinel)
    attacks = [Runs(os.system, f"touch {path}"), Runs(eval, f"open({path!r}, 'w')"), Runs(open, path, "w"), Runs(Path.touch, sentinel),
               Runs(np.load, path), np.array([Runs(open, path, "w")], dtype=object)]
    for attack in attacks:
        for protocol in (0, 1, 2, 3, 4, 5):
            with pytest.raises(ValueError, match="refused to read"):
                read_cifar_pickle(pickle.dumps({b"data": attack}, protocol=protocol))
    assert not sentinel.exists()


@pytest.mark.parametrize("program, cause", [
    (b"cos\nsystem\n(S'true'\ntR.", "os.system"),
    (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "os.system"),
    (b"cnumpy.core.multiarray\n_reconstruct.__globals__\n.", "__globals__"),
    (b"cnumpy\nndarray.tofile\n.", "tofile"),
    (b"(ios\nsystem\n.", "INST"),
    (b"\x80\x02\x82\x01.", "EXT1"),
    (b"Pname\n.", "PERSID"),
    (b"\x80\x02cnumpy\ndtype\n)\x81.", "NEWOBJ"),
    (b"}r\xff\xff\xff\x7f.", "memory slot"),
    (b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "expected|refused"),
    (b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR.", "O8"),
    (b"cnumpy\ndtype\n}S'x'\nI1\nsb.", "refused"),                       # BUILD on a stand-in class
    (b"c_codecs\nencode\n(N}S'x'\nI1\nstb.", "refused"),                 # BUILD with slots on a stand-in
    (b"c_codecs\nencode\n(Vx\nVrot13\ntR.", "rot13"),
    (b"(", "refused"),
    (b".", "refused"),
    (b"]q\x00h\x00a.", "dictionary"),
])
def test_hostile_programs(program, cause):
    with pytest.raises(ValueError, match=cause):
        read_cifar_pickle(program)


def array_program(shape, data, kind=b"u1", order=b"I00\n"):
    "A protocol-0/1 pickle of {b'data': array} as Python 2 wrote it."
    numbers = b"".join(b"I%d\n" % n for n in shape)
    return (b"}S'data'\ncnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(" + numbers + b"tcnumpy\ndtype\n(S'"
            + kind + b"'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntb" + order + b"T" + len(data).to_bytes(4, "little") + data + b"tbs.")


def test_python_2_arrays_are_read():
    found = read_cifar_pickle(array_program((2, 3), b"abcdef"))[b"data"]
    assert found.dtype == np.uint8 and found.tolist() == [[97, 98, 99], [100, 101, 102]]


@pytest.mark.parametrize("options", [dict(shape=(2, 4), data=b"abcdef"), dict(shape=(-2, -3), data=b"abcdef"), dict(shape=(2**40, 2**40), data=b""),
                                     dict(shape=(6,), data=b"abcdef", kind=b"O8"), dict(shape=(2, 3), data=b"abcdef", order=b"I01\n"),
                                     dict(shape=(6,), data=b"abcdef", kind=b"V6"), dict(shape=(3,), data=b"abcdef", kind=b"i2")])
def test_arrays_that_do_not_add_up(options):
    with pytest.raises(ValueError, match="refused to read"):
        read_cifar_pickle(array_program(**options))


def test_random_damage_gives_one_kind_of_error():
    whole = pickle.dumps({b"data": np.arange(30, dtype=np.uint8).reshape(2, 15), b"labels": [1, 2]}, protocol=2)
    random = np.random.default_rng(0)
    for _ in range(500):
        damaged = bytearray(whole)
        for place in random.integers(0, len(whole), 3):
            damaged[place] = random.integers(256)
        try:
            assert isinstance(read_cifar_pickle(bytes(damaged)), dict)
        except ValueError as error:
            assert "CIFAR file" in str(error)
