# A tile is some 64-512 rows of data, turned so that a column's rows are contiguous: lanes are rows.
# Everything of a tile stays in the first or second level cache.
#
#   n rows   d features   K components   S = tile.stride: reals from one column to the next
#
# A family is a layout (see Family) and two functions of a tile; `params` are its arrays, packed by the caller.
# A mixture has one family, or several parts side by side: each sees its own columns and adds to log p(x, z=k).

cdef extern from "simd.h" nogil:
    ctypedef double real
    ctypedef double vec
    enum: LANES
    enum: ROW_VECTORS
    enum: GRAM_BLOCK
    enum: FACTOR_BLOCK
    enum: DIAGONAL_BLOCK
    enum: ALIGNMENT
    const real LOWEST
    const real SMALLEST_NORMAL
    const double EXP_ULPS
    const double LOG_ULPS
    const double LOG1P_ULPS
    const double LOG_FACTORIAL_ULPS
    const double MILLS_ULPS
    vec splat(real)
    real lane(vec, int)
    vec vmax(vec, vec)
    vec vmin(vec, vec)
    vec vsqrt(vec)
    vec vexp(vec)
    vec vlog(vec)
    double scalar_log(double)
    vec vlog1p(vec)
    vec vlog1p_of_unit(vec, vec*)
    vec vmills(vec)
    void fill_log_factorial_table()
    void subtract_log_factorials(const vec*, ptrdiff_t, vec*)
    vec where_less(vec, vec, vec, vec)
    vec where_number(vec, vec, vec)
    int any_less(vec, vec)
    void PREFETCH(const void*)
    void add_lane_sums(vec*, ptrdiff_t, double*)
    void turn_short_rows(ptrdiff_t, const char*, ptrdiff_t, const real*, vec*, ptrdiff_t)
    void turn_rows(const int, const char*, ptrdiff_t, const real*, vec*, ptrdiff_t)
    void turn_back(const vec*, ptrdiff_t, real*, ptrdiff_t, ptrdiff_t)
    vec vexp_negative(vec)
    vec reciprocal_root(vec)


cdef enum:
    BYTES_AHEAD = 8192     # for the memory's latency: the hardware does not see the order in which rows are turned
    SHORT_TAIL = 3         # columns, up to which one by one is faster than turning a vector of them


cdef struct Tile:
    Py_ssize_t vectors     # vectors of rows in use, a multiple of ROW_VECTORS; the rest of a tail is rows of weight 0
    Py_ssize_t stride      # vectors from one column to the next
    Py_ssize_t d
    Py_ssize_t K
    Py_ssize_t n_features  # of an exponential family: terms of features
    bint further           # not the first part: add to joint
    bint rounded           # components below 2^-60 of the row's largest may have any log p between theirs and that
    Py_ssize_t* pause      # of the thread: tiles until components are left out again, where that did not pay; see pruned.pxi
    const Py_ssize_t* pattern    # of each ROW_VECTORS vectors of rows, where values are missing; else NULL, as the next two
    const Py_ssize_t* columns    # (patterns, d) the missing columns, ascending, then the observed ones
    const Py_ssize_t* n_missing  # (patterns)
    vec* x                 # (d, S) in: the rows, about the centre
    vec* weight            # (S) in: sample weights
    vec* root_weight       # (S) in: their square roots
    bint equal_weights     # in: whether all are 1, or 0 where there is no row
    double* log_likelihood # in: where log_prob may add, by weight, what log p of all components of a row has in common,
                           # which no responsibility depends on; NULL: joint is asked for, with everything
    vec* joint             # (K, S) out of log_prob: log p(x, z=k)
                           # (n_live, S) into accumulate: sqrt(weight * responsibility)
    Py_ssize_t n_live      # components with any responsibility on this tile; the others are left out of accumulate
    Py_ssize_t* live       # (n_live) which they are
    Py_ssize_t* live_rows  # (n_live) how many rows each has
    vec* scratch           # (n_scratch, S) the family's own, kept from log_prob to accumulate
    vec* acc               # sums with one lane per row lane, the family's own


