# Acceleration of runs in the compiled module: several of EM's steps at once, in the linear map that the last ones show.
#
# When to look ahead, how far, and what confirms it are the rules of driver/acceleration.py. There the map's eigenvalues tell
# where so many steps lead; here the steps are added, by doubling.

cdef enum:
    DEPTH = 8                # these are those of driver/acceleration.py, as a test says; but for FARTHEST
    STEADY = 3
    PAUSE = 4
    LONGEST_PAUSE = 32
    AHEAD = 2
    FARTHEST = 131072        # a power of 2

cdef double FAST = 0.3
cdef double TURN = 3e-4
cdef double SURPRISE = 0.25
cdef double DEPENDENT = 1e-5    # of a step that lies in the span of others
cdef double GROWTH = 2.718281828459045    # most of a step so many steps ahead, in lengths of this one

cdef struct Memory:          # of a run: what its last steps were. All of doubles, for it is kept in an array
    double ahead             # steps to look ahead
    double pause, penalty    # plain steps after a proposal that was dropped
    double calm              # steps that have kept their direction
    double rest              # whether a plain step is due
    double n_seen            # whether there is a step before, and how many differences are kept
    double n_kept
    double has_jumped        # whether a proposal was kept
    double n_dropped         # proposals that were not
    double length            # of the last step


cdef inline double dot(const double* a, const double* b, Py_ssize_t n) noexcept nogil:
    cdef double sums[8]      # side by side, as in a register
    cdef double total = 0
    cdef Py_ssize_t i, j, whole = n - n % 8
    for j in range(8):
        sums[j] = 0
    for i in range(0, whole, 8):
        for j in range(8):
            sums[j] += a[i + j] * b[i + j]
    for i in range(whole, n):
        total += a[i] * b[i]
    for j in range(8):
        total += sums[j]
    return total


