/* The vector vocabulary of the kernels: a lane is a row of data.

   Compiled once per instruction set and real type. Everything above this file is written in
   Cython with `vec` as if it were a number: a = a + l * x is one fused multiply-add on LANES rows.
   Compilers without vector extensions (MSVC) get vectors of one lane from the same algorithms.

   FASTEM_FLOAT          the real type is float; otherwise double
   FASTEM_NO_VECTORS     one lane, as on compilers without vector extensions
   FASTEM_REPRODUCIBLE   the same bits from every build: vectors of 64 bytes, also where registers are narrower, and no function
                         of libm. Compiled without contraction: a + l * x rounds twice. In C++, since only there can a
                         vector of several registers have operators and lie in registers. */
#ifndef FASTEM_SIMD_H
#define FASTEM_SIMD_H
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef FASTEM_FLOAT
typedef float real;
typedef int32_t bits_t;
typedef uint32_t unsigned_bits_t;
#define MANTISSA_BITS 23
#define EXPONENT_BIAS 127
#define REAL_C(x) x##f
#define SMALLEST_NORMAL 1.17549435e-38f
#define DENORMAL_SHIFT 25
#else
typedef double real;
typedef int64_t bits_t;
typedef uint64_t unsigned_bits_t;
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023
#define REAL_C(x) x
#define SMALLEST_NORMAL 2.2250738585072014e-308
#define DENORMAL_SHIFT 54
#endif

/* ---- width: the widest registers that the compiler's flags allow ------------------------- */
#if defined(FASTEM_REPRODUCIBLE) && !(defined(__cplusplus) && (defined(__GNUC__) || defined(__clang__)))
#error "FASTEM_REPRODUCIBLE takes a compiler of C++ with vector extensions"
#endif
#if (defined(__GNUC__) || defined(__clang__)) && !defined(FASTEM_NO_VECTORS)
#define HAVE_VECTORS 1
#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define MASKS 1
#endif
#if defined(MASKS)
#define REGISTER_BYTES 64
#elif defined(__AVX2__)
#define REGISTER_BYTES 32
#else
#define REGISTER_BYTES 16
#endif
#if defined(FASTEM_REPRODUCIBLE)
#define VECTOR_BYTES 64
#else
#define VECTOR_BYTES REGISTER_BYTES
#endif
#else
#define HAVE_VECTORS 0
#ifdef FASTEM_FLOAT
#define VECTOR_BYTES 4
#else
#define VECTOR_BYTES 8
#endif
#define REGISTER_BYTES VECTOR_BYTES
#endif

#if defined(__GNUC__) || defined(__clang__)
#define PREFETCH(address) __builtin_prefetch(address)
#else
#define PREFETCH(address) ((void)(address))
#endif

/* Register tiles. 32 vector registers (AVX-512, NEON) hold a Gram tile of 4 x 4 sums and 4 vectors
   of rows in the density; 16 registers (AVX2, SSE2) would spill there. Rows in a group are part of the bits. */
enum {
    LANES = VECTOR_BYTES / (int)sizeof(real),
    REGISTERS = VECTOR_BYTES / REGISTER_BYTES,   /* of a vector */
    REGISTER_LANES = LANES / REGISTERS,
#if REGISTER_BYTES < VECTOR_BYTES
    GRAM_BLOCK = 2,
#elif defined(MASKS) || defined(__aarch64__)
    GRAM_BLOCK = 4,
#else
    GRAM_BLOCK = 3,
#endif
#if (defined(MASKS) || defined(__aarch64__)) && !defined(FASTEM_REPRODUCIBLE)
    ROW_VECTORS = 4,
#else
    ROW_VECTORS = 2,
#endif
    FACTOR_BLOCK = 4,
    DIAGONAL_BLOCK = GRAM_BLOCK == 4 ? 4 : 2,
    ALIGNMENT = 64
};

#if defined(_MSC_VER) && !defined(__clang__)
#define FORCE_INLINE static __forceinline
#define NEVER_INLINE __declspec(noinline)
#else
#define FORCE_INLINE static inline __attribute__((always_inline))
#define NEVER_INLINE __attribute__((noinline))
#endif

