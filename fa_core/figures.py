"""One style for every figure, colour-blind safe, and the plots that are used more than once."""

import io
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fa_core import pictures

# The paper's black for backprop and green for feedback alignment, kept; the others from Okabe and Ito's palette,
# which people with any colour vision can tell apart. Line styles differ too.
COLOURS = {
    "backprop": "#000000",
    "feedback alignment": "#009E73",
    "shallow": "#999999",
    "node perturbation": "#D55E00",
    "sparse": "#0072B2",
    "control": "#CC79A7",
    "pseudobackprop": "#E69F00",
}
DRAWN = 400
STYLES = {"shallow": "--", "node perturbation": "-.", "sparse": (0, (5, 1)), "control": ":"}


def vectors(figure: Figure) -> str:
    """A figure in vectors on no ground, as `pictures` packs it for a notebook."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})
    return pictures.pack(file.getvalue())


def use() -> None:
    """Set the style, for this process; in a notebook figures are shown in pixels, and in vectors for the book."""
    plt.rcParams.update(
        {
            "figure.figsize": (6.4, 3.6),
            "figure.dpi": 110,
            "figure.constrained_layout.use": True,
            "figure.facecolor": "white",
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "legend.frameon": False,
            "lines.linewidth": 1.8,
            "axes.prop_cycle": plt.cycler(color=list(COLOURS.values())),
            "svg.hashsalt": "fa_core",
            "legend.fontsize": 8.5,
            "image.interpolation": "none",
        }
    )
    try:
        from IPython import get_ipython
        from IPython.core.formatters import BaseFormatter
    except ImportError:  # no notebook, then
        return
    if shell := get_ipython():

        class Vectors(BaseFormatter):  # and not `for_type`, which the inline backend takes back with its first figure
            format_type = pictures.MIME

            def __call__(self, shown: object) -> str | None:
                return vectors(shown) if isinstance(shown, Figure) else None

        shell.display_formatter.formatters[pictures.MIME] = Vectors(parent=shell.display_formatter)


def colour(name: str) -> str:
    """Colour of a rule or condition, by the longest key that its name begins with."""
    key = max((k for k in COLOURS if name.startswith(k)), key=len, default="control")
    return COLOURS[key]


def band(
    ax: Axes,
    x: np.ndarray,
    curves: np.ndarray,
    name: str,
    label: str | None = None,
    centre: Callable[..., np.ndarray] = np.nanmean,
    **style: Any,
) -> Line2D:
    """The centre of `curves` `(runs, points)` as a line, and the middle 95 % of the runs as a band, drawn at `DRAWN` points
    or fewer."""
    key = max((k for k in COLOURS if name.startswith(k)), key=len, default="control")
    style = {"color": COLOURS[key], "linestyle": STYLES.get(key, "-")} | style
    low, high = np.nanquantile(curves, [0.025, 0.975], axis=0)
    some = np.unique(np.linspace(0, len(low) - 1, DRAWN).round().astype(int)) if len(low) > DRAWN else slice(None)
    ax.fill_between(np.asarray(x)[some], low[some], high[some], color=style["color"], alpha=0.15, linewidth=0, label="_band")
    return ax.plot(x, centre(curves, axis=0), label=label or name, **style)[0]


def legend(ax: Axes, **options: Any) -> Legend:
    """A legend with the algorithms in the order of `COLOURS` and, where `band` drew one, what it is."""
    handles, labels = ax.get_legend_handles_labels()
    order = list(COLOURS)

    def place(label: str) -> int:
        return min((order.index(k) for k in order if label.startswith(k)), default=len(order))

    pairs = sorted(zip(handles, labels, strict=True), key=lambda pair: place(pair[1]))
    if any(drawn.get_label() == "_band" for drawn in ax.collections):
        pairs.append((Patch(color="#808080", alpha=0.3, linewidth=0), "band: middle 95 % of the seeds"))
    return ax.legend(*zip(*pairs, strict=True), **options)


def panel(ax: Axes, letter: str) -> None:
    """The letter of a panel, at its upper left."""
    ax.set_title(letter, loc="left", fontweight="bold")


def receptive_fields(fields: np.ndarray, title: str, ax: Axes | None = None, side: int = 28) -> None:
    """Incoming weights of hidden units as grey squares, ten to a row: white strongly positive, black strongly
    negative, the same scale for all (Supplementary Fig. 5). fields `(inputs, units)`, inputs = side^2."""
    ax = ax or plt.gca()
    columns = 10
    rows = -(-fields.shape[1] // columns)
    sheet = np.full((rows * (side + 2), columns * (side + 2)), np.nan)
    for unit in range(fields.shape[1]):
        r, c = divmod(unit, columns)
        sheet[r * (side + 2) : r * (side + 2) + side, c * (side + 2) : c * (side + 2) + side] = fields[:, unit].reshape(
            side, side
        )
    limit = np.nanquantile(np.abs(sheet), 0.995)
    ax.imshow(sheet, cmap="gray", vmin=-limit, vmax=limit, interpolation="none")
    ax.set(xticks=[], yticks=[])
    ax.set_title(f"{title} (±{limit:.2g})", fontsize=9)
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)


def network(ax: Axes, layers: Sequence[tuple[str, int]], feedback: str | None = None) -> None:
    """A drawn network: columns of units joined by forward weights and, below, the way the error takes back.

    layers: pairs (label, number of units drawn), inputs first. feedback: "transpose" draws the error going back along
    W', "random" along a separate fixed B, "scalar" one number for all hidden units, None nothing. With two or more
    hidden layers the weights and the signals are numbered (Fig. 3c).
    """
    xs = np.linspace(0, 1, len(layers))
    ink = "#333333"

    def heights(n: int) -> np.ndarray:
        return 0.62 + 0.15 * (np.arange(n) - (n - 1) / 2)

    for (x0, (_, n0)), (x1, (_, n1)) in pairwise(zip(xs, layers, strict=True)):
        for y0 in heights(n0):
            for y1 in heights(n1):
                ax.plot([x0, x1], [y0, y1], color=ink, linewidth=0.7, alpha=0.5, zorder=1)
    for x, (label, n) in zip(xs, layers, strict=True):
        ax.scatter([x] * n, heights(n), s=170, facecolor="white", edgecolor=ink, linewidth=1.4, zorder=2)
        ax.text(x, heights(n)[-1] + 0.09, label, ha="center", va="bottom", fontsize=12)
    for i, (x0, x1) in enumerate(pairwise(xs)):
        weights = ("$W_0$", "$W$")[i] if len(layers) == 3 else f"$W_{i}$"
        ax.text((x0 + x1) / 2, 0.99, weights, ha="center", va="bottom", fontsize=12)
    if feedback:
        color, along, arriving = {
            "transpose": (COLOURS["backprop"], "$W^T$", r"$\delta_{BP}=W^Te$"),
            "random": (COLOURS["feedback alignment"], "$B$ (random, fixed)", r"$\delta_{FA}=Be$"),
            "scalar": (COLOURS["node perturbation"], "one number: change of the loss", "to all alike"),
        }[feedback]
        y, arrow = 0.1, {"arrowstyle": "-|>", "color": color, "linewidth": 2, "shrinkA": 0, "shrinkB": 0}

        def lowest(layer: int) -> float:
            return heights(layers[layer][1])[0] - 0.08

        ax.plot([xs[-1]] * 2, [lowest(-1), y], color=color, linewidth=2)
        if feedback != "scalar":
            ax.text(xs[-1] + 0.04, 0.2, "$e$", color=color, fontsize=12)
        for i in range(len(layers) - 2, 0, -1):
            ax.plot([xs[i + 1], xs[i]], [y, y], color=color, linewidth=2)
            if len(layers) > 3 and feedback != "scalar":
                matrix = f"B_{i}" if feedback == "random" else f"W_{i}^T"
                slope = rf"\circ h_{i + 1}'" if feedback == "transpose" else ""  # backprop's derivatives travel
                above = "e" if i == len(layers) - 2 else rf"(\delta_{i + 1}{slope})" if slope else rf"\delta_{i + 1}"
                along, arriving = f"${matrix}$", rf"$\delta_{i}={matrix}{above}$"
            ax.text((xs[i] + xs[i + 1]) / 2, y - 0.04, along, ha="center", va="top", color=color, fontsize=10)
            ax.annotate("", (xs[i], lowest(i)), (xs[i], y), arrowprops=arrow)
            ax.text(xs[i] - 0.04, 0.2, arriving, ha="right", color=color, fontsize=11)
    ax.set(xlim=(-0.15, 1.2), ylim=(-0.08, 1.12))
    ax.axis("off")
