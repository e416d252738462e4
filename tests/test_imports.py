"""The rules of the house: which room may import which, no circles, private names stay in their room.

A room is a folder of fastem/; a sub-room (rows/sources, models/gaussian, families/gaussian) belongs to its parent.
"""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import fastem

PACKAGE = Path(__file__).resolve().parent.parent / "fastem"

# From the ground up: a room imports itself and rooms of the lines before its own. `models` and `driver` share a line,
# since neither knows the other: that is the idea of the library.
ROOMS = [
    ["errors", "datasets"],
    ["kernels"],
    ["rows"],
    ["models", "driver"],
    ["starts"],
    ["estimators"],
    ["families"],
    ["plot"],
    ["inference"],
    ["top"],  # the files of fastem/ itself
    ["shell"],  # and __main__.py, which runs it
]
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
REQUIRED = {"numpy", "scipy"}
OPTIONAL = {  # package: the room or file that may import it, always inside a function unless it is named here twice
    "dask": "rows.sources",
    "distributed": "rows.sources",
    "matplotlib": "plot",
    "narwhals": "rows.sources.frames",
    "pandas": "inference",
    "py4j": "rows.sources",
    "pyarrow": "rows.sources",
    "pyspark": "rows.sources",
    "sklearn": "estimators",
    "tqdm": "driver.progress",
}
# files that are about an optional package, import it at their top, and are themselves imported inside functions
DOORS = {"rows.sources.arrow_tables", "rows.sources.arrow_files", "rows.sources.dask_blocks"}
DOORS |= {f"rows.sources.spark_{name}" for name in ("frame", "partitions", "results", "failures")}
NAMELESS = {"utils", "util", "helpers", "helper", "common", "base", "misc", "config"}
NAMEDTUPLE = {"_replace", "_asdict", "_fields", "_make"}  # public, whatever their names


def module_of(path):
    """driver.em for fastem/driver/em.py; a room itself for its __init__."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module):
    first = "shell" if module == "__main__" else module.partition(".")[0]
    return first if first in LEVEL else "top"


FILES = {module_of(path): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}


def imports_of(tree):
    """(module, name or None, whether inside a function) of all imports."""
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, None, id(node) in inside
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            for alias in node.names:
                yield node.module, alias.name, id(node) in inside


def targets_of(tree):
    """(file of fastem, name or None, whether inside a function): what a file imports of the package."""
    for module, name, lazy in imports_of(tree):
        top, _, rest = module.partition(".")
        if top == "fastem":
            below = f"{rest}.{name}".strip(".") if name else rest
            yield (below, None, lazy) if below in FILES else (rest, name, lazy)


def forbidden(module, tree):
    """Imports that run against the line of rooms, or bring in what is optional."""
    room = room_of(module)
    for target, _, lazy in targets_of(tree):
        other = room_of(target)
        if other != room and LEVEL[other] >= LEVEL[room]:
            yield f"{module} imports {target or 'fastem itself'}: {other} does not lie below {room}"
        if target in DOORS and not lazy and module not in DOORS:
            yield f"{module} imports {target} at its top, and with it an optional package"
    for imported, _, lazy in imports_of(tree):
        top = imported.partition(".")[0]
        if top == "fastem" or top in sys.stdlib_module_names | REQUIRED:
            continue
        place = OPTIONAL.get(top)
        if place is None or not f"{module}.".startswith(f"{place}."):
            yield f"{module} imports {top}, which has its place in {place}"
        elif not lazy and module not in DOORS:
            yield f"{module} imports {top} at its top, which is an optional package"


def circles(files):
    """Groups of files that import each other, over any number of steps (Tarjan); lazy imports count."""
    graph = {module: {target for target, _, _ in targets_of(tree)} - {module} for module, tree in files.items()}
    number, low, stack, found = {}, {}, [], []

    def visit(node):
        number[node] = low[node] = len(number)
        stack.append(node)
        for other in graph[node] & graph.keys():
            if other not in number:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], number[other])
        if low[node] == number[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in graph:
        if node not in number:
            visit(node)
    return found


def private_uses(module, tree, defined):
    """Private names of other objects that are defined outside the room; `defined`: {room: names}."""
    room = room_of(module)
    imported = {name for name, _, _ in imports_of(tree)} & sys.stdlib_module_names
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in defined[room] | NAMEDTUPLE:
            owner = node.value
            if isinstance(owner, ast.Name) and owner.id in {"self", "cls"} | imported:
                continue
            if isinstance(owner, ast.Call) and isinstance(owner.func, ast.Name) and owner.func.id == "super":
                continue
            yield f"{module}:{node.lineno} uses {ast.unparse(node)}"
    for target, name, _ in targets_of(tree):
        if name and is_private(name) and room_of(target) != room:
            yield f"{module} imports {name} of {target}"


def is_private(name):
    return name.startswith("_") and not name.endswith("__")


def private_names(tree):
    """The private members that the classes of a file define, and what it assigns to attributes of self."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, ast.FunctionDef):
                    yield member.name
                elif isinstance(member, (ast.Assign, ast.AnnAssign)):
                    targets = member.targets if isinstance(member, ast.Assign) else [member.target]
                    yield from (target.id for target in targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
                yield node.attr


def defined_in(files):
    names = {room: set() for room in LEVEL}
    for module, tree in files.items():
        names[room_of(module)] |= {name for name in private_names(tree) if is_private(name)}
    return names


def test_every_folder_is_a_room():
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"} == {*LEVEL} - {
        "errors",
        "top",
    }