/* Cython's `cdef inline` must mean it: the register tiles are functions whose sizes are constants at each call. */
#if defined(__GNUC__) || defined(__clang__)
#undef CYTHON_INLINE
#define CYTHON_INLINE inline __attribute__((always_inline))
#endif

/* ---- registers ---------------------------------------------------------------------------- */
#if HAVE_VECTORS
typedef real part __attribute__((vector_size(REGISTER_BYTES), may_alias));
typedef bits_t ipart __attribute__((vector_size(REGISTER_BYTES), may_alias));
typedef unsigned_bits_t upart __attribute__((vector_size(REGISTER_BYTES), may_alias));
FORCE_INLINE part splat_part(real a) { return a - (part){0}; }
FORCE_INLINE ipart isplat_part(bits_t a) { return a - (ipart){0}; }
FORCE_INLINE ipart as_bits(part a) { return (ipart)a; }
FORCE_INLINE part from_bits(ipart a) { return (part)a; }
FORCE_INLINE ipart shift_left(ipart a, int n) { return (ipart)((upart)a << n); }
FORCE_INLINE ipart shift_right(ipart a, int n) { return (ipart)((upart)a >> n); }
FORCE_INLINE real lane(part a, int i) { return a[i]; }
FORCE_INLINE int any_bit(ipart a) {
    bits_t any = 0;
    for (int i = 0; i < REGISTER_LANES; i++) any |= a[i];
    return any != 0;
}
/* table[x] for whole numbers x */
FORCE_INLINE part looked_up(const real *table, part x) {
    part y = {0};
    for (int i = 0; i < REGISTER_LANES; i++) y[i] = table[(int)x[i]];
    return y;
}
/* a < b ? x : y in every lane; a comparison with NaN is false */
FORCE_INLINE part where_less(part a, part b, part x, part y) {
    ipart m = a < b;
    return (part)((m & (ipart)x) | (~m & (ipart)y));
}
FORCE_INLINE part where_number(part a, part x, part y) {   /* y where a is NaN */
    ipart m = a == a;
    return (part)((m & (ipart)x) | (~m & (ipart)y));
}
#else
typedef real part;
typedef bits_t ipart;
FORCE_INLINE part splat_part(real a) { return a; }
FORCE_INLINE ipart isplat_part(bits_t a) { return a; }
FORCE_INLINE ipart as_bits(part a) { ipart b; memcpy(&b, &a, sizeof b); return b; }
FORCE_INLINE part from_bits(ipart a) { part b; memcpy(&b, &a, sizeof b); return b; }
FORCE_INLINE ipart shift_left(ipart a, int n) { return (ipart)((unsigned_bits_t)a << n); }
FORCE_INLINE ipart shift_right(ipart a, int n) { return (ipart)((unsigned_bits_t)a >> n); }
FORCE_INLINE real lane(part a, int i) { (void)i; return a; }
FORCE_INLINE int any_bit(ipart a) { return a != 0; }
FORCE_INLINE part looked_up(const real *table, part x) { return table[(int)x]; }
FORCE_INLINE part where_less(part a, part b, part x, part y) { return a < b ? x : y; }
FORCE_INLINE part where_number(part a, part x, part y) { return a == a ? x : y; }
#endif

/* What no operator says: instructions of x86. */
#if HAVE_VECTORS && defined(__AVX2__)
#include <immintrin.h>
#if REGISTER_BYTES == 64
#define OF_WIDTH(name) _mm512_##name
#else
#define OF_WIDTH(name) _mm256_##name
#endif
#if REGISTER_BYTES == 64 && defined(FASTEM_FLOAT)
typedef __m512 in_register;
#elif REGISTER_BYTES == 64
typedef __m512d in_register;
#elif defined(FASTEM_FLOAT)
typedef __m256 in_register;
#else
typedef __m256d in_register;
#endif
#ifdef FASTEM_FLOAT
#define INSTRUCTION(name) OF_WIDTH(name##_ps)
#define LESS_MASK OF_WIDTH(cmp_ps_mask)
#else
#define INSTRUCTION(name) OF_WIDTH(name##_pd)
#define LESS_MASK OF_WIDTH(cmp_pd_mask)
#endif
#endif

