"""The plot of a sweep: throughput against latency, a line a percentile."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stator.bench.runner import QUANTILES, BenchmarkError, Level


def load_pyplot() -> Any:
    """matplotlib's pyplot, for drawing into files. Raises BenchmarkError where it is not installed."""
    try:
        import matplotlib as mpl
    except ImportError:
        raise BenchmarkError("a plot needs matplotlib: pip install 'stator[plot]'.") from None
    mpl.use("Agg")
    from matplotlib import pyplot

    return pyplot


def write_plot(path: Path, title: str, levels: Sequence[Level]) -> None:
    """Writes a picture; its type by the name (.png, .svg, .pdf). Raises BenchmarkError without matplotlib."""
    pyplot = load_pyplot()
    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    throughputs = [level.throughput for level in levels]
    for name in QUANTILES:
        latencies_ms = [level.latencies[name] * 1000 for level in levels]
        axes.plot(throughputs, latencies_ms, marker="o", label=name)
    for level in levels:
        axes.annotate(
            str(level.concurrency),
            (level.throughput, level.latencies["p50"] * 1000),
            textcoords="offset points",
            xytext=(0, -14),
            ha="center",
            fontsize=8,
        )
    axes.set_xlabel("operations a second (the numbers: requests under way)")
    axes.set_ylabel("latency, ms")
    axes.set_yscale("log")
    axes.set_xlim(left=0)
    axes.margins(y=0.1)  # room for the numbers below the lowest points
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    axes.set_title(title)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
