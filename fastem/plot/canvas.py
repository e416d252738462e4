"""The parts of the pictures of :mod:`fastem.plot`: axes, colours, rows as points or as a density. No models here.

matplotlib is an optional package: it is imported inside the functions, and nothing of its global state is changed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

# Okabe and Ito's colours, which colour-blind people tell apart, in an order that puts unlike ones first. Without
# their yellow, which does not show on white and, if darkened, looks like the orange to red-blind people; and without
# their black, which does not show on dark backgrounds. Everybody can tell the violet from the others and from GREY.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#9911FF")
LINES = ("-", "--", ":", "-.")  # one for each round of the colours
MARKERS = "os^DvPX*"
GREY = "#868C94"  # of the data: shows on light and dark backgrounds
SIZE, LEAST_SIZE, LETTER = 10.0, 5.0, 0.65  # of text in cells, in points; the width of a letter in its size
MOST_ROWS = 1_000_000  # looked at; beyond, a random sample
MOST_POINTS = 3000  # drawn as points; beyond, as a two-dimensional histogram


def require_matplotlib() -> None:
    """Raise an error that names the extra where matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(f"pictures need matplotlib ({error}): pip install 'fastem[plot]'") from error


def require_file_type(path) -> None:
    """ValueError where no picture can be written under this name: before the work, not after it."""
    require_matplotlib()
    from matplotlib.backend_bases import FigureCanvasBase

    kinds = sorted(FigureCanvasBase.get_supported_filetypes())
    if Path(path).suffix[1:].lower() not in kinds:
        raise ValueError(f"{path}: the name of a picture must end in .png, .svg or .pdf (or {', '.join(kinds)})")


def axes_grid(ax, n_rows=1, n_columns=1, cell=(3.2, 2.4)) -> np.ndarray:
    """(n_rows, n_columns) axes: those given, new ones in the given figure, or in a new figure of pyplot."""
    require_matplotlib()
    if ax is None:
        from matplotlib import pyplot

        width, height = (6.4, 4.8) if n_rows == n_columns == 1 else (n_columns * cell[0], n_rows * cell[1])
        ax = pyplot.figure(figsize=(width, height), layout="constrained")
    if hasattr(ax, "subplots"):
        return ax.subplots(n_rows, n_columns, squeeze=False)
    axes = np.array(ax, dtype=object)
    if axes.size != n_rows * n_columns:
        raise ValueError(
            f"ax holds {axes.size} axes, but this picture needs {n_rows} x {n_columns}: give these, or a figure"
        )
    return axes.reshape(n_rows, n_columns)


def colour(k: int) -> str:
    return COLOURS[k % len(COLOURS)]


