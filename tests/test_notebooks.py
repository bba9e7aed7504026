"Every notebook runs from top to bottom, is clean and small, and is what the package was made from."
import ast
import builtins
import filecmp
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
import yaml
from execnb.nbio import nb2str, read_nb
from nbdev.clean import clean_nb
from nbdev.config import get_config
from nbdev.test import test_nb as run_notebook

root = Path(__file__).resolve().parent.parent
notebooks = sorted(path for path in (root/"nbs").glob("*.ipynb") if path.name[0] not in "_.")
every_notebook = pytest.mark.parametrize("path", notebooks, ids=lambda path: path.stem)


@pytest.fixture
def untouched(monkeypatch):
    "Notebooks run in this process: give each the same start, and take back what it changed."
    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    settings, environment, paths = dict(matplotlib.rcParams), dict(os.environ), list(sys.path)
    threads, dtype, gradients = torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()
    matplotlib.rcdefaults()
    matplotlib.rcParams["backend"] = "agg"
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    yield
    plt.close("all")
    matplotlib.rcParams.update(settings)
    torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)
    torch.set_grad_enabled(gradients)
    torch.use_deterministic_algorithms(False)
    os.environ.clear()
    os.environ.update(environment)  # nbdev leaves IN_TEST behind, and nbdev_export does nothing under it
    sys.path[:] = paths


def sources(path, kind):
    return ["".join(cell.source) for cell in read_nb(path).cells if cell.cell_type == kind]


def directives(source):
    return set(re.findall(r"^\s*#\s*\|\s*([\w-]+)", source, re.M))


@every_notebook
def test_runs(path, untouched, capfd):
    passed, _ = run_notebook(path, skip_flags=get_config(path=root).tst_flags.split(), basepath=root)
    assert passed, re.sub(r"\x1b\[[0-9;]*m", "", capfd.readouterr().err)


@every_notebook
def test_is_clean(path):
    notebook, config = read_nb(path), get_config(path=root)
    before = nb2str(notebook)
    allowed = ("allowed_metadata_keys", "allowed_cell_metadata_keys")
    clean_nb(notebook, **{name: config.get(name, "").split() for name in allowed})
    assert nb2str(notebook) == before, f"{path.name} is not clean: run nbdev_clean"


@every_notebook
def test_is_small(path):
    assert path.stat().st_size < 1_000_000, f"{path.name} has {path.stat().st_size:,} bytes; make its figures smaller"


@every_notebook
def test_begins_with_title_and_subtitle(path):
    "nbdev shows nothing of the first cell but the title and the lines of the subtitle."
    first = sources(path, "markdown")[0].strip().splitlines()
    assert read_nb(path).cells[0].cell_type == "markdown"
    assert first[0].startswith("# ") and any(line.startswith("> ") for line in first), "the first cell is `# Title` and `> subtitle`"
    assert all(not line or line.startswith(("# ", "> ", "- ")) for line in first), f"lost in the docs: {first}"


def bound(nodes, inside=False):
    "The names that `nodes` bind; with `inside`, also those that live within their functions."
    found = set()
    for node in (node for top in nodes for node in ([top] if isinstance(top, (ast.FunctionDef, ast.ClassDef)) and not inside else ast.walk(top))):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.ExceptHandler)):
            found.add(node.name)
        elif inside and isinstance(node, ast.arg):
            found.add(node.arg)
    return found


