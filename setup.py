"""The compiled kernels: each source is translated to C once, and the passes are compiled once per build and real type.

Everything else about the package stands in pyproject.toml. Environment:
FASTEM_INSTRUCTION_SETS=native   the builds, of BUILDS below, with commas; or native (the default): the best that this
                                 CPU runs; reproducible: the best of these that it runs; all: for wheels
FASTEM_NO_OPENMP=1               build without OpenMP (one thread)
MAX_JOBS=1                       modules at a time; else one per processor that this process may use
"""

import ctypes
import json
import os
import platform
import sys
import tempfile
from contextlib import contextmanager
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
AVX2 = ["-mavx2", "-mfma"]
AVX512 = ["-march=x86-64-v4", "-mprefer-vector-width=512"]
BASELINE = ["-msse2", "-mfpmath=sse"] if X86_32 else []
# What gives the same bits from every build of one source: see fastem/kernels/arithmetic.py. Its passes are C++: simd.h
REPRODUCIBLE = [("FASTEM_REPRODUCIBLE", "1")]
CPP_FLAGS = ["-std=gnu++17", "-fno-exceptions"]  # which needs no library of C++
# name: flags of gcc and clang, macros; the best first. MSVC has no vector extensions, so one build of width 1 is all
# there is.
BUILDS = {
    **({"avx512": (AVX512, []), "avx2": (AVX2, [])} if X86 and os.name != "nt" else {}),
    "baseline": (BASELINE, []),
    **(
        {"reproducible_avx512": (AVX512, REPRODUCIBLE), "reproducible_avx2": (AVX2, REPRODUCIBLE)}
        if X86 and os.name != "nt"
        else {}
    ),
    **({"reproducible_baseline": (BASELINE, REPRODUCIBLE)} if os.name != "nt" else {}),
}
PASSES = {"float64": ("mixture_pass", []), "float32": ("mixture_pass", [("FASTEM_FLOAT", "1")])}
PASSES |= {
    name: (name, []) for name in ("eigenpairs", "clusters")
}  # the end of a module's name: its source, and macros
GNU_FLAGS = ["-O3", "-g0", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"]
MSVC_FLAGS = ["/O2", "/fp:contract"]
OPENMP_TRIALS = {  # compiler: (compile, link) flags, the first that works is used
    "msvc": [(["/openmp"], [])],
    "unix": [(["-fopenmp"], ["-fopenmp"]), (["-Xpreprocessor", "-fopenmp"], ["-lomp"])],
}
PACKAGE = "fastem.kernels"
KERNELS = Path("fastem", "kernels")
GENERATED = Path("build", "kernels")
LEFT_OUT = GENERATED / "left_out.h"
VIEWS = f"{PACKAGE}._memory_views"  # Cython's own code for typed memory views, once instead of in every module
PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
JOBS = int(os.environ.get("MAX_JOBS") or PROCESSORS)


class BuildKernels(build_ext):
    """build_ext that asks the compiler which flags it takes, translates, and compiles modules in parallel."""

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
        possible = []
        for name, (own, macros) in BUILDS.items():
            flags, kind = (own + CPP_FLAGS, "cpp") if macros else (own, "c")
            if not flags or self.compiles("int trial(void) { return 0; }\n", flags, [], kind):
                possible.append(name)
            elif not macros:  # none misses the others where they are not asked for
                left_out[name] = failed.format(" ".join(flags))
        builds = chosen(os.environ.get("FASTEM_INSTRUCTION_SETS") or "native", possible, self.runs)
        print(f"fastem is built for {', '.join(builds)}", file=sys.stderr)
        for extension in list(self.extensions):
            name = build_of(extension)
            # A module that lies there already is made anew: it would be of another source, and be taken for this one's.
            if name and name not in builds and not (name in possible and self.is_there(extension)):
                self.extensions.remove(extension)
                continue
            own = BUILDS[name][0] if name else []
            extension.extra_compile_args += (MSVC_FLAGS if msvc else GNU_FLAGS + own) + openmp[0]
            if set(REPRODUCIBLE) & set(extension.define_macros):
                extension.extra_compile_args.append("/fp:precise" if msvc else "-ffp-contract=off")
            if extension.sources[0].endswith("cpp"):
                extension.extra_compile_args += CPP_FLAGS
            extension.extra_link_args += openmp[1]
        for what, why in left_out.items():
            print(f"fastem is built WITHOUT {what}: {why}", file=sys.stderr)
        entries = "".join(f"{json.dumps(what)}, {json.dumps(why)}, " for what, why in left_out.items())
        write_if_new(LEFT_OUT, f"static const char *const fastem_left_out[] = {{{entries}NULL}};\n")
        translate()
        super().build_extensions()

    def is_there(self, extension):
        return Path(self.get_ext_fullpath(extension.name)).exists()

    def compiles(self, program, compile_flags, link_flags, kind="c"):
        """Whether a library compiles and links as an extension does: with these flags and those of the environment."""
        with self.trial(program, compile_flags, link_flags, kind) as library:
            return library is not None

    def runs(self, instruction_set):
        """Whether the CPU of this machine runs an instruction set; None where its compiler builds for another one."""
        if instruction_set == "baseline":
            return True
        asked = (
            f'#include "{(KERNELS / "cpu.h").resolve()}"\nint trial(void) {{ return fastem_{instruction_set}(); }}\n'
        )
        with self.trial(asked, [], []) as library:
            try:
                return bool(ctypes.CDLL(str(library)).trial()) if library else None
            except OSError:
                return None

    @contextmanager
    def trial(self, program, compile_flags, link_flags, kind="c"):
        """The path of a library while it is there; None where it cannot be made."""
        with tempfile.TemporaryDirectory() as folder:
            source, library = Path(folder, f"trial.{kind}"), Path(folder, "trial.so")
            source.write_text(program)
            try:
                objects = self.compiler.compile([str(source)], output_dir=folder, extra_postargs=compile_flags)
                self.compiler.link_shared_object(objects, str(library), extra_postargs=link_flags)
            except Exception as error:  # each compiler class raises its own
                print(f"flags {compile_flags} do not work: {error}", file=sys.stderr)
                library = None
            yield library


def chosen(asked, possible, runs):
    """Names of BUILDS, from what FASTEM_INSTRUCTION_SETS says.

    asked     names of BUILDS, native, reproducible or all, with commas
    possible  the builds that the compiler makes, the best first
    runs      whether the CPU runs an instruction set; None where that is not known: then all that it may run
    """
    kinds = {
        "native": [name for name in possible if not name.startswith("reproducible_")],
        "reproducible": [name for name in possible if name.startswith("reproducible_")],
    }
    names = []
    for word in filter(None, map(str.strip, asked.split(","))):
        if word == "all":
            names += possible
        elif word in kinds:
            if not kinds[word]:
                raise SystemExit(f"FASTEM_INSTRUCTION_SETS={asked}: {word} takes gcc or clang, and their C++ compiler")
            runnable = {name: runs(name.removeprefix("reproducible_")) for name in kinds[word]}
            unknown = None in runnable.values()
            names += list(runnable) if unknown else [name for name in runnable if runnable[name]][:1]
        elif word in BUILDS:
            names += [word] if word in possible else []
        else:
            known = ", ".join(["all", "native", "reproducible", *BUILDS])
            raise SystemExit(f"FASTEM_INSTRUCTION_SETS={asked}: {word!r} is none of {known}")
    if not set(names) & set(kinds["native"]):
        raise SystemExit(
            f"FASTEM_INSTRUCTION_SETS={asked}: nothing else can be imported without one of {', '.join(kinds['native'])}"
        )
    return [name for name in possible if name in names]


def build_of(extension):
    """The name in BUILDS of the build that a module is of; None for the modules that are there once."""
    return next((name for name in BUILDS if extension.name.rpartition(".")[2].rpartition("_")[0] == f"_{name}"), None)


def write_if_new(path, text):
    """A file that is made again only where it changes: pip runs this thrice, and what is newer is compiled again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def translate():
    """The C of every source, where it is older than the source."""
    sources = {name: KERNELS / f"{name}.pyx" for name in ("_cpu", "_common_axes", "_agglomeration", "_arithmetic")}
    for source in {source for source, _ in PASSES.values()}:
        sources[f"_{source}"] = GENERATED / f"_{source}.pyx"
        write_if_new(sources[f"_{source}"], f'include "{source}.pxi"\n')
    cythonize(
        [Extension(VIEWS, [str(GENERATED / "_memory_views.c")])]
        + [Extension(f"{PACKAGE}.{name}", [str(path)]) for name, path in sources.items()],
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
    )


def kernel_modules():
    """The passes for every build and real type, the longest to compile first, and what is there once."""
    headers = [str(path) for path in KERNELS.glob("*.h")]
    for build, (_, macros) in BUILDS.items():
        for end, (source, more) in PASSES.items():
            translated, path = GENERATED / f"_{source}.c", GENERATED / f"_{build}_{end}.{'cpp' if macros else 'c'}"
            # The translated source under a name of its own
            write_if_new(path, f'#define PyInit__{source} PyInit__{build}_{end}\n#include "{translated.name}"\n')
            yield Extension(
                f"{PACKAGE}._{build}_{end}",
                [str(path)],
                include_dirs=[str(KERNELS)],
                define_macros=macros + more,
                language="c",  # of the linker
                depends=[str(translated), *headers],
            )
    yield Extension(VIEWS, [str(GENERATED / "_memory_views.c")])
    told = {"include_dirs": [str(GENERATED), str(KERNELS)], "depends": [str(LEFT_OUT), *headers]}
    yield Extension(f"{PACKAGE}._cpu", [str(KERNELS / "_cpu.c")], **told)
    yield Extension(f"{PACKAGE}._common_axes", [str(KERNELS / "_common_axes.c")])
    for name in ("_agglomeration", "_arithmetic"):
        yield Extension(
            f"{PACKAGE}.{name}",
            [str(KERNELS / f"{name}.c")],
            include_dirs=[str(KERNELS)],
            define_macros=list(REPRODUCIBLE),
            depends=headers,
        )


if __name__ == "__main__":  # the processes that translate import this file where they do not fork
    setup(ext_modules=list(kernel_modules()), cmdclass={"build_ext": BuildKernels})
