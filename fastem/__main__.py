"""The command line: ``fastem fit``, ``select``, ``predict``, …; also as ``python -m fastem``."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from fastem.shell import fit, select, uses
from fastem.shell.interrupts import TERMINATED, Terminated, sigterm_raises
from fastem.shell.parser import parser

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after ``fastem``. Default: those of the process.

    Returns
    -------
    int
        The exit code: 0; 1 where ``check`` finds too few digits; 2 after a mistake of the user, which one line on the
        standard error output explains; 3 where ``fit --strict`` has not converged; 130 when interrupted, 143 by
        SIGTERM.

    Examples
    --------
    >>> from fastem.__main__ import main
    >>> main(["fit", "faithful", "--components", "2"])  # doctest: +ELLIPSIS
    Gaussian mixture, 2 components, full covariance
    ...
    0
    """
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            arguments = parser(COMMANDS).parse_args(argv)
            with sigterm_raises():
                code = arguments.run(arguments)
            sys.stdout.flush()
            return code or 0
        except BrokenPipeError:  # the reader of a pipe, such as head, has enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        except (ValueError, OSError, ImportError, MemoryError) as error:
            print(f"fastem: {_one_line(error)}", file=sys.stderr)
            return 2
        except KeyboardInterrupt as interrupt:
            print(f"fastem: {interrupt.args[0] if interrupt.args else 'interrupted'}", file=sys.stderr)
            return TERMINATED if isinstance(interrupt, Terminated) else 130


def _check(arguments: argparse.Namespace) -> int:
    """``fastem check``: how many digits of certified answers this installation reproduces; 1 where they are too few."""
    from fastem.check import agreements, report
    from fastem.datasets import load_certified

    found = list(agreements(load_certified()))
    print(report(found))
    return 0 if all(agreement.enough for agreement in found) else 1


def _versions(arguments: argparse.Namespace) -> None:
    """``fastem versions``: what the report of a problem should contain."""
    from fastem import show_versions

    show_versions()


COMMANDS = {
    "fit": fit.fit,
    "select": select.select,
    "predict": uses.predict,
    "impute": uses.impute,
    "sample": uses.sample,
    "score": uses.score,
    "describe": uses.describe,
    "report": uses.report,
    "check": _check,
    "versions": _versions,
}


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"fastem: warning: {_one_line(message)}", file=sys.stderr)


def _one_line(message: object) -> str:
    return " ".join(str(message).split()) or type(message).__name__


if __name__ == "__main__":
    sys.exit(main())
