# cython: language_level=3
"""What this CPU runs, what this build has and what its OpenMP runtime allows; compiled for the baseline."""

from libc.stdlib cimport free, malloc

cdef extern from *:
    """
    #include <stdlib.h>
    #include "left_out.h"
    #include "cpu.h"
    #ifdef _OPENMP
    #include <omp.h>
    #define FASTEM_OPENMP 1
    #else
    #define FASTEM_OPENMP 0
    static int omp_get_max_threads(void) { return 1; }
    #endif
    #if !defined(_OPENMP) || _OPENMP < 201511   /* places are of OpenMP 4.5 */
    static int omp_get_num_places(void) { return 0; }
    static int omp_get_place_num_procs(int place) { return 0; }
    static void omp_get_place_proc_ids(int place, int *ids) { }
    #endif

    /* Starts n threads that are there at the same time and ends them; returns how many could be started. */
    #ifdef _WIN32
    static int fastem_trial(int n, size_t stack) { return n; }
    #else
    #include <pthread.h>
    static void *fastem_wait(void *gate) {
        pthread_mutex_lock((pthread_mutex_t *)gate);
        pthread_mutex_unlock((pthread_mutex_t *)gate);
        return NULL;
    }
    static int fastem_trial(int n, size_t stack) {
        pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
        pthread_t *threads = malloc(n * sizeof(pthread_t));
        pthread_attr_t attributes;
        int started = 0;
        if (threads == NULL || pthread_attr_init(&attributes) != 0) {
            free(threads);
            return 0;
        }
        if (stack > 0) pthread_attr_setstacksize(&attributes, stack);   /* one that it does not take stays the default */
        pthread_mutex_lock(&gate);
        while (started < n && pthread_create(&threads[started], &attributes, fastem_wait, &gate) == 0) started++;
        pthread_mutex_unlock(&gate);
        for (int i = 0; i < started; i++) pthread_join(threads[i], NULL);
        pthread_attr_destroy(&attributes);
        free(threads);
        return started;
    }
    #endif
    """
    int fastem_avx2() nogil
    int fastem_avx512() nogil
    int omp_get_max_threads() nogil
    int omp_get_num_places() nogil
    int omp_get_place_num_procs(int) nogil
    void omp_get_place_proc_ids(int, int*) nogil
    int fastem_trial(int, size_t) nogil
    int FASTEM_OPENMP
    const char* const* fastem_left_out


def instruction_sets():
    """Names of the instruction sets beyond the baseline that the CPU and the system support."""
    return [name for name, found in (("avx512", fastem_avx512()), ("avx2", fastem_avx2())) if found]


def openmp():
    """Whether the kernels were compiled with OpenMP."""
    return bool(FASTEM_OPENMP)


def left_out():
    """{what the build wanted but could not have: why}"""
    cdef int i = 0
    found = {}
    while fastem_left_out[i] != NULL:
        found[fastem_left_out[i].decode()] = fastem_left_out[i + 1].decode()
        i += 2
    return found


def openmp_threads():
    """How many threads the OpenMP runtime of the kernels would give to the calling thread by default."""
    return omp_get_max_threads()


def openmp_places():
    """The processors of the places to which the OpenMP runtime binds its threads; empty where it binds none."""
    cdef int place, size, i
    cdef int* ids
    found = set()
    for place in range(omp_get_num_places()):
        size = omp_get_place_num_procs(place)
        ids = <int*>malloc(max(1, size) * sizeof(int))
        if ids == NULL:
            raise MemoryError
        omp_get_place_proc_ids(place, ids)
        found.update([ids[i] for i in range(size)])
        free(ids)
    return found


def trial_of_threads(int n, size_t stack):
    """How many of n threads, all at the same time, could be started; stack: bytes of each, 0 for the default."""
    cdef int started
    with nogil:
        started = fastem_trial(n, stack)
    return started
