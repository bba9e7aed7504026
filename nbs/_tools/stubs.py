"""Type stubs out of the modules: `python nbs/_tools/stubs.py` writes cifar_cam/*.pyi, `--check` only compares.

Editors and type checkers do not see methods that are added to a class with `@patch`. In the stubs they stand in their classes. What a
parameter's `None` default leaves unsaid (`layer: str = None`) is written out (`str | None`), and so is a return value that only a comment
names (`):  # matplotlib Figure`)."""
import ast
import copy
import re
import sys
from pathlib import Path

package = Path(__file__).resolve().parents[2]/"cifar_cam"
spoken = {"matplotlib Figure": ("Figure", "from matplotlib.figure import Figure"), "matplotlib Axes": ("Axes", "from matplotlib.axes import Axes"),
          "the path": ("Path", "from pathlib import Path")}  # what is said after `):` -> (type, where it comes from)
gives_on = ("cam_checks",)  # modules from which one may also import what they import from others of ours
kept_decorators = ("contextmanager", "property", "cached_property", "classmethod", "staticmethod", "abstractmethod")  # of functions


class Module:
    "A parsed module: its definitions, and where its imported names come from."
    def __init__(self, path):
        self.name, self.source = path.stem, path.read_text(encoding="utf-8")
        self.lines, self.tree = self.source.split("\n"), ast.parse(self.source)
        self.defined = {node.name: node for node in self.tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not patch_of(node)}
        self.imports, self.values, self.patched = {}, {}, []
        for node in self.tree.body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                for alias in node.names:
                    one = copy.copy(node)
                    one.names = [alias]
                    self.imports[alias.asname or alias.name.split(".")[0]] = ast.unparse(one)
            elif isinstance(node, ast.Assign):
                for name in [each.id for target in node.targets for each in ast.walk(target) if isinstance(each, ast.Name)]:
                    self.values[name] = node.value if isinstance(node.targets[0], ast.Name) else None
            elif patch_of(node):
                self.patched.append(node)
        self.public = ast.literal_eval(self.values["__all__"]) if "__all__" in self.values else []

    def owner(self, name):
        "The module in which a class that is known here was defined."
        if name in self.defined:
            return self.name
        found = re.match(r"from \.(\w+) import", self.imports.get(name, ""))
        return found[1] if found else None


def patch_of(node):
    "The `@patch` of a function, or None."
    called = [d.func if isinstance(d, ast.Call) else d for d in getattr(node, "decorator_list", [])]
    return next((d for d, f in zip(getattr(node, "decorator_list", []), called) if isinstance(f, ast.Name) and f.id == "patch"), None)


def gives(function):
    "Whether something is returned; yielding counts."
    inside = [function]
    for node in inside:
        inside += [child for child in ast.iter_child_nodes(node) if not isinstance(child, (ast.FunctionDef, ast.Lambda))]
    return any(isinstance(n, (ast.Yield, ast.YieldFrom)) or isinstance(n, ast.Return) and n.value is not None for n in inside)


def said_return(function, module, needs):
    "The type that is only said in the comment behind the signature."
    for line in module.lines[function.lineno - 1:function.body[0].lineno - 1]:
        found = re.match(r"\s*\):\s+#\s*(.+?)\s*$", line)
        if found and found[1] in spoken:
            name, where = spoken[found[1]]
            needs.add(where)
            return ast.Name(name)
    return None


def with_none(annotation, default):
    "A type that also admits the None that is its default."
    if annotation is None or not isinstance(default, ast.Constant) or default.value is not None:
        return annotation
    written = ast.unparse(annotation)
    return annotation if "None" in written or written in ("object", "Any") else ast.BinOp(annotation, ast.BitOr(), ast.Constant(None))


