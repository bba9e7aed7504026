"""Every public name of the package and the graph of its modules, read from the code; `40_reference` shows both."""
import ast
import importlib.util
import json
import re
from pathlib import Path

here = Path(__file__).resolve().parent
spec = importlib.util.spec_from_file_location("stubs", here/"stubs.py")
stubs = importlib.util.module_from_spec(spec)
spec.loader.exec_module(stubs)


def notebooks():
    "Module -> (notebook, title, subtitle), in the order of the notebooks."
    found = {}
    for path in sorted(here.parent.glob("[0-9]*.ipynb")):
        cells = ["".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
        module = next((said[1] for cell in cells if (said := re.search(r"^#\|\s*default_exp\s+(\w+)", cell, re.M))), None)
        if module and not module.startswith("_"):
            title, _, subtitle = cells[0].partition("\n\n> ")
            found[module] = (path.stem, title.removeprefix("# "), subtitle.strip())
    return found


def modules():
    return {path.stem: stubs.Module(path) for path in sorted(stubs.package.glob("[a-z]*.py"))}


def parameters(function, skip=0):
    "The names of the parameters, as one calls it."
    a = function.args
    starred = [mark + p.arg for mark, p in (("*", a.vararg), ("**", a.kwarg)) if p]
    return [p.arg for p in [*a.posonlyargs, *a.args]][skip:] + [p.arg for p in a.kwonlyargs] + starred


def first_paragraph(node):
    return " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())


def rows(module, patches):
    "(name, how it is called, what it does, where it is documented) for each public function, class and method of a module."
    for name in module.public:
        node = module.defined.get(name)
        if isinstance(node, ast.FunctionDef):
            yield name, f"{name}({', '.join(parameters(node))})", first_paragraph(node), f"{module.name}.html#{name.lower()}"
        elif isinstance(node, ast.ClassDef):
            page = f"{module.name}.html#{name.lower()}"
            yield name, name, first_paragraph(node), page
            methods = [(f, page) for f in node.body if isinstance(f, ast.FunctionDef)]  # documented with their class
            methods += [(f, f"{where}.html#{name.lower()}.{f.name.lower()}") for f, of, where in patches if of == (module.name, name)]
            for f, place in methods:
                if not f.name.startswith("_") and f.name != "forward":  # which every network has, called by `network(x)`
                    yield f"{name}.{f.name}", f".{f.name}" + called(f), first_paragraph(f), place
        elif name in module.values:
            yield name, name, "a value" if module.values[name] is None else f"a {kind(module.values[name])}", ""


def called(method):
    "The parameters of a method in brackets; nothing for a property."
    is_property = any("property" in ast.unparse(d) or "as_prop" in ast.unparse(d) for d in method.decorator_list)
    return "" if is_property else f"({', '.join(parameters(method, 1))})"


def kind(value):
    found = stubs.kind_of(value)
    return {"dict": "table, name → entry", "list": "list", "tuple": "tuple", "str": "text"}.get(found.id, "number") if found else "value"


def public_names():
    "Module -> rows."
    parsed = modules()
    patches = [(f, (other.owner(cls), cls), other.name) for other in parsed.values() for f in other.patched
               for cls in [ast.unparse(f.args.args[0].annotation)]]
    return {name: list(rows(parsed[name], patches)) for name in notebooks()}


def graph():
    "Module -> the modules it imports when it is imported, in the order of the notebooks."
    order, parsed = list(notebooks()), modules()
    used = {}
    for name in order:
        lines = [ast.unparse(node) for node in parsed[name].tree.body if isinstance(node, ast.ImportFrom) and node.level == 1]
        words = {found[1] for line in lines if (found := re.match(r"from \.(\w+) import", line))}
        words |= {word.split(" as ")[0] for line in lines if line.startswith("from . import ") for word in line[14:].split(", ")}
        used[name] = [other for other in order if other in words]
    return used
