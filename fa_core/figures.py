"""One style for every figure, colour-blind safe, and the plots that are used more than once."""

import matplotlib.pyplot as plt
import numpy as np

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
STYLES = {"shallow": "--", "node perturbation": "-.", "sparse": (0, (5, 1)), "control": ":"}


def use() -> None:
    """Set the style, for this process."""
    plt.rcParams.update({
        "figure.figsize": (6.4, 3.6), "figure.dpi": 110, "figure.constrained_layout.use": True,
        "figure.facecolor": "white", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False,
        "axes.grid": True, "grid.alpha": 0.25, "legend.frameon": False, "lines.linewidth": 1.8,
        "axes.prop_cycle": plt.cycler(color=list(COLOURS.values())), "svg.hashsalt": "fa_core",
    })


def colour(name: str) -> str:
    """Colour of a rule or condition, by the longest key that its name begins with."""
    key = max((k for k in COLOURS if name.startswith(k)), key=len, default="control")
    return COLOURS[key]


def band(ax, x, curves, name: str, label: str | None = None, centre=np.nanmean, **style):
    """The centre of `curves` `(runs, points)` as a line, and the middle 95 % of the runs as a band."""
    key = max((k for k in COLOURS if name.startswith(k)), key=len, default="control")
    style = {"color": COLOURS[key], "linestyle": STYLES.get(key, "-")} | style
    low, high = np.nanquantile(curves, [0.025, 0.975], axis=0)
    ax.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0)
    return ax.plot(x, centre(curves, axis=0), label=label or name, **style)[0]


def panel(ax, letter: str) -> None:
    """The letter of a panel, at its upper left."""
    ax.set_title(letter, loc="left", fontweight="bold")


def receptive_fields(fields, title: str, ax=None, side: int = 28) -> None:
    """Incoming weights of hidden units as grey squares, ten to a row: white strongly positive, black strongly
    negative, the same scale for all (Supplementary Fig. 5). fields `(inputs, units)`, inputs = side^2."""
    ax = ax or plt.gca()
    columns = 10
    rows = -(-fields.shape[1] // columns)
    sheet = np.full((rows * (side + 2), columns * (side + 2)), np.nan)
    for unit in range(fields.shape[1]):
        r, c = divmod(unit, columns)
        sheet[r * (side + 2) : r * (side + 2) + side, c * (side + 2) : c * (side + 2) + side] = (
            fields[:, unit].reshape(side, side))
    limit = np.nanquantile(np.abs(sheet), 0.995)
    ax.imshow(sheet, cmap="gray", vmin=-limit, vmax=limit, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.set_title(f"{title} (±{limit:.2g})", fontsize=9)
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)


def network(ax, layers, feedback: str | None = None, colours=None) -> None:
    """A drawn network: columns of units joined by forward weights and, below, the way the error takes back.

    layers: pairs (label, number of units drawn), inputs first. feedback: "transpose" draws the error going back along
    W', "random" along a separate fixed B, None not at all.
    """
    xs = np.linspace(0, 1, len(layers))
    ink, back = "#333333", {"transpose": COLOURS["backprop"], "random": COLOURS["feedback alignment"]}.get(feedback)

    def heights(n):
        return 0.62 + 0.30 * (np.arange(n) - (n - 1) / 2) / 2

    for (x0, (_, n0)), (x1, (_, n1)) in zip(zip(xs, layers, strict=True), list(zip(xs, layers, strict=True))[1:],
                                            strict=False):
        for y0 in heights(n0):
            for y1 in heights(n1):
                ax.plot([x0, x1], [y0, y1], color=ink, linewidth=0.7, alpha=0.5, zorder=1)
    for x, (label, n) in zip(xs, layers, strict=True):
        ax.scatter([x] * n, heights(n), s=170, facecolor="white", edgecolor=ink, linewidth=1.4, zorder=2)
        ax.text(x, heights(n)[-1] + 0.11, label, ha="center", va="bottom", fontsize=11)
    for i, name in enumerate(["$W_0$", "$W$", "$W_2$"][: len(layers) - 1]):
        ax.text((xs[i] + xs[i + 1]) / 2, 1.03, name, ha="center", va="bottom", fontsize=11)
    if back:
        top, y = xs[-1], 0.02
        ax.annotate("", (top, y + 0.04), (top, heights(layers[-1][1])[0] - 0.07),
                    arrowprops={"arrowstyle": "-|>", "color": back, "linewidth": 2})
        ax.text(top + 0.04, 0.12, "$e$", color=back, fontsize=12)
        for i in range(len(layers) - 2, 0, -1):
            label = "$W^T$" if feedback == "transpose" else "$B$ (fixed, random)"
            ax.annotate("", (xs[i], y), (xs[i + 1], y), arrowprops={"arrowstyle": "-|>", "color": back, "linewidth": 2})
            ax.text((xs[i] + xs[i + 1]) / 2, y - 0.04, label, ha="center", va="top", color=back, fontsize=11)
            ax.annotate("", (xs[i], heights(layers[i][1])[0] - 0.07), (xs[i], y),
                        arrowprops={"arrowstyle": "-|>", "color": back, "linewidth": 2})
            name = r"$\delta_{BP}=W^Te$" if feedback == "transpose" else r"$\delta_{FA}=Be$"
            ax.text(xs[i] - 0.04, 0.14, name, ha="right", color=back, fontsize=11)
    ax.set(xlim=(-0.15, 1.2), ylim=(-0.16, 1.16))
    ax.axis("off")