def line_style(k: int) -> str:
    return LINES[k // len(COLOURS) % len(LINES)]


def marker(k: int) -> str:
    return MARKERS[k % len(MARKERS)]


def label_component(ax, k, x, y, rise=0, size="medium") -> None:
    """The number of a component, in its colour, `rise` points above (x, y) and on top of all else. Size 0: none."""
    from matplotlib.patheffects import withStroke

    if not size:
        return
    ax.annotate(
        str(k),
        (x, y),
        (0, rise),
        textcoords="offset points",
        ha="center",
        va="center",
        weight="bold",
        size=size,
        color=colour(k),
        path_effects=[withStroke(linewidth=3, foreground=ax.get_facecolor())],
        annotation_clip=True,
        zorder=5,
    )


def short(name: str) -> str:
    """A name that fits under a small picture."""
    return name if len(name) <= 24 else f"{name[:14]}…{name[-9:]}"


def sample_rows(X, most) -> np.ndarray:
    """At most `most` rows, drawn at random, the same each time; their order is kept."""
    if len(X) <= most:
        return X
    return X[np.sort(np.random.default_rng(0).integers(len(X), size=most))]


def limits(x, centres=(), reaches=()) -> tuple[float, float]:
    """The ends of an axis: it shows the rows (of many, all but one in a thousand) and components not far away."""
    low, high = (x.min(), x.max()) if len(x) <= MOST_POINTS else np.quantile(x, [0.0005, 0.9995])
    span = float(high - low) or abs(float(low)) or 1.0
    below, above = np.subtract(centres, reaches), np.add(centres, reaches)
    low, high = (
        max(float(below.min(initial=low)), low - span / 2),
        min(float(above.max(initial=high)), high + span / 2),
    )
    return low - 0.04 * span, high + 0.04 * span


def bins(x, low, high, most) -> tuple[float, float, int]:
    """First edge, width and number of equal bins; of whole numbers, each bin holds equally many."""
    if (x == np.floor(x)).all():
        width = float(max(1, np.ceil((high - low) / most)))
        first = np.floor(low) - 0.5
        return first, width, int(np.ceil((high - first) / width))
    return low, (high - low) / most, most


def _bin_numbers(x, first, width, number):
    """The bin of each value, and whether it has one."""
    place = np.floor((x - first) / width)
    return np.clip(place, 0, number - 1).astype(np.intp), (place >= 0) & (place < number)


def bars_of(x, low, high, discrete) -> tuple[float, float, int]:
    """The bins of a histogram of one column: one for each count where there are not too many."""
    return bins(x, low, high, 100 if discrete else int(np.clip(2 * len(x) ** (1 / 3), 10, 100)))


def draw_histogram(ax, x, low, high, discrete) -> float:
    """Rows of one column as a density; the highest bar's height."""
    first, width, number = bars_of(x, low, high, discrete)
    place, inside = _bin_numbers(x, first, width, number)
    density = np.bincount(place[inside], minlength=number) / (len(x) * width)
    ax.stairs(density, first + width * np.arange(number + 1), fill=True, color=GREY, alpha=0.45, label="data")
    return float(density.max())


def bar_ends(lower, upper, shown, discrete) -> tuple[np.ndarray, np.ndarray]:
    """Where the bars of rows between bounds begin and end: of an exact value those of its bin in a histogram, of counts
    half a count beyond both bounds, which are counts of the interval."""
    if discrete:
        return lower - 0.5, upper + 0.5
    exact = lower == upper
    if not exact.any():
        return lower, upper
    first, width, number = bars_of(lower[exact], *shown, discrete)
    edges = first + width * np.arange(number + 1)
    place, _ = _bin_numbers(lower[exact], first, width, number)
    lower, upper = lower.copy(), upper.copy()
    lower[exact], upper[exact] = edges[place], edges[place + 1]
    return lower, upper


def draw_bars(ax, lower, upper, weight) -> float:
    """Rows of one column as a density, each spread evenly from its lower to its upper end, and those with an open end
    left out, so that the bars hold the share of the others. The highest bar's height."""
    closed = np.isfinite(lower) & np.isfinite(upper)
    total, lower, upper, weight = weight.sum(), lower[closed], upper[closed], weight[closed]
    edges = np.unique(np.concatenate([lower, upper]))
    rise = np.zeros(len(edges))
    density = weight / ((upper - lower) * total)
    np.add.at(rise, np.searchsorted(edges, lower), density)
    np.add.at(rise, np.searchsorted(edges, upper), -density)
    height = np.cumsum(rise)[:-1]
    ax.stairs(height, edges, fill=True, color=GREY, alpha=0.45, label="data")
    return float(height.max())


def draw_rows(ax, x, y, x_limits, y_limits) -> None:
    """Rows of two columns: points, or where there are many a histogram, darker by the logarithm of the count."""
    if len(x) <= MOST_POINTS:
        size = float(np.clip(3000 / len(x), 4, 16))
        ax.scatter(x, y, s=size, color=GREY, alpha=0.6, linewidths=0)
        return
    from matplotlib.colors import to_rgba

    most = int(np.clip(3 * len(x) ** (1 / 3), 30, 120))
    edges = [bins(values, *shown, most) for values, shown in ((x, x_limits), (y, y_limits))]
    (i, x_inside), (j, y_inside) = (_bin_numbers(values, *edge) for values, edge in zip((x, y), edges))
    inside = x_inside & y_inside
    shape = edges[1][2], edges[0][2]
    counts = np.bincount((j * shape[1] + i)[inside], minlength=shape[0] * shape[1]).reshape(shape)
    image = np.empty((*shape, 4))
    image[:] = to_rgba(GREY)
    image[..., 3] = 0.75 * np.log1p(counts) / np.log1p(max(1, counts.max()))
    extent = [end for first, width, number in edges for end in (first, first + number * width)]
    ax.imshow(image, origin="lower", extent=extent, aspect="auto", interpolation="nearest")


def legend(ax, corner="best") -> None:
    """The legend in a corner, by default where it hides least, on a half-transparent ground, so that it can be read;
    small in small axes."""
    entries = len(ax.get_legend_handles_labels()[0])
    room = ax.get_window_extent().height / ax.figure.dpi  # inches
    ax.legend(
        loc=corner,
        framealpha=0.8,
        edgecolor="none",
        facecolor=ax.get_facecolor(),
        fontsize="small" if entries * 0.4 < room else "x-small",
        labelspacing=0.2,
    )


def colours_of(name, shade) -> np.ndarray:
    """The colours of a map, (..., 4), at shades in [0, 1]."""
    import matplotlib

    return matplotlib.colormaps[name](np.clip(shade, 0, 1))


def colour_bar(ax, name, low, high, label) -> None:
    """A bar beside axes that says which number has which colour."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    ax.figure.colorbar(ScalarMappable(Normalize(low, high), name), ax=ax, label=label)


def heat_map(ax, values, rows, columns, *, colours) -> None:
    """Numbers (n_rows, n_columns) on cells of these colours (n_rows, n_columns, 4)."""
    ax.imshow(colours, aspect="auto", interpolation="nearest")
    extent = ax.get_window_extent()
    width, height = (72 / ax.figure.dpi * np.array([extent.width, extent.height])) / values.shape[::-1]  # points
    flat = sum(map(len, columns)) <= 40 and max(map(len, columns)) * LETTER * SIZE <= width
    _label_cells(ax.xaxis, columns, width if not flat else np.inf, rotation=0 if flat else 90)
    _label_cells(ax.yaxis, rows, height)
    texts = [f"{value:.3g}" for value in values.ravel()]
    size = min(SIZE, height / 1.2, width / (LETTER * max(map(len, texts))))
    if size < LEAST_SIZE:  # no room for numbers
        return
    brightness = colours[..., :3] @ [0.299, 0.587, 0.114]
    for (i, j), text in zip(np.ndindex(values.shape), texts):
        colour = "black" if brightness[i, j] > 0.5 else "white"
        ax.text(j, i, text, ha="center", va="center", color=colour, size=size)


def _label_cells(axis, names, room, **options) -> None:
    """The names of cells that are `room` points apart: smaller, or not all of them, where they would overlap."""
    size = float(np.clip(room / 1.2, LEAST_SIZE, SIZE))
    step = max(1, int(np.ceil(1.2 * size / room)))
    axis.set_ticks(np.arange(len(names))[::step], names[::step], size=size, **options)
