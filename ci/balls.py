"""Proofs in ball arithmetic: a box holds exactly one stationary point of a function, and that is a strict maximum.

1. `Jet`: value, gradient and Hessian of a function of p coordinates, each number an arb ball that holds the true one.
   What is computed from jets by + - * / and the functions below is a jet again, so a log-likelihood that is written as
   a formula gives its score and its Hessian, exactly enclosed, over a whole box.
2. `maximum`: Newton's method finds the point; Krawczyk's operator and the information over the box prove it.

Krawczyk: with m the middle of the box B, Y any matrix, s the score, H its derivative over B, every zero of s in B is in
    K(B) = m - Y s(m) + (1 - Y H(B)) (B - m)
and if K(B) lies inside B, there is exactly one. Where also every matrix in -H(B) is positive definite, the function is
strictly concave on the box, and the point is a strict local maximum.
"""

from dataclasses import dataclass

import flint
from flint import arb, arb_mat

BITS = 320  # of precision: some 96 decimal digits
flint.ctx.prec = BITS


class Jet:
    """A number with its first and second derivatives; `hessian` None: it is 0."""

    __slots__ = ("gradient", "hessian", "value")

    def __init__(self, value, gradient, hessian=None):
        self.value, self.gradient, self.hessian = value, gradient, hessian

    def through(self, value, first, second):
        """f(self) from f, f' and f'' at the value."""
        hessian = self.gradient * self.gradient.transpose() * second
        if self.hessian is not None:
            hessian += self.hessian * first
        return Jet(value, self.gradient * first, hessian)

    def __add__(self, other):
        if not isinstance(other, Jet):
            return Jet(self.value + other, self.gradient, self.hessian)
        return Jet(self.value + other.value, self.gradient + other.gradient, total(self.hessian, other.hessian))

    def __mul__(self, other):
        if not isinstance(other, Jet):
            other = arb(other)
            hessian = None if self.hessian is None else self.hessian * other
            return Jet(self.value * other, self.gradient * other, hessian)
        outer = self.gradient * other.gradient.transpose()
        hessian = outer + outer.transpose()
        for one, scale in ((self.hessian, other.value), (other.hessian, self.value)):
            if one is not None:
                hessian += one * scale
        return Jet(self.value * other.value, self.gradient * other.value + other.gradient * self.value, hessian)

    def __pow__(self, two):
        assert two == 2
        return self.through(self.value**2, 2 * self.value, arb(2))

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + -other

    def __rsub__(self, other):
        return -self + other

    def __truediv__(self, other):
        return self * (1 / other)

    def __rtruediv__(self, other):
        one = 1 / self.value
        return self.through(one, -(one**2), 2 * one**3) * other

    __radd__, __rmul__ = __add__, __mul__

    def log(self):
        one = 1 / self.value
        return self.through(self.value.log(), one, -(one**2))

    def exp(self):
        e = self.value.exp()
        return self.through(e, e, e)

    def erf(self):
        slope = 2 * (-(self.value**2)).exp() / arb.pi().sqrt()
        return self.through(self.value.erf(), slope, -2 * self.value * slope)

    def sqrt(self):
        root = self.value.sqrt()
        return self.through(root, 1 / (2 * root), -1 / (4 * self.value * root))

    def lgamma(self):
        # the derivative of digamma is Hurwitz' zeta(2, x)
        return self.through(self.value.lgamma(), self.value.digamma(), arb(2).zeta(self.value))


def total(one, other):
    """The sum of two Hessians of which each may be None."""
    if one is None or other is None:
        return other if one is None else one
    return one + other


def coordinates(point):
    """Jets of the coordinates themselves: balls with unit vectors as gradients."""
    p = len(point)
    return [Jet(arb(x), arb_mat(p, 1, [int(i == j) for j in range(p)])) for i, x in enumerate(point)]


# ---- linear algebra on balls or jets, as lists of rows


def cholesky(matrix):
    """The lower factor of a symmetric matrix."""
    factor = []
    for i, row in enumerate(matrix):
        factor.append([])
        for j in range(i + 1):
            left = row[j]
            for a, b in zip(factor[i][:j], factor[j][:j]):
                left = left - a * b
            factor[i].append(left.sqrt() if i == j else left / factor[j][j])
    return factor


def forward(factor, vector):
    """The solution y of factor y = vector."""
    solved = []
    for row, x in zip(factor, vector):
        for a, y in zip(row, solved):
            x = x - a * y
        solved.append(x / row[len(solved)])
    return solved


def product(one, other):
    return [[sum(a * b for a, b in zip(row, column)) for column in zip(*other)] for row in one]


def transposed(matrix):
    return [list(column) for column in zip(*matrix)]


