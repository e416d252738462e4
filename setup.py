"""The compiled kernels: one source, built once per instruction set and real type.

Everything else about the package stands in pyproject.toml. Environment:
FASTEM_NO_OPENMP=1     build without OpenMP (one thread)
FASTEM_INSTRUCTION_SETS=baseline,avx2   build only these
"""

import os
import platform
import sys
import tempfile
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

X86 = platform.machine().lower() in ("x86_64", "amd64", "x64")
# name: compiler flags for gcc and clang. MSVC has no vector extensions, so one build of width 1 is all there is.
INSTRUCTION_SETS = {
    "baseline": [],
    **({"avx2": ["-mavx2", "-mfma"], "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"]} if X86 else {}),
}
REAL_TYPES = {"float64": [], "float32": [("FASTEM_FLOAT", "1")]}
GNU_FLAGS = ["-O3", "-g0", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"]
MSVC_FLAGS = ["/O2", "/fp:contract"]
OPENMP_TRIALS = {  # compiler: (compile, link) flags, the first that works is used
    "msvc": [(["/openmp"], [])],
    "unix": [(["-fopenmp"], ["-fopenmp"]), (["-Xpreprocessor", "-fopenmp"], ["-lomp"])],
}
KERNELS = Path("fastem", "kernels")


class BuildKernels(build_ext):
    """build_ext that asks the compiler which flags it takes."""

    def build_extensions(self):
        msvc = self.compiler.compiler_type == "msvc"
        compile_openmp, link_openmp = self.openmp_flags("msvc" if msvc else "unix")
        for extension in list(self.extensions):
            flags = MSVC_FLAGS if msvc else GNU_FLAGS + INSTRUCTION_SETS.get(extension.name.split("_")[-2], [])
            extension.extra_compile_args += flags + compile_openmp
            extension.extra_link_args += link_openmp
        super().build_extensions()

    def openmp_flags(self, kind):
        if os.environ.get("FASTEM_NO_OPENMP", "0") not in ("", "0"):
            return [], []
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "openmp.c")
            source.write_text("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n")
            for compile_flags, link_flags in OPENMP_TRIALS[kind]:
                try:
                    objects = self.compiler.compile([str(source)], output_dir=folder, extra_postargs=compile_flags)
                    self.compiler.link_executable(objects, str(Path(folder, "openmp")), extra_postargs=link_flags)
                except Exception as error:  # each compiler class raises its own
                    print(f"OpenMP flags {compile_flags} do not work: {error}", file=sys.stderr)
                else:
                    return compile_flags, link_flags
        print("fastem is built WITHOUT OpenMP: it will run on one thread", file=sys.stderr)
        return [], []


def kernel_modules():
    """One extension per instruction set and real type; their .pyx files are one line each and written here."""
    names = INSTRUCTION_SETS if os.name != "nt" else ["baseline"]
    wanted = os.environ.get("FASTEM_INSTRUCTION_SETS")
    yield Extension("fastem.kernels._cpu", [str(KERNELS / "_cpu.pyx")])
    build = Path("build", "kernels")
    build.mkdir(parents=True, exist_ok=True)
    for isa in [name for name in names if not wanted or name in wanted.split(",")]:
        for real, macros in REAL_TYPES.items():
            source = build / f"_{isa}_{real}.pyx"
            source.write_text('include "mixture_pass.pxi"\n')
            yield Extension(
                f"fastem.kernels._{isa}_{real}",
                [str(source)],
                define_macros=macros,
                include_dirs=[str(KERNELS)],
                depends=[str(path) for pattern in ("*.pxi", "*.h") for path in KERNELS.glob(pattern)],
            )


setup(
    ext_modules=cythonize(
        list(kernel_modules()),
        include_path=[str(KERNELS)],
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
        },
    ),
    cmdclass={"build_ext": BuildKernels},
)
