"""What `stator gameday` does once it knows what to play: the machine, the cluster, the game day, the verdict."""

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from stator.cli.exits import UsageError
from stator.cli.output import print_table
from stator.gameday import clocks, disks, links
from stator.gameday.clocks import Clocks
from stator.gameday.cluster import Tools, new_cluster, running_cluster
from stator.gameday.disks import Disks
from stator.gameday.history import HISTORY_FILE, Event, History, read_history
from stator.gameday.judge import Verdict, judge
from stator.gameday.links import Links
from stator.gameday.machine import MachineError, enter_namespaces
from stator.gameday.promises import PROMISES, TABLE_FILE, Got, compare, markdown, table
from stator.gameday.report import REPORT_FILE, availability_rows, figures, headline, write_report
from stator.gameday.run import Gameday
from stator.gameday.scenario import Need, Scenario, load_scenario

_WHY_NOT = {Need.LINKS: links.why_not, Need.DISKS: disks.why_not, Need.CLOCKS: clocks.why_not}


@dataclass(frozen=True, slots=True)
class Options:
    """How to play: the folder of a cluster that runs already (None: a new one), where the report goes (None: a folder
    with a name of its own), the seed (None: any), whether a new cluster's data stays after a pass."""

    data: Path | None = None
    report: Path | None = None
    seed: int | None = None
    keep: bool = False

    def arguments(self) -> list[str]:
        """The command line that says so, for a new cluster."""
        report = ["--report", str(self.report)] if self.report else []
        seed = [] if self.seed is None else ["--seed", str(self.seed)]
        return [*report, *seed, *(["--keep"] if self.keep else [])]


def play_one(named: str, options: Options) -> bool:
    """Plays a scenario and prints the verdict; whether it is a pass. Raises what the scenario and the machine do."""
    scenario = load_scenario(named)
    if scenario.needs and options.data is not None:
        raise UsageError(f"{scenario.name} needs a cluster that it starts itself: leave out --data.")
    tools = _tools(scenario, [named, *options.arguments()])
    return _play_and_judge(scenario, tools, options, _made(options.report, scenario.name))[1].is_pass


def play_table(options: Options) -> tuple[bool, str]:
    """Plays the scenario of each promise and prints the table; whether all that were played are kept, and why one could
    not be played ("": all were)."""
    why_not = links.why_not()
    if not why_not:
        try:
            enter_namespaces(["--availability", *options.arguments()])
        except MachineError as error:
            why_not = str(error)
    folder = _made(options.report, "availability")
    results: list[Got | str] = []
    for promise in PROMISES:
        scenario = load_scenario(promise.scenario)
        if scenario.needs and why_not:
            results.append(why_not)
            continue
        history, verdict = _play_and_judge(
            scenario, _tools(scenario, []), options, _made(folder / promise.scenario, "")
        )
        results.append(compare(promise, history, verdict))
        print()
    columns, rows = table(results)
    print_table(columns, rows, right=columns[2:-1])
    (folder / TABLE_FILE).write_text(markdown(columns, rows), encoding="utf-8")
    print(f"table: {folder / TABLE_FILE}")
    is_kept = all(not got.broken for got in results if isinstance(got, Got))
    return is_kept, why_not if len(results) > sum(isinstance(got, Got) for got in results) else ""


def check(folder: Path) -> bool:
    """Judges the history in a folder once more; whether it is a pass. Raises HistoryError."""
    history = read_history(folder / HISTORY_FILE)
    verdict = judge(history)
    _print_figures(history, verdict)
    print(headline(history, verdict))
    return verdict.is_pass


def _tools(scenario: Scenario, arguments: Sequence[str]) -> Tools:
    """What the scenario needs of the machine. If anything, the command begins anew with `arguments`, and with network
    and mounts of its own, unless it has these. Raises MachineError."""
    if not scenario.needs:
        return Tools()
    for need in Need:
        if need in scenario.needs and (why_not := _WHY_NOT[need]()):
            raise MachineError(why_not)
    if scenario.needs & {Need.LINKS, Need.DISKS}:
        enter_namespaces(arguments)
    return Tools(
        Links() if Need.LINKS in scenario.needs else None,
        Disks(scenario.disks) if Need.DISKS in scenario.needs else None,
        Clocks() if Need.CLOCKS in scenario.needs else None,
    )


def _made(folder: Path | None, name: str) -> Path:
    made = folder or Path(f"gameday-{name}-{datetime.now():%Y%m%d-%H%M%S}")  # noqa: DTZ005 (for its reader)
    try:
        made.mkdir(parents=True)
    except FileExistsError:
        raise UsageError(f"{made} is there already: name another folder with --report.") from None
    except OSError as error:
        raise UsageError(f"{made} cannot be made: {error}.") from None
    return made


def _play_and_judge(scenario: Scenario, tools: Tools, options: Options, folder: Path) -> tuple[History, Verdict]:
    """With a report in `folder`; a new cluster is removed after a pass."""
    print(f"{scenario.name}: {scenario.description}")
    place = folder / "cluster"
    if options.data is None:
        print(f"starting a cluster in {place}")
    with tools.prepared():
        asyncio.run(_play(scenario, tools, options, folder, place.absolute()))
    history = read_history(folder / HISTORY_FILE)
    verdict = judge(history)
    _print_figures(history, verdict)
    missing = write_report(folder, history, verdict)
    print(f"report: {folder / REPORT_FILE}{f' ({missing})' if missing else ''}")
    print(headline(history, verdict))
    if verdict.is_pass and options.data is None and not options.keep:
        shutil.rmtree(place)
    return history, verdict


async def _play(scenario: Scenario, tools: Tools, options: Options, folder: Path, place: Path) -> None:
    """On the cluster that runs already, else on a new one in `place`."""
    new = new_cluster(place, scenario.nodes_per_zone, tools)
    async with running_cluster(options.data) if options.data else new as cluster:
        await Gameday(scenario, cluster, folder, _tell, options.seed).play()


def _tell(event: Event) -> None:
    print(f"{event.at_ns / 1e9:9.3f} s  {event.kind:8} {event.text}", flush=True)


def _print_figures(history: History, verdict: Verdict) -> None:
    print()
    columns, rows = availability_rows(verdict.availability)
    print_table(columns, rows, right=columns[1:])
    print()
    for line in figures(history, verdict):
        print(line)
    for finding in verdict.first_findings():
        print(f"{finding.flaw}: {finding.text}")
