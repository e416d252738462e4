"""What a saved model does with files: ``fastem predict``, ``impute``, ``sample``, ``score``, ``describe``, …"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from fastem.driver.atomic_write import written_whole
from fastem.estimators.refused_sides import require_sides
from fastem.estimators.summary import as_dict
from fastem.rows.sources.columns import numbered_names
from fastem.shell.rows import require_other_files, rows_for, sides_of


def predict(arguments: argparse.Namespace) -> None:
    """``fastem predict``: a label, its probability and the log-density for every row of files."""
    from fastem import write_predictions
    from fastem.estimators.predictions import Predictions, text_writer, write_each, writer_for
    from fastem.rows.sources.kept_columns import kept_columns

    require_other_files(arguments, [arguments.model, *arguments.files])
    if arguments.output is not None:
        writer_for(Path(arguments.output))
    model = loaded(arguments.model)
    if not hasattr(model, "predict_proba"):
        raise ValueError(
            f"{arguments.model} holds a {type(model).__name__}, which has no components to label rows with"
        )
    sides = sides_of(arguments)
    try:
        require_sides(model, sides)
    except TypeError as error:
        raise ValueError(f"{arguments.model}: {error}") from error
    blocks = rows_for(model, arguments, [name for names in sides.values() for name in names])
    asked = {"probabilities": arguments.probabilities, "outliers": arguments.outliers}
    asked["keep"] = kept_columns(arguments.files, arguments.keep) if arguments.keep else None
    if arguments.output is None:
        predictions = Predictions(model, **asked)
        write_each(predictions, blocks, text_writer(sys.stdout, predictions.columns), **sides)
        predictions.require_all_kept()
    else:
        write_predictions(model, blocks, arguments.output, **asked, **sides)


def impute(arguments: argparse.Namespace) -> None:
    """``fastem impute``: the rows of files with their missing values filled in."""
    require_other_files(arguments, [arguments.model, *arguments.files])
    model = loaded(arguments.model)
    if not hasattr(model, "impute"):
        raise ValueError(f"{arguments.model} holds a {type(model).__name__}; only Gaussian mixtures fill in values")
    filled = np.asarray(model.impute(rows_for(model, arguments)))
    with table_to(arguments.output) as writer:
        writer.writerow(columns_of(model))
        writer.writerows(filled.tolist())


def sample(arguments: argparse.Namespace) -> None:
    """``fastem sample``: rows that are drawn from a model, each with its component."""
    require_other_files(arguments, [arguments.model])
    model = loaded(arguments.model)
    X, z = model.sample(arguments.rows, arguments.random_state)
    with table_to(arguments.output) as writer:
        labelled = np.ndim(z) == 1
        writer.writerow([*columns_of(model), *(["component"] if labelled else [])])
        writer.writerows([*row, *([label] if labelled else [])] for row, label in zip(X.tolist(), z.tolist()))


def score(arguments: argparse.Namespace) -> None:
    """``fastem score``: how probable the rows of files are under a model."""
    model = loaded(arguments.model)
    blocks = rows_for(model, arguments)
    facts = {"rows": blocks.n_rows, "mean log-density": model.score(blocks)}
    facts |= {"BIC": model.bic(blocks), "AIC": model.aic(blocks)}
    if arguments.json:
        print(json.dumps({name.replace(" ", "_").replace("-", "_").lower(): value for name, value in facts.items()}))
    else:
        print("\n".join(f"{name:<18}{value:.10g}" for name, value in facts.items()))


def describe(arguments: argparse.Namespace) -> None:
    """``fastem describe``: the summary of a model."""
    model = loaded(arguments.model)
    if not hasattr(model, "summary"):
        print(repr(model))
    elif arguments.json:
        print(json.dumps(as_dict(model)))
    else:
        print(model.summary())


def report(arguments: argparse.Namespace) -> None:
    """``fastem report``: one page with the table and pictures of a model and rows."""
    from fastem.shell.report import page

    require_other_files(arguments, [arguments.model, *arguments.files])
    model = loaded(arguments.model)
    html = page(model, rows_for(model, arguments), columns_of(model))
    with written_whole(Path(arguments.output)) as beside, open(beside, "w", encoding="utf-8") as file:
        file.write(html)
    print(f"report in {arguments.output}")


def loaded(path: str) -> Any:
    """The model in a file."""
    from fastem import load

    return load(path)


def columns_of(model: Any) -> list[str]:
    """The names of the columns of a model."""
    return [str(name) for name in getattr(model, "feature_names_in_", numbered_names(model.n_features_in_))]


@contextmanager
def table_to(path: str | None) -> Iterator[Any]:
    """A writer of CSV, to a file that appears at once, or to the standard output."""
    if path is None:
        yield csv.writer(sys.stdout, lineterminator="\n")
        return
    with written_whole(Path(path)) as beside, open(beside, "w", encoding="utf-8", newline="") as file:
        yield _csv(file)


def _csv(file: TextIO) -> Any:
    return csv.writer(file, lineterminator="\n")
