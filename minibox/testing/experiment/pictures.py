"""The pictures of a report, as SVG texts to stand in a page."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import matplotlib

if TYPE_CHECKING:
    from collections.abc import Sequence

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "minibox", "font.size": 9,
                            "axes.spines.top": False, "axes.spines.right": False})


def ecdf(curves: dict[str, Sequence[float]], label: str) -> str:
    """For each name the share of its values that are at most so large."""
    figure, axes = _axes(7, 3.2)
    for name, values in curves.items():
        ordered = sorted(values)
        shares = [(at + 1) / len(ordered) for at in range(len(ordered))]
        axes.step([ordered[0], *ordered], [0, *shares], where="post", label=name)
    axes.set_xlabel(label)
    axes.set_ylabel("share of the runs")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return _svg(figure)


def lines(curves: dict[str, Sequence[Sequence[float]]], label: str) -> str:
    """Time series, one below the other on the same scales: for each name its (seconds, value)."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    figure, rows = _axes(7, 0.5 + 0.7 * len(curves), len(curves))
    for axes, (name, points) in zip(rows, curves.items(), strict=True):
        axes.plot([at for at, _ in points], [value for _, value in points], lw=0.9, color="#567")
        axes.set_title(name, fontsize=8, loc="left", pad=2)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=4))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(axis="y", color="#ddd")
    rows[-1].set_xlabel("seconds")
    figure.supylabel(label, fontsize=9)
    return _svg(figure)


def heat(rows: Sequence[str], columns: Sequence[str], numbers: Sequence[Sequence[float]]) -> str:
    """A matrix of numbers, the larger the darker."""
    figure, axes = _axes(2.5 + 0.75 * len(columns), 1.2 + 0.28 * len(rows))
    # not imshow: a picture within the picture would have to be fetched, as a data: URL
    axes.pcolormesh(numbers, cmap="Reds", vmin=0, edgecolor="white", linewidth=0.5)
    axes.invert_yaxis()
    axes.set_xticks([at + 0.5 for at in range(len(columns))], columns, rotation=35, ha="left")
    axes.xaxis.tick_top()
    axes.set_yticks([at + 0.5 for at in range(len(rows))], rows)
    axes.tick_params(length=0)
    most = max((max(row, default=0) for row in numbers), default=0)
    for y, row in enumerate(numbers):
        for x, value in enumerate(row):
            axes.text(x + 0.5, y + 0.5, f"{value:g}" if value else "", ha="center", va="center",
                      color="white" if value > most * 0.6 else "black")
    return _svg(figure)


def intervals(rows: Sequence[str], medians: Sequence[tuple[float, float, float]],
              label: str) -> str:
    """A point with its interval (low, median, high) for each row."""
    figure, axes = _axes(7, 0.8 + 0.24 * len(rows))
    for y, (low, median, high) in enumerate(medians):
        axes.plot([low, high], [y, y], color="#567", lw=2)
        axes.plot([median], [y], "o", color="#c33", ms=4)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(label)
    axes.grid(axis="x", color="#ddd")
    return _svg(figure)


def _axes(width: float, height: float, rows: int = 0) -> tuple[Any, Any]:
    """A figure with one pair of axes, or with *rows* of them that share their scales."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained" if rows else None)
    if not rows:
        return figure, figure.subplots()
    return figure, figure.subplots(rows, 1, sharex=True, sharey=True, squeeze=False)[:, 0]


def _svg(figure: Any) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", bbox_inches="tight",
                   metadata={"Date": None, "Creator": None})
    found = text.getvalue()
    return found[found.index("<svg"):]
