"""Long fits that survive: the state of a fit in a file, written atomically every so many seconds.

An :class:`fastem.EMResult` is all that the driver needs to go on, so a checkpoint is that, pickled, with the settings
of the fit. Data are not stored: on resuming, the statistics of the stored model are collected again and must have the
same bits. This costs one pass and detects any change of the data, of the machine's instruction set or of fastem that
could matter.
"""

from __future__ import annotations

import math
import numbers
import os
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np

from fastem import kernels
from fastem.driver.atomic_write import remove_left_behind, written_whole
from fastem.driver.progress import require_callback
from fastem.errors import CheckpointError, shown, warn

KEPT_FROM = 20  # times what it costs to keep a state in memory, between two of them
INTERRUPTS = (KeyboardInterrupt, SystemExit, OSError)  # after which a fit can go on
FORMAT = "fastem checkpoint 5"
NOT_STORABLE = (pickle.PicklingError, AttributeError, TypeError)  # raised for objects that cannot be pickled


def require_asked(callback=None, checkpoint=None, checkpoint_seconds=60.0, resume=False) -> None:
    """TypeError or ValueError where what a fit is asked beside its rows is none, or says nothing."""
    require_callback(callback, "the result so far")
    if checkpoint is not None and not isinstance(checkpoint, (str, os.PathLike)):
        raise TypeError(
            f"checkpoint must be the path of a file, a str or a pathlib.Path. Got {shown(checkpoint)} instead."
        )
    is_number = isinstance(checkpoint_seconds, numbers.Real) and not isinstance(checkpoint_seconds, bool)
    if not (is_number and checkpoint_seconds >= 0):
        raise ValueError(f"checkpoint_seconds must be a number of at least 0. Got {shown(checkpoint_seconds)} instead.")
    if not isinstance(resume, (bool, np.bool_)):
        raise ValueError(f"resume must be True or False. Got {shown(resume)} instead.")
    if resume and checkpoint is None:
        raise ValueError("resume=True needs the file to go on from: name it with checkpoint=.")


class Checkpoint:
    """A file that holds the last state of a fit.

    Like every pickle, a checkpoint can hold code: resume only files that you have written.

    Parameters
    ----------
    path : str or path-like
    asked : dict
        The settings of the fit, by name: a checkpoint of other settings is refused.
    seconds : float
        Least time between two states that are written.
    resume : bool
        Go on from the file, if it exists. False: a file that exists is an error, so that nothing is lost.

    Attributes
    ----------
    state : dict or None
        What the file contained.
    """

    def __init__(self, path, asked: dict[str, Any], seconds: float = 60.0, resume: bool = False):
        self.path, self.asked, self.seconds = Path(path), asked, seconds
        self.state = None
        if self.path.is_dir():
            raise CheckpointError(f"checkpoint={str(path)!r} is a folder: name a file in it.")
        try:
            beside = Path(f"{os.path.realpath(path)}.part")
            beside.touch()  # the only test whether it can be written: root may, whatever the folder's mode
            beside.unlink()
        except OSError as error:
            raise CheckpointError(
                f"checkpoint={str(path)!r}: no file can be written to {self.path.absolute().parent} "
                f"({error.strerror}); name a file in a folder that can be written to."
            ) from error
        if self.path.exists():
            if not resume:
                raise CheckpointError(
                    f"checkpoint={str(path)!r} exists already, from a fit that did not end: pass "
                    "resume=True (--resume) to go on with it, or delete it."
                )
            self.state = self._read()
        self._written = time.monotonic()
        self._last, self._last_at, self._cost = None, self._written, 0.0  # of the last state, in memory

    def _read(self):
        with open(self.path, "rb") as file:
            self._require_same_fit(self._unpickled(file))
            return self._unpickled(file)

    def _unpickled(self, file):
        try:
            return pickle.load(file)
        except Exception as error:  # any: bytes that are not a pickle may raise anything
            raise CheckpointError(f"{self.path} cannot be read as a checkpoint ({error}): delete it.") from error

    def _require_same_fit(self, head):
        """CheckpointError where the state that follows this head belongs to another fit."""
        if not isinstance(head, dict) or head.get("format") != FORMAT:
            raise CheckpointError(f"{self.path} is not a checkpoint of this version of fastem: delete it.")
        current = self._head()
        for name in current["asked"] | head["asked"]:
            then, now = (repr(asked.get(name)) for asked in (head["asked"], current["asked"]))
            if then != now:
                raise CheckpointError(
                    f"{self.path} is the checkpoint of another fit: {name} was {then} and is {now}. Delete it to "
                    f"start again."
                )
        if head["fastem"] != current["fastem"]:
            raise CheckpointError(
                f"{self.path} was written by fastem {head['fastem']}, but this is {current['fastem']}: go on with "
                "that version, or delete it to start again."
            )
        if head["instruction_set"] != current["instruction_set"]:
            raise CheckpointError(
                f"{self.path} was written with the {head['instruction_set']} kernels, but this machine uses "
                f"{kernels.INSTRUCTION_SET}: set FASTEM_INSTRUCTION_SET={head['instruction_set']} to go on with "
                "the same bits."
            )

    def _head(self):
        """What must not change between writing and resuming."""
        from importlib.metadata import version  # here, because it takes long to import

        return {
            "format": FORMAT,
            "fastem": version("fastem"),
            "asked": self.asked,
            "instruction_set": kernels.INSTRUCTION_SET,
        }

    def require_storable(self, model) -> None:
        """CheckpointError, before the fit, where a model cannot be pickled."""
        try:
            pickle.dumps(model)
        except NOT_STORABLE as error:
            raise CheckpointError(
                f"{type(model).__name__} cannot be stored in a checkpoint ({error}): define its class in a module, "
                "and let it hold numbers and arrays."
            ) from error

    def write_if_due(self, state: dict[str, Any]) -> None:
        """Write a state if the last one was written long enough ago; a full disk does not end the fit."""
        if time.monotonic() - self._written >= self.seconds:
            try:
                self.write(state)
            except CheckpointError as error:
                warn(f"{error}. The fit goes on, and writing is tried again later.", RuntimeWarning)
                self._written = time.monotonic()
        elif time.monotonic() - self._last_at >= KEPT_FROM * self._cost:
            self._keep(state)

    def _keep(self, state):
        """Keep a state in memory, for an interrupt: as bytes, because what it holds changes in the next iteration."""
        started = time.monotonic()
        try:
            self._last = pickle.dumps(state, protocol=5)
        except NOT_STORABLE:  # what `write` will say, when its time has come
            self._cost = math.inf
            return
        self._last_at = time.monotonic()
        self._cost = self._last_at - started

    def write_last(self) -> bool:
        """Write the last state that is known, because the fit is interrupted; whether there is one."""
        if self._last is not None:
            self.write(pickle.loads(self._last))
        return self._last is not None or self.path.exists()

    def write(self, state: dict[str, Any]) -> None:
        """Write a state completely, or not at all."""
        try:
            with written_whole(self.path) as beside, open(beside, "wb") as file:
                pickle.dump(self._head(), file, protocol=5)
                pickle.dump(state, file, protocol=5)
        except (OSError, *NOT_STORABLE) as error:
            raise CheckpointError(f"the checkpoint {self.path} cannot be written: {error}") from error
        self._written, self._last = time.monotonic(), None  # the file is the last state

    def remove(self) -> None:
        """Remove the file, because the fit has ended."""
        self.path.unlink(missing_ok=True)
        remove_left_behind(self.path)
