"""What a saved model does with files: ``fastem predict``, ``impute``, ``sample``, ``score``, ``describe``, …"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from fastem.driver.atomic_write import written_whole
from fastem.estimators.outliers import require_threshold
from fastem.estimators.predictions import Predictions, text_writer, write_each, writer_for
from fastem.estimators.summary import as_dict
from fastem.rows.sources.columns import numbered_names
from fastem.shell.rows import require_other_files, require_told, rows_for, sides_for

COMPONENT = "component"  # a column of a sample
PAGES = (".html", ".htm")


def predict(arguments: argparse.Namespace) -> None:
    """``fastem predict``: a label, its probability and the log-density for every row of files."""
    from fastem import write_predictions
    from fastem.rows.sources.kept_columns import kept_columns

    require_other_files(arguments, [arguments.model, *arguments.files])
    require_table(arguments.output)
    model = loaded(arguments.model)
    if not hasattr(model, "predict_proba"):
        raise ValueError(
            f"{arguments.model} holds a {type(model).__name__}, which has no components to label rows with"
        )
    if arguments.outliers is not None:
        require_outliers(model, arguments)
    sides = sides_for(model, arguments)
    blocks = rows_for(model, arguments, sides)
    require_told(model, blocks, sides, arguments)
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
    require_table(arguments.output)
    model = loaded(arguments.model)
    if not hasattr(model, "impute"):
        raise ValueError(f"{arguments.model} holds a {type(model).__name__}; only Gaussian mixtures fill in values")
    sides = sides_for(model, arguments)
    blocks = rows_for(model, arguments, sides)
    require_told(model, blocks, sides, arguments)
    filled = np.asarray(model.impute(blocks, **sides))
    write_table(arguments.output, dict(zip(columns_of(model), filled.T)))


def sample(arguments: argparse.Namespace) -> None:
    """``fastem sample``: rows that are drawn from a model, each with its component."""
    require_other_files(arguments, [arguments.model])
    require_table(arguments.output)
    model = loaded_density(arguments.model)
    X, z = model.sample(arguments.rows, arguments.random_state)
    table = dict(zip(columns_of(model), X.T))
    if np.ndim(z) == 1:  # not the factors of a factor model
        if COMPONENT in table:
            raise ValueError(
                f"{arguments.model} has a column {COMPONENT!r}, as a sample has, which says the component of each row: "
                "fit the column under another name, or sample in Python"
            )
        table[COMPONENT] = z
    write_table(arguments.output, table)


def score(arguments: argparse.Namespace) -> None:
    """``fastem score``: how probable the rows of files are under a model."""
    model = loaded_density(arguments.model)
    sides = sides_for(model, arguments)
    blocks = rows_for(model, arguments, sides)
    require_told(model, blocks, sides, arguments)
    facts = {"rows": blocks.n_rows, "mean log-density": model.score(blocks, **sides)}
    facts |= {"BIC": model.bic(blocks, **sides), "AIC": model.aic(blocks, **sides)}
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
    if Path(arguments.output).suffix.lower() not in PAGES:
        raise ValueError(f"{arguments.output}: the name of a report must end in {', '.join(PAGES)}")
    model = loaded(arguments.model)
    blocks = rows_for(model, arguments)
    require_told(model, blocks, {}, arguments)
    html = page(model, blocks, columns_of(model))
    with written_whole(Path(arguments.output)) as beside, open(beside, "w", encoding="utf-8") as file:
        file.write(html)
    print(f"report in {arguments.output}")


def loaded(path: str) -> Any:
    """The model in a file."""
    from fastem import load

    return load(path)


def loaded_density(path: str) -> Any:
    """The same; ValueError where the model is none of rows alone."""
    from fastem import MixtureOfRegressions

    model = loaded(path)
    if isinstance(model, MixtureOfRegressions):
        raise ValueError(f"{path} holds a MixtureOfRegressions, which describes y given X: use it in Python")
    return model


def columns_of(model: Any) -> list[str]:
    """The names of the columns of a model."""
    return [str(name) for name in getattr(model, "feature_names_in_", numbered_names(model.n_features_in_))]


def require_outliers(model: Any, arguments: argparse.Namespace) -> None:
    """ValueError where a model has no threshold below which rows are outliers."""
    try:
        require_threshold(model)
    except ValueError as error:
        raise ValueError(f"--outliers is not for {arguments.model}: {error}") from error


def require_table(path: str | None) -> None:
    """An error where no table can be written under this name: before the work, not after it."""
    if path is not None:
        writer_for(Path(path))


def write_table(path: str | None, table: dict[str, np.ndarray]) -> None:
    """Columns by their names, as CSV to the standard output, or to a file of the kind that its name says."""
    kinds, columns = {name: column.dtype for name, column in table.items()}, list(table.values())
    if path is None:
        text_writer(sys.stdout, kinds)(columns)
        return
    with written_whole(Path(path)) as beside, writer_for(Path(path))(beside, kinds) as write:
        write(columns)