/* Whether a < b in some lane */
FORCE_INLINE int any_less(part a, part b) {
#if defined(INSTRUCTION) && defined(MASKS)
    return LESS_MASK((in_register)a, (in_register)b, _CMP_LT_OQ) != 0;
#elif defined(INSTRUCTION)
    return INSTRUCTION(movemask)(INSTRUCTION(cmp)((in_register)a, (in_register)b, _CMP_LT_OQ)) != 0;
#elif HAVE_VECTORS
    return any_bit((ipart)(a < b));
#else
    return a < b;
#endif
}

/* The larger, the smaller of two; where one is NaN: the second. */
#if defined(INSTRUCTION)
FORCE_INLINE part vmax(part a, part b) { return (part)INSTRUCTION(max)((in_register)a, (in_register)b); }
FORCE_INLINE part vmin(part a, part b) { return (part)INSTRUCTION(min)((in_register)a, (in_register)b); }
FORCE_INLINE part vsqrt(part a) { return (part)INSTRUCTION(sqrt)((in_register)a); }
#else
FORCE_INLINE part vmax(part a, part b) { return where_less(b, a, a, b); }
FORCE_INLINE part vmin(part a, part b) { return where_less(a, b, a, b); }
#if HAVE_VECTORS
FORCE_INLINE part vsqrt(part a) {   /* one square root instruction after the compiler's SLP pass */
    part y = {0};
    for (int i = 0; i < REGISTER_LANES; i++) y[i] = (real)sqrt((double)a[i]);
    return y;
}
#else
FORCE_INLINE part vsqrt(part a) { return (real)sqrt((double)a); }
#endif
#endif

/* entries 0, 2, 4, … and 1, 3, 5, … of a and b in a row */
#if HAVE_VECTORS && (defined(__clang__) || __GNUC__ >= 12)
#if REGISTER_BYTES == 64 && defined(FASTEM_FLOAT)
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#elif (REGISTER_BYTES == 64 && !defined(FASTEM_FLOAT)) || (REGISTER_BYTES == 32 && defined(FASTEM_FLOAT))
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define ODD 1, 3, 5, 7, 9, 11, 13, 15
#elif (REGISTER_BYTES == 32 && !defined(FASTEM_FLOAT)) || (REGISTER_BYTES == 16 && defined(FASTEM_FLOAT))
#define EVEN 0, 2, 4, 6
#define ODD 1, 3, 5, 7
#else
#define EVEN 0, 2
#define ODD 1, 3
#endif
FORCE_INLINE part even(part a, part b) { return __builtin_shufflevector(a, b, EVEN); }
FORCE_INLINE part odd(part a, part b) { return __builtin_shufflevector(a, b, ODD); }
#else
FORCE_INLINE part pick(part a, part b, int first) {
#if HAVE_VECTORS
    part y = {0};
    for (int i = 0; i < REGISTER_LANES; i++)
        y[i] = 2 * i + first < REGISTER_LANES ? a[2 * i + first] : b[2 * i + first - REGISTER_LANES];
    return y;
#else
    return first ? b : a;
#endif
}
FORCE_INLINE part even(part a, part b) { return pick(a, b, 0); }
FORCE_INLINE part odd(part a, part b) { return pick(a, b, 1); }
#endif

/* A register from any address. Not memcpy: gcc 12 moves 16 bytes at a time through the stack, and the wider load that follows
   waits for those stores. */
#if HAVE_VECTORS
typedef real unaligned_part __attribute__((vector_size(REGISTER_BYTES), aligned(1), may_alias));
FORCE_INLINE part load_part(const char *x) { return (part)*(const unaligned_part *)x; }
#else
FORCE_INLINE part load_part(const char *x) { part y; memcpy(&y, x, sizeof y); return y; }
#endif

/* ---- vectors: a register, or several as one ------------------------------------------------- */
#if REGISTER_BYTES == VECTOR_BYTES
typedef part vec;
typedef ipart ivec;
FORCE_INLINE vec splat(real a) { return splat_part(a); }
FORCE_INLINE ivec isplat(bits_t a) { return isplat_part(a); }
FORCE_INLINE vec load_anywhere(const char *x) { return load_part(x); }
#else
#include "several_registers.h"
#endif

FORCE_INLINE ivec shift_to_exponent(ivec n) { return shift_left(n, MANTISSA_BITS); }

