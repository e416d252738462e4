"""The plots of RESULTS.md and the README: SVG, small, the same bytes for the same figures.

Transparent, with grey text and middle tones, so that they read on light and dark backgrounds alike.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot

GREY = "#808890"
COLOURS = {"fastem": "#e4572e", "scikit-learn": "#4f8fd0", "onedal": "#2a9d74"}
NAMES = {"onedal": "oneDAL"}
STYLE = {
    "svg.hashsalt": "fastem",
    "svg.fonttype": "none",  # text stays text: small, and in the reader's font
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), GREY),
}
AXIS_LABELS = {"n": "rows", "d": "columns", "K": "components"}


def draw(folder: Path, passes: list[dict], scaling: list[dict]) -> dict[str, str]:
    """Write the plots from the rows of the two sections; file names and what they show."""
    found = {}
    with pyplot.rc_context(STYLE):
        for name, caption, figure in (
            ("speed-up.svg", "Times faster than the rivals, by problem", _speed_up(passes)),
            ("scaling.svg", "Time of an iteration by rows, columns and components", _scaling(scaling)),
        ):
            # Without a date and the version of matplotlib the bytes depend on the figures alone.
            metadata = {"Date": None, "Creator": None}
            figure.savefig(folder / name, transparent=True, bbox_inches="tight", metadata=metadata)
            pyplot.close(figure)
            found[name] = caption
    return found


def _speed_up(rows: list[dict]):
    """Horizontal bars of each rival's time over fastem's, on a log axis."""
    problems = list(dict.fromkeys(row["problem"] for row in rows))[::-1]
    rivals = [name for name in COLOURS if name != "fastem" and any(row["rival"] == name for row in rows)]
    figure, axes = pyplot.subplots(figsize=(7.5, 0.55 * len(problems) + 0.8))
    height = 0.8 / max(1, len(rivals))
    for place, rival in enumerate(rivals):
        own = [row for row in rows if row["rival"] == rival and row["ratio"] is not None]
        middles = [problems.index(row["problem"]) + ((len(rivals) - 1) / 2 - place) * height for row in own]
        ratios = [row["ratio"] for row in own]
        # Bars start at 1, so that a rival that is faster shows as one to the left.
        lengths = [ratio - 1 for ratio in ratios]
        axes.barh(middles, lengths, 0.9 * height, left=1, color=COLOURS[rival], label=f"over {NAMES.get(rival, rival)}")
        for middle, ratio in zip(middles, ratios):
            axes.text(
                max(1, ratio) * 1.04, middle, f"{ratio:.1f}×" if ratio < 10 else f"{ratio:.0f}×", va="center", size=8.5
            )
    axes.set_xscale("log")
    axes.axvline(1, color=GREY, linewidth=0.8)
    axes.set_xlim(left=0.95 * min(1, *(row["ratio"] for row in rows if row["ratio"] is not None)))
    axes.set_xticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
    axes.minorticks_off()
    axes.set_yticks(range(len(problems)), problems)
    axes.set_xlabel("speed-up of fastem")
    axes.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.4, 1.0))
    return figure


def _scaling(rows: list[dict]):
    """Milliseconds an iteration against what varies, log-log, side by side."""
    varied = list(dict.fromkeys(row["axis"] for row in rows))
    figure, panels = pyplot.subplots(1, len(varied), figsize=(9, 2.9), sharey=True, squeeze=False)
    for panel, axis in zip(panels[0], varied):
        for rival, colour in COLOURS.items():
            own = [row for row in rows if row["axis"] == axis and row["rival"] == rival]
            if own:
                line = [row["value"] for row in own], [row["ms"] for row in own]
                panel.loglog(*line, "o-", color=colour, markersize=4, label=rival)
        panel.minorticks_off()  # hundreds of lines of SVG that nobody reads
        panel.set_xlabel(AXIS_LABELS[axis])
        panel.grid(color=GREY, alpha=0.25, linewidth=0.6)
    panels[0][0].set_ylabel("ms per iteration")
    panels[0][0].legend(frameon=False)
    return figure
