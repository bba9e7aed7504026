"What editors and type checkers are told (cifar_cam/*.pyi) is what the package does, and catches a wrong call."
import os
import subprocess
import sys
from pathlib import Path

import pytest
from scripts import tool

root = Path(__file__).resolve().parent.parent
stubs = tool("stubs")
pytest.importorskip("mypy", reason="needs mypy")

# Where the checker and Python see the same thing differently: albumentations' metaclass, class methods made by fastcore's `patch`,
# a tuple with a fixed layout.
apart = r"""
cifar_cam\.augment\.(AlternatingFlip|ClippedCutout|Policy)
cifar_cam\.(checkpoint\.(Batch)?History\.from_csv|data\.Images\.load|evaluate\.Predictions\.load|recipe_cards\.Recipe\.from_dict)
"""

program = """
from cifar_cam.data import Images, shapes
from cifar_cam.evaluate import predict
from cifar_cam.gradcam import explain
from cifar_cam.model import create_model

train, test = shapes()
model = create_model("resnet18")
why = explain(model, test, targets="predicted")
reveal_type(why.plot(count=2))
reveal_type(why[0])
reveal_type(why.caption(0))
reveal_type(predict(model, test).accuracy)
why.plot(counts=2)
why.caption("first")
why.plott()
"""


def checked(folder, *command):
    (folder/"mypy.ini").write_text("[mypy]\nignore_missing_imports = True\n")
    environment = {**os.environ, "MYPYPATH": str(root), "PYTHONPATH": str(root)}
    return subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, cwd=folder, env=environment)


def test_stubs_are_up_to_date():
    made = stubs.stubs()
    kept = {path.name: path.read_text(encoding="utf-8") for path in (root/"cifar_cam").glob("*.pyi")}
    stale = [name for name in made.keys() | kept.keys() if made.get(name) != kept.get(name)]
    assert not stale, f"{', '.join(sorted(stale))} out of date; run python nbs/_tools/stubs.py"


def test_stubs_say_what_python_finds(tmp_path):
    (tmp_path/"apart").write_text(apart)
    done = checked(tmp_path, "mypy.stubtest", "cifar_cam", "--ignore-missing-stub", "--concise", "--mypy-config-file", "mypy.ini",
                   "--allowlist", "apart")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_program_is_checked(tmp_path):
    (tmp_path/"program.py").write_text(program)
    said = [line.partition("program.py:")[2] for line in checked(tmp_path, "mypy", "--config-file", "mypy.ini", "program.py").stdout.splitlines()]
    words = ["matplotlib.figure.Figure", "Explanation", '"str"', '"float"', "counts", 'incompatible type "str"; expected "int"',
             'no attribute "plott"']
    found = [line for line in said if ": note: Revealed" in line or ": error:" in line]
    assert len(found) == len(words) and all(word in line for word, line in zip(words, found)), "\n".join(said)