def signature(function, module, needs):
    "The function without its body: types written out, defaults hidden."
    stub = copy.deepcopy(function)
    named = {d.id if isinstance(d, ast.Name) else d.func.id if isinstance(d, ast.Call) and isinstance(d.func, ast.Name) else
             d.attr if isinstance(d, ast.Attribute) else "?" for d in function.decorator_list}
    foreign = named - set(kept_decorators) - {"patch", "lru_cache", "kept_memory", "no_grad"}
    stub.decorator_list = [ast.Name(d) for d in kept_decorators if d in named]
    stub.body = [ast.Expr(ast.Constant(...))]
    positional = [*stub.args.posonlyargs, *stub.args.args]
    pairs = [*zip(reversed(positional), reversed(stub.args.defaults)), *zip(stub.args.kwonlyargs, stub.args.kw_defaults)]
    for parameter, default in pairs:
        parameter.annotation = with_none(parameter.annotation, default)
    stub.args.defaults = [ast.Constant(...) for _ in stub.args.defaults]
    stub.args.kw_defaults = [default and ast.Constant(...) for default in stub.args.kw_defaults]
    if stub.returns is None:
        stub.returns = said_return(function, module, needs)
    if "contextmanager" in named:
        needs.update({"from collections.abc import Iterator", "from contextlib import contextmanager", "from typing import Any"})
        stub.returns = ast.parse("Iterator[Any]", mode="eval").body
    if stub.returns is None and not gives(function) and not foreign:
        stub.returns = ast.Constant(None)
    return stub


def method(function, module, needs):
    "A patched function as it would stand in its class."
    patch = patch_of(function)
    asked = {keyword.arg for keyword in patch.keywords} if isinstance(patch, ast.Call) else set()
    stub = signature(function, module, needs)
    stub.args.args[0].annotation = None
    if "as_prop" in asked:
        stub.decorator_list = [ast.Name("property")]
    if "cls_method" in asked:
        stub.decorator_list = [ast.Name("classmethod")]
    return stub


def attributes(node, known):
    "Annotations `name: type` for what methods assign to self."
    found = {}
    for function in [f for f in node.body if isinstance(f, ast.FunctionDef)]:
        types = {a.arg: a.annotation for a in function.args.args if a.annotation is not None}
        for assign in [each for each in ast.walk(function) if isinstance(each, ast.Assign)]:
            for target, value in flat(assign):
                if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
                    found.setdefault(target.attr, types.get(value.id) if isinstance(value, ast.Name) else None)
    return {name: kind for name, kind in found.items() if not name.startswith("_") and name not in known}


def flat(assign):
    "(target, value) pairs of an assignment, tuples taken apart."
    for target in assign.targets:
        if isinstance(target, ast.Tuple) and isinstance(assign.value, ast.Tuple) and len(target.elts) == len(assign.value.elts):
            yield from zip(target.elts, assign.value.elts)
        else:
            yield from ((each, ast.Constant(...)) for each in (target.elts if isinstance(target, ast.Tuple) else [target]))


def is_shown(name):
    return not name.startswith("_") or name.startswith("__") and name.endswith("__")


def class_stub(node, module, patches, needs):
    "A class with its fields, its public methods, those added later, and what its methods assign to self."
    stub = copy.deepcopy(node)
    stub.decorator_list = [d for d in node.decorator_list if "dataclass" in ast.unparse(d)]
    own = [f for f in node.body if isinstance(f, ast.FunctionDef)]
    fields = [f for f in node.body if isinstance(f, ast.AnnAssign)]
    plain = {t.id: kind_of(v) for f in node.body if isinstance(f, ast.Assign) for t, v in flat(f) if isinstance(t, ast.Name) and is_shown(t.id)}
    stub.body = []
    for field in fields:
        stub.body.append(ast.AnnAssign(field.target, with_none(field.annotation, field.value), ast.Constant(...) if has_default(field) else None, 1))
    methods = [signature(f, module, needs) for f in own if is_shown(f.name)]
    methods += [method(f, other, needs) for f, other in patches if is_shown(f.name)]
    known = {f.target.id for f in fields} | {f.name for f in methods} | set(plain)
    needs.add("from typing import Any")
    found = {name: kind or ast.Name("Any") for name, kind in {**plain, **attributes(node, known)}.items()}
    if stub.decorator_list:  # a dataclass: an annotation would be one of its fields
        methods = [ast.parse(f"@property\ndef {name}(self) -> {ast.unparse(kind)}: ...").body[0] for name, kind in found.items()] + methods
    else:
        stub.body += [ast.AnnAssign(ast.Name(name), kind, None, 1) for name, kind in found.items()]
    stub.body += methods
    stub.body = stub.body or [ast.Expr(ast.Constant(...))]
    return stub