ctypedef void (*LogProb)(const Tile*, const real**) noexcept nogil
ctypedef void (*Accumulate)(const Tile*, const real**, double*) noexcept nogil

cdef struct Family:
    # filled in by the family's layout
    LogProb log_prob
    Accumulate accumulate
    bint roots               # accumulate wants roots of responsibilities, not themselves
    Py_ssize_t n_acc         # vectors of sums that it needs at a time
    Py_ssize_t n_scratch     # rows of scratch
    # 0 unless the layout says otherwise
    Py_ssize_t n_features    # of an exponential family: terms of features
    bint grouped             # it takes rows in groups, by their patterns of missing values
    bint linear              # log p = constant - |A x + b|^2 and nothing in common; params: constant, A, b, means (see nearby.pxi)
    # follows from the layout
    Py_ssize_t n_sums        # doubles that accumulate adds to

# The layout of a family for K components and d columns fills in a Family and returns three dicts in the arrays' order:
#
#   params     {name: shape} of the arrays `params`. The layout gets the arrays too, for a shape that one of them decides.
#   each       {name: shape} of the sums of one component; `sums` begins with K of these
#   common     {name: shape} of the sums that belong to no component; they follow
#
# A sum is a number, (), or a vector, (n,).
ctypedef tuple (*Layout)(Family*, Py_ssize_t, Py_ssize_t, dict)


cdef inline Py_ssize_t gram_size(Py_ssize_t d) noexcept nogil:
    """Sums that weighted_gram adds to."""
    return (d + 1) * (d + 2) // 2


