"""What the build tries, and what it says where it cannot have all that it wants."""

import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastem import kernels
from fastem.versions import versions

ROOT = Path(__file__).resolve().parents[2]


def test_versions_say_what_is_missing_and_why(monkeypatch):
    assert not [name for name in versions() if name.startswith("no ")] or kernels.LEFT_OUT
    monkeypatch.setattr(kernels, "LEFT_OUT", {"avx512": "the compiler is old"})
    assert versions()["no avx512"] == "the compiler is old"


@pytest.mark.parametrize(
    "left_out, heard",
    [({"OpenMP": "no such flag"}, True), ({"baseline": "too old"}, True), ({"avx512": "too old"}, False), ({}, False)],
)
def test_the_import_warns_of_what_this_machine_misses(left_out, heard):
    code = f"""
import sys, types, warnings
warnings.simplefilter("ignore")
import fastem.kernels._cpu as cpu
stub = types.ModuleType("fastem.kernels._cpu")
vars(stub).update(vars(cpu), left_out=lambda: {left_out!r}, instruction_sets=lambda: [])  # an old CPU
for name in [name for name in sys.modules if name.startswith("fastem")]:
    del sys.modules[name]
sys.modules["fastem.kernels._cpu"] = stub
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    import fastem.kernels
print(*[w.message for w in said if "built without" in str(w.message)], end="")
"""
    found = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert bool(found.stdout) == heard
    for what, why in left_out.items() if heard else []:
        assert f"{what} ({why})" in found.stdout


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="flags of gcc and clang")
def test_a_trial_takes_flags_that_the_environment_gives_to_every_extension(monkeypatch, tmp_path):
    """They are needed in linking too, and a program gets them in compiling alone."""
    pytest.importorskip("Cython")
    setuptools = pytest.importorskip("setuptools")
    specification = importlib.util.spec_from_file_location("setup_of_fastem", ROOT / "setup.py")
    setup = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(setup)
    for name in ("CC", "LDSHARED", "LDFLAGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CFLAGS", "-fprofile-arcs -ftest-coverage")  # of which the linker must know
    monkeypatch.chdir(tmp_path)
    command = setup.BuildKernels(setuptools.Distribution())
    from setuptools._distutils.ccompiler import new_compiler
    from setuptools._distutils.sysconfig import customize_compiler

    command.compiler = new_compiler()
    customize_compiler(command.compiler)
    if os.system("cc --version > /dev/null") != 0:
        pytest.skip("no C compiler")
    assert command.compiles("int trial(void) { return 0; }\n", [], [])
    assert not command.compiles("int trial(void) { return 0; }\n", ["-fno-such-flag"], [])
    assert not command.compiles("int trial(void) { return 0; }\n", [], ["-lno-such-library"])