def has_default(field):
    "Whether a field of a class may be left out; `field(repr=False)` gives no default."
    if isinstance(field.value, ast.Call) and ast.unparse(field.value.func) in ("field", "dataclasses.field"):
        return any(keyword.arg in ("default", "default_factory") for keyword in field.value.keywords)
    return field.value is not None


def kind_of(value):
    "The type of a constant or of a display like `[...]`, else None."
    kinds = {ast.Dict: "dict", ast.DictComp: "dict", ast.List: "list", ast.Tuple: "tuple", ast.JoinedStr: "str"}
    kind = type(value.value).__name__ if isinstance(value, ast.Constant) and value.value not in (None, ...) else kinds.get(type(value))
    return kind and ast.Name(kind)


def value_stub(name, value, needs):
    needs.add("from typing import Any")
    return ast.AnnAssign(ast.Name(name), kind_of(value) or ast.Name("Any"), None, 1)


def names_in(nodes):
    return {each.id for node in nodes for each in ast.walk(node) if isinstance(each, ast.Name)}


def stub_of(module, modules):
    "The text of a module's stub."
    patches = [(f, other) for other in modules.values() for f in other.patched
               if other.owner(ast.unparse(f.args.args[0].annotation)) == module.name]
    needs, wanted, done = set(), [name for name in module.public if name in module.defined or name in module.values], {}
    while wanted:
        name = wanted.pop(0)
        if name in done:
            continue
        node = module.defined.get(name)
        if isinstance(node, ast.ClassDef):
            done[name] = class_stub(node, module, [(f, o) for f, o in patches if ast.unparse(f.args.args[0].annotation) == name], needs)
        elif node is not None:
            done[name] = signature(node, module, needs)
        else:
            done[name] = value_stub(name, module.values[name], needs)
        wanted += sorted(used for used in names_in([done[name]]) if used in module.defined and used not in done)
    order = {name: k for k, name in enumerate([*module.values, *module.defined])}
    nodes = [done[name] for name in sorted(done, key=lambda name: (isinstance(done[name], ast.FunctionDef), order.get(name, 0)))]
    for name in sorted(names_in(nodes) - set(done)):
        if name in module.imports:
            needs.add(module.imports[name])
        else:  # a type that a patch of another module brings along
            needs |= {other.imports.get(name) or f"from .{other.name} import {name}" for _, other in patches
                      if name in other.imports or name in other.defined}
    body = "\n\n\n".join(ast.unparse(ast.fix_missing_locations(node)) for node in nodes)
    body = re.sub(r"^(    (?:index|count): .+)$", r"\1  # type: ignore[assignment]", body, flags=re.M)  # of a NamedTuple: hides the method of tuples
    read = {node.id for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    needs = {line for line in needs if any((alias.asname or alias.name) in read for alias in ast.parse(line).body[0].names)}
    if module.name in gives_on:
        own = {line: f"{line} as {name}" for name, line in module.imports.items() if re.fullmatch(rf"from \.\w+ import {name}", line)}
        needs = needs - set(own) | set(own.values())
    listed = f"__all__ = {module.public!r}\n\n\n" if module.public else ""
    return "# Written by nbs/_tools/stubs.py; do not edit.\n" + "".join(line + "\n" for line in sorted(needs)) + "\n" + listed + body + "\n"


def stubs():
    "File name -> text of every stub."
    modules = {path.stem: Module(path) for path in sorted(package.glob("[a-z]*.py"))}
    return {f"{name}.pyi": stub_of(module, modules) for name, module in modules.items()}


def main():
    made, stale = stubs(), []
    for path in package.glob("*.pyi"):
        if path.name not in made:
            stale.append(path.name)
    for name, text in made.items():
        path = package/name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
    if "--check" in sys.argv:
        sys.exit(f"out of date: {', '.join(stale)}; run python nbs/_tools/stubs.py" if stale else 0)
    for name in stale:
        if name in made:
            (package/name).write_text(made[name], encoding="utf-8")
        else:
            (package/name).unlink()
    print(f"{len(stale)} of {len(made)} stubs written")


if __name__ == "__main__":
    main()