/* p * 2**n for a whole number n in [-2000, 2000] (float: [-250, 250]); rounds into denormals, overflows to inf. */
FORCE_INLINE vec scale_by_power(vec p, vec n, ivec n_bits) {
#if VECTOR_BYTES == 64 && !defined(FASTEM_REPRODUCIBLE)
    (void)n_bits;
    return (vec)INSTRUCTION(scalef)((in_register)p, (in_register)n);
#else
    /* two factors, since one alone may be out of range where the product is not */
    ivec half = shift_right(n_bits + isplat(4096), 1) - isplat(2048);
    (void)n;
    return p * from_bits(shift_to_exponent(half + isplat(EXPONENT_BIAS)))
             * from_bits(shift_to_exponent(n_bits - half + isplat(EXPONENT_BIAS)));
#endif
}

/* 1.5 * 2**MANTISSA_BITS: adding it rounds to a whole number, which then stands in the low bits. */
#ifdef FASTEM_FLOAT
#define ROUNDING_MAGIC 12582912.0f
#define EXP_LIMIT REAL_C(150.0)
static const real EXP_TERMS[] = {0.5f, 0.16666576989698776f, 0.041666554617204574f, 0.0083631790527225774f, 0.0013926183587713495f};
static const real LOG_TERMS[] = {0.66666666553585081f, 0.40000122584957255f, 0.28550736362857782f, 0.23332762955117523f};
#define LN2_HIGH 0.693145751953125f
#define LN2_LOW 1.42860682030941723e-6f
#else
#define ROUNDING_MAGIC 6755399441055744.0
#define EXP_LIMIT 1000.0
static const real EXP_TERMS[] = {
    0.5, 0.16666666666666670991, 0.041666666666666669755, 0.0083333333333261351258,
    0.0013888888888883748305, 0.00019841269874820625271, 0.000024801587325547741216,
    2.755725540020642443e-6, 2.7557273643110295328e-7, 2.5105217004720745164e-8,
    2.0914686968086877233e-9};
static const real LOG_TERMS[] = {
    0.66666666666666666462, 0.40000000000000889534, 0.28571428570795934749, 0.22222222393452627488,
    0.18181795454526501038, 0.15386249788196104628, 0.13268503312794760136, 0.13089445145246311412};
#define LN2_HIGH 0.693147180369123816490
#define LN2_LOW 1.90821492927058770002e-10
#endif
#define LOWEST (sizeof(real) == 8 ? (real)-4e307 : (real)-8e37)   /* stands for log 0: sums and differences stay finite */
#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

#if VECTOR_BYTES == 64 && !defined(FASTEM_FLOAT) && !defined(FASTEM_REPRODUCIBLE)
/* x = (n / 16) ln 2 + r, |r| <= ln(2)/32: 2^(n/16) from a table in two registers, exp(r) = 1 + r + r^2 P(r) with a P of half
   the degree: 19 instructions in place of 27. *shifted = n + ROUNDING_MAGIC. */
#define TABLE_BITS 4
static const double EXP_TABLE[] = {
    1.0, 1.0442737824274138, 1.0905077326652577, 1.1387886347566916, 1.189207115002721, 1.241857812073484,
    1.2968395546510096, 1.3542555469368927, 1.4142135623730951, 1.4768261459394993, 1.5422108254079407,
    1.6104903319492543, 1.681792830507429, 1.7562521603732995, 1.8340080864093424, 1.9152065613971474};
static const double SHORT_EXP_TERMS[] = {
    0.5, 0.16666666665301144, 0.041666666664959766, 0.008333449724528355, 0.0013889034377693012};
FORCE_INLINE vec exp_of_remainder(vec x, vec *shifted) {
    *shifted = x * splat(16 * 1.4426950408889634) + splat(ROUNDING_MAGIC);
    vec n = *shifted - splat(ROUNDING_MAGIC);
    vec r = x - n * splat(LN2_HIGH / 16);
    r = r - n * splat(LN2_LOW / 16);
    vec p = splat(SHORT_EXP_TERMS[4]);
    for (int i = 3; i >= 0; i--) p = p * r + splat(SHORT_EXP_TERMS[i]);
    vec power = (vec)_mm512_permutex2var_pd(
        _mm512_loadu_pd(EXP_TABLE), (__m512i)as_bits(*shifted), _mm512_loadu_pd(EXP_TABLE + 8));   /* of the low 4 bits */
    return power + power * (r * r * p + r);
}
#else
#define TABLE_BITS 0
/* x = n ln 2 + r, |r| <= ln(2)/2; then exp(r) = 1 + r + r^2 P(r), P by Chebyshev interpolation, its even and odd terms apart
   to halve the chain. *shifted = n + ROUNDING_MAGIC. */
