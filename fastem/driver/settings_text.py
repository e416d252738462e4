"""What a fit is asked to do as text that is the same in every process: by it a checkpoint of another fit is noticed."""

from __future__ import annotations

import hashlib
import re
from types import CodeType, FunctionType

import numpy as np

from fastem.driver.model import has
from fastem.driver.result import EMResult

DRAWN = 1 << 96  # a seed as large as this one the system drew


def stable_text(value) -> str:
    """A setting as text that is the same in every process."""
    if hasattr(value, "__array__"):
        value = np.asarray(value)
        if value.dtype.kind == "O":  # an array of pointers, which are of this process
            return f"array {value.shape} {digest(repr(value.tolist()).encode())}"
        return f"array {value.shape} {digest(np.ascontiguousarray(value))}"
    if isinstance(value, np.random.Generator):
        return generator_text(value)
    if isinstance(value, np.random.RandomState):
        return type(value).__name__  # its state is in the checkpoint
    function = getattr(value, "__func__", value)  # of a method
    if isinstance(function, FunctionType):
        return f"{function.__qualname__} {digest(function_text(function).encode())}"
    return getattr(value, "__qualname__", re.sub(" at 0x[0-9a-f]+", "", repr(value)))


def digest(values) -> str:
    """A few letters that tell bytes, or an array, from others."""
    return hashlib.sha256(values).hexdigest()[:16]


def generator_text(generator) -> str:
    """A generator by its seed. How far it has gone says nothing: an interrupted fit has taken it further, and the state
    is in the checkpoint. Nor does a seed that the system drew, which no other process has."""
    seed = generator.bit_generator.seed_seq
    entropy = getattr(seed, "entropy", None)
    if entropy is None or (np.ndim(entropy) == 0 and entropy >= DRAWN):
        return "Generator"
    entropy = int(entropy) if np.ndim(entropy) == 0 else [int(one) for one in entropy]
    return f"Generator of seed {entropy}{seed.spawn_key or ''}"


def function_text(function: FunctionType) -> str:
    """What a function does, as far as it says: its code, and the arrays that it was given beside. Other values may be
    of this process alone, such as the time when it must end."""
    given = [*cells_of(function), *(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    arrays = [value for value in given if isinstance(value, np.ndarray) and value.dtype.kind in "biuf"]
    return f"{code_text(function.__code__)} {list(map(stable_text, arrays))}"


def cells_of(function: FunctionType) -> list:
    """The values of the variables that a function has from around it; not of those that are not assigned yet."""
    values = []
    for cell in function.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:
            continue
    return values


def code_text(code: CodeType) -> str:
    """Instructions, names and constants."""
    return f"{code.co_code.hex()} {code.co_names} {list(map(constant_text, code.co_consts))}"


def constant_text(value) -> str:
    """A constant of a function, which may be the code of another one."""
    if isinstance(value, frozenset):  # in another order in every process
        return f"{sorted(map(repr, value))}"
    return code_text(value) if isinstance(value, CodeType) else repr(value)


def start_text(start) -> str:
    """The values of the model that a fit begins with, as far as it shows them; of a result, what stays."""
    if isinstance(start, EMResult):  # an interrupted fit has changed its model
        return f"log-likelihood {start.history[0]!r}"
    for method in ("parameters", "to_vector"):
        if has(start, method):
            return stable_text(getattr(start, method)())
    values = getattr(start, "__dict__", {}).items()
    shown = [f"{name} {stable_text(value)}" for name, value in values if isinstance(value, (np.ndarray, float, int))]
    return ", ".join(one for one in shown if not one.startswith("_"))