def solve(matrix, right):
    """Gauss' elimination without exchanges, of lists of rows; for matrices whose leading minors are far from 0."""
    rows = [[*row, *more] for row, more in zip(matrix, right)]
    for i, pivot in enumerate(rows):
        pivot[:] = [x / pivot[i] for x in pivot]
        for other in rows:
            if other is not pivot:
                other[:] = [x - other[i] * y for x, y in zip(other, pivot)]
    return [row[len(rows) :] for row in rows]


# ---- the proof


class NotProven(ValueError):
    """The sufficient conditions do not hold: the box may be too large, or the point no maximum."""


@dataclass(frozen=True)
class Proof:
    """A strict local maximum, and what encloses it.

    Attributes
    ----------
    point : list of arb
        Each coordinate of the stationary point, with the radius of the last enclosure.
    value : arb
        The function there.
    radius : str
        Of the largest box that was proven to hold no other stationary point, in standard errors of each coordinate
        (of the information at the point).
    information : arb_mat
        Minus the Hessian, at the middle of the box.
    """

    point: list
    value: arb
    radius: str
    information: arb_mat


RADII = ("1e-1", "1e-2", "1e-3", "1e-4", "1e-6", "1e-8", "1e-12", "1e-16", "1e-20")  # of boxes, in standard errors
FINE = "1e-40"  # of the one from which the digits are taken


def maximum(function, start, radii=RADII):
    """The strict local maximum of a function near a point.

    Parameters
    ----------
    function : callable
        Of a list of jets: a jet.
    start : list of float
        So near that Newton's method converges.
    radii : sequence of str
        Boxes to try, the largest first.

    Returns
    -------
    Proof

    Raises
    ------
    NotProven
    """
    middle, at = newton(function, start)
    inverse = exact(at.hessian.inv())
    errors = [abs(inverse[i, i]).sqrt().mid() for i in range(len(middle))]

    def proven(radius):
        return krawczyk(function, middle, at.gradient, inverse, [error * arb(radius) for error in errors])

    point = proven(FINE)
    for radius in radii:
        try:
            proven(radius)
        except NotProven as failure:
            reason = failure
            continue
        return Proof(point, function(coordinates(point)).value, radius, -at.hessian)
    raise reason


def newton(function, start, steps=60):
    """An exact point where the score is next to nothing, and the jet there."""
    point, least = [arb(x) for x in start], arb(10) ** -60
    for _ in range(steps):
        at = function(coordinates(point))
        move = exact(at.hessian).solve(exact(at.gradient))
        if all(abs(x) < least * (1 + abs(y)) for x, y in zip(move.entries(), point)):
            return point, at
        point = [(x - y).mid() for x, y in zip(point, move.entries())]
    raise NotProven(f"Newton's method did not converge from {start}")


def krawczyk(function, middle, score, inverse, radii):
    """K(B), of B the box about `middle`; NotProven unless it lies inside B and the information is definite there.

    `radii`: arb, of each coordinate.
    """
    radii = [r.lower() for r in radii]
    box = [(-r).union(r) for r in radii]
    at = function(coordinates([m + x for m, x in zip(middle, box)]))
    if at.hessian is None or not all(x.is_finite() for x in at.hessian.entries()):
        raise NotProven("the Hessian is not bounded over the box")
    p = len(middle)
    one = arb_mat(p, p, [int(i == j) for i in range(p) for j in range(p)])
    moved = (one - inverse * at.hessian) * arb_mat(p, 1, box) - inverse * score
    if not all(abs(x) < r for x, r in zip(moved.entries(), radii)):
        raise NotProven("K(B) does not lie inside the box")
    require_positive_definite(-at.hessian)
    return [m + x for m, x in zip(middle, moved.entries())]


def require_positive_definite(matrix):
    """NotProven unless every symmetric matrix in one of balls is positive definite.

    It is where R' A R is, for any R: with R from the factor of the midpoint that is next to the identity, and its rows
    are dominated by their diagonal (Gershgorin).
    """
    p = matrix.nrows()
    factor = arb_mat(p, p, [x for row in cholesky(exact(matrix).tolist()) for x in [*row, *[0] * (p - len(row))]])
    if not all(x.is_finite() for x in factor.entries()):
        raise NotProven("the information is not positive definite in the middle of the box")
    R = exact(factor.inv()).transpose()
    near_one = R.transpose() * matrix * R
    for i, row in enumerate(near_one.tolist()):
        if not row[i] > sum(abs(x) for j, x in enumerate(row) if j != i):
            raise NotProven("the information is not positive definite over the box")


def exact(matrix):
    """The midpoints."""
    return arb_mat(matrix.nrows(), matrix.ncols(), [x.mid() for x in matrix.entries()])