FORCE_INLINE vec exp_of_remainder(vec x, vec *shifted) {
    *shifted = x * splat(REAL_C(1.4426950408889634)) + splat(ROUNDING_MAGIC);
    vec n = *shifted - splat(ROUNDING_MAGIC);
    vec r = x - n * splat(LN2_HIGH);
    r = r - n * splat(LN2_LOW);
    vec r2 = r * r;
    vec p = splat(EXP_TERMS[COUNT(EXP_TERMS) - 1]), q = splat(EXP_TERMS[COUNT(EXP_TERMS) - 2]);   /* an odd count of terms */
    for (int i = COUNT(EXP_TERMS) - 3; i > 0; i -= 2) {
        p = p * r2 + splat(EXP_TERMS[i]);
        q = q * r2 + splat(EXP_TERMS[i - 1]);
    }
    p = p * r2 + splat(EXP_TERMS[0]);
    return (q * r + p) * r2 + r + splat(1);
}
#endif

/* Stated errors, in units of the last place of the exact value (tests/kernels/test_stated_errors.py holds every build to
   them): of vexp and vexp_negative, of vlog, of vlog1p, of vmills; of vlog_factorial in units of the last place of 1 + the value. What
   fastem/models/rounding.py says of a log-likelihood follows from them. */
#define EXP_ULPS 1.5
#define LOG_ULPS 1.5
#define LOG1P_ULPS 2.5
#define LOG_FACTORIAL_ULPS 32.0
#define MILLS_ULPS 10.0

/* exp(x) within EXP_ULPS. -inf, 0, denormal and overflowing results, inf and NaN come out as in libm. */
FORCE_INLINE vec vexp(vec x) {
    vec shifted;
    vec p = exp_of_remainder(vmin(splat(EXP_LIMIT), vmax(splat(-EXP_LIMIT), x)), &shifted);
    vec n = (shifted - splat(ROUNDING_MAGIC)) * splat((real)1 / (1 << TABLE_BITS));   /* a table takes what is not whole */
    return scale_by_power(p, n, as_bits(shifted) - as_bits(splat(ROUNDING_MAGIC)));
}

#define NEGLIGIBLE REAL_C(-20.794415416798357)   /* log(2^-60) / 2: the root of what changes no digit of a sum with 1 */

/* exp(x) for x <= 0; exactly 0 below NEGLIGIBLE. */
FORCE_INLINE vec vexp_negative(vec x) {
    vec shifted;
    vec p = exp_of_remainder(vmax(splat(NEGLIGIBLE), x), &shifted);
    ivec power = shift_left(as_bits(shifted) & isplat(-(1 << TABLE_BITS)), MANTISSA_BITS - TABLE_BITS);
    return where_less(splat(NEGLIGIBLE), x, from_bits(as_bits(p) + power), splat(0));
}

/* log(x) within LOG_ULPS: x = 2^e m, m in [sqrt(1/2), sqrt(2)); with f = m - 1, s = f / (2 + f):
   log m = f - s (f - s^2 P(s^2)). 0 gives -inf, negative numbers NaN, inf and NaN themselves. */
