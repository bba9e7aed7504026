"""Cut a small run everywhere, run the same command again, and compare every bit with a run that was never cut.

The whole sweep is slow: `python -m pytest tests/test_faults.py -m slow` writes benchmarks/records/faults.json; otherwise a random tenth
is tried. One fresh process imports everything and then forks itself for each run, so a run costs a fraction of a second."""
import collections
import errno
import hashlib
import itertools
import json
import os
import platform
import queue
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from cifar_cam import checkpoint
from cifar_cam.augment import Loader, Policy, cutout, hflip, pad_crop, set_seed
from cifar_cam.checkpoint import Checkpoints
from cifar_cam.data import shapes
from cifar_cam.optim import constant, cyclic, multi_step, one_cycle, plateau, sgd
from cifar_cam.trainer import Learner

records = Path(__file__).resolve().parent.parent/"benchmarks"/"records"
few, _ = shapes(train=48, test=10)
steps, validations, sweeps = 9, 6, 5  # in one run: training steps, validation batches, steps of the learning-rate sweep


def test_the_counts_are_those_of_the_run():
    learner = tiny_learner()
    assert (3 * len(learner.train), 3 * len(learner.valid)) == (steps, validations)


def tiny_net(width=4, normed=True):
    "As small as a network can be that has batch normalisation and dropout."
    norm = torch.nn.BatchNorm2d(width) if normed else torch.nn.Identity()
    return torch.nn.Sequential(torch.nn.Conv2d(3, width, 3, stride=4), norm, torch.nn.ReLU(), torch.nn.Dropout(0.1 if normed else 0),
                               torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(width, 10))


def tiny_learner(folder=None, workers=0, seed=0, **settings):
    "A learner of 3 training and 2 validation batches that saves after every step; the same seed gives the same one."
    set_seed(seed)
    net, (rest, valid) = settings.pop("net", None) or tiny_net(), few.split(0.25)
    policy, norm = Policy(pad_crop(2), hflip(), cutout(8)), few.statistics()
    train = Loader(rest, policy, norm, batch_size=13, shuffle=True, seed=seed, workers=workers)
    settings = dict(select="best", precision="float32", device="cpu", progress=False, save_seconds=-1) | settings
    return Learner(net, train, Loader(valid, None, norm, batch_size=6), optimizer=sgd(net, 0.1, momentum=0.9), folder=folder, **settings)


def sha(state):
    "SHA-256 of nested numbers, words and tensors."
    words, tensors = checkpoint.pack(state)
    seen = hashlib.sha256(json.dumps(words).encode())
    for name in sorted(tensors):
        seen.update(tensors[name].numpy().tobytes())
    return seen.hexdigest()


def result(learner):
    "What must be equal: final weights, optimiser, history (but for the seconds) and the best state."
    history = [{k: v for k, v in row.items() if k != "seconds"} for row in learner.history]
    return dict(weights=sha(learner.model.state_dict()), optimizer=sha(learner.optimizer.state_dict()), history=sha(history), best=sha(learner._best))


# ---- the run that is cut, in a process of its own

Cut = collections.namedtuple("Cut", "phase signal at workers")


def press(name, group=False):
    number = getattr(signal, name)
    os.killpg(os.getpgid(0), number) if group else os.kill(os.getpid(), number)


def countdown(cut):
    "A function that sends the cut's signal when it is called for the `at`-th time; its count is `.calls`."
    def tick(*_):
        tick.calls += 1
        if cut and tick.calls == cut.at:
            press(cut.signal.removesuffix(" to all"), cut.signal.endswith(" to all"))
    tick.calls = 0
    return tick


class Ticking:
    "A loader that calls `tick` before each batch."
    def __init__(self, loader, tick):
        self.loader, self.tick = loader, tick

    def __len__(self):
        return len(self.loader)

    def __iter__(self):
        for batch in self.loader:
            self.tick()
            yield batch


def before_each(function, tick):
    def wrapped(*words, **settings):
        tick()
        return function(*words, **settings)
    return wrapped


