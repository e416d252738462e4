/* Which instruction sets this CPU and system run. Included by _cpu.pyx, and by a trial of setup.py. */
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
