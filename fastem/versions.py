"""The versions of this installation."""

from __future__ import annotations

import platform

from fastem import kernels
from fastem.kernels import threads


def versions() -> dict[str, str]:
    """Versions of fastem, Python and the libraries, the instruction set and the threads in use."""
    from importlib import metadata  # slow to import

    facts = {"fastem": metadata.version("fastem"), "python": platform.python_version(), "machine": platform.machine()}
    for name in ("numpy", "scipy", "scikit-learn", "pyarrow"):
        try:
            facts[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            facts[name] = "not installed"
    built = ", ".join(name for name in kernels.INSTRUCTION_SETS if kernels.built(name))
    facts["instruction set"] = f"{kernels.INSTRUCTION_SET} (built: {built})"
    facts["OpenMP"] = "yes" if kernels.OPENMP else "no: built without OpenMP, so one thread"
    for what, why in kernels.LEFT_OUT.items():
        facts[f"no {what}"] = why
    facts["threads"] = str(threads.available()) + (
        ", since a parent used threads before the fork" if threads.forked() else ""
    )
    return facts


def show_versions() -> None:
    """Print :func:`versions`.

    Examples
    --------
    >>> import fastem
    >>> fastem.show_versions()  # doctest: +ELLIPSIS
    fastem ...
    """
    for name, value in versions().items():
        print(f"{name:16}{value}")
