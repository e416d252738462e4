"""``fastem fit``: read, fit, print, save, draw."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from fastem.estimators.refused_sides import require_sides
from fastem.estimators.summary import as_dict
from fastem.rows.side_columns import at_the_end
from fastem.shell.models import FACTORS, estimator
from fastem.shell.picture import rows_to_draw
from fastem.shell.rows import names_of, require_other_files, rows_to_fit, sides_of

NOT_CONVERGED = 3  # the exit code with --strict
PARAMETERS = (  # options that are parameters of an estimator
    *("n_components", "covariance_type", "random_state", "n_init", "tol", "max_iter", "n_threads", "verbose"),
    *("noise", "kinds", "n_factors"),
)


def fit(arguments: argparse.Namespace) -> int | None:
    """Run ``fastem fit``; the exit code where it is not 0."""
    from fastem.plot.canvas import require_file_type

    require_other_files(arguments, arguments.files)
    if arguments.plot is not None:
        require_file_type(arguments.plot)
    if arguments.resume and arguments.checkpoint is None:
        raise ValueError("--resume needs the file to go on from: name it with --checkpoint")
    if arguments.resume and not Path(arguments.checkpoint).exists():
        print(f"fastem: nothing to resume in {arguments.checkpoint}: the fit begins anew", file=sys.stderr)
    family = arguments.family
    if arguments.n_components == 0 and family not in FACTORS:
        raise ValueError(f"--components 0 is not for --model {family}: give a whole number of at least 1")
    model = estimator(family, {name: value for name, value in vars(arguments).items() if name in PARAMETERS})
    sides = sides_of(arguments)
    if family in FACTORS:
        require_no_more(arguments, family, sides)
    try:
        require_sides(model, sides)
    except TypeError as error:
        raise ValueError(f"--model {family}: {error}") from error
    blocks = rows_to_fit(arguments, sides)
    drawn = rows_to_draw(blocks, sides) if arguments.plot is not None else None
    keeping = {name: getattr(arguments, name) for name in ("checkpoint", "checkpoint_seconds", "resume")}
    try:
        model.fit(blocks, **sides, **({} if family in FACTORS else keeping))
    except KeyboardInterrupt as error:
        error.args = (interrupted(model, arguments),)
        raise
    if sides:  # what follows is about the values
        blocks = at_the_end(blocks, sides).columns(np.arange(model.n_features_in_))
    names = names_of(blocks, arguments)
    if arguments.columns is not None:  # a saved model must know which, also of a file without names
        model.feature_names_in_ = np.array(names, dtype=object)
    if arguments.save is not None:  # before the summary, whose reader may close the pipe
        model.save(arguments.save)
    model.feature_names_in_ = np.array(names, dtype=object)  # of files without names, the places of the columns
    if drawn is not None:
        drawn.write(arguments.plot, model, names)
    if arguments.json:
        print(json.dumps(as_dict(model)))
    else:
        print(model.summary())
        if arguments.save is not None:
            print(f"\nsaved to {arguments.save}")
        if arguments.plot is not None:
            print(f"\npicture in {arguments.plot}")
    return NOT_CONVERGED if arguments.strict and not model.converged_ else None


def require_no_more(arguments: argparse.Namespace, family: str, sides: dict[str, list[str]]) -> None:
    """ValueError where something is asked for that only mixtures have."""
    asked = [*sides, *(["checkpoint"] if arguments.checkpoint is not None else [])]
    asked += ["plot"] if arguments.plot is not None and arguments.n_components == 0 else []
    why = {"checkpoint": ", which reads the rows once", "plot": " without factors, of which there is no picture"}
    if asked:
        raise ValueError(f"--{asked[0]} is not for --model {family}{why.get(asked[0], '')}: leave it out")


def interrupted(model: Any, arguments: argparse.Namespace) -> str:
    """What is said where a fit was interrupted."""
    n = getattr(model, "n_iter_", 0)
    said = f"interrupted after {n} iteration{'s' * (n != 1)}"
    if arguments.checkpoint is None:
        return "interrupted" if n == 0 else f"{said}; with --checkpoint FILE a fit can go on"
    return f"{said}; --resume goes on" if Path(arguments.checkpoint).exists() else f"{said}; no checkpoint yet"