def tick_in_saving(tick):
    "Call `tick` before each change to the disk that saving makes, and in the middle of each file."
    def write_in_two(path, data):
        with open(path, "wb") as file:
            file.write(data[:len(data) // 2])
            file.flush()
            tick()
            file.write(data[len(data) // 2:])
            file.flush()
            os.fsync(file.fileno())
    checkpoint._write = write_in_two
    for name in ("mkdir", "fsync", "rename", "unlink", "rmdir"):
        setattr(os, name, before_each(getattr(os, name), tick))


def command(folder, workers, cut):
    "What a user runs: find the rate, train. Returns the exit status; a finished run leaves result.json."
    tick = countdown(cut)
    learner = tiny_learner(folder/"checkpoints", workers)
    plain_loss = learner.loss
    if cut and cut.phase == "lr-find":
        learner.loss = before_each(plain_loss, tick)
    try:
        learner.lr_find(steps=sweeps)
    except KeyboardInterrupt:
        return 130
    learner.loss = plain_loss
    if cut and cut.phase == "train":
        learner.loss = before_each(plain_loss, tick)
    if cut and cut.phase == "after step":
        learner.optimizer.register_step_post_hook(tick)
    if cut and cut.phase == "validation":
        learner.valid = Ticking(learner.valid, tick)
    if cut and cut.phase == "saving":
        tick_in_saving(tick)
    learner.fit_one_cycle(3, 0.1)
    (folder/"result.json").write_text(json.dumps(result(learner) | dict(ticks=tick.calls)))
    return 3 if learner.interrupted else 0


def serve():
    "For each line {folder, workers, cut}: run the command in a forked process and print its exit status."
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        command(Path(folder), 0, None)  # the first step of an optimiser imports a great deal
    for line in sys.stdin:
        request = json.loads(line)
        folder, child = Path(request["folder"]), os.fork()
        if not child:
            status = 99
            try:
                os.setpgid(0, 0)
                signal.alarm(600)
                log = os.open(folder/"log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                os.dup2(log, 1), os.dup2(log, 2)
                status = command(folder, request["workers"], Cut(*request["cut"]) if request["cut"] else None)
            except BaseException:
                import traceback
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        try:
            os.killpg(child, signal.SIGKILL)  # its loader processes, should it have left some
        except ProcessLookupError:
            pass
        print(json.dumps(status), flush=True)


# ---- the sweep

class Runs:
    "Runs the command in serving processes, one for each core; each serves one thread at a time."
    def __init__(self):
        self.count = min(4, os.cpu_count() or 1)
        self.free = queue.SimpleQueue()
        self.processes = []

    def _serving(self):
        "A free serving process, started when there are not enough."
        if self.free.empty() and len(self.processes) < self.count:
            self.processes.append(self._start())
            self.free.put(self.processes[-1])
        return self.free.get()

    def _start(self):
        environment = os.environ | dict(OMP_NUM_THREADS="1", NO_ALBUMENTATIONS_UPDATE="1", CUDA_VISIBLE_DEVICES="")
        return subprocess.Popen([sys.executable, __file__, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def __call__(self, folder, workers=0, cut=None):
        process = self._serving()
        try:
            process.stdin.write(json.dumps(dict(folder=str(folder), workers=workers, cut=cut)) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())
        finally:
            self.free.put(process)

    def end(self):
        for process in self.processes:
            process.stdin.close()
            process.wait(60)

    def straight(self, folder, workers=0, counting=False):
        "The result of a run that is not cut; with `counting`, also how many instants its saving has."
        assert self(folder, workers, Cut("saving", "", 0, workers) if counting else None) == 0, (folder/"log").read_text()
        return json.loads((folder/"result.json").read_text())


@pytest.fixture(scope="module")
def runs():
    made = Runs()
    yield made
    made.end()


@pytest.fixture(scope="module")
def straight(runs, tmp_path_factory):
    return runs.straight(tmp_path_factory.mktemp("straight"), counting=True)


def every_cut(instants):
    "All cuts of the full sweep: SIGKILL at every step and instant of saving, signals in every phase, 0, 1 and 2 loader processes."
    cuts = [Cut(phase, "SIGKILL", at, workers) for phase in ("train", "after step") for at in range(1, steps + 1) for workers in (0, 1, 2)]
    cuts += [Cut("saving", "SIGKILL", at, 0) for at in range(1, instants + 1)]
    numbers = random.Random(20)
    cuts += [Cut("saving", name, at, workers) for name, workers in itertools.product(("SIGKILL", "SIGTERM"), (1, 2))
             for at in sorted(numbers.sample(range(1, instants + 1), 20))]
    phases = [("train", steps), ("validation", validations), ("lr-find", sweeps)]
    return cuts + [Cut(phase, name, at, workers) for phase, count in phases for name in ("SIGINT", "SIGTERM", "SIGINT to all")
                   for at in range(1, count + 1) for workers in (0, 1, 2) if not (name == "SIGINT to all" and phase == "lr-find")]


def survives(runs, cut, straight):
    "Cut a run, run it again; returns what went wrong, or an empty string."
    expected = -signal.SIGKILL if cut.signal == "SIGKILL" else 130 if cut.phase == "lr-find" else 3
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        first = runs(folder, cut.workers, cut)
        if first != expected and not (first == 0 and cut.phase == "saving" and cut.signal == "SIGTERM"):
            return f"{cut}: the cut run ended with {first}, not {expected}: {(folder/'log').read_text()[-600:]}"
        second = runs(folder, cut.workers)
        if second:
            return f"{cut}: the second run ended with {second}: {(folder/'log').read_text()[-600:]}"
        again, left = json.loads((folder/"result.json").read_text()), sorted(p.name for p in (folder/"checkpoints").iterdir())
    wrong = [name for name in straight if name != "ticks" and again[name] != straight[name]]
    if wrong or len(left) != 2:
        return f"{cut}: {', '.join(wrong)} differ from the straight run's; left in the folder: {left}"
    return ""


def sweep(runs, cuts, straight):
    "Try the cuts; returns a row of counts for each kind, and what went wrong."
    counts, problems = collections.Counter(), []
    with ThreadPoolExecutor(runs.count) as pool:
        found = list(pool.map(lambda cut: survives(runs, cut, straight), cuts))
    for cut, problem in zip(cuts, found):
        kind = (cut.phase, cut.signal, cut.workers)
        counts.update({(*kind, "tried"): 1, (*kind, "survived"): not problem})
        problems += [problem] if problem else []
    kinds = sorted({key[:3] for key in counts})
    return [dict(phase=p, signal=s, workers=w, tried=counts[p, s, w, "tried"], survived=counts[p, s, w, "survived"]) for p, s, w in kinds], problems


def test_workers_do_not_matter(runs, straight, tmp_path):
    for workers in (1, 2):
        (tmp_path/str(workers)).mkdir()
        assert runs.straight(tmp_path/str(workers), workers) | dict(ticks=0) == straight | dict(ticks=0)


def test_a_tenth_of_the_cuts(runs, straight):
    cuts = every_cut(straight["ticks"])
    table, problems = sweep(runs, random.Random(10).sample(cuts, len(cuts) // 10), straight)
    print(f"cuts tried {sum(row['tried'] for row in table)}, survived {sum(row['survived'] for row in table)}")
    assert not problems, "\n".join(problems)


@pytest.mark.slow
def test_every_cut(runs, straight):
    start, cuts = time.monotonic(), every_cut(straight["ticks"])
    table, problems = sweep(runs, cuts, straight)
    tried, survived = (sum(row[name] for row in table) for name in ("tried", "survived"))
    record = dict(command="python -m pytest tests/test_faults.py -m slow", what="a run of 3 epochs is cut, the same command is run again; survived: "
                  "SHA-256 of final weights, optimiser, history and best state equal those of a run that was not cut",
                  tried=tried, survived=survived, seconds=round(time.monotonic() - start), torch=torch.__version__,
                  system=platform.system(), processor=platform.machine(), saving_instants=straight["ticks"], table=table)
    if not problems:
        (records/"faults.json").write_text(json.dumps(record, indent=1) + "\n")
    print(f"cuts tried {tried}, survived {survived}")
    assert not problems, "\n".join(problems)


def test_cut_again_and_again(runs, straight, tmp_path):
    "Killed at a random instant of saving, over and over, until it is done."
    numbers, cuts = random.Random(5), 0
    while runs(tmp_path, 0, Cut("saving", "SIGKILL", numbers.randint(5, 60), 0)) == -signal.SIGKILL:
        cuts += 1
        assert cuts < 200
    again = json.loads((tmp_path/"result.json").read_text())
    assert cuts > 2 and all(again[name] == straight[name] for name in ("weights", "optimizer", "history", "best"))


# ---- damaged files

def damage_everywhere(folder, every):
    "Flip a bit of every n-th byte of each file of the newest checkpoint and cut it at every block; yields (noticed, previous one used)."
    newest, previous = Checkpoints(folder).paths()[::-1][:2]
    expected = sha(checkpoint.load_state(previous))
    for path in sorted(newest.iterdir()):
        whole = path.read_bytes()
        flips = ((k, whole[:k] + bytes([whole[k] ^ 1 << k % 8]) + whole[k + 1:]) for k in range(len(path.name) % every, len(whole), every))
        cuts = ((k, whole[:k]) for k in range(0, len(whole), 512))
        for kind, variants in (("flipped bytes", flips), ("truncations", cuts)):
            for k, damaged in variants:
                path.write_bytes(damaged)
                with warnings.catch_warnings(record=True) as said:
                    warnings.simplefilter("always")
                    found = Checkpoints(folder).latest()
                yield path.name, kind, len(said) == 1, found is not None and sha(found) == expected
        path.write_bytes(whole)
        path_gone = path.rename(folder/"aside")
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = Checkpoints(folder).latest()
        yield path.name, "file missing", len(said) == 1, found is not None and sha(found) == expected
        path_gone.rename(path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    "The checkpoint folder of a finished run."
    folder = tmp_path_factory.mktemp("finished")/"checkpoints"
    tiny_learner(folder).fit_one_cycle(1, 0.1)
    return folder


def count_damages(folder, every):
    counts = collections.Counter()
    for name, kind, noticed, used in damage_everywhere(folder, every):
        counts.update({(name, kind, "tried"): 1, (name, kind, "noticed"): noticed, (name, kind, "previous one used"): used})
    return [dict(file=n, damage=k, **{c: counts[n, k, c] for c in ("tried", "noticed", "previous one used")})
            for n, k in sorted({key[:2] for key in counts})]


def test_damaged_files_are_noticed(finished):
    for row in count_damages(finished, every=499):
        assert row["tried"] == row["noticed"] == row["previous one used"] > 0, row


@pytest.mark.slow
def test_every_damaged_byte_is_noticed(finished):
    table = count_damages(finished, every=17)
    assert all(row["tried"] == row["noticed"] == row["previous one used"] > 0 for row in table), table
    record = dict(command="python -m pytest tests/test_faults.py -m slow", what="a bit of every 17th byte of each file of a checkpoint is flipped, "
                  "each file is cut at every 512th byte and taken away; the damage must be noticed and the checkpoint before used", table=table)
    (records/"damage.json").write_text(json.dumps(record, indent=1) + "\n")


def test_both_damaged_is_said_and_nothing_is_begun_over_them(finished, tmp_path):
    shutil.copytree(finished, tmp_path/"copy")
    for path in (tmp_path/"copy").glob("*/tensors.safetensors"):
        path.write_bytes(b"rotten")
    for start in (Checkpoints(tmp_path/"copy").latest, lambda: tiny_learner(tmp_path/"copy").fit_one_cycle(1, 0.1)):
        with pytest.warns(UserWarning, match="was altered") as said, pytest.raises(checkpoint.CheckpointError, match="move this folder away to start anew"):
            start()
        assert len([one for one in said if "was altered" in str(one.message)]) == 2
    (tmp_path/"copy").rename(tmp_path/"away")
    tiny_learner(tmp_path/"copy").fit_one_cycle(1, 0.1)
    again = tiny_learner(tmp_path/"copy")
    again.fit_one_cycle(1, 0.1)
    whole = [checkpoint.load_state(path)["position"] for path in again.checkpoints.paths()]
    assert len(again.history) == 1 and [place["epoch"] for place in whole] == [0, 1]


# ---- disks that are full, gone, read-only, failing

def refusing(number, after=0):
    "A function for `os` or `open` that fails with this error from the `after`-th call on."
    calls = itertools.count()

    def wrap(function):
        def refuse(*words, **settings):
            if next(calls) >= after:
                raise OSError(number, os.strerror(number))
            return function(*words, **settings)
        return refuse
    return wrap


def saves_or_explains(learner, words):
    "`fit` fails with these words; what was saved stays whole, and the learner in memory can be used and can go on."
    before = sha(learner.checkpoints.latest()) if learner.checkpoints.folder.exists() else None
    with pytest.raises(OSError, match=words) as raised:
        learner.fit_one_cycle(3, 0.1)
    assert "What was saved before is unharmed" in str(raised.value) and str(learner.checkpoints.folder) in str(raised.value)
    assert 0 <= learner.evaluate(learner.valid)["accuracy"] <= 1
    return before


@pytest.mark.parametrize("number, words", [(errno.ENOSPC, "the disk is full .* make room"), (errno.EROFS, "may not be written to"),
                                           (errno.EACCES, "may not be written to"), (errno.EIO, "disk or network drive fails")])
@pytest.mark.parametrize("call", ["fsync", "mkdir", "rename"])
def test_failing_disk_is_loud_and_loses_nothing(number, words, call, tmp_path, monkeypatch, in_memory):
    learner = tiny_learner(tmp_path/"checkpoints")
    with monkeypatch.context() as patched:
        patched.setattr(os, call, refusing(number, after=12)(getattr(os, call)))
        saves_or_explains(learner, words)
    assert Checkpoints(tmp_path/"checkpoints").latest()
    whole = [checkpoint.load_state(path) for path in learner.checkpoints.paths()]
    assert len(whole) in (1, 2) and all(p.name.startswith("step-") for p in learner.checkpoints.folder.iterdir())
    learner.fit_one_cycle(3, 0.1)
    assert result(learner) == in_memory, "going on in memory, after the disk is well again"


@pytest.fixture(scope="module")
def in_memory():
    "The result of the same run without a folder."
    learner = tiny_learner()
    learner.fit_one_cycle(3, 0.1)
    return result(learner)


def test_read_only_from_the_start_is_found_before_the_first_step(tmp_path, monkeypatch, in_memory):
    learner = tiny_learner(tmp_path/"checkpoints")
    before = sha(learner.model.state_dict())
    with monkeypatch.context() as patched, pytest.raises(PermissionError, match="save in a folder of your own"):
        patched.setattr(os, "mkdir", refusing(errno.EACCES)(os.mkdir))
        learner.fit_one_cycle(3, 0.1)
    assert sha(learner.model.state_dict()) == before
    pressing(learner, 1)
    learner.fit_one_cycle(3, 0.1)
    again = tiny_learner(tmp_path/"checkpoints")
    again.fit_one_cycle(3, 0.1)
    assert learner.interrupted and result(again) == in_memory


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_really_read_only(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="may not be written to"):
        tiny_learner(tmp_path/"checkpoints").fit_one_cycle(3, 0.1)
    tmp_path.chmod(0o700)


def test_vanished_folder_is_not_made_anew(tmp_path, in_memory):
    learner = tiny_learner(tmp_path/"drive"/"checkpoints")

    def unmount(step=itertools.count()):
        if next(step) == 4:
            (tmp_path/"drive").rename(tmp_path/"elsewhere")
    plain, learner.loss = learner.loss, before_each(learner.loss, unmount)
    saves_or_explains(learner, "has vanished; bring its drive back")
    assert not (tmp_path/"drive").exists()
    learner.loss = plain
    (tmp_path/"elsewhere").rename(tmp_path/"drive")
    learner.fit_one_cycle(3, 0.1)
    assert result(learner) == in_memory


@contextmanager
def small_disk(folder, size):
    "A file system of `size` bytes where the machine lets us mount one; else the test is left to the injected errors above."
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("cannot mount a small file system here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="needs mount")
def test_a_disk_that_is_really_full(tmp_path, in_memory):
    with small_disk(tmp_path/"disk", 400_000) as disk:
        learner = tiny_learner(disk/"checkpoints")

        def fill(step=itertools.count()):
            if next(step) == 4:
                (disk/"ballast").write_bytes(bytes(shutil.disk_usage(disk).free - 8192))
        plain, learner.loss = learner.loss, before_each(learner.loss, fill)
        saves_or_explains(learner, "the disk is full")
        assert len([checkpoint.load_state(path) for path in learner.checkpoints.paths()]) == 2
        (disk/"ballast").unlink()
        learner.loss = plain
        learner.fit_one_cycle(3, 0.1)
        assert result(learner) == in_memory


# ---- interrupts within one process

def pressing(learner, times, at=3):
    "Press Ctrl-C `times` times within the `at`-th step."
    count = itertools.count(1)
    plain = learner.loss

    def loss(*words):
        if next(count) == at:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)
        return plain(*words)
    learner.loss = loss
    return plain


@pytest.mark.parametrize("with_folder", [False, True])
@pytest.mark.parametrize("times", [1, 2])
def test_pressed_once_or_twice_and_called_again(times, with_folder, tmp_path, in_memory):
    learner, handler = tiny_learner(tmp_path/"c" if with_folder else None), signal.getsignal(signal.SIGINT)
    learner.loss = pressing(learner, times) and learner.loss
    with pytest.raises(KeyboardInterrupt) if times == 2 else warnings.catch_warnings():
        learner.fit_one_cycle(3, 0.1)
    assert signal.getsignal(signal.SIGINT) is handler
    assert times == 2 or learner.interrupted
    learner.fit_one_cycle(3, 0.1)
    assert result(learner) == in_memory and not learner.interrupted


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_sweep_is_stopped_without_a_trace(name, in_memory):
    learner, handler = tiny_learner(), signal.getsignal(signal.SIGINT)
    plain, learner.loss = learner.loss, before_each(learner.loss, countdown(Cut("lr-find", name, 3, 0)))
    with pytest.raises(KeyboardInterrupt):
        learner.lr_find(steps=sweeps)
    assert signal.getsignal(signal.SIGINT) is handler
    learner.loss = plain
    learner.fit_one_cycle(3, 0.1)
    assert result(learner) == in_memory


def test_in_another_thread(in_memory):
    learner, found = tiny_learner(), []
    thread = threading.Thread(target=lambda: (learner.lr_find(steps=2), learner.fit_one_cycle(3, 0.1), found.append(result(learner))))
    handler = signal.getsignal(signal.SIGTERM)
    thread.start()
    thread.join()
    assert found == [in_memory] and signal.getsignal(signal.SIGTERM) is handler


# ---- memory

class Limited(torch.nn.Module):
    "Fails with `error` for more than `limit` pictures at once."
    def __init__(self, limit, error, normed=True):
        super().__init__()
        self.net, self.limit, self.error = tiny_net(normed=normed), limit, error

    def forward(self, x):
        if len(x) > self.limit:
            self.error()
        return self.net(x)


def gpu_full():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def cpu_full():
    torch.empty(2**50)


def limited(folder=None, limit=5, error=gpu_full, normed=True, **settings):
    set_seed(0)
    return tiny_learner(folder, net=Limited(limit, error, normed), **settings)


@pytest.mark.parametrize("error", [gpu_full, cpu_full])
def test_smaller_parts_when_memory_is_full(error):
    learner = limited(error=error)
    with pytest.warns(UserWarning, match="computing at most 4 pictures at once.*all 13; batch normalisation") as said:
        learner.fit_one_cycle(3, 0.1)
    assert learner.micro_batch == 4 and len(said) == 1 and len(learner.history) == 3


def test_parts_and_whole_learn_the_same_without_normalisation():
    parts, whole = limited(normed=False, l1=1e-3), limited(limit=99, normed=False, l1=1e-3)
    with pytest.warns(UserWarning) as said:
        parts.fit_one_cycle(3, 0.1)
    whole.fit_one_cycle(3, 0.1)
    assert "normalisation" not in str(said[0].message)
    for ours, theirs in zip(parts.model.parameters(), whole.model.parameters()):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_resumed_run_computes_in_the_same_parts(tmp_path):
    with pytest.warns(UserWarning):
        straight = limited()
        straight.fit_one_cycle(3, 0.1)
        cut = limited(tmp_path)
        cut.loss = pressing(cut, 1, at=9) and cut.loss
        cut.fit_one_cycle(3, 0.1)
    again = limited(tmp_path, limit=99)
    again.fit_one_cycle(3, 0.1)
    assert cut.interrupted and again.micro_batch == 4 and result(again) == result(straight)


def test_not_even_one_picture():
    learner = limited(limit=0)
    before = sha(learner.model.state_dict())
    with pytest.raises(MemoryError, match="even with one picture at a time; use a smaller network"):
        learner.fit_one_cycle(3, 0.1)
    assert sha(learner.model.state_dict()) == before


def test_other_errors_pass_and_leave_the_state():
    learner = limited(error=lambda: exec("raise RuntimeError('shapes do not fit')"))
    before = sha(learner.model.state_dict())
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        learner.fit_one_cycle(3, 0.1)
    assert sha(learner.model.state_dict()) == before and learner.micro_batch is None


# ---- longer, shorter, earlier

def test_same_fewer_and_more_epochs(tmp_path):
    tiny_learner(tmp_path).fit_one_cycle(2, 0.1)
    same = tiny_learner(tmp_path)
    same.fit_one_cycle(2, 0.1)
    assert len(same.history) == 2
    for epochs in (1, 3):
        with pytest.raises(ValueError, match=f"one-cycle, 6 steps; now one-cycle, {3 * epochs} steps.*extend=True"):
            tiny_learner(tmp_path).fit_one_cycle(epochs, 0.1)


def extended(folder, cut_first=0, cut_second=0):
    "A run of 2 epochs and one of 2 more, each pressed before a step and called again by a fresh learner."
    for cuts in ((cut_first, 0), (0, cut_second), (0, 0)):
        learner = tiny_learner(folder)
        plain = learner.loss
        if cuts[0]:
            pressing(learner, 1, cuts[0])
        learner.fit_one_cycle(2, 0.1)
        if learner.interrupted:
            continue
        learner.loss = plain
        if cuts[1]:
            pressing(learner, 1, cuts[1])
        learner.fit_one_cycle(2, 0.05, extend=True)
    return learner


def test_extension_is_continued_like_any_run(tmp_path):
    straight = extended(tmp_path/"straight")
    for number, cuts in enumerate([(2, 0), (0, 2), (5, 4)]):
        assert result(extended(tmp_path/str(number), *cuts)) == result(straight), cuts
    assert straight.history.column("epoch") == [1, 2, 3, 4]
    assert straight._best["accuracy"] == max(straight.history.column("valid_accuracy"))


def test_extension_needs_a_finished_run(tmp_path):
    with pytest.raises(ValueError, match="nothing to extend"):
        tiny_learner(tmp_path).fit(1, extend=True)
    learner = tiny_learner(tmp_path)
    pressing(learner, 1)
    learner.fit(2)
    with pytest.raises(ValueError, match="not finished yet"):
        tiny_learner(tmp_path).fit(1, extend=True)


def test_early_stopping_survives_a_cut(tmp_path):
    plan = constant(0.0, 9, 3)
    straight = tiny_learner(patience=3)
    straight.fit(9, plan)
    cut = tiny_learner(tmp_path, patience=3)
    pressing(cut, 1, at=8)
    cut.fit(9, plan)
    again = tiny_learner(tmp_path, patience=3)
    again.fit(9, plan)
    once_more = tiny_learner(tmp_path, patience=3)
    once_more.fit(9, plan)
    assert len(straight.history) == 4 and cut.interrupted and result(again) == result(straight) == result(once_more)


plans = {"constant": constant(0.1, 4, 3), "one_cycle": one_cycle(0.1, 4, 3, momentum=(0.8, 0.9)), "multi_step": multi_step(0.1, 4, 3, (1, 3)),
         "cyclic": cyclic(0.01, 0.1, 4, 3, up_epochs=1, decay=0.5), "plateau": plateau(0.1, 4, 3, patience=0, threshold=0.5)}


@pytest.mark.parametrize("name", plans)
def test_every_schedule_survives_a_cut(name, tmp_path):
    straight = tiny_learner()
    straight.fit(4, plans[name])
    cut = tiny_learner(tmp_path)
    pressing(cut, 1, at=8)
    cut.fit(4, plans[name])
    again = tiny_learner(tmp_path)
    again.fit(4, plans[name])
    assert cut.interrupted and result(again) == result(straight)
    if name == "plateau":
        assert again.history.column("lr")[-1] < again.history.column("lr")[0]


# ---- what must be the same, and what cannot be

def test_precision_is_that_of_the_saved_run(tmp_path, monkeypatch):
    monkeypatch.setattr("cifar_cam.trainer.fastest_precision", lambda device: "bfloat16")
    first = tiny_learner(tmp_path, precision="auto")
    pressing(first, 1)
    first.fit(2)
    monkeypatch.setattr("cifar_cam.trainer.fastest_precision", lambda device: "float32")
    again = tiny_learner(tmp_path, precision="auto")
    again.fit(2)
    assert again.precision == "bfloat16"
    with pytest.raises(ValueError, match="holds a run in bfloat16"):
        tiny_learner(tmp_path, precision="float32").fit(2)


def test_another_network_is_refused_before_anything_changes(tmp_path):
    tiny_learner(tmp_path).fit(1)
    other = tiny_learner(tmp_path, net=tiny_net(width=6))
    before = sha(other.model.state_dict())
    with pytest.raises(ValueError, match="a run of another network"):
        other.fit(1)
    assert sha(other.model.state_dict()) == before


def test_other_class_names_are_refused(tmp_path):
    learners = [tiny_learner(tmp_path), tiny_learner(tmp_path)]
    for learner, classes in zip(learners, ("abcdefghij", "bacdefghij")):
        learner.model.classes = tuple(classes)
    learners[0].fit(1)
    with pytest.raises(ValueError, match="other class names"):
        learners[1].fit(1)


def test_other_threads_are_said(tmp_path):
    tiny_learner(tmp_path).fit(1)
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        with pytest.warns(UserWarning, match=f"threads {before}, now {before + 1}"):
            tiny_learner(tmp_path).fit(1)
    finally:
        torch.set_num_threads(before)


def test_a_checkpoint_of_another_version_is_refused(tmp_path):
    Checkpoints(tmp_path).save(1, dict(plan={}, position={}))
    with pytest.raises(checkpoint.CheckpointError, match="was written by another version of cifar_cam"):
        tiny_learner(tmp_path).fit(1)


def test_weights_that_are_not_numbers_are_never_saved(tmp_path):
    learner = tiny_learner(tmp_path)
    learner.fit(1)
    good = sha(Checkpoints(tmp_path).latest())
    hook = learner.optimizer.register_step_post_hook(lambda *_: learner.model[0].weight.data.fill_(float("inf")))
    with pytest.raises(FloatingPointError, match="keeps the last good ones"):
        learner.fit(1, extend=True)
    hook.remove()
    assert torch.isfinite(Checkpoints(tmp_path).latest()["model"]["0.weight"]).all() and good


def test_left_over_by_killed_processes(tmp_path):
    "What a dead process left half-written is removed; what it had moved away is moved back; a living one's is not touched."
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    series = Checkpoints(tmp_path)
    series.save(3, {"a": 1})
    (tmp_path/"step-000000003").rename(tmp_path/f".step-000000003.{child.pid}.old")
    for process in (child.pid, os.getppid()):
        (tmp_path/f".step-000000004.{process}.tmp").mkdir()
    assert series.latest() == {"a": 1}
    assert sorted(p.name for p in tmp_path.iterdir()) == [f".step-000000004.{os.getppid()}.tmp", "step-000000003"]


if __name__ == "__main__" and sys.argv[1:] == ["serve"]:
    serve()
