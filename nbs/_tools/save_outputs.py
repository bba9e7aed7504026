"""Run notebooks and save what their cells show: `python nbs/_tools/save_outputs.py nbs/01_data.ipynb [--flags cifar]`.

Cells that the tests pass over (a flag of `tst_flags`, or `eval: false`) are passed over here too and keep the outputs they have,
unless their flag is named with `--flags`. The notebook is cleaned before it is written. One thread computes, so that a machine
with other cores gives the same figures.

With `--check` nothing is written: the text of each cell's new outputs is compared with the saved one, times, addresses and
temporary folders aside, and the command fails when they differ. Pictures are not compared."""
import argparse
import base64
import difflib
import io
import os
import re
import sys
import tempfile
from copy import deepcopy
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
os.environ["OMP_NUM_THREADS"] = "1"
from execnb.nbio import read_nb, write_nb
from execnb.shell import CaptureShell
from fastcore.xtras import working_directory
from nbdev.clean import clean_nb
from nbdev.config import get_config
from PIL import Image

directive = re.compile(r"^\s*#\s*\|\s*([\w-]+)\s*:?\s*(\S*)", re.M)


def passed_over(cell, flags):
    "Whether the tests would not run `cell`."
    if cell.cell_type != "code": return True
    found = dict(directive.findall(cell.source))
    return "nbdev_export(" in cell.source or found.get("eval") == "false" or bool(flags & found.keys())


def allowed_metadata():
    "The metadata that settings.ini lets notebooks keep, as arguments of `clean_nb`."
    names = ("allowed_metadata_keys", "allowed_cell_metadata_keys")
    return {name: get_config().get(name, "").split() for name in names}


def shrink_pictures(notebook):
    "Give every PNG output a palette of 256 colours where that makes it smaller; notebooks stay light in git and on the page."
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                before, small = base64.b64decode("".join(data["image/png"])), io.BytesIO()
                Image.open(io.BytesIO(before)).convert("RGB").quantize(256).save(small, "png", optimize=True)
                if small.tell() < len(before):
                    data["image/png"] = base64.b64encode(small.getvalue()).decode()


def rerun(path, run_flags=()):
    "The notebook at `path` as read, and the same with the outputs of a new run; cells passed over keep theirs."
    flags = set(get_config().tst_flags.split()) - set(run_flags)
    notebook, shell = read_nb(path), CaptureShell(path)
    before = deepcopy(notebook)
    with working_directory(Path(path).parent):
        shell.run_all(notebook, exc_stop=True, preproc=lambda cell: passed_over(cell, flags))
    return before, notebook


def save_outputs(path, run_flags=()):
    "Run the notebook at `path` in place; cells passed over keep their outputs."
    _, notebook = rerun(path, run_flags)
    shrink_pictures(notebook)
    clean_nb(notebook, **allowed_metadata())
    write_nb(notebook, path)


# what may differ from run to run: times and rates, addresses in memory and of sockets, temporary folders, versions
varying = re.compile(r"\d[\d.,]*\s*(?:ms|s|sec|seconds?|min|minutes?|pictures a second|it/s)\b|\b\d+:\d\d(?::\d\d)?\b"
                     r"|0x[0-9a-f]{6,}|(?<=\]:)\d{4,5}\b|\d{4}-\d\d-\d\dT[\d:.+]+|(?<=.seconds.: )[\d.]+"
                     r"|(?<=seconds</td><td style=\"text-align:left\">)[\d.]+"
                     r"|\b\d+\.\d+\.\d+(?:\.\d+)?(?:\+\w+)?\b|" + re.escape(tempfile.gettempdir()) + r"/[\w./-]+")


def shown_text(cell):
    "The text that a cell shows, line by line, with `…` for what varies."
    texts = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        texts += [output[key] for key in ("text",) if key in output]
        texts += [data[kind] for kind in ("text/markdown", "text/html", "text/plain") if kind in data][:1]
    return varying.sub("…", "\n".join("".join(text) for text in texts)).splitlines()


def differences(path, run_flags=()):
    "Lines of a diff between what the cells of the notebook at `path` have saved and what they show now, as text."
    before, after = rerun(path, run_flags)
    clean_nb(after, **allowed_metadata())
    for k, (old, new) in enumerate(zip(before.cells, after.cells, strict=True)):
        yield from difflib.unified_diff(shown_text(old), shown_text(new), f"cell {k}, saved", f"cell {k}, now", n=0, lineterm="")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--flags", nargs="*", default=[], help="flags whose cells are to be run: cifar cuda slow colab")
    parser.add_argument("--check", action="store_true", help="compare the text of the outputs, write nothing")
    options = parser.parse_args()
    os.environ["IN_TEST"] = "1"
    changed = 0
    for notebook in options.notebooks:
        if options.check:
            found = list(differences(notebook.resolve(), options.flags))
            changed += bool(found)
            print(f"{notebook}: {'differs' if found else 'the same'}", *found, sep="\n", flush=True)
        else:
            save_outputs(notebook.resolve(), options.flags)
            print(notebook, flush=True)
    sys.exit(bool(changed))
