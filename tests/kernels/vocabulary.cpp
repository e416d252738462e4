/* A hash of what the vector vocabulary of the kernels gives for fixed numbers; see test_reproducible.py. */
#include <stdio.h>
#include "simd.h"

static uint64_t state = 88172645463325252u, hash = 1469598103934665603u;

static double next(void) {   /* in [0, 1), a multiple of 2^-53 */
    state ^= state << 13; state ^= state >> 7; state ^= state << 17;
    return (double)(state >> 11) / 9007199254740992.0;
}

static void add(const void *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) hash = (hash ^ ((const unsigned char *)bytes)[i]) * 1099511628211u;
}

int main(void) {
    vec x, y, z, many[2 * LANES + 3];
    real *lanes = (real *)&x, rows[4 * LANES * LANES], centre[LANES];
    double sums[2 * LANES + 3] = {0};
    for (int round = 0; round < 20000; round++) {
        double scale = round % 5 ? 8 : 300 * next();
        for (int i = 0; i < LANES; i++) lanes[i] = (real)((next() - 0.5) * scale);
        y = vexp(x); add(&y, sizeof y);
        y = vexp_negative(vmin(x, splat(0))); add(&y, sizeof y);
        y = vlog(vmax(x * x, splat(SMALLEST_NORMAL / 2))); add(&y, sizeof y);
        y = vlog1p(x * x); add(&y, sizeof y);
        y = vlog1p_of_unit(vmin(x * x, splat(1)), &z); add(&y, sizeof y); add(&z, sizeof z);
        y = vlog_factorial(x * x); add(&y, sizeof y);
        y = vsqrt(x * x) + x * y; add(&y, sizeof y);
        for (int i = 0; i < LANES; i++) {
            double a = scalar_exp((double)lanes[i]), b = scalar_log(next() * scale), c = scalar_hypot(a, b);
            add(&a, sizeof a); add(&b, sizeof b); add(&c, sizeof c);
        }
        many[round % (2 * LANES + 3)] = x * y + x;
        if (round >= 2 * LANES + 3) add_lane_sums(many, 2 * LANES + 3, sums);
    }
    add(sums, sizeof sums);
    for (int i = 0; i < LANES * LANES; i++) rows[i] = (real)next();
    for (int i = 0; i < LANES; i++) centre[i] = (real)next();
    turn_rows(LANES, (const char *)rows, LANES * (ptrdiff_t)sizeof(real), centre, many, 1);
    add(many, LANES * sizeof(vec));
    printf("%016llx\n", (unsigned long long)hash);
    return 0;
}