FORCE_INLINE vec vlog(vec x) {
    const vec zero = splat(0), infinity = splat((real)HUGE_VAL), tiny = splat(SMALLEST_NORMAL);
    const ivec root_half = as_bits(splat(REAL_C(0.70710678118654752)));
    vec normal = where_less(x, tiny, x * splat((real)((bits_t)1 << DENORMAL_SHIFT)), x);
    vec e = where_less(x, tiny, splat(-DENORMAL_SHIFT), zero);
    /* adding the distance from sqrt(1/2) to 1 carries into the exponent where the mantissa >= sqrt(1/2) */
    ivec t = as_bits(normal) + (as_bits(splat(1)) - root_half);
    ivec exponent = shift_right(t, MANTISSA_BITS) - isplat(EXPONENT_BIAS);
    e = e + (from_bits(as_bits(splat(ROUNDING_MAGIC)) + exponent) - splat(ROUNDING_MAGIC));
    vec f = from_bits((t & isplat(((bits_t)1 << MANTISSA_BITS) - 1)) + root_half) - splat(1);
    vec s = f / (f + splat(2));
    vec w = s * s;
    vec p = splat(LOG_TERMS[COUNT(LOG_TERMS) - 1]);
    for (int i = COUNT(LOG_TERMS) - 2; i >= 0; i--) p = p * w + splat(LOG_TERMS[i]);
    vec y = e * splat(LN2_HIGH) + (f - (s * (f - w * p) - e * splat(LN2_LOW)));
    y = where_less(zero, x, y, where_less(x, zero, zero / zero, x - infinity));
    return where_less(x, infinity, y, x);
}

/* 1 / sqrt(x) of a positive number */
FORCE_INLINE vec reciprocal_root(vec x) {
#if VECTOR_BYTES == 64 && !defined(FASTEM_REPRODUCIBLE)   /* an estimate of 14 bits, then Newton's steps */
    vec y = (vec)INSTRUCTION(rsqrt14)((in_register)x);
#ifndef FASTEM_FLOAT
    y = y + splat(REAL_C(0.5)) * y * (splat(1) - x * y * y);
#endif
    return y + splat(REAL_C(0.5)) * y * (splat(1) - x * y * y);
#else
    return splat(1) / vsqrt(x);
#endif
}

/* What libm would give; its last bits depend on its version and on the CPU. */
#ifdef FASTEM_REPRODUCIBLE
#include "scalar_math.h"
#else
#define scalar_log log
#define scalar_hypot hypot
#endif

/* log(1 + y) within LOG1P_ULPS, y >= 0, without losing a small y. */
FORCE_INLINE vec vlog1p(vec y) {
    vec u = y + splat(1);
    return vlog(u) + (y - (u - splat(1))) / u;
}

/* The same for y <= 1, with 1 / (1 + y) within 2.5 units of its last place: one division for both. 1 + y = 2^e m as in vlog,
   where e is 0 or 1. */
FORCE_INLINE vec vlog1p_of_unit(vec y, vec *reciprocal) {
    const vec border = splat(REAL_C(1.4142135623730951));
    vec u = y + splat(1);
    vec e = where_less(border, u, splat(1), splat(0));
    vec f = where_less(border, u, u * splat(REAL_C(0.5)), u) - splat(1);
    vec b = f + splat(2), inverse = splat(1) / (u * b);
    vec s = f * (u * inverse), w = s * s;
    vec p = splat(LOG_TERMS[COUNT(LOG_TERMS) - 1]);
    for (int i = COUNT(LOG_TERMS) - 2; i >= 0; i--) p = p * w + splat(LOG_TERMS[i]);
    *reciprocal = b * inverse;
    return e * splat(LN2_HIGH) + (f - (s * (f - w * p) - e * splat(LN2_LOW))) + (y - (u - splat(1))) * *reciprocal;
}

/* Mills' ratio (1 - Phi(x)) / phi(x) of the normal distribution, erfcx(x / sqrt 2) sqrt(pi / 2), within MILLS_ULPS for x >= 0
   whose reciprocal is a number: (x + 4.5) times it is smooth in (x - 4.5) / (x + 4.5), a polynomial to 2^-56. */
