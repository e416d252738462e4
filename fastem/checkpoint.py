"""Long fits that survive: what a fit has reached, in a file, written atomically every so many seconds.

An :class:`fastem.em.EMResult` is all that the driver needs to go on, so a checkpoint is that, pickled, with what the
fit was asked to do. Data are not stored: on resuming, the statistics of the stored model are collected again and
must have the same bits, which costs one pass and notices any change of the data, of the machine's instruction set or
of fastem that could matter.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np

from fastem import kernels
from fastem.errors import CheckpointError
from fastem.whole_file import written_whole

FORMAT = "fastem checkpoint 1"


NOT_ASKED = ("max_iter", "n_threads", "verbose", "verbose_interval")  # may change on resuming


def asked_of(estimator) -> dict[str, str]:
    """What an estimator was asked to do, in words that another process finds as well."""
    asked = {"estimator": type(estimator).__name__}
    for name, value in estimator.get_params(deep=False).items():
        if name not in NOT_ASKED:
            asked[name] = _told(value)
    return asked


def _told(value):
    if isinstance(value, np.ndarray):
        return f"array {value.shape} {hashlib.sha256(np.ascontiguousarray(value)).hexdigest()[:16]}"
    if isinstance(value, (np.random.Generator, np.random.RandomState)):
        return type(value).__name__  # its state is in the checkpoint
    return getattr(value, "__qualname__", repr(value))


class Checkpoint:
    """A file that holds the last state of a fit.

    Like every pickle, a checkpoint can hold code: resume only files that you have written.

    Parameters
    ----------
    path : str or path-like
    asked : dict
        What the fit was asked to do, by name: a checkpoint of other wishes is refused.
    seconds : float
        Least time between two states that are written.
    resume : bool
        Go on from the file, if it is there. False: a file that is there is an error, so that nothing is lost.

    Attributes
    ----------
    state : dict or None
        What the file held.
    """

    def __init__(self, path, asked: dict[str, Any], seconds: float = 60.0, resume: bool = False):
        self.path, self.asked, self.seconds = Path(path), asked, seconds
        self.state = None
        folder = self.path.absolute().parent
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise CheckpointError(f"checkpoint={str(path)!r}: {folder} is not a folder that can be written to.")
        if self.path.is_dir():
            raise CheckpointError(f"checkpoint={str(path)!r} is a folder: name a file in it.")
        if self.path.exists():
            if not resume:
                raise CheckpointError(
                    f"checkpoint={str(path)!r} is there already, of a fit that did not end: pass resume=True "
                    "(--resume) to go on with it, or delete it."
                )
            self.state = self._read()
        self._written = time.monotonic()

    def _read(self):
        try:
            with open(self.path, "rb") as file:
                found = pickle.load(file)
        except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, MemoryError) as error:
            raise CheckpointError(f"{self.path} is no checkpoint that can be read ({error}): delete it.") from error
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise CheckpointError(
                f"{self.path} is not a checkpoint of this version of fastem: delete it to start afresh."
            )
        for name in self.asked.keys() | found["asked"].keys():
            then, now = (repr(asked.get(name)) for asked in (found["asked"], self.asked))
            if then != now:
                raise CheckpointError(
                    f"{self.path} is the checkpoint of another fit: {name} was {then} and is {now}. Delete it to "
                    f"start afresh."
                )
        if found["instruction_set"] != kernels.INSTRUCTION_SET:
            raise CheckpointError(
                f"{self.path} was written with the {found['instruction_set']} kernels, this machine uses "
                f"{kernels.INSTRUCTION_SET}: "
                f"set FASTEM_INSTRUCTION_SET={found['instruction_set']} to go on with the same bits."
            )
        return found["state"]

    def write_if_due(self, state: dict[str, Any]) -> None:
        """Write a state where the last was written long enough ago."""
        if time.monotonic() - self._written >= self.seconds:
            self.write(state)

    def write(self, state: dict[str, Any]) -> None:
        """Write a state: whole, or not at all."""
        try:
            with written_whole(self.path) as beside, open(beside, "wb") as file:
                found = {
                    "format": FORMAT,
                    "asked": self.asked,
                    "instruction_set": kernels.INSTRUCTION_SET,
                    "state": state,
                }
                pickle.dump(found, file, protocol=5)
        except (OSError, pickle.PicklingError, AttributeError, TypeError) as error:  # the last two: what has no pickle
            raise CheckpointError(f"the checkpoint {self.path} cannot be written: {error}") from error
        self._written = time.monotonic()

    def remove(self) -> None:
        """The fit has ended: nothing is left to go on with."""
        self.path.unlink(missing_ok=True)