cdef inline void add_times(double* sums, double by, const double* more, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        sums[i] += by * more[i]


cdef Py_ssize_t header_size() noexcept nogil:
    return sizeof(Memory) // sizeof(double)


cdef Py_ssize_t n_coordinates(Py_ssize_t K, Py_ssize_t d, bint full) noexcept nogil:
    return K * (1 + d + (d * (d + 1) // 2 if full else d))


cdef Py_ssize_t memory_size(Py_ssize_t K, Py_ssize_t d, bint full) noexcept nogil:
    """Doubles that a run remembers: the header, columns' units, its place and step, differences and their images."""
    return header_size() + d + (2 + 2 * DEPTH) * n_coordinates(K, d, full)


cdef Py_ssize_t of_proposal(Py_ssize_t K, Py_ssize_t d, bint full) noexcept nogil:
    """Numbers in memory that a proposal needs: four vectors, an orthonormal basis, small matrices, EM's own image."""
    return (4 + DEPTH) * n_coordinates(K, d, full) + 3 * DEPTH * DEPTH + 4 * DEPTH + K * (1 + d + d * d)


cdef void forget(Memory* memory) noexcept nogil:
    memory.n_seen = memory.n_kept = memory.calm = memory.rest = 0


cdef bint coordinates(const double* row, const double* unit, Py_ssize_t K, Py_ssize_t d, bint full,
                      double* at) noexcept nogil:
    """Unconstrained coordinates of weights, means and covariances that lie side by side: logarithms of the weights about
    their mean, means, and log-Cholesky factors, or logarithms of the deviations; in units of the columns. False where any
    is not finite."""
    cdef Py_ssize_t k, i, j, m, size = d * d if full else d
    cdef const double* own
    cdef double* factor
    cdef double s, mean = 0
    for k in range(K):
        at[k] = log(row[k])
        mean += at[k] / K
    for k in range(K):
        at[k] -= mean
    for k in range(K * d):
        at[K + k] = row[K + k] / unit[k % d]
    factor = at + K + K * d
    for k in range(K):
        own = row + K + K * d + k * size
        for i in range(d):
            if not full:
                factor[i] = 0.5 * log(own[i]) - log(unit[i])
                continue
            for j in range(i + 1):                       # row i of the packed factor begins at i (i + 1) / 2
                s = own[i * d + j] / (unit[i] * unit[j])
                for m in range(j):
                    s -= factor[i * (i + 1) // 2 + m] * factor[j * (j + 1) // 2 + m]
                factor[i * (i + 1) // 2 + j] = sqrt(s) if i == j else s / factor[j * (j + 1) // 2 + j]
        if full:
            for i in range(d):
                factor[i * (i + 3) // 2] = log(factor[i * (i + 3) // 2])
        factor += d * (d + 1) // 2 if full else d
    s = 0
    for k in range(n_coordinates(K, d, full)):
        s += at[k] - at[k]
    return s == 0


cdef bint from_coordinates(double* at, const double* unit, Py_ssize_t K, Py_ssize_t d, bint full,
                           double* row) noexcept nogil:
    """The inverse of `coordinates`, whose vector is used up; False where there is none."""
    cdef Py_ssize_t k, i, j, m, size = d * d if full else d
    cdef double* own
    cdef double* factor
    cdef double s, total = 0
    for k in range(K):
        row[k] = exp(at[k])
        total += row[k]
    if not (0 < total < INFINITY):
        return False
    for k in range(K):
        row[k] /= total
        if not row[k] > 0:
            return False
    for k in range(K * d):
        row[K + k] = at[K + k] * unit[k % d]
    factor = at + K + K * d
    for k in range(K):
        own = row + K + K * d + k * size
        if full:
            for i in range(d):
                factor[i * (i + 3) // 2] = exp(factor[i * (i + 3) // 2])
        for i in range(d):
            if not full:
                own[i] = exp(2 * factor[i]) * unit[i] * unit[i]
                continue
            for j in range(i + 1):
                s = 0
                for m in range(j + 1):
                    s += factor[i * (i + 1) // 2 + m] * factor[j * (j + 1) // 2 + m]
                own[i * d + j] = own[j * d + i] = s * unit[i] * unit[j]
        factor += d * (d + 1) // 2 if full else d
    s = 0
    for k in range(K * (d + size)):
        s += row[K + k] - row[K + k]
    return s == 0


cdef Py_ssize_t basis_of(const double* points, Py_ssize_t n, Py_ssize_t P, double* basis, double* factor,
                         Py_ssize_t* order) noexcept nogil:
    """An orthonormal basis (rank, P) of the span of n unit vectors, most independent first: points[order] = factor basis,
    with lower triangular factor (rank, DEPTH). Those that nearly lie in the span of others are left out."""
    cdef Py_ssize_t i, j, r, best, rank = 0
    cdef double length, longest
    cdef double* own
    memcpy(basis, points, n * P * sizeof(double))
    for i in range(n):
        order[i] = i
    while rank < n:
        best, longest = rank, -1
        for i in range(rank, n):
            length = dot(basis + i * P, basis + i * P, P)
            if length > longest:
                best, longest = i, length
        if not sqrt(longest) > DEPENDENT:
            break
        if best != rank:
            order[best], order[rank] = order[rank], order[best]
            for j in range(P):
                basis[best * P + j], basis[rank * P + j] = basis[rank * P + j], basis[best * P + j]
            for r in range(rank):
                factor[best * DEPTH + r], factor[rank * DEPTH + r] = factor[rank * DEPTH + r], factor[best * DEPTH + r]
        own = basis + rank * P
        for r in range(rank):                            # once more, for its digits
            length = dot(own, basis + r * P, P)
            add_times(own, -length, basis + r * P, P)
            factor[rank * DEPTH + r] += length
        length = sqrt(dot(own, own, P))
        factor[rank * DEPTH + rank] = length
        for j in range(P):
            own[j] /= length
        for i in range(rank + 1, n):
            factor[i * DEPTH + rank] = dot(basis + i * P, own, P)
            add_times(basis + i * P, -factor[i * DEPTH + rank], own, P)
        rank += 1
    return rank


cdef bint extrapolated(Memory* memory, const double* points, const double* images, const double* x, const double* f,
                       Py_ssize_t P, double* place, double* predicted, double* work) noexcept nogil:
    """Where so many steps lead, and the step that EM should make there; False where the last steps do not show it.

    The map A is known in the span of the last differences of models, where it is B; of EM's step f the part outside of the
    span is taken once. With S_a the sum of the first a powers of B, S_2a = S_a + B^a S_a.
    """
    cdef double* basis = work
    cdef double* factor = basis + DEPTH * P
    cdef double* power = factor + DEPTH * DEPTH          # B^a
    cdef double* mapped = power + DEPTH * DEPTH
    cdef double* inside = mapped + DEPTH * DEPTH
    cdef double* total = inside + DEPTH                  # S_a inside
    cdef double* last = total + DEPTH                    # B^a inside
    cdef double* further = last + DEPTH
    cdef Py_ssize_t order[DEPTH]
    cdef Py_ssize_t i, j, m, rank
    cdef double steps = 1, size, s
    memset(factor, 0, DEPTH * DEPTH * sizeof(double))
    rank = basis_of(points, <Py_ssize_t>memory.n_kept, P, basis, factor, order)
    if rank == 0:
        return False
    memcpy(place, f, P * sizeof(double))
    for i in range(rank):
        inside[i] = dot(basis + i * P, f, P)
        add_times(place, -inside[i], basis + i * P, P)
    if not sqrt(dot(place, place, P)) <= memory.length / 2:
        return False
    for i in range(rank):                                # mapped[i] = basis' A basis[i], by forward substitution
        for j in range(rank):
            s = dot(images + order[i] * P, basis + j * P, P)
            for m in range(i):
                s -= factor[i * DEPTH + m] * mapped[m * DEPTH + j]
            mapped[i * DEPTH + j] = s / factor[i * DEPTH + i]
    for i in range(rank):
        for j in range(rank):
            power[i * DEPTH + j] = mapped[j * DEPTH + i]
    size = sqrt(dot(inside, inside, rank))
    memcpy(total, inside, rank * sizeof(double))
    times(power, inside, rank, last)
    while steps < memory.ahead:
        times(power, last, rank, further)
        if not sqrt(dot(further, further, rank)) <= GROWTH * size:
            break
        memcpy(last, further, rank * sizeof(double))
        times(power, total, rank, further)
        add_times(total, 1, further, rank)
        steps *= 2
        for i in range(rank):
            for j in range(rank):
                s = 0
                for m in range(rank):
                    s += power[i * DEPTH + m] * power[m * DEPTH + j]
                mapped[i * DEPTH + j] = s
        memcpy(power, mapped, DEPTH * DEPTH * sizeof(double))
    if steps < 2:
        return False
    add_times(place, 1, x, P)
    memset(predicted, 0, P * sizeof(double))
    for i in range(rank):
        add_times(place, total[i], basis + i * P, P)
        add_times(predicted, last[i], basis + i * P, P)
    return True


cdef inline void times(const double* matrix, const double* vector, Py_ssize_t n, double* product) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        product[i] = dot(matrix + i * DEPTH, vector, n)


cdef bint looks_ahead(Memory* memory, double* last, const double* x, const double* f, Py_ssize_t P, double* place,
                      double* predicted, double* work) noexcept nogil:
    """Whether there is another model to try than EM's image of the one at x, which is at x + f; and where it is.

    last    of the memory: x, f, differences, images
    """
    cdef double* points = last + 2 * P
    cdef double* images = points + DEPTH * P
    cdef double* new_point
    cdef double* new_image
    cdef Py_ssize_t i, depth = min(DEPTH, max(1, (P + 1) // 2)), n
    cdef double length, before = 0, along = 0
    cdef bint seen = memory.n_seen > 0
    if seen:
        before, along = sqrt(dot(last + P, last + P, P)), dot(f, last + P, P)
        n = <Py_ssize_t>memory.n_kept
        length = 0
        for i in range(P):
            length += (x[i] - last[i]) ** 2
        length = sqrt(length)
        if length > 0:
            if n == depth:
                memmove(points, points + P, (n - 1) * P * sizeof(double))
                memmove(images, images + P, (n - 1) * P * sizeof(double))
                n -= 1
            new_point, new_image = points + n * P, images + n * P
            for i in range(P):
                new_point[i] = (x[i] - last[i]) / length
                new_image[i] = (x[i] - last[i] + f[i] - last[P + i]) / length
            memory.n_kept = n + 1
    memcpy(last, x, P * sizeof(double))
    memcpy(last + P, f, P * sizeof(double))
    memory.n_seen = 1
    if not seen:
        return False
    if memory.rest > 0:                                  # a plain EM step smooths out the errors of the extrapolation
        memory.rest = 0
        return False
    memory.length = sqrt(dot(f, f, P))
    if memory.calm < STEADY or memory.pause > 0:
        memory.pause -= 1
        memory.calm = memory.calm + 1 if along > (1 - TURN) * memory.length * before else 0
        return False
    if not memory.length > FAST * before:
        return False
    return extrapolated(memory, points, images, x, f, P, place, predicted, work)


cdef bint confirmed(Memory* memory, const double* f, const double* predicted, Py_ssize_t P) noexcept nogil:
    """Whether EM's step f from a proposal, or NULL where there is none, is the predicted one."""
    cdef Py_ssize_t i
    cdef double surprise = INFINITY
    if f != NULL:
        surprise = 0
        for i in range(P):
            surprise += (f[i] - predicted[i]) ** 2
        surprise = sqrt(surprise) / memory.length
    if surprise <= SURPRISE:
        if surprise < SURPRISE / 2:
            memory.ahead = min(2 * memory.ahead, FARTHEST)
        memory.penalty = max(memory.penalty / 2, PAUSE)
        memory.rest = memory.has_jumped = 1
        return True
    memory.ahead = max(memory.ahead / 4, AHEAD)
    memory.calm, memory.pause, memory.n_dropped = 0, memory.penalty, memory.n_dropped + 1
    memory.penalty = min(2 * memory.penalty, LONGEST_PAUSE)
    return False
