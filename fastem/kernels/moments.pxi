# The moments of all rows, without a density: one component, to which every row belongs.
#
# params: point (d), about the centre. sums: as those of gaussian_full and of gaussian_diagonal.

cdef void no_density(const Tile* t, const real** params) noexcept nogil:
    memset(t.joint, 0, t.vectors * sizeof(vec))


cdef void moments_accumulate(const Tile* t, const real** params, double* sums) noexcept nogil:
    full_moments_about(t, params[0], sums)


cdef void column_moments_accumulate(const Tile* t, const real** params, double* sums) noexcept nogil:
    diagonal_moments_about(t, params[0], sums)
