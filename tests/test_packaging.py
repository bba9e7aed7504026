"What the package promises before anything is called: no network, no CUDA, no drawing, one version number."
import json
import os
import re
import subprocess
import sys
from configparser import ConfigParser
from importlib import metadata
from pathlib import Path

import pytest

import cifar_cam

root = Path(__file__).resolve().parent.parent
modules = sorted(path.stem for path in (root/"cifar_cam").glob("*.py") if path.stem[0] != "_")
settings = ConfigParser(delimiters=["="])
settings.read(root/"settings.ini", encoding="utf-8")
settings = settings["DEFAULT"]

probe = """
import importlib, json, socket, sys

class Refused(RuntimeError):
    pass

def refuse(*arguments, **options):
    raise Refused("the network was asked for while importing")

socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = refuse
socket.socket = type("NoSocket", (socket.socket,), {"__init__": refuse})
asked = []
sys.addaudithook(lambda event, arguments: asked.append(event) if event.startswith(("socket.", "urllib.")) else None)
importlib.import_module("cifar_cam")
for name in sys.argv[1:]:
    importlib.import_module("cifar_cam." + name)
torch = sys.modules.get("torch")
print(json.dumps(dict(asked=asked, cuda=bool(torch and torch.cuda.is_initialized()), pyplot="matplotlib.pyplot" in sys.modules,
                      nbdev="nbdev" in sys.modules, loaded=[name for name in sys.argv[1:] if "cifar_cam." + name in sys.modules])))
"""


def imported(folder, *names):
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_ALBUMENTATIONS_UPDATE", "MPLBACKEND")}
    done = subprocess.run([sys.executable, "-c", probe, *names], capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL,
                          cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("names", [[], modules], ids=["package", "every module"])
def test_import_touches_neither_network_nor_cuda_nor_pyplot(names, tmp_path):
    "From a folder that has nothing to do with the package (B48)."
    found = imported(tmp_path, *names)
    assert found["asked"] == [] and not found["cuda"] and not found["pyplot"] and not found["nbdev"]
    assert found["loaded"] == list(names)


def test_one_version():
    assert cifar_cam.__version__ == settings["version"] == metadata.version("cifar_cam")
    changes = (root/"CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(settings['version'])}\b", changes, re.M), "CHANGELOG.md has no entry for this version"


def test_modules_import_only_from_modules_above_them():
    "The order of the notebooks is the order of the modules: no cycles."
    order = {}
    for notebook in sorted((root/"nbs").glob("[0-9]*.ipynb")):
        source = "\n".join("".join(cell["source"]) for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"])
        found = re.search(r"^#\|\s*default_exp\s+(\w+)", source, re.M)
        if found:
            order[found[1]] = len(order)
    for name in order:
        text = (root/"cifar_cam"/f"{name}.py").read_text(encoding="utf-8")
        used = set(re.findall(r"^\s*from \.(\w+) import|^\s*from cifar_cam\.(\w+) import", text, re.M))
        used = {one or other for one, other in used}
        for line in re.findall(r"^\s*from (?:\.|cifar_cam) import (.+)$", text, re.M):
            used |= {part.split(" as ")[0].strip(" ()") for part in line.split(",")}
        late = [other for other in used if order.get(other, -1) >= order[name]]
        assert not late, f"{name} imports {late}, which come after it"


def test_the_names_of_the_licence_and_the_command():
    package = metadata.metadata("cifar_cam")
    assert package["License-Expression"] == "Apache-2.0"
    commands = {entry.name: entry.value for entry in metadata.entry_points(group="console_scripts")}
    assert commands["cifar-cam"] == "cifar_cam.cli:main"


def test_readme_holds_the_command_that_ci_runs():
    readme = (root/"README.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- tests -->\s*```\s*\w+\n(.+?)\n```", readme, re.S)
    assert found and "python -m pip install -e '.[dev]'" in found[1] and "python -m pytest" in found[1]
