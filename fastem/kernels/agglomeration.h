/* What the mergers of one cluster with many others cost, side by side: plain loops over the others, which compilers turn into
   vector instructions. Each number is computed as for one merger alone, so its bits are the same. */
#ifndef FASTEM_AGGLOMERATION_H
#define FASTEM_AGGLOMERATION_H
#include <stddef.h>
#include <stdint.h>
#include "scalar_math.h"

#define SIDE_BY_SIDE 64

/* Compiled for several instruction sets, of which the loader takes one. Without contraction the bits are the same. */
#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) && defined(__has_attribute)
#if __has_attribute(target_clones)
#define FOR_EVERY_CPU __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
#endif
#ifndef FOR_EVERY_CPU
#define FOR_EVERY_CPU
#endif

/* scalar_log of n numbers; false where one of them is not positive, finite and normal. */
static inline int logs_of(const double *x, ptrdiff_t n, double *logs) {
    int64_t odd = 0;
    for (ptrdiff_t b = 0; b < n; b++) {
        uint64_t bits, whole, of_f;
        double f, e;
        memcpy(&bits, x + b, 8);
        odd |= (int64_t)(bits - 0x0010000000000000u) | (int64_t)(0x7fefffffffffffffu - bits);   /* the sign, if any is odd */
        of_f = (bits & 0x000fffffffffffffu) | 0x3fe0000000000000u;   /* in [1/2, 1) */
        whole = (bits >> 52) | 0x4330000000000000u;                 /* 2^52 + exponent */
        memcpy(&f, &of_f, 8);
        memcpy(&e, &whole, 8);
        e -= 4503599627370496.0 + 1022;
        e = f < 0.70710678118654752 ? e - 1 : e;
        f = f < 0.70710678118654752 ? 2 * f : f;
        logs[b] = log_of_parts(f, e);
    }
    return odd >= 0;
}

/* The cost of the union of a cluster (its count, mean (d), lower triangle of its scatter) with each of m <= SIDE_BY_SIDE others,
   whose numbers lie `stride` apart, one array for each: their counts, means (d arrays), triangles (d (d + 1) / 2 arrays).
   work: (d (d + 1) / 2 + 2 d + 2) SIDE_BY_SIDE numbers. False where one of them must be computed alone. */
FOR_EVERY_CPU
static int traced_costs(double count, const double *mean, const double *scatter, const double *counts, const double *means,
                        const double *scatters, ptrdiff_t stride, ptrdiff_t m, ptrdiff_t d, double prior, double *work,
                        double *costs) {
    double *apart = work, *steps = apart + d * SIDE_BY_SIDE, *trace = steps + d * SIDE_BY_SIDE;
    double *product = trace + SIDE_BY_SIDE, *both = product + SIDE_BY_SIDE;
    int wide = 0;
    for (ptrdiff_t i = 0; i < d; i++)
        for (ptrdiff_t b = 0; b < m; b++) {
            double share = count * counts[b] / (count + counts[b]);
            steps[i * SIDE_BY_SIDE + b] = means[i * stride + b] - mean[i];
            apart[i * SIDE_BY_SIDE + b] = share * steps[i * SIDE_BY_SIDE + b];
        }
    for (ptrdiff_t b = 0; b < m; b++) trace[b] = 0, product[b] = 1;
    for (ptrdiff_t i = 0, place = 0; i < d; i++)
        for (ptrdiff_t j = 0; j <= i; j++, place++) {
            const double *other = scatters + place * stride, *a = apart + i * SIDE_BY_SIDE, *s = steps + j * SIDE_BY_SIDE;
            double *own = both + place * SIDE_BY_SIDE, of_one = scatter[place];
            for (ptrdiff_t b = 0; b < m; b++) own[b] = of_one + other[b] + a[b] * s[b];
            if (i == j)
                for (ptrdiff_t b = 0; b < m; b++) trace[b] += own[b];
            for (ptrdiff_t b = 0; b < m; b++) own[b] /= count + counts[b];
        }
    for (ptrdiff_t k = 0; k < d; k++) {   /* the determinant, by elimination */
        const double *pivot = both + (k * (k + 1) / 2 + k) * SIDE_BY_SIDE;
        for (ptrdiff_t b = 0; b < m; b++) {
            double more = pivot[b] > 0 ? product[b] * pivot[b] : 0;   /* once 0, it stays */
            wide |= (more != 0) & !((more > 1e-100) & (more < 1e100));
            product[b] = more;
        }
        for (ptrdiff_t i = k + 1; i < d; i++) {
            const double *lead = both + (i * (i + 1) / 2 + k) * SIDE_BY_SIDE;
            for (ptrdiff_t j = k + 1; j <= i; j++) {
                const double *along = both + (j * (j + 1) / 2 + k) * SIDE_BY_SIDE;
                double *own = both + (i * (i + 1) / 2 + j) * SIDE_BY_SIDE;
                for (ptrdiff_t b = 0; b < m; b++) own[b] -= lead[b] / pivot[b] * along[b];
            }
        }
    }
    for (ptrdiff_t b = 0; b < m; b++) product[b] = product[b] + (trace[b] + prior) / (count + counts[b]);
    if (wide || !logs_of(product, m, costs)) return 0;
    for (ptrdiff_t b = 0; b < m; b++) costs[b] = (count + counts[b]) * costs[b];
    return 1;
}
#endif
