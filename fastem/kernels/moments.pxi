# The moments of all rows, without a density: one component, to which every row belongs.
#
# params: the point that moments are about, itself about the centre. sums: as those of gaussian_full and of gaussian_diagonal.

cdef tuple moments_layout(Family* f, Py_ssize_t K, Py_ssize_t d, dict params):
    f.log_prob, f.accumulate, f.roots = no_density, moments_accumulate, True
    f.n_acc, f.n_scratch = gram_size(d), gram_space(d)
    return {"point": (d,)}, {}, gram_layout(d, "second", "first", "weight")


cdef tuple column_moments_layout(Family* f, Py_ssize_t K, Py_ssize_t d, dict params):
    f.log_prob, f.accumulate, f.roots = no_density, column_moments_accumulate, False
    f.n_acc, f.n_scratch = 2 * d + 1, 0
    return {"point": (d,)}, {}, {"first": (d,), "second": (d,), "weight": ()}


cdef void no_density(const Tile* t, const real** params) noexcept nogil:
    memset(t.joint, 0, t.vectors * sizeof(vec))


cdef void moments_accumulate(const Tile* t, const real** params, double* sums) noexcept nogil:
    full_moments_about(t, params[0], sums)


cdef void column_moments_accumulate(const Tile* t, const real** params, double* sums) noexcept nogil:
    diagonal_moments_about(t, params[0], sums)
