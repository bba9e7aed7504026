"The scripts of `nbs/_tools`, which belong to no package, as modules."
import importlib.util
from pathlib import Path

folder = Path(__file__).resolve().parent.parent/"nbs"/"_tools"


def tool(name):
    "The script of this name, as a module."
    spec = importlib.util.spec_from_file_location(name, folder/f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
