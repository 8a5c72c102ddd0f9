"""The plot of a game day: successes and latencies over time, with the faults behind them."""

from pathlib import Path

from stator.bench.plot import load_pyplot
from stator.gameday.availability import CLASSES, QUANTILES, Availability
from stator.gameday.history import EventKind, History


def write_gameday_plot(path: Path, history: History, availability: Availability) -> None:
    """Writes a picture; its type by the name (.png, .svg). Raises BenchmarkError without matplotlib."""
    pyplot = load_pyplot()
    figure, (counts, latencies) = pyplot.subplots(2, 1, figsize=(10, 7), sharex=True, layout="constrained")
    middles = [index + 0.5 for index in range(len(availability.seconds))]
    for name in CLASSES:
        counts.plot(middles, [second.successes[name] for second in availability.seconds], label=name)
    counts.plot(middles, [second.errors for second in availability.seconds], color="red", label="errors")
    counts.set_ylabel("answers a second")
    counts.set_ylim(bottom=0)
    for name in QUANTILES:
        latencies.plot(middles, [1000 * second.latencies_s[name] for second in availability.seconds], label=name)
    latencies.set_yscale("log")
    latencies.set_ylabel("latency, ms")
    latencies.set_xlabel("seconds")
    for axes in (counts, latencies):
        for event in history.events:
            if event.kind in (EventKind.FAULT, EventKind.UNDONE):
                colour = "red" if event.kind is EventKind.FAULT else "green"
                axes.axvline(event.at_ns / 1e9, color=colour, alpha=0.5, linestyle="--", linewidth=1)
        axes.grid(visible=True, alpha=0.3)
        axes.legend(loc="upper right")
    for event in history.events:
        if event.kind in (EventKind.FAULT, EventKind.UNDONE):
            place = (event.at_ns / 1e9, counts.get_ylim()[1])
            label = event.text if len(event.text) <= 60 else f"{event.text[:57]}..."
            counts.annotate(label, place, rotation=90, fontsize=7, ha="right", va="top", annotation_clip=True)
    counts.set_title(f"{history.scenario.name}: {history.scenario.clients} clients")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
