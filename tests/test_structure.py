"How the modules hang together: no cycles, the table in the documentation is true, nothing written twice, no private name of a neighbour."
import ast
import collections
import json
import subprocess
import sys
from pathlib import Path

import pytest
from scripts import tool

package = Path(__file__).resolve().parent.parent/"cifar_cam"
modules = sorted(path.stem for path in package.glob("[a-z]*.py"))
texts = {name: (package/f"{name}.py").read_text(encoding="utf-8") for name in modules}
trees = {name: ast.parse(text) for name, text in texts.items()}


def imported(name, nodes=None):
    "(module of ours, name out of it or None for the module itself) for each import among `nodes`; None: everywhere, also inside functions."
    for node in ast.walk(trees[name]) if nodes is None else nodes:
        if isinstance(node, ast.ImportFrom) and (node.level == 1 or (node.module or "").startswith("cifar_cam")):
            module = (node.module or "").removeprefix("cifar_cam").lstrip(".")
            for alias in node.names:
                yield (module, alias.name) if module else (alias.name, None)


def neighbours(name, nodes=None):
    return {module for module, _ in imported(name, nodes) if module in modules}


def test_the_graph_has_no_cycle():
    waiting = {name: neighbours(name, trees[name].body) for name in modules}
    while free := [name for name, needs in waiting.items() if not needs]:
        waiting = {name: needs - set(free) for name, needs in waiting.items() if name not in free}
    assert not waiting, f"these modules import one another: {', '.join(waiting)}"


def test_what_is_imported_late():
    "Inside a function only where the other module stands on this one."
    assert {(name, other) for name in modules for other in neighbours(name) - neighbours(name, trees[name].body)} == {("data", "more_data"), ("model", "course_models")}


@pytest.mark.parametrize("name", modules)
def test_no_private_name_of_another_module(name):
    private = [f"{module}.{what}" for module, what in imported(name) if what and what.startswith("_") and not what.startswith("__")]
    aliases = {alias.asname or alias.name for node in ast.walk(trees[name]) if isinstance(node, ast.ImportFrom) and node.level == 1 and not node.module
               for alias in node.names}
    private += [ast.unparse(node) for node in ast.walk(trees[name]) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
                and node.value.id in aliases and node.attr.startswith("_") and not node.attr.startswith("__")]
    assert not private, f"{name} uses {private}; make them public or move what needs them"


def bodies(name):
    "The statements of each function, a line each, without docstring and signature."
    for node in ast.walk(trees[name]):
        if isinstance(node, ast.FunctionDef):
            statements = node.body[1:] if ast.get_docstring(node) else node.body
            yield "\n".join(map(ast.unparse, statements)).split("\n") if statements else []


def blocks(name, length=6):
    "Every run of `length` lines inside a function."
    return {"\n".join(map(str.strip, lines[k:k + length])) for lines in bodies(name) for k in range(len(lines) - length + 1)}


def test_nothing_is_written_twice():
    found = collections.defaultdict(set)
    for name in modules:
        for block in blocks(name):
            found[block].add(name)
    twice = {block: names for block, names in found.items() if len(names) > 1}
    assert not twice, "\n\n".join(f"{', '.join(sorted(names))}:\n{block}" for block, names in twice.items())


def shown_on_the_reference_page():
    "The Markdown that its cells show."
    reference = tool("reference")
    cells = json.loads((package.parent/"nbs"/"40_reference.ipynb").read_text(encoding="utf-8"))["cells"]
    shown = ["".join(output["data"].get("text/markdown", "")) for cell in cells for output in cell.get("outputs", []) if "data" in output]
    return reference, "\n".join(shown)


def test_the_table_of_modules_is_true():
    reference, shown = shown_on_the_reference_page()
    for name, used in reference.graph().items():
        assert set(used) == neighbours(name, trees[name].body)
        assert f"| {name} | {', '.join(used) or '–'} |" in shown, f"{name}: run python nbs/_tools/save_outputs.py nbs/40_reference.ipynb"


def test_the_reference_lists_every_public_name():
    reference, shown = shown_on_the_reference_page()
    for module, rows in reference.public_names().items():
        for name, call, what, place in rows:
            line = f"{call.partition('(')[1]}{call.partition('(')[2]} | {what} |".replace("*", "\\*")
            assert line in shown and place in shown, f"{module}.{name}: run python nbs/_tools/save_outputs.py nbs/40_reference.ipynb"


def test_the_linter_finds_nothing():
    "No syntax error, undefined or unused name, shadowed import, in notebooks, package, tests, tools and benchmarks."
    pytest.importorskip("ruff", reason="needs ruff")
    shared = [f"{notebook}:F401" for notebook in ("nbs/09_gradcam.ipynb", "nbs/10_cam_checks.ipynb", "cifar_cam/*.py")]  # names others import from there
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", "E9,F4,F5,F63,F7,F82,F841", "--ignore",
                           "F402", "--per-file-ignores", ",".join(shared), "--output-format", "concise", "nbs", "cifar_cam", "tests", "benchmarks"],
                          cwd=package.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
