"""The error catalogue, read from the code: every message that the package can raise, where, and whether a test quotes it.

`python nbs/_tools/errors.py` prints the messages that no test quotes and those that name no fix."""
import ast
import builtins
import json
import re
from dataclasses import dataclass
from pathlib import Path

root = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Entry:
    "One message of the package."
    module: str
    notebook: str   # the notebook it stands in
    function: str   # where it is raised
    kind: str       # the exception's class, or "warning"
    message: str    # what varies stands in braces
    parts: tuple    # the words that do not vary

    @property
    def cause(self):
        return _halves(self.message)[0]

    @property
    def fix(self):
        return _halves(self.message)[1]

    @property
    def is_part(self):
        "Whether it is taken up by another message: `... cannot be used: holds a twice; fetch the archive again`."
        inside = {"{name}", "holds", "unpacks", "refers", "asks", "uses"}
        return self.kind[0] == "_" or self.message.split()[0] in inside or (len(self.message.split()) < 6 and not self.fix)


def _halves(message):
    "Cause and fix: the house's messages are `cause; fix`, a few have the fix in sentences of their own."
    for mark in ("; ", r"\. "):
        halves = re.split(mark + r"(?![^{]*})", message, maxsplit=1)  # not within braces
        if len(halves) == 2:
            return tuple(halves)
    return message, ""


def _exceptions(trees):
    "The names of all exception classes: Python's and the package's own."
    known = {name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)}
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    for _ in classes:
        known |= {c.name for c in classes if any(_last_name(base) in known for base in c.bases)}
    return known


def _last_name(node):
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _text(node, names):
    "A message as a list of pieces: a text, or an expression that varies; None when the node is no text. `names`: what variables hold."
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return [piece for value in node.values for piece in
                ([value.value] if isinstance(value, ast.Constant) else _text(value.value, names) or [_varying(value.value)])]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        sides = [_text(side, names) or [_varying(side)] for side in (node.left, node.right)]
        return [piece for side in sides for piece in side]
    if isinstance(node, ast.IfExp):
        one, other = _text(node.body, names), _text(node.orelse, names)
        return [*one, " / ", *other] if one and other and "".join(map(str, one)).strip() and "".join(map(str, other)).strip() else None
    if isinstance(node, ast.Name) and node.id in names:
        return _text(names[node.id], {})


def _varying(node):
    "What varies, shortly: `plain(path)` is a path."
    if isinstance(node, ast.Call) and _last_name(node.func) in ("plain", "str", "repr") and node.args:
        node = node.args[0]
    return (ast.unparse(node),)


class _Finder(ast.NodeVisitor):
    "Collects (function node, exception or warning, message node, call) and all calls by the name of what is called."
    def __init__(self, exceptions):
        self.exceptions, self.path, self.found, self.calls = exceptions, [], [], []

    def visit_FunctionDef(self, node):
        self.path.append(node)
        self.generic_visit(node)
        self.path.pop()

    visit_ClassDef = visit_FunctionDef

    def visit_Call(self, node):
        name = _last_name(node.func)
        if name in self.exceptions and node.args:
            self.found.append((tuple(self.path), name, node.args[0]))
        elif name == "warn" and node.args:
            self.found.append((tuple(self.path), "warning", node.args[0]))
        self.calls.append((tuple(self.path), name, node))
        self.generic_visit(node)


def _assigned(function):
    "The texts that the variables of a function hold, where they are assigned once."
    found = {}
    for node in ast.walk(function) if function else ():
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, value = node.targets[0], node.value
            pairs = zip(target.elts, value.elts) if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) else [(target, value)]
            for name, content in pairs:
                found.setdefault(getattr(name, "id", None), []).append(content)
    return {name: values[0] for name, values in found.items() if len(values) == 1}


def _through_helper(function, pieces, calls):
    "Messages that a helper is given by its callers: (path of the caller, pieces) for each call with words in it."
    names = [a.arg for a in function.args.args] if isinstance(function, ast.FunctionDef) else []
    for path, called, node in calls:
        if called != getattr(function, "name", None) or not names:
            continue
        given = dict(zip(names, node.args)) | {k.arg: k.value for k in node.keywords}
        texts = {name: _text(value, {}) for name, value in given.items()}
        if any(text and " " in "".join(p for p in text if isinstance(p, str)) for name, text in texts.items() if (name,) in pieces):
            yield path, [q for p in pieces for q in (texts.get(p[0]) or [p] if isinstance(p, tuple) else [p])]


