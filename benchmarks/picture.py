"""The results as a picture: a panel for each network, a dot for each contender, ours filled, with the quartiles as a bar."""

from itertools import groupby
from pathlib import Path

import matplotlib.pyplot as plt

from fa_core import figures


def short(network: str) -> str:
    """Sizes of the layers, with those that come several times in a row said once, as in "784-10×1000-10"."""
    sizes = ((size, len(list(equal))) for size, equal in groupby(network.split("-")))
    return "-".join(size if times == 1 else f"{times}\u00d7{size}" for size, times in sizes)


def draw(results: dict, file: Path) -> None:
    """Write it, in the format that the file's name ends in."""
    figures.use()
    panels: dict[tuple, list[dict]] = {}
    for row in results["rows"]:
        panels.setdefault((row["network"], row["batch"]), []).append(row)
    height = sum(len(rows) + 1.6 for rows in panels.values()) * 0.2
    fig, axes = plt.subplots(
        len(panels),
        figsize=(7.2, height),
        sharex=True,
        squeeze=False,
        height_ratios=[len(rows) + 0.6 for rows in panels.values()],
    )
    for ax, ((network, batch), rows) in zip(axes[:, 0], panels.items(), strict=True):
        rows = sorted(rows, key=lambda row: -row["ratio"]["median"])
        for y, row in enumerate(rows):
            ratio, colour = row["ratio"], figures.COLOURS["node perturbation" if row["peer"] else "feedback alignment"]
            ax.plot([ratio["low"], ratio["high"]], [y, y], color=colour, lw=1)
            ax.plot(ratio["median"], y, "o", ms=5, color=colour, markerfacecolor="none" if row["peer"] else colour)
            if row["target"] is not None:
                ax.plot(row["target"], y, "|", ms=10, color="black")
        ax.set_yticks(range(len(rows)), [row["contender"] for row in rows], fontsize=8)
        ax.set_ylim(-0.6, len(rows) - 0.4)
        ax.axvline(1, color="black", lw=1)
        ax.set_title(f"{short(network)}, minibatches of {batch}", fontsize=8, loc="left")
        ax.set_xscale("log")
    axes[-1, 0].set_xlabel("time of a step / of autograd's")
    vectors = file.suffix == ".svg"  # on no ground: a page has its own, light or dark
    fig.savefig(file, metadata={"Date": None} if vectors else None, transparent=vectors)
    plt.close(fig)
