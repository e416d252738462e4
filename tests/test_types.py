"""Types for users: a program that uses every public name passes the checkers, and mistakes in it do not."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import fastem

PROGRAM = Path(__file__).with_name("public_names.py")
MISTAKES = """
import fastem
model = fastem.GaussianMixture(2, n_component=3)
model.fit([[0.0]]).predic([[0.0]])
model.meanz_
fastem.PoissonMixture(2).fit([[0.0]]).means_
"""


def checked(checker, program, tmp_path):
    """The exit code and the report of a type checker."""
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed")
    options = ["--strict", f"--cache-dir={tmp_path}", "--follow-imports=silent"] if checker == "mypy" else []
    command = [sys.executable, "-P", "-m", checker, *options, str(program)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    return ran.returncode, ran.stdout + ran.stderr


def test_the_program_uses_every_public_name():
    tree = ast.parse(PROGRAM.read_text())
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    used |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert set(fastem.__all__) - used == set()


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_the_program_has_its_types(checker, tmp_path):
    code, report = checked(checker, PROGRAM, tmp_path)
    assert code == 0, report


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_mistakes_are_seen(checker, tmp_path):
    program = tmp_path / "mistakes.py"
    program.write_text(MISTAKES)
    _, report = checked(checker, program, tmp_path)
    for word in ("n_component", "predic", "meanz_", "means_"):
        assert word in report, report
