"""Every parameter is documented where a user looks: numpydoc's validation of all estimators and their methods."""

import inspect
import re

import numpy as np
import pytest
import sklearn
from models import MODELS, points

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


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in ESTIMATORS if "Mixture" in name])
def test_covariates_are_spoken_of_where_a_fit_may_have_some(name):
    """In the attributes, and in what a meta-estimator may hand on."""
    model, rows = getattr(fastem, name)(), np.array([[0, 1.0], [1, 0], [1, 0], [0, 1]])
    takes = True
    try:
        model.fit(rows, covariates=rows[:, :1])
    except ValueError as error:  # or 0 is no value of the family
        takes = "cannot be combined with covariates" not in str(error)
    doc, routing = inspect.getdoc(type(model)), model.get_metadata_routing()
    assert all((word in doc) == takes for word in ("gate_coefficients_", "gate_in_units_", "covariate_names_"))
    for method in ("fit", "score", "predict", "predict_proba", "partial_fit"):
        assert ("covariates" in getattr(routing, method).requests) == (takes and method != "partial_fit")
    if not takes:
        with sklearn.config_context(enable_metadata_routing=True):
            with pytest.raises(TypeError, match=f"{name}.fit has no argument 'covariates'"):
                model.set_fit_request(covariates=True)


X = points(np.random.default_rng(0), 60)
FITS = {
    **{str(family): lambda family=family: family.make(2, max_iter=2).fit(family.data(60)) for family in MODELS},
    "noise": lambda: fastem.GaussianMixture(noise="box").fit(X),
    "prior": lambda: fastem.GaussianMixture(prior={}).fit(X),
    "gate": lambda: fastem.GaussianMixture(2, max_iter=2).fit(X, covariates=X[:, :1]),
    "bayesian": lambda: fastem.BayesianGaussianMixture().fit(X),
    "factor analysis": lambda: fastem.FactorAnalysis(1).fit(X),
    "ppca": lambda: fastem.PPCA(1).fit(X),
    "regressions": lambda: fastem.MixtureOfRegressions().fit(X, X[:, 0]),
    "regressor": lambda: fastem.GaussianMixtureRegressor().fit(X[:, :2], X[:, 2]),
    "detector": lambda: fastem.OutlierDetector().fit(X),
    "own": lambda: fastem.Mixture.of(lambda X, m: -((X - m) ** 2).sum(axis=1), lambda X, w: w @ X / w.sum())().fit(X),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FITS)
def test_every_fitted_attribute_is_in_the_section_of_attributes(name):
    model = FITS[name]()
    section = re.split(r"\n\n(?=.*\n---)", inspect.getdoc(type(model)).partition("Attributes\n----------\n")[2])[0]
    said = re.findall(r"\w+_\b", " ".join(line.split(" : ")[0] for line in section.splitlines() if line[0] != " "))
    there = {name for name in dir(model) if re.fullmatch(r"[a-z]\w*_", name) and getattr(model, name, None) is not None}
    assert there - {*said} == set()


@pytest.mark.parametrize("name", fastem.__all__)
def test_every_public_property_says_what_it_is(name):
    members = inspect.getmembers(getattr(fastem, name), lambda value: isinstance(value, property))
    assert [member for member, value in members if member[0] != "_" and not inspect.getdoc(value)] == []


def test_docs_name_all_ways_to_what_is_left_to_gain():
    X = fastem.datasets.load_faithful().data
    by_hand = fastem.GaussianMixture.from_parameters([1.0], X[:1], np.eye(2)[None])
    by_hand.score_samples(X)
    for model in (
        fastem.PPCA(1).fit(X),
        fastem.FactorAnalysis(1).fit(X[:50]),
        fastem.GaussianMixture(1).fit(X),
        by_hand,
    ):
        kind = fastem.FactorAnalysis if isinstance(model, fastem.PPCA) else type(model)
        for documented in (kind, fastem.EMResult):
            assert (
                f'"{model.remaining_gain_method_}"' in inspect.getdoc(documented).partition("remaining_gain_method")[2]
            )