@every_notebook
def test_cells_with_imports_stand_alone(path):
    "Building the docs runs the exported cells and every cell that imports something, without the cells between."
    defined = set(dir(builtins)) | {"get_ipython", "display", "show_doc"}
    for source in sources(path, "code"):
        tree = ast.parse(re.sub(r"^(\s*)[!%].*$", r"\1pass", source, flags=re.M))
        exported = directives(source) & {"export", "exports", "exporti"}
        imports = any(isinstance(node, (ast.Import, ast.ImportFrom)) for node in ast.walk(tree))
        if re.search(r"^#\|\s*eval:\s*false", source, re.M) or "nbdev_export()" in source or not (exported or imports):
            continue
        defined |= bound(tree.body)
        run = [node for node in tree.body if not isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        read = {node.id for top in run for node in ast.walk(top) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        unknown = sorted(read - defined - bound(run, inside=True))
        assert not unknown, f"the docs cannot run this cell, it needs {unknown}; move its imports to a cell of their own:\n{source}"


@every_notebook
def test_ends_with_export(path):
    if any("default_exp" in directives(source) for source in sources(path, "code")):
        assert "nbdev_export()" in sources(path, "code")[-1], "the last cell is `#| hide` and `import nbdev; nbdev.nbdev_export()`"


@every_notebook
def test_no_saved_errors(path):
    for cell in read_nb(path).cells:
        assert not any(output.output_type == "error" for output in cell.get("outputs", [])), f"saved with an error:\n{cell.source}"


def test_sidebar_lists_every_notebook():
    contents = yaml.safe_load((root/"nbs"/"sidebar.yml").read_text(encoding="utf-8"))["website"]["sidebar"]["contents"]
    listed = [name for entry in contents for name in ([entry] if isinstance(entry, str) else entry["contents"])]
    assert sorted(listed) == [path.name for path in notebooks], "list every notebook once in nbs/sidebar.yml"


def test_package_is_what_the_notebooks_export(tmp_path):
    for name in ("nbs", "cifar_cam"):
        shutil.copytree(root/name, tmp_path/name, ignore=shutil.ignore_patterns("__pycache__", "images", "runs"))
    for name in ("settings.ini", "pyproject.toml"):
        shutil.copy(root/name, tmp_path)
    environment = {name: value for name, value in os.environ.items() if name != "IN_TEST"}
    subprocess.run([sys.executable, "-c", "from nbdev.doclinks import nbdev_export; nbdev_export()"], cwd=tmp_path, env=environment,
                   check=True, stdin=subprocess.DEVNULL)
    exported, present = (sorted(str(path.relative_to(folder)) for path in (folder/"cifar_cam").rglob("*.py")) for folder in (tmp_path, root))
    assert exported == present
    _, different, missing = filecmp.cmpfiles(tmp_path, root, exported, shallow=False)
    assert not different and not missing, f"not what the notebooks hold: {different + missing}; edit the notebook and run nbdev_export"


def tracked():
    "The files git knows or would add; without git, the folders that are the project."
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=root, capture_output=True, text=True)
    if listed.returncode == 0 and listed.stdout:
        return [root/name for name in listed.stdout.splitlines() if (root/name).is_file()]
    return [path for folder in ("nbs", "cifar_cam", "tests") for path in (root/folder).rglob("*") if path.is_file()]


machine_path = re.compile(r"(?<![\w.:/~-])/(?:" + "|".join(["work", "tmp", "root", "home"]) + r")/[\w.]")
index_host = re.compile("|".join(["pypi" + r"\.org", "pythonhosted" + r"\.org", "--index" + "-url", "--extra-index" + "-url"]))


def test_nothing_of_the_machine_it_was_made_on():
    "No path of somebody's disk and no package index, in sources or saved outputs."
    found = []
    for path in tracked():
        if path.suffix in {".png", ".webp", ".npz", ".safetensors"}:
            continue
        text = re.sub(r"[A-Za-z0-9+/=]{200,}", "", path.read_text(encoding="utf-8"))  # pictures in notebooks
        found += [f"{path.relative_to(root)}: {line.strip()[:120]}" for line in text.splitlines()
                  if machine_path.search(line) or index_host.search(line)]
    assert not found, "\n".join(found)


def test_cells_are_small():
    "Over the notebooks that define something: median and 90th percentile of the lines of a code cell, and of an exported one."
    lines = {True: [], False: []}
    for path in notebooks:
        cells = [source.split("\n") for source in sources(path, "code")]
        if any(line.startswith("#| default_exp") for cell in cells for line in cell):
            for cell in cells:
                exported = any(re.match(r"#\|\s*exports?\b", line) for line in cell)
                lines[exported].append(sum(bool(line.strip()) and not line.startswith("#|") for line in cell))
    assert statistics.median(lines[True] + lines[False]) <= 4 and statistics.quantiles(lines[True] + lines[False], n=10)[-1] <= 15
    assert statistics.median(lines[True]) <= 9 and statistics.quantiles(lines[True], n=10)[-1] <= 22


def public_names(source):
    "What an exported cell defines for others: functions, classes, constants; methods that `@patch` adds count for their class."
    found = set()
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            owners = [argument.annotation.id for argument in (node.args.args[:1] if isinstance(node, ast.FunctionDef) else [])
                      if isinstance(argument.annotation, ast.Name) and argument.arg == "self"]
            found |= set(owners) if owners else {node.name}
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            found |= {target.id for target in getattr(node, "targets", None) or [node.target] if isinstance(target, ast.Name)}
    return {name for name in found if not name.startswith("_")}


def unshown(cells):
    """Exported cells (of the sources `cells`) with a public name, after which nothing is shown or tested before the next ones.

    A definition that the next one uses, or a class whose next method follows, is shown with it."""
    exported = lambda source: re.match(r"\s*#\|\s*exports?\b", source)
    for k, source in enumerate(cells):
        if not exported(source) or not public_names(source):
            continue
        waiting = public_names(source)
        for later in cells[k + 1:]:
            if not exported(later):
                if "nbdev_export()" in later:
                    yield source
                break
            if public_names(later):
                read = {node.id for node in ast.walk(ast.parse(later)) if isinstance(node, ast.Name)}
                if not waiting & (read | public_names(later)):
                    yield source
                    break
                waiting |= public_names(later)


@every_notebook
def test_definitions_are_shown(path):
    "What a notebook exports is shown or tested before it goes on to something else."
    missing = list(unshown(sources(path, "code")))
    assert not missing, "show or test what this cell defines, in the cell after it:\n\n" + "\n\n".join(missing)


def test_a_definition_that_is_not_shown_is_found():
    one, two, shown = "#| exports\ndef one(): ...", "#| exports\ndef two(): ...", "one()"
    end = "#| hide\nimport nbdev; nbdev.nbdev_export()"
    assert list(unshown([one, two, shown, end])) == [one] and list(unshown([one, shown, two, end])) == [two]
    assert not list(unshown([one, "#| exports\ndef two(): one()", shown, end]))
    assert not list(unshown(["#| exports\nclass A: ...", "#| exports\n@patch\ndef m(self: A): ...", "A().m()", end]))


def test_a_saved_output_that_no_longer_comes_out_is_found(tmp_path):
    "`save_outputs.py --check` compares texts, not times; a cell passed over keeps what it has."
    cells = [("1 + 1", "2"), ("print('took 3.2 s')", "took 9.9 s"), ("#| slow\n0", "7"), ("'new'", "'old'")]
    outputs = [dict(output_type="stream", name="stdout", text=[text + "\n"]) if source.startswith("print") else
               dict(output_type="execute_result", execution_count=None, metadata={}, data={"text/plain": [text]}) for source, text in cells]
    page = dict(nbformat=4, nbformat_minor=5, metadata={}, cells=[
        dict(cell_type="code", id=f"cell{k}", metadata={}, execution_count=None, source=[source], outputs=[output])
        for k, ((source, _), output) in enumerate(zip(cells, outputs))])
    check = [sys.executable, str(root/"nbs"/"_tools"/"save_outputs.py"), "--check", str(tmp_path/"page.ipynb")]
    (tmp_path/"page.ipynb").write_text(json.dumps(page))
    done = subprocess.run(check, cwd=root, capture_output=True, text=True)
    changed = [line for line in done.stdout.splitlines() if re.match(r"[-+][^-+]", line)]  # the path above them may hold anything
    assert done.returncode == 1 and changed == ["-'old'", "+'new'"], done.stdout + done.stderr
    page["cells"].pop()
    (tmp_path/"page.ipynb").write_text(json.dumps(page))
    done = subprocess.run(check, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0 and "the same" in done.stdout, done.stdout + done.stderr
