/* exp and log of one double from +, -, *, / alone, whose bits IEEE 754 determines: no libm, whose last bits depend on its
   version and on the CPU. Compile without contraction. The methods are those of simd.h. */
#ifndef FASTEM_SCALAR_MATH_H
#define FASTEM_SCALAR_MATH_H
#include <math.h>
#include <string.h>

static inline double log_of_parts(double f, double e) {   /* log(f 2^e), f from sqrt(1/2) to sqrt(2) */
    double s, w, p;
    f -= 1;
    s = f / (f + 2);
    w = s * s;
    p = 0.13089445145246311412;
    p = p * w + 0.13268503312794760136;
    p = p * w + 0.15386249788196104628;
    p = p * w + 0.18181795454526501038;
    p = p * w + 0.22222222393452627488;
    p = p * w + 0.28571428570795934749;
    p = p * w + 0.40000000000000889534;
    p = p * w + 0.66666666666666666462;
    return e * 0.693147180369123816490 + (f - (s * (f - w * p) - e * 1.90821492927058770002e-10));
}

static inline double scalar_log(double x) {   /* to 1 ulp or so; 0: -inf, negative numbers: NaN */
    int e;
    double f;
    if (!(x > 0)) return x == 0 ? -HUGE_VAL : (x - x) / (x - x);
    if (x == HUGE_VAL) return x;
    f = frexp(x, &e);
    if (f < 0.70710678118654752) { f = 2 * f; e -= 1; }
    return log_of_parts(f, e);
}

static inline double scalar_exp(double x) {   /* to 1 ulp or so */
    static const double terms[] = {
        0.5, 0.16666666666666670991, 0.041666666666666669755, 0.0083333333333261351258, 0.0013888888888883748305,
        0.00019841269874820625271, 0.000024801587325547741216, 2.755725540020642443e-6, 2.7557273643110295328e-7,
        2.5105217004720745164e-8, 2.0914686968086877233e-9};
    double n, r, p;
    if (x != x) return x;
    if (x > 1000) return HUGE_VAL;
    if (x < -1000) return 0;
    n = (x * 1.4426950408889634 + 6755399441055744.0) - 6755399441055744.0;
    r = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
    p = terms[10];
    for (int i = 9; i >= 0; i--) p = p * r + terms[i];
    return ldexp((p * (r * r) + r) + 1, (int)n);
}

static inline double scalar_hypot(double x, double y) { return sqrt(x * x + y * y); }   /* of moderate numbers */
#endif
