# cython: language_level=3
"""What this CPU runs, what this build has and what its OpenMP runtime allows; compiled for the baseline."""

cdef extern from *:
    """
    #if (defined(__x86_64__) || defined(_M_X64)) && (defined(__GNUC__) || defined(__clang__))
    static int fastem_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
    static int fastem_avx512(void) {   /* x86-64-v4, and AVX2 beside it */
        return fastem_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
            && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    }
    #else
    static int fastem_avx2(void) { return 0; }
    static int fastem_avx512(void) { return 0; }
    #endif
    #ifdef _OPENMP
    #include <omp.h>
    #define FASTEM_OPENMP 1
    #else
    #define FASTEM_OPENMP 0
    static int omp_get_max_threads(void) { return 1; }
    #endif
    """
    int fastem_avx2() nogil
    int fastem_avx512() nogil
    int omp_get_max_threads() nogil
    int FASTEM_OPENMP


def instruction_sets():
    """Names of the instruction sets beyond the baseline that the CPU and the system support."""
    return [name for name, found in (("avx512", fastem_avx512()), ("avx2", fastem_avx2())) if found]


def openmp():
    """Whether the kernels were compiled with OpenMP."""
    return bool(FASTEM_OPENMP)


def openmp_threads():
    """How many threads the OpenMP runtime of the kernels would give to the calling thread by default."""
    return omp_get_max_threads()