FORCE_INLINE vec vmills(vec x) {
    static const real terms[] = {
        REAL_C(1.9131352239782862), REAL_C(-1.6048882049011262), REAL_C(1.1190905025319455), REAL_C(-0.6345323932481048),
        REAL_C(0.27919476586449943), REAL_C(-0.08490282389410506), REAL_C(0.010587028725654708), REAL_C(0.004383668136013047),
        REAL_C(-0.002300449406542663), REAL_C(1.599528939338186e-05), REAL_C(0.00028084994938006345), REAL_C(-3.993893182964579e-05),
        REAL_C(-3.5686459891778214e-05), REAL_C(7.998688074858116e-06), REAL_C(5.377587637560456e-06), REAL_C(-1.2581961162013746e-06),
        REAL_C(-9.61266759717233e-07), REAL_C(1.6053275103821915e-07), REAL_C(1.8805942591256064e-07), REAL_C(-1.1934565233388321e-08),
        REAL_C(-3.5554665743335785e-08), REAL_C(-7.46070291373456e-10), REAL_C(5.417690627712938e-09), REAL_C(2.4580958532929963e-10),
        REAL_C(-4.667845887893746e-10)};
    vec inverse = splat(1) / (x + splat(REAL_C(4.5))), t = (x - splat(REAL_C(4.5))) * inverse, t2 = t * t;
    vec p = splat(terms[COUNT(terms) - 1]), q = splat(terms[COUNT(terms) - 2]);   /* even and odd terms; an odd count */
    for (int i = COUNT(terms) - 3; i > 0; i -= 2) {
        p = p * t2 + splat(terms[i]);
        q = q * t2 + splat(terms[i - 1]);
    }
    return (p * t2 + splat(terms[0]) + q * t) * inverse;
}

/* log x! for x >= 0: Stirling's series at x + 1, or below 16 at x + 9, less the logarithm of the eight factors between. */
FORCE_INLINE vec vlog_factorial(vec x) {
    static const real series[] = {   /* Bernoulli numbers B_2j / (2j (2j-1)) */
        REAL_C(0.08333333333333333), REAL_C(-0.002777777777777778), REAL_C(0.0007936507936507937), REAL_C(-0.0005952380952380953),
        REAL_C(0.0008417508417508417), REAL_C(-0.0019175269175269176), REAL_C(0.00641025641025641)};
    const vec border = splat(16), plain = x + splat(1);
    vec z = where_less(plain, border, plain + splat(8), plain);
    vec inverse = splat(1) / z, square = inverse * inverse, p = splat(series[COUNT(series) - 1]);
    for (int j = COUNT(series) - 2; j >= 0; j--) p = p * square + splat(series[j]);
    vec y = (z - splat(REAL_C(0.5))) * vlog(z) - z + splat(REAL_C(0.9189385332046727)) + p * inverse;
    if (!any_bit(as_bits(z) ^ as_bits(plain))) return y;   /* nothing is below; log 1 = 0 would be taken away */
    vec factors = splat(1);
    for (int j = 0; j < 8; j++) factors = factors * where_less(plain, border, plain + splat((real)j), splat(1));
    return y - vlog(factors);
}

/* out = log x! for ROW_VECTORS vectors. Never inlined: the table and what it stands for come from the same instructions. */
static NEVER_INLINE void log_factorial_series(const vec *x, vec *out) {
    for (int v = 0; v < ROW_VECTORS; v++) out[v] = vlog_factorial(x[v]);
}

enum { TABLED_FACTORIALS = 1024, TABLE_VECTORS = TABLED_FACTORIALS / LANES };
static vec log_factorial_table[TABLE_VECTORS];   /* of 0, 1, 2, … */

/* Called once, when the module is loaded. */
static void fill_log_factorial_table(void) {
    real *x = (real *)log_factorial_table;
    for (int i = 0; i < TABLED_FACTORIALS; i++) x[i] = (real)i;
    for (int v = 0; v < TABLE_VECTORS; v += ROW_VECTORS) log_factorial_series(log_factorial_table + v, log_factorial_table + v);
}

/* Whether ROW_VECTORS vectors hold nothing but whole numbers that the table has. */
FORCE_INLINE int all_tabled(const vec *x) {
    ivec wrong = isplat(0);
    for (int v = 0; v < ROW_VECTORS; v++) {
        vec inside = vmin(vmax(x[v], splat(0)), splat(TABLED_FACTORIALS - 1));   /* NaN: 0 */
        vec whole = (inside + splat(ROUNDING_MAGIC)) - splat(ROUNDING_MAGIC);
        wrong = wrong | (as_bits(x[v]) ^ as_bits(whole));
    }
    return !any_bit(wrong);
}

/* out -= log x! for n vectors, a multiple of ROW_VECTORS. Small counts are looked up one by one (gather instructions are slow
   on many CPUs); the bits are the same. */
