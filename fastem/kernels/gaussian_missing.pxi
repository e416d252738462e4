# Gaussian components with full covariances, of rows with missing values.
#
#   log p(x_o) = constant - 1/2 log |P_mm| + |m|/2 log 2 pi - |L^-1 (x - mu)|^2
#   where x_m = E[x_m | x_o] = mu_m - P_mm^-1 P_mo (x_o - mu_o),  P the precision matrix, o observed, m missing
#
# 1. Filled with its conditional mean under component k, a row has the squared distance of its observed part alone (the least
#    over x_m), and adds the right first moments; second moments miss only Var[x_m | x_o] = P_mm^-1, once per pattern and
#    component. So the kernels for complete rows serve, and a row costs |m| |o| multiplications more.
# 2. Rows come grouped by their pattern (`rows` and `pattern` of expect), so that a group of lanes has one: its equations are
#    solved where they are needed, and nothing is stored per pattern.
# 3. The equations are solved in double: what a row is filled with is a minimum, so its rounding counts squared.
#
# params: those of gaussian_full, then the precision matrices, doubles seen as reals.
# sums: those of gaussian_full.
# Scratch: d weighted rows, then per component what its rows were filled with: for each ROW_VECTORS vectors of rows, those of
#          each missing column.

cdef tuple missing_layout(Family* f, Py_ssize_t K, Py_ssize_t d, dict params):
    f.log_prob, f.accumulate, f.roots, f.grouped = missing_log_prob, missing_accumulate, True, True
    f.n_acc = max(gram_size(d), <Py_ssize_t>((2 * d * d + d) * sizeof(double) // sizeof(vec) + 1))
    f.n_scratch = gram_space(d) + K * d
    declared = full_params(K, d)
    declared["precision"] = (K, d, d, <Py_ssize_t>(sizeof(double) // sizeof(real)))
    return declared, gram_layout(d, "second", "first", "counts"), {}


cdef inline Py_ssize_t run_end(const Tile* t, Py_ssize_t group) noexcept nogil:
    """The first group after this one that has another pattern, or the end of the tile."""
    cdef Py_ssize_t end = group + 1
    while end < t.vectors // ROW_VECTORS and t.pattern[end] == t.pattern[group]:
        end += 1
    return end


cdef double factor_missing(Py_ssize_t d, Py_ssize_t m, const Py_ssize_t* columns, const double* precision, double* root) noexcept nogil:
    """root (m, m) = the lower triangular Cholesky factor of P_mm; returns half the logarithm of its determinant."""
    cdef Py_ssize_t i, j, l
    cdef double s, log_det = 0, pivot
    for i in range(m):
        for j in range(i + 1):
            s = precision[columns[i] * d + columns[j]]
            for l in range(j):
                s = s - root[i * m + l] * root[j * m + l]
            if j < i:
                root[i * m + j] = s / root[j * m + j]
            else:
                pivot = max(s, EPSILON * precision[columns[i] * d + columns[i]])
                root[i * m + i] = sqrt(pivot)
                log_det = log_det + scalar_log(root[i * m + i])
    return log_det


cdef void solve_missing(Py_ssize_t d, Py_ssize_t m, const Py_ssize_t* columns, const double* precision, const real* mean,
                        const double* root, double* solved, real* coefficient, real* offset) noexcept nogil:
    """x_m = coefficient (m, d - m) x_o + offset (m)."""
    cdef Py_ssize_t i, j, l, n = d - m
    cdef const Py_ssize_t* observed = columns + m
    cdef double factor, s
    for i in range(m):
        for j in range(n):
            solved[i * n + j] = -precision[columns[i] * d + observed[j]]
        for l in range(i):
            factor = root[i * m + l]
            for j in range(n):
                solved[i * n + j] = solved[i * n + j] - factor * solved[l * n + j]
        factor = 1 / root[i * m + i]
        for j in range(n):
            solved[i * n + j] = solved[i * n + j] * factor
    for i in range(m - 1, -1, -1):
        for l in range(i + 1, m):
            factor = root[l * m + i]
            for j in range(n):
                solved[i * n + j] = solved[i * n + j] - factor * solved[l * n + j]
        factor = 1 / root[i * m + i]
        s = mean[columns[i]]
        for j in range(n):
            solved[i * n + j] = solved[i * n + j] * factor
            coefficient[i * n + j] = <real>solved[i * n + j]
            s = s - solved[i * n + j] * mean[observed[j]]
        offset[i] = <real>s


cdef inline void fill_block(const int m, const int w, Py_ssize_t n, const Py_ssize_t* columns, const Py_ssize_t* observed,
                            const real* coefficient, const real* offset, vec* x, Py_ssize_t S, vec* kept, Py_ssize_t step) noexcept nogil:
    """m <= 2 missing columns of w <= 4 vectors of rows, into x and kept (step vectors for ROW_VECTORS vectors of rows)."""
    cdef vec s[8]
    cdef vec b
    cdef const vec* column
    cdef Py_ssize_t j
    cdef int a, v
    for a in range(m):
        for v in range(w):
            s[4 * a + v] = splat(offset[a])
    for j in range(n):
        column = x + observed[j] * S
        for a in range(m):
            b = splat(coefficient[a * n + j])
            for v in range(w):
                s[4 * a + v] = s[4 * a + v] + b * column[v]
    for a in range(m):
        for v in range(w):
            x[columns[a] * S + v] = s[4 * a + v]
            kept[v // ROW_VECTORS * step + a * ROW_VECTORS + v % ROW_VECTORS] = s[4 * a + v]


cdef inline void fill_columns(const int m, Py_ssize_t n, const Py_ssize_t* columns, const Py_ssize_t* observed,
                              const real* coefficient, const real* offset, vec* x, Py_ssize_t S, vec* kept, Py_ssize_t step, Py_ssize_t vectors) noexcept nogil:
    """m <= 2 missing columns of a run of rows."""
    cdef Py_ssize_t r = 0
    while r + 4 <= vectors:
        fill_block(m, 4, n, columns, observed, coefficient, offset, x + r, S, kept + r // ROW_VECTORS * step, step)
        r += 4
    if r < vectors:     # ROW_VECTORS is 2 here
        fill_block(m, 2, n, columns, observed, coefficient, offset, x + r, S, kept + r // ROW_VECTORS * step, step)


cdef double fill_run(const Tile* t, const real** params, Py_ssize_t k, Py_ssize_t group, Py_ssize_t end, vec* kept) noexcept nogil:
    """Fill the missing columns of a run with their means under component k; returns what the run's log p has beyond
    constant - |y|^2."""
    cdef Py_ssize_t d = t.d, m = t.n_missing[t.pattern[group]], n = d - m, i = 0
    cdef Py_ssize_t first = group * ROW_VECTORS, vectors = (end - group) * ROW_VECTORS
    cdef const Py_ssize_t* columns = t.columns + t.pattern[group] * d
    cdef const double* precision = <const double*>params[4] + k * d * d
    cdef double* root = <double*>t.acc
    cdef double* solved = root + m * m
    cdef real* coefficient = <real*>(solved + m * n)
    cdef real* offset = coefficient + m * n
    cdef double log_det = factor_missing(d, m, columns, precision, root)
    solve_missing(d, m, columns, precision, params[3] + k * d, root, solved, coefficient, offset)
    while i + 2 <= m:
        fill_columns(2, n, columns + i, columns + m, coefficient + i * n, offset + i, t.x + first, t.stride,
                     kept + i * ROW_VECTORS, m * ROW_VECTORS, vectors)
        i += 2
    if i < m:
        fill_columns(1, n, columns + i, columns + m, coefficient + i * n, offset + i, t.x + first, t.stride,
                     kept + i * ROW_VECTORS, m * ROW_VECTORS, vectors)
    return m * HALF_LOG_2PI - log_det


cdef void missing_log_prob(const Tile* t, const real** params) noexcept nogil:
    cdef Py_ssize_t k, g, group, end, m, S = t.stride, d = t.d
    cdef int v
    cdef vec squares[4]
    cdef vec constant
    cdef vec* kept
    for k in range(t.K):
        kept = t.scratch + (gram_space(d) + k * d) * S
        end = 0
        while end < t.vectors // ROW_VECTORS:
            group = end
            end = run_end(t, group)
            m = t.n_missing[t.pattern[group]]
            constant = splat(params[0][k])
            if m:
                constant = constant + splat(<real>fill_run(t, params, k, group, end, kept))
                kept += m * (end - group) * ROW_VECTORS
            for group in range(group, end):
                g = group * ROW_VECTORS
                for v in range(ROW_VECTORS):
                    squares[v] = splat(0)
                factor_times(False, d, params[1] + k * factor_size(d), params[2] + k * d, t.x + g, S, NULL, squares)
                for v in range(ROW_VECTORS):
                    keep_log_prob(t, k * S + g + v, constant - squares[v])


cdef void add_variances(const Tile* t, const double* precision, Py_ssize_t group, Py_ssize_t end, const vec* root_resp, double* sums) noexcept nogil:
    """The packed second moments of a run += its responsibility times P_mm^-1."""
    cdef Py_ssize_t i, j, l, r, d = t.d, m = t.n_missing[t.pattern[group]]
    cdef const Py_ssize_t* columns = t.columns + t.pattern[group] * d
    cdef double* root = <double*>t.acc
    cdef double* inverse = root + m * m
    cdef vec total = splat(0)
    cdef double count = 0, s
    for r in range(group * ROW_VECTORS, end * ROW_VECTORS):
        total = total + root_resp[r] * root_resp[r]
    for i in range(LANES):
        count = count + lane(total, i)
    if count == 0:
        return
    factor_missing(d, m, columns, precision, root)
    for j in range(m):                           # the inverse of the factor, transposed: row j has its column j
        for i in range(j, m):
            s = 1 if i == j else 0
            for l in range(j, i):
                s = s - root[i * m + l] * inverse[j * m + l]
            inverse[j * m + i] = s / root[i * m + i]
    for i in range(m):
        for j in range(i + 1):
            s = 0
            for l in range(i, m):
                s = s + inverse[i * m + l] * inverse[j * m + l]
            sums[columns[i] * (columns[i] + 1) // 2 + columns[j]] += count * s


cdef void missing_accumulate(const Tile* t, const real** params, double* sums) noexcept nogil:
    cdef Py_ssize_t j, k, i, g, m, group, end, S = t.stride, d = t.d
    cdef Py_ssize_t n_sums = gram_size(d)
    cdef const Py_ssize_t* columns
    cdef const vec* kept
    cdef int v
    for j in range(t.n_live):
        k = t.live[j]
        kept = t.scratch + (gram_space(d) + k * d) * S
        end = 0
        while end < t.vectors // ROW_VECTORS:
            group = end
            end = run_end(t, group)
            m = t.n_missing[t.pattern[group]]
            if m:
                columns = t.columns + t.pattern[group] * d
                for g in range(group, end):
                    for i in range(m):
                        for v in range(ROW_VECTORS):
                            t.x[columns[i] * S + g * ROW_VECTORS + v] = kept[v]
                        kept += ROW_VECTORS
                add_variances(t, <const double*>params[4] + k * d * d, group, end, t.joint + j * S, sums + k * n_sums)
        full_component(True, t, t.joint + j * S, t.live_rows[j], params[3] + k * d, sums + k * n_sums)
