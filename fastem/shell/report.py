"""One self-contained page about a model and rows: pictures, the table, what was warned of."""

from __future__ import annotations

import base64
import html
import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from fastem.shell.rows import NamedColumns

STYLE = """
body { font-family: sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
pre { overflow-x: auto; background: #f6f6f6; padding: 1rem; line-height: 1.25; }
img { max-width: 100%; } figure { margin: 1.5rem 0; } figcaption { color: #555; }
"""


def page(model: Any, blocks: Any, columns: list[str]) -> str:
    """The page as HTML, with all its pictures inside.

    Parameters
    ----------
    model : fitted mixture
    blocks
        Rows. Of rows that are not in memory some thousands are drawn, evenly spaced.
    columns : list of str
    """
    if not hasattr(model, "predict_proba"):
        raise ValueError(f"a report is about a mixture, but the model is a {type(model).__name__}")
    rows = getattr(blocks, "X", None)
    rows = NamedColumns(np.asarray(blocks.spaced_rows() if rows is None else rows), columns)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        score = model.score(blocks)
        pictures = [(title, inline(draw)) for title, draw in pictures_of(model, rows)]
    said = [f"component {k}: {status}" for k, status in enumerate(model.component_status_) if status != "ok"]
    said += [] if model.converged_ else [f"not converged: {model.stop_reason_}"]
    said += list(dict.fromkeys(str(warning.message) for warning in caught))
    body = [
        f"<h1>{html.escape(model.summary().splitlines()[0])}</h1>",
        f"<p>{blocks.n_rows} rows of this report, mean log-density {score:.6g}.</p>",
        f"<pre>{html.escape(model.summary())}</pre>",
        "<h2>Warnings</h2>",
        "<ul>" + "".join(f"<li>{html.escape(one)}</li>" for one in said) + "</ul>" if said else "<p>None.</p>",
        *(f"<h2>{title}</h2><figure><img src='{data}' alt='{title}'></figure>" for title, data in pictures),
    ]
    head = (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>fastem report</title><style>{STYLE}</style>"
    )
    return head + "</head><body>" + "\n".join(body) + "</body></html>\n"


def pictures_of(model: Any, rows: Any) -> list[tuple[str, Callable]]:
    """Titles, and functions that draw on a figure: what can be drawn of this model."""
    from fastem import plot

    emission = model.model_.emission
    found = [
        ("To which components the rows belong", lambda figure: plot.responsibilities(model, rows, ax=figure)),
        ("How uncertain that is", lambda figure: plot.uncertainty(model, rows, ax=figure)),
    ]
    if hasattr(emission, "means"):
        found.insert(0, ("The components over the rows", lambda figure: plot.mixture(model, rows, ax=figure)))
    if emission.column_parameters() is not None:
        found.append(("Parameters", lambda figure: plot.parameters(model, ax=figure)))
    if len(model.history_) > 1:
        found.append(("The log-likelihood of each iteration", lambda figure: plot.history(model, ax=figure)))
    return found


def inline(draw: Callable) -> str:
    """A picture as an address that contains it."""
    from fastem.plot import figure_of

    file = io.BytesIO()
    figure_of(draw).savefig(file, format="png", dpi=110)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