cdef dict gram_layout(Py_ssize_t d, str second, str first, str count):
    """What they are: a packed lower triangle, whose last row is that of the column of ones."""
    return {second: (d * (d + 1) // 2,), first: (d,), count: ()}


cdef inline void load_column(const char* column, Py_ssize_t step, Py_ssize_t first, Py_ssize_t n, real centre, real* out) noexcept nogil:
    """out[r] = column[r] - centre for first <= r < n; step in bytes."""
    cdef Py_ssize_t r
    if step == <Py_ssize_t>sizeof(real):
        for r in range(first, n):
            out[r] = (<const real*>column)[r] - centre
    else:
        for r in range(first, n):
            out[r] = (<const real*>(column + r * step))[0] - centre


cdef inline void fetch_ahead(const char* x, Py_ssize_t row_step, Py_ssize_t row_bytes) noexcept nogil:
    """Ask memory for LANES rows that lie BYTES_AHEAD of x. Rows far apart are left to the hardware: most of what lies between is
    not needed."""
    cdef Py_ssize_t line
    for line in range((LANES * row_step + 63) // 64 if row_step <= 2 * row_bytes else 0):
        PREFETCH(x + BYTES_AHEAD + 64 * line)


cdef inline Py_ssize_t turn_columns(const int columns, const char* x, Py_ssize_t row_step, Py_ssize_t n, const real* centre,
                                    vec* out, Py_ssize_t stride) noexcept nogil:
    """Turn whole vectors of rows, `columns` entries wide; returns how many rows that is."""
    cdef Py_ssize_t i
    for i in range(n // LANES):
        fetch_ahead(x + i * LANES * row_step, row_step, row_step)
        turn_rows(columns, x + i * LANES * row_step, row_step, centre, out + i, stride)
    return n // LANES * LANES


cdef void load_rows(const char* x, Py_ssize_t row_step, Py_ssize_t column_step, Py_ssize_t n, Py_ssize_t padded, Py_ssize_t d,
                    const real* centre, vec* out, Py_ssize_t stride) noexcept nogil:
    """out (d, stride) = the n rows, turned, about the centre; the padding is 0. Any strides; contiguous rows go in blocks."""
    cdef Py_ssize_t i, j, rows = 0, columns = 0
    if column_step == <Py_ssize_t>sizeof(real):
        if d == 2 and LANES > 2 and row_step == 2 * column_step:
            columns, rows = 2, turn_columns(2, x, row_step, n, centre, out, stride)
        elif d == 4 and LANES > 4 and row_step == 4 * column_step:
            columns, rows = 4, turn_columns(4, x, row_step, n, centre, out, stride)
        else:
            columns = d // LANES * LANES
            rows = n // LANES * LANES
            if SHORT_TAIL < d < LANES and row_step >= d * column_step:
                columns, rows = d, max(rows - LANES, 0)    # of the last ones, memory may end with the row
                for i in range(rows // LANES):
                    fetch_ahead(x + i * LANES * row_step, row_step, d * column_step)
                    turn_short_rows(d, x + i * LANES * row_step, row_step, centre, out + i, stride)
            for i in range(n // LANES if d >= LANES else 0):
                fetch_ahead(x + i * LANES * row_step, row_step, d * column_step)
                for j in range(d // LANES):    # the inner loop: memory is read in order, once
                    turn_rows(LANES, x + i * LANES * row_step + j * LANES * column_step, row_step, centre + j * LANES,
                              out + j * LANES * stride + i, stride)
                if columns < d - SHORT_TAIL:   # the last ones once more, with some that are there already
                    j = d - LANES
                    turn_rows(LANES, x + i * LANES * row_step + j * column_step, row_step, centre + j, out + j * stride + i,
                              stride)
            if columns < d - SHORT_TAIL and d > LANES:
                columns = d
    for j in range(d):
        load_column(x + j * column_step, row_step, rows if j < columns else 0, n, centre[j], <real*>(out + j * stride))
        for i in range(n, padded):
            (<real*>(out + j * stride))[i] = 0


cdef inline void keep_log_prob(const Tile* t, Py_ssize_t place, vec log_prob) noexcept nogil:
    """Into joint, at least log 0: where it overflows it is that."""
    if t.further:
        log_prob = log_prob + t.joint[place]
    t.joint[place] = vmax(log_prob, splat(LOWEST))


cdef void keep_live(Tile* t) noexcept nogil:
    """Find the components that have responsibility here, and close the gaps between their rows of joint.

    What is left out would have added exact zeros: the sums' bits do not change.
    """
    cdef Py_ssize_t k, r, rows, S = t.stride
    cdef vec* row
    cdef vec count
    t.n_live = 0
    for k in range(t.K):
        row = t.joint + k * S
        count = splat(0)
        for r in range(t.vectors):
            count = count + where_less(splat(0), row[r], splat(1), splat(0))
        rows = 0
        for r in range(LANES):
            rows += <Py_ssize_t>lane(count, <int>r)
        if rows == 0:
            continue
        if t.n_live < k:
            memcpy(t.joint + t.n_live * S, row, t.vectors * sizeof(vec))
        t.live[t.n_live], t.live_rows[t.n_live] = k, rows
        t.n_live += 1


cdef void square(const Tile* t) noexcept nogil:
    """The responsibilities times weights themselves, in place of their roots."""
    cdef vec* joint = t.joint
    cdef Py_ssize_t k, r, S = t.stride
    for k in range(t.n_live):
        for r in range(t.vectors):
            joint[k * S + r] = joint[k * S + r] * joint[k * S + r]


cdef inline void gram_block(const int m, const int n, Py_ssize_t vectors, Py_ssize_t stride, const vec* a, const vec* b,
                            vec* out, Py_ssize_t row_step, Py_ssize_t growth) noexcept nogil:
    """out_ij += sum over rows of a_i b_j, m x n sums in registers, m and n <= 5.

    Row i of the sums begins row_step + i * growth after row i - 1: growth 1 in a packed lower triangle, 0 in a matrix.
    """
    cdef vec s[25]
    cdef vec left
    cdef Py_ssize_t r
    cdef int i, j
    for i in range(m):
        for j in range(n):
            s[5 * i + j] = splat(0)
    for r in range(vectors):
        for i in range(m):
            left = a[i * stride + r]
            for j in range(n):
                s[5 * i + j] = s[5 * i + j] + left * b[j * stride + r]
    for i in range(m):
        for j in range(n):
            out[j] = out[j] + s[5 * i + j]
        out += row_step + i * growth


cdef inline void products_of_few(const int m, Py_ssize_t n, Py_ssize_t vectors, Py_ssize_t stride, const vec* left,
                                 const vec* right, vec* out) noexcept nogil:
    """products for m <= GRAM_BLOCK, a constant."""
    cdef Py_ssize_t i = 0
    while i + GRAM_BLOCK <= n:
        gram_block(m, GRAM_BLOCK, vectors, stride, left, right + i * stride, out + i, n, 0)
        i += GRAM_BLOCK
    for i in range(i, n):
        gram_block(m, 1, vectors, stride, left, right + i * stride, out + i, n, 0)


cdef void products(Py_ssize_t m, Py_ssize_t n, Py_ssize_t vectors, Py_ssize_t stride, const vec* left, const vec* right,
                   vec* out) noexcept nogil:
    """out (m, n) = sums over the rows of left_i right_j, each lane its own."""
    cdef Py_ssize_t k = 0
    memset(out, 0, m * n * sizeof(vec))
    while k + GRAM_BLOCK <= m:
        products_of_few(GRAM_BLOCK, n, vectors, stride, left + k * stride, right, out + k * n)
        k += GRAM_BLOCK
    if m - k == 1:
        products_of_few(1, n, vectors, stride, left + k * stride, right, out + k * n)
    elif m - k == 2:
        products_of_few(2, n, vectors, stride, left + k * stride, right, out + k * n)
    elif m - k == 3:
        products_of_few(3, n, vectors, stride, left + k * stride, right, out + k * n)


cdef void weighted_sums(const Tile* t, Py_ssize_t rows, double* sums) noexcept nogil:
    """sums (K, rows) += the first rows of scratch by responsibility; joint holds responsibilities, not roots."""
    cdef Py_ssize_t k
    products(t.n_live, rows, t.vectors, t.stride, t.joint, t.scratch, t.acc)
    for k in range(t.n_live):
        add_lane_sums(t.acc + k * rows, rows, sums + t.live[k] * rows)


cdef inline void add_products(const int n, vec left, const vec* right, vec* s) noexcept nogil:
    """s_j += left right_j for j < n."""
    cdef int j
    for j in range(n):
        s[j] = s[j] + left * right[j]


cdef inline void add_squares(const int n, const vec* z, vec* s) noexcept nogil:
    """s += the packed lower triangle of z z' of n entries; spelt out as in weigh_block: gcc 12 left s_0 of a loop in memory."""
    add_products(1, z[0], z, s)
    if n > 1:
        add_products(2, z[1], z, s + 1)
    if n > 2:
        add_products(3, z[2], z, s + 3)
    if n > 3:
        add_products(4, z[3], z, s + 6)
    if n > 4:
        add_products(5, z[4], z, s + 10)


cdef inline void add_row(const int n, const vec* s, vec* out) noexcept nogil:
    """out_j += s_j for j < n."""
    cdef int j
    for j in range(n):
        out[j] = out[j] + s[j]


cdef inline void weigh_block(const int m, Py_ssize_t i, Py_ssize_t vectors, const vec* root, const real* mean, const vec* x,
                             Py_ssize_t stride, vec* z, Py_ssize_t z_stride, vec* out, vec* last) noexcept nogil:
    """z = root (x - mean) for m columns, m <= 5, and their own triangle of the Gram matrix; last: their products with root.

    The triangle is spelt out: compilers keep its sums in registers only where every count is a constant.
    """
    cdef vec s[15]
    cdef vec first[5]
    cdef vec left[5]
    cdef vec mu[5]
    cdef vec weight                          # local: a store to z could otherwise change it, as far as C knows
    cdef Py_ssize_t r
    cdef int a
    for a in range(15):
        s[a] = splat(0)
    for a in range(m):
        first[a] = splat(0)
        mu[a] = splat(mean[a])
    for r in range(vectors):
        weight = root[r]
        for a in range(m):
            left[a] = weight * (x[a * stride + r] - mu[a])
            z[a * z_stride + r] = left[a]
        add_products(m, weight, left, first)
        add_products(1, left[0], left, s)
        if m > 1:
            add_products(2, left[1], left, s + 1)
        if m > 2:
            add_products(3, left[2], left, s + 3)
        if m > 3:
            add_products(4, left[3], left, s + 6)
        if m > 4:
            add_products(5, left[4], left, s + 10)
    add_row(m, first, last)
    add_row(1, s, out)
    if m > 1:
        add_row(2, s + 1, out + i + 1)
    if m > 2:
        add_row(3, s + 3, out + 2 * i + 3)
    if m > 3:
        add_row(4, s + 6, out + 3 * i + 6)
    if m > 4:
        add_row(5, s + 10, out + 4 * i + 10)


cdef inline void gram_rows(const int m, Py_ssize_t i, Py_ssize_t vectors, const vec* root, const real* mean, const vec* x,
                           Py_ssize_t stride, vec* z, Py_ssize_t z_stride, vec* out, vec* last) noexcept nogil:
    """Rows i .. i+m of the packed Gram matrix, and their entries in its last row."""
    cdef Py_ssize_t block, j
    weigh_block(m, i, vectors, root, mean + i, x + i * stride, stride, z + i * z_stride, z_stride, out + i, last + i)
    for block in range(i // GRAM_BLOCK):
        j = block * GRAM_BLOCK
        gram_block(m, GRAM_BLOCK, vectors, z_stride, z + i * z_stride, z + j * z_stride, out + j, i + 1, 1)


cdef inline void gram_panel(Py_ssize_t m, Py_ssize_t i, Py_ssize_t vectors, const vec* root, const real* mean, const vec* x,
                            Py_ssize_t stride, vec* z, Py_ssize_t z_stride, vec* out, vec* last) noexcept nogil:
    """gram_rows for m <= GRAM_BLOCK + 1 that is not a constant."""
    if m == GRAM_BLOCK:
        gram_rows(GRAM_BLOCK, i, vectors, root, mean, x, stride, z, z_stride, out, last)
    elif m == GRAM_BLOCK + 1:
        gram_rows(GRAM_BLOCK + 1, i, vectors, root, mean, x, stride, z, z_stride, out, last)
    elif m == 1:
        gram_rows(1, i, vectors, root, mean, x, stride, z, z_stride, out, last)
    elif m == 2:
        gram_rows(2, i, vectors, root, mean, x, stride, z, z_stride, out, last)
    elif m == 3:
        gram_rows(3, i, vectors, root, mean, x, stride, z, z_stride, out, last)


cdef inline Py_ssize_t panel_rows(Py_ssize_t rest) noexcept nogil:
    """How many of the rest go together: one more than a block goes with it, since alone it would wait for its sums."""
    return GRAM_BLOCK if rest > GRAM_BLOCK + 1 else rest


cdef void gram_of_few(Py_ssize_t d, Py_ssize_t vectors, Py_ssize_t strip, Py_ssize_t stride, const vec* root, const real* mean,
                      const vec* x, vec* z, vec* acc, double* sums) noexcept nogil:
    """weighted_gram in strips of rows, whose weighted copies stay in the first level cache together with all sums."""
    cdef Py_ssize_t i, m, index, end, first = 0, n_strips = (vectors + strip - 1) // strip
    cdef vec* last = acc + d * (d + 1) // 2
    memset(acc, 0, (d + 1) * (d + 2) // 2 * sizeof(vec))
    for index in range(n_strips):
        end = (index + 1) * vectors // n_strips
        i = 0
        while i < d:
            m = panel_rows(d - i)
            gram_panel(m, i, end - first, root + first, mean, x + first, stride, z, (end - first) | 1, acc + i * (i + 1) // 2, last)
            i += m
        first = end
    for i in range(vectors):
        last[d] = last[d] + root[i] * root[i]
    add_lane_sums(acc, (d + 1) * (d + 2) // 2, sums)


cdef void gram_of_many(Py_ssize_t d, Py_ssize_t vectors, Py_ssize_t stride, const vec* root, const real* mean,
                       const vec* x, vec* z, vec* acc, double* sums) noexcept nogil:
    """weighted_gram panel by panel: all sums together would not stay in a cache."""
    cdef Py_ssize_t i = 0, m, n_panel
    cdef vec* last = acc + d * (d + 1) // 2
    memset(last, 0, (d + 1) * sizeof(vec))
    while i < d:
        m = panel_rows(d - i)
        n_panel = m * i + m * (m + 1) // 2
        memset(acc, 0, n_panel * sizeof(vec))
        gram_panel(m, i, vectors, root, mean, x, stride, z, vectors | 1, acc, last)
        add_lane_sums(acc, n_panel, sums + i * (i + 1) // 2)
        i += m
    for i in range(vectors):
        last[d] = last[d] + root[i] * root[i]
    add_lane_sums(last, d + 1, sums + d * (d + 1) // 2)


cdef inline Py_ssize_t gram_space(Py_ssize_t d) noexcept nogil:
    """Columns of scratch that gram_of_live needs."""
    return 2 * d + 1


cdef void gather(Py_ssize_t d, Py_ssize_t stride, const vec* x, const Py_ssize_t* place, Py_ssize_t n, Py_ssize_t padded,
                 vec* out) noexcept nogil:
    """out (d, stride) = the rows of x (d, stride) at n places, and zeros up to `padded`."""
    cdef Py_ssize_t i, r
    cdef const real* column
    cdef real* moved
    for i in range(d):
        column, moved = <const real*>(x + i * stride), <real*>(out + i * stride)
        for r in range(n):
            moved[r] = column[place[r]]
        for r in range(n, padded):
            moved[r] = 0


cdef inline Py_ssize_t padded_rows(Py_ssize_t n, Py_ssize_t group) noexcept nogil:
    return (n + group - 1) // group * group


cdef inline bint pays_to_gather(Py_ssize_t n, Py_ssize_t rows, Py_ssize_t d) noexcept nogil:
    """Whether n of the rows are so few that moving them together saves more of d^2 / (4 LANES) steps a row than the d it costs."""
    return n * (d + 4 * LANES) < rows * d


cdef void gram_of_live(Py_ssize_t d, Py_ssize_t vectors, Py_ssize_t stride, Py_ssize_t live, const vec* root, const real* mean,
                       const vec* x, vec* z, vec* acc, double* sums) noexcept nogil:
    """weighted_gram of the rows whose root is not 0, so many, without the others where that saves time.

    z (gram_space(d), stride).
    """
    cdef vec* moved = z + d * stride
    cdef vec* roots = moved + d * stride
    cdef Py_ssize_t* place = <Py_ssize_t*>z
    cdef Py_ssize_t r, n = 0, rows = vectors * LANES, padded = padded_rows(live, LANES)
    if not pays_to_gather(live, rows, d):
        weighted_gram(d, vectors, stride, root, mean, x, z, acc, sums)
        return
    for r in range(rows):
        place[n] = r
        n += (<const real*>root)[r] != 0
    gather(1, stride, root, place, n, padded, roots)
    gather(d, stride, x, place, n, padded, moved)
    weighted_gram(d, padded // LANES, stride, roots, mean, moved, z, acc, sums)


cdef void weighted_gram(Py_ssize_t d, Py_ssize_t vectors, Py_ssize_t stride, const vec* root, const real* mean, const vec* x,
                        vec* z, vec* acc, double* sums) noexcept nogil:
    """sums += the packed Gram matrix of the rows root * (x - mean, 1): second moments, then first moments and the count.

    z (d, stride) is space for the weighted rows, acc for all sums.
    """
    cdef Py_ssize_t strip = STRIP_BYTES // (<Py_ssize_t>sizeof(vec) * d)
    if strip >= SHORT_STRIP:
        gram_of_few(d, vectors, strip, stride, root, mean, x, z, acc, sums)
    else:
        gram_of_many(d, vectors, stride, root, mean, x, z, acc, sums)


cdef inline void factor_column(const int first, const int m, const real* factor, const vec* x, vec* s) noexcept nogil:
    """s_a += factor_a x for first <= a < m and ROW_VECTORS vectors of rows."""
    cdef vec l
    cdef int a, v
    for a in range(first, m):
        l = splat(factor[a])
        for v in range(ROW_VECTORS):
            s[4 * a + v] = s[4 * a + v] + l * x[v]


cdef inline const real* factor_rows(const int m, const bint keep, Py_ssize_t i, const real* factor, const real* offset,
                                    const vec* x, Py_ssize_t stride, vec* y, vec* squares) noexcept nogil:
    """y_i .. y_i+m = (lower triangular factor) x + offset for ROW_VECTORS vectors of rows; returns the factor's next rows.

    keep: store y; otherwise add the squares of y to `squares`. factor holds column j of the m rows together, then column j+1.
    """
    cdef vec s[16]
    cdef Py_ssize_t j
    cdef int a, v
    for a in range(m):
        for v in range(ROW_VECTORS):
            s[4 * a + v] = splat(offset[i + a])
    for j in range(i):
        factor_column(0, m, factor + j * m, x + j * stride, s)
    factor += i * m
    x += i * stride
    factor_column(0, m, factor, x, s)        # the triangle on the diagonal, spelt out so that the sums stay in registers
    if m > 1:
        factor_column(1, m, factor + m, x + stride, s)
    if m > 2:
        factor_column(2, m, factor + 2 * m, x + 2 * stride, s)
    if m > 3:
        factor_column(3, m, factor + 3 * m, x + 3 * stride, s)
    for a in range(m):
        for v in range(ROW_VECTORS):
            if keep:
                y[(i + a) * stride + v] = s[4 * a + v]
            else:
                squares[v] = squares[v] + s[4 * a + v] * s[4 * a + v]
    return factor + m * m


cdef inline void factor_times(const bint keep, Py_ssize_t d, const real* factor, const real* offset,
                              const vec* x, Py_ssize_t stride, vec* y, vec* squares) noexcept nogil:
    """y = L x + offset (keep) or squares += |L x + offset|^2, for ROW_VECTORS vectors of rows."""
    factor_times_from(0, keep, d, factor, offset, x, stride, y, squares)


cdef inline void factor_times_from(Py_ssize_t i, const bint keep, Py_ssize_t d, const real* factor, const real* offset,
                                   const vec* x, Py_ssize_t stride, vec* y, vec* squares) noexcept nogil:
    """The same for the rows of L from i on, a multiple of FACTOR_BLOCK."""
    factor += factor_size(i)
    while i + FACTOR_BLOCK <= d:
        factor = factor_rows(FACTOR_BLOCK, keep, i, factor, offset, x, stride, y, squares)
        i += FACTOR_BLOCK
    if d - i == 1:
        factor_rows(1, keep, i, factor, offset, x, stride, y, squares)
    elif d - i == 2:
        factor_rows(2, keep, i, factor, offset, x, stride, y, squares)
    elif d - i == 3:
        factor_rows(3, keep, i, factor, offset, x, stride, y, squares)
