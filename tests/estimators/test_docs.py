"""Every parameter is documented where a user looks: numpydoc's validation of all estimators and their methods."""

import inspect

import pytest

import fastem
from fastem.families import ESTIMATORS

CLASSES = [*ESTIMATORS, "GaussianMixtureRegressor", "OutlierDetector", "Mixture"]
# the parameters are those of the signature, each has a description, and there is a docstring
RULES = {"PR01", "PR02", "PR03", "PR07", "GL08"}


def public(name):
    """A class and its public methods, by their names in fastem."""
    cls = getattr(fastem, name)
    yield f"fastem.{name}"
    for member, value in inspect.getmembers(cls):
        if not member.startswith("_") and callable(value):
            yield f"fastem.{name}.{member}"


@pytest.mark.parametrize("name", CLASSES)
def test_every_parameter_is_documented(name):
    validate = pytest.importorskip("numpydoc.validate").validate
    without_words = {"PR07"}  # of methods, some arguments say all in their type
    found = {
        each: [message for code, message in validate(each)["errors"] if code in RULES - without_words]
        for each in public(name)
    }
    assert {each: messages for each, messages in found.items() if messages} == {}


@pytest.mark.parametrize("name", CLASSES)
def test_every_parameter_of_a_constructor_has_its_words(name):
    validate = pytest.importorskip("numpydoc.validate").validate
    assert [message for code, message in validate(f"fastem.{name}")["errors"] if code in RULES] == []


@pytest.mark.parametrize("name", CLASSES)
def test_no_docstring_sends_the_reader_to_an_internal_class(name):
    doc = inspect.getdoc(getattr(fastem, name))
    assert "fastem.estimators" not in doc and "{" + "parameters}" not in doc and "{" + "attributes}" not in doc
    assert all(f"\n{parameter} :" in doc for parameter in getattr(fastem, name)().get_params())