static void subtract_log_factorials(const vec *x, ptrdiff_t n, vec *out) {
    for (ptrdiff_t r = 0; r < n; r += ROW_VECTORS) {
        vec found[ROW_VECTORS];
        if (all_tabled(x + r))
            for (int v = 0; v < ROW_VECTORS; v++) found[v] = looked_up((const real *)log_factorial_table, x[r + v]);
        else
            log_factorial_series(x + r, found);
        for (int v = 0; v < ROW_VECTORS; v++) out[r + v] = out[r + v] - found[v];
    }
}

/* ---- lane sums ---------------------------------------------------------------------------- */
/* sums[i] += the sum of the lanes of a[i], i < n. LANES vectors become one, whose lanes are their sums, by adding neighbours:
   no shuffle is wasted. */
static void add_lane_sums(const vec *a, ptrdiff_t n, double *sums) {
    for (ptrdiff_t g = 0; g < n; g += LANES) {
        const int m = n - g < LANES ? (int)(n - g) : LANES;
        vec t[LANES];
        if (m == LANES)
            for (int i = 0; i < LANES; i++) t[i] = a[g + i];
        else
            for (int i = 0; i < LANES; i++) t[i] = i < m ? a[g + i] : splat(0);
        for (int half = LANES / 2; half; half /= 2)
            for (int i = 0; i < half; i++) t[i] = even(t[2 * i], t[2 * i + 1]) + odd(t[2 * i], t[2 * i + 1]);
        if (m == LANES)
            for (int i = 0; i < LANES; i++) sums[g + i] += (double)lane(t[0], i);
        else
            for (int i = 0; i < m; i++) sums[g + i] += (double)lane(t[0], i);
    }
}

/* ---- turning rows into columns -------------------------------------------------------------- */
/* t holds LANES rows of `columns` entries one after the other; then t[j] holds column j. A round that puts even entries
   before odd ones rotates the bits of an entry's position by one: log2(columns) rounds bring the column to the front. */
FORCE_INLINE void turn(vec *t, const int columns) {
    vec u[LANES];
    for (int round = 1; round < columns; round *= 2) {
        for (int i = 0; i < columns / 2; i++) {
            u[i] = even(t[2 * i], t[2 * i + 1]);
            u[columns / 2 + i] = odd(t[2 * i], t[2 * i + 1]);
        }
        for (int i = 0; i < columns; i++) t[i] = u[i];
    }
}

/* out[j * stride] = entry j of LANES rows, less centre[j], for `columns` a power of 2 up to LANES. The entries of a row are
   contiguous; rows are row_step bytes apart, and where columns < LANES they must be contiguous too. */
FORCE_INLINE void turn_rows(const int columns, const char *rows, ptrdiff_t row_step, const real *centre, vec *out, ptrdiff_t stride) {
    vec t[LANES];
    if (columns > LANES) return;   /* never asked for; tells the compiler so */
    for (int i = 0; i < columns; i++) t[i] = load_anywhere(rows + i * (columns == LANES ? row_step : (ptrdiff_t)sizeof(vec)));
    turn(t, columns);
    for (int j = 0; j < columns; j++) out[j * stride] = t[j] - splat(centre[j]);
}

/* The same for rows of fewer entries, 0 < columns < LANES, any distance apart. Whole vectors are read: there must be as much memory
   behind the last row. */
FORCE_INLINE void turn_short_rows(ptrdiff_t columns, const char *rows, ptrdiff_t row_step, const real *centre, vec *out, ptrdiff_t stride) {
    vec t[LANES];
    for (int i = 0; i < LANES; i++) t[i] = load_anywhere(rows + i * row_step);
    turn(t, LANES);
    for (int j = 0; j < LANES; j++)
        if (j < columns) out[j * stride] = t[j] - splat(centre[j]);
}

/* The way back: LANES columns, stride vectors apart, to the first `rows` rows of LANES contiguous entries, row_step reals apart. */
FORCE_INLINE void turn_back(const vec *columns, ptrdiff_t stride, real *out, ptrdiff_t row_step, ptrdiff_t rows) {
    vec t[LANES];
    for (int k = 0; k < LANES; k++) t[k] = columns[k * stride];
    turn(t, LANES);
    for (int i = 0; i < LANES && i < rows; i++) memcpy(out + i * row_step, &t[i], sizeof(vec));
}
#endif
