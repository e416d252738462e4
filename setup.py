"""The compiled kernels: one source, built once per instruction set and real type.

Everything else about the package stands in pyproject.toml. Environment:
FASTEM_NO_OPENMP=1     build without OpenMP (one thread)
FASTEM_INSTRUCTION_SETS=baseline,avx2   build only these
MAX_JOBS=1             modules at a time; else one per processor that this process may use
"""

import json
import os
import platform
import sys
import tempfile
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

X86 = platform.machine().lower() in ("x86_64", "amd64", "x64")
X86_32 = platform.machine().lower() in (
    "i386",
    "i586",
    "i686",
)  # without these flags: x87, which does not round to double
# name: compiler flags for gcc and clang. MSVC has no vector extensions, so one build of width 1 is all there is.
INSTRUCTION_SETS = {
    "baseline": ["-msse2", "-mfpmath=sse"] if X86_32 else [],
    **({"avx2": ["-mavx2", "-mfma"], "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"]} if X86 else {}),
}
REAL_TYPES = {"float64": [], "float32": [("FASTEM_FLOAT", "1")]}
# What gives the same bits from every build of one source: see fastem/kernels/README.md
REPRODUCIBLE = [("FASTEM_REPRODUCIBLE", "1")]
GNU_FLAGS = ["-O3", "-g0", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"]
MSVC_FLAGS = ["/O2", "/fp:contract"]
OPENMP_TRIALS = {  # compiler: (compile, link) flags, the first that works is used
    "msvc": [(["/openmp"], [])],
    "unix": [(["-fopenmp"], ["-fopenmp"]), (["-Xpreprocessor", "-fopenmp"], ["-lomp"])],
}
KERNELS = Path("fastem", "kernels")
GENERATED = Path("build", "kernels")
LEFT_OUT = GENERATED / "left_out.h"
VIEWS = "fastem.kernels._memory_views"  # Cython's own code for typed memory views, once instead of in every module
PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
JOBS = int(os.environ.get("MAX_JOBS") or PROCESSORS)


class BuildKernels(build_ext):
    """build_ext that asks the compiler which flags it takes, and compiles modules in parallel."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or JOBS

    def build_extensions(self):
        msvc = self.compiler.compiler_type == "msvc"
        openmp, left_out, failed = ([], []), {}, "a trial library with {} did not compile and link"
        if os.environ.get("FASTEM_NO_OPENMP", "0") in ("", "0"):
            source = "#include <omp.h>\nint trial(void) { return omp_get_max_threads() < 1; }\n"
            trials = OPENMP_TRIALS["msvc" if msvc else "unix"]
            openmp = next((flags for flags in trials if self.compiles(source, *flags)), openmp)
            if openmp == ([], []):
                left_out["OpenMP"] = failed.format(" or ".join(" ".join(flags) for flags, _ in trials))
        for extension in list(self.extensions):
            own = INSTRUCTION_SETS.get(extension.name.split("_")[-2], [])
            if own and not self.compiles("int trial(void) { return 0; }\n", own, []):
                left_out[extension.name.split("_")[-2]] = failed.format(" ".join(own))
                self.extensions.remove(extension)
                continue
            extension.extra_compile_args += (MSVC_FLAGS if msvc else GNU_FLAGS + own) + openmp[0]
            if set(REPRODUCIBLE) & set(extension.define_macros):
                extension.extra_compile_args.append("/fp:precise" if msvc else "-ffp-contract=off")
            extension.extra_link_args += openmp[1]
        for what, why in left_out.items():
            print(f"fastem is built WITHOUT {what}: {why}", file=sys.stderr)
        entries = "".join(f"{json.dumps(what)}, {json.dumps(why)}, " for what, why in left_out.items())
        write_if_new(LEFT_OUT, f"static const char *const fastem_left_out[] = {{{entries}NULL}};\n")
        super().build_extensions()

    def compiles(self, program, compile_flags, link_flags):
        """Whether a library compiles and links as an extension does: with these flags and those of the environment."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "trial.c")
            source.write_text(program)
            try:
                objects = self.compiler.compile([str(source)], output_dir=folder, extra_postargs=compile_flags)
                self.compiler.link_shared_object(objects, str(Path(folder, "trial.so")), extra_postargs=link_flags)
            except Exception as error:  # each compiler class raises its own
                print(f"flags {compile_flags} do not work: {error}", file=sys.stderr)
                return False
        return True


def generated(name, included):
    """The .pyx file of a module that is one of the sources, built with flags of its own."""
    path = GENERATED / f"{name}.pyx"
    write_if_new(path, f'include "{included}"\n')
    return str(path)


def write_if_new(path, text):
    """A file that is made again only where it changes: pip runs this thrice, and what is newer is compiled again."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def kernel_modules():
    """An extension per instruction set and real type, and what is there once."""
    names = INSTRUCTION_SETS if os.name != "nt" else ["baseline"]
    wanted = [name.strip() for name in os.environ.get("FASTEM_INSTRUCTION_SETS", "").split(",") if name.strip()]
    if set(wanted) - set(INSTRUCTION_SETS):
        raise SystemExit(f"FASTEM_INSTRUCTION_SETS={wanted}: choose from {list(INSTRUCTION_SETS)}")
    GENERATED.mkdir(parents=True, exist_ok=True)
    yield Extension(VIEWS, [str(GENERATED / "_memory_views.c")])
    if not LEFT_OUT.exists():
        LEFT_OUT.touch()  # build_ext fills it, once it has tried the compiler
    told = {"include_dirs": [str(GENERATED)], "depends": [str(LEFT_OUT)]}
    yield Extension("fastem.kernels._cpu", [str(KERNELS / "_cpu.pyx")], **told)
    yield Extension("fastem.kernels._common_axes", [str(KERNELS / "_common_axes.pyx")])
    for name in ("_agglomeration", "_arithmetic"):
        yield Extension(
            f"fastem.kernels.{name}",
            [str(KERNELS / f"{name}.pyx")],
            include_dirs=[str(KERNELS)],
            define_macros=list(REPRODUCIBLE),
            depends=[str(KERNELS / "scalar_math.h")],
        )
    shared = {
        "include_dirs": [str(KERNELS)],
        "depends": [str(path) for pattern in ("*.pxi", "*.h") for path in KERNELS.glob(pattern)],
    }
    for isa in [name for name in names if not wanted or name in wanted]:
        kinds = {"": []}
        if os.name != "nt" and isa != "avx2":  # gcc's code there is slower than the baseline's
            kinds["reproducible_"] = REPRODUCIBLE
        for prefix, more in kinds.items():
            for real, macros in REAL_TYPES.items():
                name = f"_{prefix}{isa}_{real}"
                source = generated(name, "mixture_pass.pxi")
                yield Extension(f"fastem.kernels.{name}", [source], define_macros=macros + more, **shared)
            name = f"_{prefix}{isa}_eigenpairs"
            source = generated(name, "eigenpairs.pxi")
            yield Extension(f"fastem.kernels.{name}", [source], define_macros=list(more), **shared)


if __name__ == "__main__":  # the processes that translate import this file where they do not fork
    setup(
        ext_modules=cythonize(
            list(kernel_modules()),
            include_path=[str(KERNELS)],
            nthreads=JOBS,
            shared_utility_qualified_name=VIEWS,
            compiler_directives={
                "language_level": 3,
                "boundscheck": False,
                "wraparound": False,
                "cdivision": True,
                "initializedcheck": False,
                # True because modules share nothing that changes: their tables (log x!, the families) are filled while
                # they load, every call works on memory of its own, and the objects of class Part never change.
                "freethreading_compatible": True,
            },
        ),
        cmdclass={"build_ext": BuildKernels},
    )
