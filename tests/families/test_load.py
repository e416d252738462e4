"""Model files that were written before the package was laid out in rooms are read, and score as they did."""

from pathlib import Path

import numpy as np
import pytest

import fastem

FOLDER = Path(__file__).parent / "files_of_0_1"
SCORES = np.load(FOLDER / "scores.npz")
ROWS = {
    "poisson": SCORES["counts"],
    "geometric": SCORES["counts"],
    "bernoulli": (SCORES["counts"] > 3) * 1.0,
    "categorical": np.minimum(SCORES["counts"], 3),
    "vmf": SCORES["U"],
}
NAMES = sorted(path.stem for path in FOLDER.glob("*.npz") if path.stem != "scores")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_written_before_is_read(name):
    model = fastem.load(FOLDER / f"{name}.npz")
    scores = model.score_samples(ROWS.get(name, SCORES["X"]))
    np.testing.assert_allclose(scores, SCORES[f"s_{name}"], rtol=1e-12, atol=1e-12)


def test_every_estimator_has_a_file():
    assert {type(fastem.load(FOLDER / f"{name}.npz")).__name__ for name in NAMES} == {*fastem.families.ESTIMATORS}


def test_the_kind_that_a_file_must_hold(tmp_path):
    fastem.PoissonMixture.from_parameters([1.0], [[2.0]]).save(tmp_path / "model.npz")
    assert type(fastem.load(tmp_path / "model.npz", fastem.PoissonMixture)) is fastem.PoissonMixture
    with pytest.raises(ValueError, match="contains a PoissonMixture, not a GaussianMixture"):
        fastem.load(tmp_path / "model.npz", fastem.GaussianMixture)
