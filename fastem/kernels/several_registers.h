/* A vector of several registers, for FASTEM_REPRODUCIBLE where registers are narrower than its vectors: lanes and the bits of all
   that is done with them are those of one wide register. C++. Compilers have such vectors of their own
   (vector_size), but gcc keeps them in memory: six times slower. */
#ifndef FASTEM_SEVERAL_REGISTERS_H
#define FASTEM_SEVERAL_REGISTERS_H

struct __attribute__((may_alias)) vec { part of[REGISTERS]; };
struct __attribute__((may_alias)) ivec { ipart of[REGISTERS]; };

/* A function of vectors from that of their registers i */
#define EACH(kind, expression) { kind out; for (int i = 0; i < REGISTERS; i++) out.of[i] = (expression); return out; }
#define ANY(expression) { int any = 0; for (int i = 0; i < REGISTERS; i++) any |= (expression); return any; }
#define OPERATOR(kind, sign) FORCE_INLINE kind operator sign(kind a, kind b) EACH(kind, a.of[i] sign b.of[i])
OPERATOR(vec, +)
OPERATOR(vec, -)
OPERATOR(vec, *)
OPERATOR(vec, /)
OPERATOR(ivec, +)
OPERATOR(ivec, -)
OPERATOR(ivec, &)
OPERATOR(ivec, |)
OPERATOR(ivec, ^)
#undef OPERATOR
FORCE_INLINE vec operator-(vec a) EACH(vec, -a.of[i])
FORCE_INLINE vec splat(real a) EACH(vec, splat_part(a))
FORCE_INLINE ivec isplat(bits_t a) EACH(ivec, isplat_part(a))
FORCE_INLINE ivec as_bits(vec a) EACH(ivec, as_bits(a.of[i]))
FORCE_INLINE vec from_bits(ivec a) EACH(vec, from_bits(a.of[i]))
FORCE_INLINE ivec shift_left(ivec a, int n) EACH(ivec, shift_left(a.of[i], n))
FORCE_INLINE ivec shift_right(ivec a, int n) EACH(ivec, shift_right(a.of[i], n))
FORCE_INLINE real lane(vec a, int i) { return a.of[i / REGISTER_LANES][i % REGISTER_LANES]; }
FORCE_INLINE int any_bit(ivec a) ANY(any_bit(a.of[i]))
FORCE_INLINE int any_less(vec a, vec b) ANY(any_less(a.of[i], b.of[i]))
FORCE_INLINE vec looked_up(const real *table, vec x) EACH(vec, looked_up(table, x.of[i]))
FORCE_INLINE vec where_less(vec a, vec b, vec x, vec y) EACH(vec, where_less(a.of[i], b.of[i], x.of[i], y.of[i]))
FORCE_INLINE vec where_number(vec a, vec x, vec y) EACH(vec, where_number(a.of[i], x.of[i], y.of[i]))
FORCE_INLINE vec vmax(vec a, vec b) EACH(vec, vmax(a.of[i], b.of[i]))
FORCE_INLINE vec vmin(vec a, vec b) EACH(vec, vmin(a.of[i], b.of[i]))
FORCE_INLINE vec vsqrt(vec a) EACH(vec, vsqrt(a.of[i]))
FORCE_INLINE vec load_anywhere(const char *x) EACH(vec, load_part(x + i * REGISTER_BYTES))
FORCE_INLINE part entry(const vec &a, const vec &b, int i) { return i < REGISTERS ? a.of[i] : b.of[i - REGISTERS]; }
FORCE_INLINE vec even(vec a, vec b) EACH(vec, even(entry(a, b, 2 * i), entry(a, b, 2 * i + 1)))
FORCE_INLINE vec odd(vec a, vec b) EACH(vec, odd(entry(a, b, 2 * i), entry(a, b, 2 * i + 1)))
#undef EACH
#undef ANY
#endif
