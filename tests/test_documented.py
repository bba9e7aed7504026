"Every public name says what it is for, and every parameter what it takes."
import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re
import textwrap

import pytest
from fastcore.docments import docments

import cifar_cam

modules = sorted(module.name for module in pkgutil.iter_modules(cifar_cam.__path__) if not module.name.startswith("_"))


def public(module):
    "(dotted name, function or class) for all that a module lists, and for the public methods of its classes."
    for name in getattr(importlib.import_module(f"cifar_cam.{module}"), "__all__", []):
        thing = getattr(importlib.import_module(f"cifar_cam.{module}"), name)
        if inspect.isfunction(thing) or inspect.isclass(thing):
            yield f"{module}.{name}", thing
        for key, value in vars(thing).items() if inspect.isclass(thing) else ():
            method = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
            if inspect.isfunction(method) and not key.startswith("_") and method.__module__.startswith("cifar_cam"):
                yield f"{module}.{name}.{key}", method


def takes(thing):
    "The function whose parameters a reader sees; None for plain records, whose fields are their documentation."
    if not inspect.isclass(thing):
        return thing
    return None if dataclasses.is_dataclass(thing) or issubclass(thing, tuple) else vars(thing).get("__init__")


def gives_something(function):
    "Whether a value is returned or yielded."
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    own = [tree]
    for node in own:  # without the functions inside it
        own += [child for child in ast.iter_child_nodes(node) if not isinstance(child, (ast.FunctionDef, ast.Lambda))]
    return any(isinstance(node, (ast.Yield, ast.YieldFrom)) or isinstance(node, ast.Return) and node.value is not None for node in own)


def unsaid(thing):
    "What the documentation of a function or class leaves out."
    text = inspect.getdoc(thing) or ""
    missing = [] if text.strip() else ["a docstring"]
    function = takes(thing)
    if function is None:
        return missing
    said = docments(function, full=True)
    parameters = [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]
    missing += [f"a comment on {name}" for name in parameters if not (said.get(name) or {}).get("docment") and not re.search(rf"\b{name}\b", text)]
    returned = inspect.signature(function).return_annotation is not inspect.Signature.empty
    described = re.search(r"^\):\s+#|\breturns?\b", inspect.getsource(function), re.M | re.I)
    if function is thing and gives_something(function) and not returned and not described:
        missing.append("what it returns")
    return missing


@pytest.mark.parametrize("module", modules)
def test_every_public_name_is_documented(module):
    found = {name: missing for name, thing in public(module) if (missing := unsaid(thing))}
    assert not found, "\n".join(f"{name} lacks {', '.join(missing)}" for name, missing in found.items())