@pytest.mark.parametrize("module", sorted(FILES))
def test_imports_follow_the_line_of_rooms(module):
    assert list(forbidden(module, FILES[module])) == []


def test_no_circle():
    without_faces = {module: tree for module, tree in FILES.items() if module not in ("", "families")}
    assert circles(without_faces) == []


@pytest.mark.parametrize("sub_room", ["rows.sources", "models.gaussian", "families.gaussian"])
def test_a_sub_room_lies_above_its_parent_or_below(sub_room):
    parent = sub_room.partition(".")[0]
    crossings = Counter()
    for module, tree in FILES.items():
        if room_of(module) != parent or module == parent:
            continue
        inside = module.startswith(sub_room)
        for target, _, _ in targets_of(tree):
            if room_of(target) == parent and target != parent and target.startswith(sub_room) != inside:
                crossings["out of it" if inside else "into it"] += 1
    assert len(crossings) == 1


def test_private_names_stay_in_their_room():
    defined = defined_in(FILES)
    assert [use for module, tree in FILES.items() for use in private_uses(module, tree, defined)] == []


SLOW = ["scipy.optimize", "scipy.special", "scipy.linalg", "scipy.cluster", "scipy.stats", "importlib.metadata"]


def test_what_takes_long_is_imported_where_it_is_used():
    """Half of the time of `import fastem` went to modules that few fits need."""
    code = f"import sys, fastem; print([name for name in {SLOW} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert ran.stdout.strip() == "[]"


def test_no_room_bears_the_name_of_a_public_function():
    at_the_top = {path.stem for path in PACKAGE.iterdir()}
    assert not at_the_top & {name for name in fastem.__all__ if not isinstance(getattr(fastem, name), type(fastem))}


def test_no_room_without_a_name():
    names = {path.stem for path in PACKAGE.rglob("*") if path.is_dir() or path.suffix in (".py", ".pyx", ".pxi", ".h")}
    assert not names & NAMELESS


@pytest.mark.parametrize(
    "module, source",
    [
        ("rows.statistics", "from fastem.driver.em import em"),
        ("driver.em", "from fastem.models import mixture"),
        ("models.mixture", "def f():\n    from fastem.driver.em import em"),
        ("driver.em", "import fastem"),
        ("estimators.estimator", "from fastem.families.load import load"),
        ("estimators.estimator", "import sklearn.base"),
        ("driver.em", "def f():\n    import tqdm"),
        ("rows.sources.files", "import pyarrow"),
        ("rows.sources.files", "from fastem.rows.sources.arrow_files import open_dataset"),
    ],
)
def test_a_forbidden_import_is_seen(module, source):
    assert len(list(forbidden(module, ast.parse(source)))) == 1


def test_a_circle_is_seen():
    files = {
        "driver.em": ast.parse("from fastem.driver.history import Step"),
        "driver.history": ast.parse("def f():\n    from fastem.driver.em import em"),
        "driver.stopping": ast.parse("from fastem.driver.em import em"),
    }
    assert circles(files) == [["driver.em", "driver.history"]]


def test_a_private_use_is_seen():
    files = {
        "estimators.estimator": ast.parse("class Estimator:\n    def _keep(self): self._x = 1"),
        "estimators.merging": ast.parse("def f(estimator): return estimator._keep()"),
        "plot.fits": ast.parse("def _keep(): pass\ndef f(self, e): return e._keep(), self._x, e._replace(), e.__doc__"),
    }
    uses = {module: list(private_uses(module, tree, defined_in(files))) for module, tree in files.items()}
    assert [len(found) for found in uses.values()] == [0, 0, 1]
