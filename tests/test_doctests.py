"""The examples in the docstrings of the installed package."""

import doctest
import importlib
import importlib.util
import pkgutil

import pytest

import fastem

MODULES = ["fastem"] + sorted(
    found.name
    for found in pkgutil.walk_packages(fastem.__path__, "fastem.")
    if not found.name.startswith("fastem.kernels._")
    and (importlib.util.find_spec("pyspark") or not found.name.startswith("fastem.rows.sources.spark_"))
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    count = sum(len(test.examples) > 0 for name in MODULES for test in finder.find(importlib.import_module(name)))
    assert count >= 5