def catalogue(package=root/"cifar_cam"):
    "All messages of the package, as a list of `Entry`, in the order of the notebooks."
    paths = [p for p in sorted(Path(package).glob("*.py")) if p.stem[0] != "_"]
    trees = {p.stem: ast.parse(p.read_text(encoding="utf-8")) for p in paths}
    exceptions, result = _exceptions(trees.values()), {}
    for path in paths:
        notebook = re.search(r"File to edit: \.\./nbs/(\S+)\.ipynb", path.read_text(encoding="utf-8"))[1]
        finder = _Finder(exceptions)
        finder.visit(trees[path.stem])
        for where, kind, message in finder.found:
            function = where[-1] if where else None
            pieces = _text(message, _assigned(function))
            if not pieces:
                continue
            for place, words in list(_through_helper(function, pieces, finder.calls)) or [(where, pieces)]:
                entry = _entry(path.stem, notebook, place, kind, words)
                result.setdefault((entry.module, entry.message), entry)
    return sorted(result.values(), key=lambda e: e.notebook)


def _entry(module, notebook, where, kind, pieces):
    message = "".join(p if isinstance(p, str) else "{" + p[0] + "}" for p in pieces)
    parts = [[]]
    for piece in pieces:
        parts[-1].append(piece) if isinstance(piece, str) else parts.append([])
    function = ".".join(node.name for node in where)
    return Entry(module, notebook, function, kind, " ".join(message.split()), tuple("".join(p) for p in parts if p))


# Which test quotes which message

def quotations(folder=root):
    "What tests and the test cells of notebooks quote: (modules they are about, texts) for each file."
    for path in sorted((folder/"tests").glob("test_*.py")):
        source = path.read_text(encoding="utf-8")
        yield _imported(source), _texts(source)
    for path in sorted((folder/"nbs").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
        own = re.findall(r"^#\|\s*default_exp\s+(\w+)", "\n".join(code), re.M)
        tests = [re.sub(r"^(\s*)[!%].*$", r"\1pass", c, flags=re.M) for c in code if not re.search(r"^#\|\s*exports?\b", c, re.M)]
        yield set(own) or _imported("\n".join(code)), set().union(*map(_texts, tests))


def _imported(source):
    "The modules of the package that a source imports from."
    names = re.findall(r"^\s*from cifar_cam\.(\w+) import", source, re.M)
    lists = re.findall(r"^\s*from cifar_cam import (.+)$", source, re.M)
    return {*names, *(part.split(" as ")[0].strip(" ()") for line in lists for part in line.split(","))}


def _texts(source):
    "All texts in a source but its documentation; patterns without their signs."
    tree = ast.parse(source)
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in documents]
    return {piece for text in texts for piece in (text, *re.split(r"\.\*|\.\+|\\d\+", re.sub(r"\\([^dw])", r"\1", text)))}


def _runs(text, length):
    return {text[k:k + length] for k in range(len(text) - length + 1)}


def _own(entry, near, mine):
    "Whether a message has words that stand in no other of `near`."
    return mine[entry] - set().union(*(mine[other] for other in near if other is not entry))


def untested(entries, sources, length=8):
    """Entries that no test quotes: at least `length` characters in a row of the message that stand in no other message of the modules
    which that test is about. Messages without so many words of their own pass others on, and are passed over."""
    mine = {entry: set().union(*(_runs(part, length) for part in entry.parts)) for entry in entries if entry.parts}
    left = {entry for entry, runs in mine.items() if runs}
    for modules, texts in sources:
        near = [entry for entry in mine if entry.module in modules]
        said = set().union(*(_runs(text, length) for text in texts))
        times = {}
        for entry in near:
            for run in mine[entry] & said:
                times.setdefault(run, []).append(entry)
        left -= {some[0] for some in times.values() if len(some) == 1}
        left -= {entry for entry in near if entry in left and mine[entry] & said and not _own(entry, near, mine)}
    return [entry for entry in entries if entry in left]


imperative = re.compile(r"[;:] |\b(use|choose|give|try|run|add|remove|make|put|pass|correct|convert|save|keep|leave|set|must|needs?|is a|are|takes|only|compare|first or last)\b")


def without_fix(entries):
    "Entries whose message does not say what to do, or what would be right; parts of others left out."
    return [entry for entry in entries if not entry.is_part and not imperative.search(entry.message)]


if __name__ == "__main__":
    found = catalogue()
    for title, some in (("no test quotes", untested(found, list(quotations()))), ("no fix", without_fix(found))):
        print(f"\n{title}: {len(some)} of {len(found)}")
        print("\n".join(f"  {e.notebook} {e.function} {e.kind}: {e.message}" for e in some))
