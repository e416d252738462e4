"""Imports point downwards only: the layers, in one list, against what the files say."""

import ast
import re
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "fastem"

FILES = {path.stem: path for path in PACKAGE.glob("*.py")}
FILES |= {path.parent.name: path for path in PACKAGE.glob("*/__init__.py")}
FAMILIES = re.findall(r"^from fastem\.(\w+) import", FILES["families"].read_text(), re.MULTILINE)
ON_FAMILIES = ["mixed"]  # families of families

# From the ground up; a file imports only from lines above its own. A new file needs a place here, a family has one.
LAYERS = [
    ["kernels", "errors", "progress", "drawing", "read_ahead", "whole_file", "cutting", "spread"],
    ["matrices", "gamma_shape", "relative_spread"],
    ["conditional_factors"],
    ["validation", "statistics", "threads", "stopping", "acceleration", "history", "parameters", "checkpoint"],
    ["covariance", "shares"],
    ["covariance_families", "eigenvalue_ratio", "priors", "scale", "blocks", "chunks", "theory", "rotation"],
    ["columns", "datasets", "missing", "partitions"],
    ["delimited"],
    ["arrow_blocks", "dask_blocks"],
    ["arrow_files"],
    ["tables"],
    ["sources"],
    ["gaussian_kernels", "em", "moments"],
    ["emissions", "online"],
    ["mixture", "exponential_family", "constrained_gaussian"],
    ["initialise", "noise", "imputation", "diagnosis", "factor_analysis"],
    ["gaussian_start", "labelled", "conditional", "component_distances"],
    ["gaussian_uses", "merging"],
    ["density_uses"],
    ["coarse", "fit_report", "constraints"],
    ["regroup"],
    ["collapse"],
    ["restarts", "estimators", "noise_start", "adaptation"],
    ["fitted_mixture", "factor_estimator", "mixture_stream"],
    ["mixture_estimator"],
    ["family_mixture", "noisy_mixture"],
    ["gaussian_mixture", "latent_factors"],
    ["gaussian_regressor"],
    sorted({*FAMILIES} - {"gaussian_mixture", "latent_factors", *ON_FAMILIES}),
    ON_FAMILIES,
    ["families"],
    ["model_search"],
    # leaves: nothing of the above imports them
    ["plot_fits", "plot_parameters", "plot_selection"],
    ["plot_mixtures"],
    ["persistence", "plot", "predictions", "summary", "versions"],
    ["bootstrap", "select", "standard_errors"],
    ["__init__"],
    ["__main__"],
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
UPWARDS = {
    ("estimators", "persistence"): "the method save calls a leaf, from inside the method",
    ("exponential_family", "mixture"): "a start takes its sums from a mixture of one component",
}
REQUIRED = {"numpy", "scipy"}
# files of an optional package; they are imported inside functions themselves
DOORS = {"arrow_blocks": ["pyarrow"], "arrow_files": ["pyarrow"], "dask_blocks": ["dask", "distributed"]}
NAMELESS = {"utils", "util", "helpers", "helper", "common", "base", "misc", "config"}


def imports_of(tree):
    """(module, whether inside a function) of all imports; `from fastem import x` counts as fastem.x."""
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in inside
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            for alias in node.names:
                whole = node.module == "fastem" and alias.name in FILES
                yield f"fastem.{alias.name}" if whole else node.module, id(node) in inside


def violations(name, tree):
    """What a file imports that it may not."""
    for module, lazy in imports_of(tree):
        top, _, rest = module.partition(".")
        if top == "fastem":
            target = rest.split(".")[0] or "__init__"
            if target == name or (lazy and (name, target) in UPWARDS):
                continue
            if LEVEL[target] >= LEVEL[name]:
                yield f"{name} imports {target}, which lies no lower"
            if target in DOORS and not lazy and name not in DOORS:
                yield f"{name} imports {target} at its top, and with it {DOORS[target][0]}"
        elif top not in sys.stdlib_module_names | REQUIRED and not lazy and top not in DOORS.get(name, []):
            yield f"{name} imports {top} at its top, which is an optional package"


def test_every_file_has_a_layer():
    assert set(FILES) == set(LEVEL)


@pytest.mark.parametrize("name", sorted(FILES))
def test_imports_point_downwards(name):
    assert list(violations(name, ast.parse(FILES[name].read_text()))) == []


@pytest.mark.parametrize(
    "name, source",
    [
        ("statistics", "from fastem.em import em"),
        ("em", "from fastem import mixture"),
        ("em", "import fastem"),
        ("mixture", "def f():\n    from fastem.gaussian_mixture import GaussianMixture"),
        ("estimators", "from fastem.persistence import save"),
        ("estimators", "import sklearn.base"),
        ("tables", "import pyarrow"),
        ("tables", "from fastem.arrow_files import open_dataset"),
    ],
)
def test_a_forbidden_import_is_seen(name, source):
    assert len(list(violations(name, ast.parse(source)))) == 1


def test_no_room_without_a_name():
    names = {path.stem for path in PACKAGE.rglob("*") if path.is_dir() or path.suffix in (".py", ".pyx", ".pxi", ".h")}
    assert not names & NAMELESS
