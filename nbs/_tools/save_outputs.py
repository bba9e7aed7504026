"""Run notebooks and save what their cells show: `python nbs/_tools/save_outputs.py nbs/01_data.ipynb [--flags cifar]`.

Cells that the tests pass over (a flag of `tst_flags`, or `eval: false`) are passed over here too and keep the outputs they have,
unless their flag is named with `--flags`. The notebook is cleaned before it is written."""
import argparse
import base64
import io
import os
import re
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
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


def save_outputs(path, run_flags=()):
    "Run the notebook at `path` in place; cells passed over keep their outputs."
    flags = set(get_config().tst_flags.split()) - set(run_flags)
    notebook, shell = read_nb(path), CaptureShell(path)
    with working_directory(Path(path).parent):
        shell.run_all(notebook, exc_stop=True, preproc=lambda cell: passed_over(cell, flags))
    shrink_pictures(notebook)
    clean_nb(notebook, **allowed_metadata())
    write_nb(notebook, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--flags", nargs="*", default=[], help="flags whose cells are to be run: cifar cuda slow colab")
    options = parser.parse_args()
    os.environ["IN_TEST"] = "1"
    for notebook in options.notebooks:
        save_outputs(notebook.resolve(), options.flags)
        print(notebook)
