"""Starts of few short runs, for tests that do not ask where starts lead."""

from fastem.starts.named import MERGED, ROWS

SHORT = {
    "starts.subsample.SUBSAMPLE": 60,  # starts are coarse from five times as many rows
    "starts.short_runs.RUNS": 2,
    "starts.short_runs.SHORT_RUN": 2,
    "starts.short_runs.SIDE_ROUNDS": ((2, 2), (2, 1)),
    "starts.short_runs.GATED_ROUNDS": ((2, 2), (2, 1)),
    "starts.regroup.SPLIT_RUN": 2,
    "starts.regroup.MOST_CANDIDATES": 2,
    "estimators.exponential_family_mixture.DensityFamily.start_kinds": {MERGED: 1, ROWS: 2},
    "estimators.exponential_family_mixture.DensityFamily.start_rounds": ((2, 2), (2, 1)),
    "estimators.exponential_family_mixture.DensityFamily.move_rounds": ((2, 1),),
    "families.student_t.StudentTFamily.move_rounds": ((2, 1),),
    "families.gaussian.densities.MOVE_ROUNDS": ((2, 1),),
    "starts.short_runs.MOST_MOVES": 1,
    "families.mixed.MixedFamily.start_kinds": {MERGED: 1, ROWS: 2},
    "families.mixed.MixedFamily.start_rounds": ((2, 2), (2, 1)),
    "families.gaussian.densities.CovarianceFamily.incomplete_rounds": (((2, 2), (2, 1)), ((2, 1),)),
}


def shorten(monkeypatch):
    """Few kinds of starts, and few iterations of each."""
    for name, few in SHORT.items():
        monkeypatch.setattr(f"fastem.{name}", few)
