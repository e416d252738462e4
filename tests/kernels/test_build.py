"""What the build tries, and what it says where it cannot have all that it wants."""

import importlib
import importlib.util
import os
import platform
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


@pytest.mark.skipif(not kernels.built("baseline"), reason="an old CPU needs the baseline: FASTEM_INSTRUCTION_SETS=all")
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


@pytest.fixture
def setup(monkeypatch, tmp_path):
    """setup.py as a module, in a folder where it may write."""
    pytest.importorskip("Cython")
    pytest.importorskip("setuptools")
    specification = importlib.util.spec_from_file_location("setup_of_fastem", ROOT / "setup.py")
    setup = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(setup)
    monkeypatch.chdir(tmp_path)
    return setup


@pytest.fixture
def compiler(setup):
    """A build_ext that has a compiler."""
    if os.system("cc --version > /dev/null") != 0:
        pytest.skip("no C compiler")
    from setuptools import Distribution
    from setuptools._distutils.ccompiler import new_compiler
    from setuptools._distutils.sysconfig import customize_compiler

    command = setup.BuildKernels(Distribution())
    command.compiler = new_compiler()
    customize_compiler(command.compiler)
    return command


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="flags of gcc and clang")
def test_a_trial_takes_flags_that_the_environment_gives_to_every_extension(compiler, monkeypatch):
    """They are needed in linking too, and a program gets them in compiling alone."""
    for name in ("CC", "LDSHARED", "LDFLAGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CFLAGS", "-fprofile-arcs -ftest-coverage")  # of which the linker must know
    from setuptools._distutils.sysconfig import customize_compiler

    customize_compiler(compiler.compiler)
    assert compiler.compiles("int trial(void) { return 0; }\n", [], [])
    assert not compiler.compiles("int trial(void) { return 0; }\n", ["-fno-such-flag"], [])
    assert not compiler.compiles("int trial(void) { return 0; }\n", [], ["-lno-such-library"])
    assert not compiler.compiles("struct a { void f() {} };\n", [], [])
    assert compiler.compiles("struct a { void f() {} };\n", [], [], "cpp")


POSSIBLE = ["avx512", "avx2", "baseline", "reproducible_avx512", "reproducible_avx2", "reproducible_baseline"]


@pytest.mark.parametrize(
    "asked, cpu, builds",
    [
        ("native", ["avx2", "avx512"], ["avx512"]),
        ("native", ["avx2"], ["avx2"]),
        ("native", [], ["baseline"]),
        ("reproducible,native", ["avx2"], ["avx2", "reproducible_avx2"]),
        ("native, reproducible", ["avx2", "avx512"], ["avx512", "reproducible_avx512"]),
        ("baseline,avx2", [], ["avx2", "baseline"]),
        ("all", [], POSSIBLE),
    ],
)
@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64") or os.name == "nt", reason="one build only")
def test_a_clone_builds_what_its_machine_needs(setup, asked, cpu, builds):
    assert setup.chosen(asked, POSSIBLE, lambda name: name == "baseline" or name in cpu) == builds


def test_a_compiler_for_another_machine_builds_all_that_this_may_run(setup):
    possible = list(setup.BUILDS)
    usual = [name for name in possible if not name.startswith("reproducible")]
    assert setup.chosen("native", possible, lambda name: None) == usual


def test_builds_that_are_not_known_or_do_not_suffice_are_refused(setup):
    with pytest.raises(SystemExit, match="'avx1024' is none of all, native"):
        setup.chosen("avx1024", list(setup.BUILDS), lambda name: True)
    with pytest.raises(SystemExit, match="reproducible takes gcc or clang, and their C"):
        setup.chosen("native,reproducible", ["baseline"], lambda name: True)
    with pytest.raises(SystemExit, match="nothing else can be imported"):
        setup.chosen("reproducible", list(setup.BUILDS), lambda name: True)


def test_the_build_asks_the_cpu_what_the_package_asks(setup, compiler, monkeypatch):
    monkeypatch.setattr(setup, "KERNELS", ROOT / "fastem" / "kernels")
    assert [name for name in ("avx512", "avx2") if compiler.runs(name)] == kernels._cpu.instruction_sets()


@pytest.mark.parametrize(
    "wanted, there, said",
    [
        ("reproducible", ["avx2"], "not built here.*FASTEM_INSTRUCTION_SETS=native,reproducible pip install"),
        ("baseline", ["avx2"], "not built here.*FASTEM_INSTRUCTION_SETS=native,baseline pip install"),
        ("avx512", ["avx512", "avx2"], "this CPU does not have it"),
        ("", ["avx512"], r"no compiled kernels that this CPU can run \(built: avx512\).*FASTEM_INSTRUCTION_SETS=all"),
    ],
)
def test_the_import_says_how_to_build_what_is_not_there(monkeypatch, wanted, there, said):
    monkeypatch.setenv("FASTEM_INSTRUCTION_SET", wanted)
    monkeypatch.setattr(kernels, "built", lambda name: name in there)
    monkeypatch.setattr(kernels, "supported", lambda name: name in ("avx2", "baseline"))
    with pytest.raises(ImportError, match=said):
        kernels.pick()


def test_a_source_is_translated_once(setup):
    """Modules of one source differ in flags and macros alone, and nothing is compiled twice under one name."""
    modules = list(setup.kernel_modules())
    passes = [module for module in modules if setup.build_of(module)]
    assert len({module.name for module in modules}) == len(modules)
    assert len(passes) == 4 * len(setup.BUILDS)
    texts = [Path(module.sources[0]).read_text() for module in passes]
    assert {text.split('"')[1] for text in texts} == {"_mixture_pass.c", "_eigenpairs.c", "_clusters.c"}
