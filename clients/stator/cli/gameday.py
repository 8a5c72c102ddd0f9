"""`stator gameday`."""

import asyncio
import contextlib
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stator.cli.exits import MACHINE, REFUSED, UsageError, expected_errors, fail
from stator.cli.output import print_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stator.gameday.disks import Disks
    from stator.gameday.history import Event
    from stator.gameday.links import Links
    from stator.gameday.scenario import Scenario


def gameday(
    scenario: Annotated[
        str | None, typer.Argument(metavar="[SCENARIO]", help="A file (.toml), or a name that --list shows.")
    ] = None,
    is_list: Annotated[bool, typer.Option("--list", help="List the scenarios that come with Stator.")] = False,
    show: Annotated[
        str | None, typer.Option(metavar="NAME", help="Print the file of a shipped scenario, to begin your own with.")
    ] = None,
    check: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Judge the history that an earlier game day recorded.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Play on the local cluster that runs in this folder. Its processes are killed and paused, and its "
            "other tables suffer that too. Default: a new cluster, on free ports, which is removed after a pass.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Where report.md, plot.svg and history.jsonl go. Default: gameday-NAME-TIME."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="What clients take for chance. Default: another each time.")] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the new cluster's data and logs also after a pass.")
    ] = False,
) -> None:
    """Break a cluster under load, and prove from what clients saw that nothing was lost.

    Clients write, delete and read, conditionally, strongly and eventually consistent, and record every call, while the
    scenario's faults happen. Then everything is healed and every key is read back, in every zone. It is a pass only if
    nothing acknowledged is missing, nothing was seen that nobody wrote, the strongly consistent calls on each key fit
    one order (linearizability; undecided is no pass), no eventually consistent read was older than allowed, all zones
    agree, every fault did happen, and the scenario's expectations hold.

    Exit code 0: a pass; 1: none; 2: the scenario or the command line is wrong; 6: this machine cannot do what the
    scenario needs.

    A scenario is a few lines of TOML: duration = 30, and a "fault" table for each fault: at = 5 (seconds), do = "kill"
    (or stop, pause, start, resume, restart, drain, flip-bit), process = "storage-2" (a name, a zone, a role, all,
    leader or follower) and for = 10 (seconds until it is undone). On Linux, as root: do = "cut" also takes to =
    "zone-3" and one_way = true, as do "delay" (ms = 50, jitter_ms = 10) and "lose" (percent = 5); "fill-disk", "fail-
    disk" (every write and sync fails) and "cut-power" (what was not synced is lost) are done to a disk that each
    process gets for it.

    Examples:

    stator gameday --list

    stator gameday leader-killed

    stator gameday --show leader-killed > mine.toml; stator gameday mine.toml --report out

    stator gameday --check out
    """
    with _expected_errors():
        if sum((is_list, show is not None, check is not None, scenario is not None)) != 1:
            raise UsageError("say one of SCENARIO, --list, --show NAME and --check FOLDER; see --help.")
        if is_list or show is not None:
            _show_shipped(show)
        elif check is not None:
            _judge(check, is_reported=False)
        else:
            _play_and_judge(str(scenario), data, report, seed, keep)


@contextlib.contextmanager
def _expected_errors() -> "Iterator[None]":
    """As for every command, and those of game days."""
    from stator.gameday.history import HistoryError
    from stator.gameday.machine import MachineError
    from stator.gameday.scenario import ScenarioError

    with expected_errors():
        try:
            yield
        except (ScenarioError, HistoryError) as error:
            raise UsageError(str(error)) from None
        except MachineError as error:
            fail(str(error), MACHINE)


def _show_shipped(name: str | None) -> None:
    """The text of a shipped scenario, or all of them with what happens."""
    from stator.gameday.scenario import load_scenario, shipped_scenarios

    texts = shipped_scenarios()
    if name is None:
        print_table(["name", "what happens"], [[each, load_scenario(each).description] for each in texts])
    elif name in texts:
        print(texts[name], end="")
    else:
        raise UsageError(f"there is no shipped scenario {name!r}: there are {', '.join(texts)}.")


@dataclass(frozen=True, slots=True)
class _Machine:
    """What is made of this machine for a cluster; None: nothing is needed."""

    links: "Links | None" = None
    disks: "Disks | None" = None

    @contextlib.contextmanager
    def prepared(self) -> "Iterator[None]":
        """Everything taken away again afterwards."""
        with self.links or contextlib.nullcontext(), self.disks or contextlib.nullcontext():
            yield


def _machine(
    scenario: "Scenario", name: str, data: Path | None, report: Path | None, seed: int | None, keep: bool
) -> _Machine:
    """What the scenario needs of the machine: then the command begins anew, with network and mounts of its own. Raises
    MachineError."""
    from stator.gameday import disks, links
    from stator.gameday.machine import MachineError, enter_namespaces
    from stator.gameday.scenario import Need

    if not scenario.needs:
        return _Machine()
    if data is not None:
        raise UsageError(f"{scenario.name} needs a cluster that it starts itself: leave out --data.")
    ways = {Need.LINKS: links.why_not, Need.DISKS: disks.why_not}
    for need in Need:
        if need in scenario.needs and (why_not := ways[need]()):
            raise MachineError(why_not)
    arguments = [name, *(["--report", str(report)] if report else []), *(["--keep"] if keep else [])]
    enter_namespaces([*arguments, *([] if seed is None else ["--seed", str(seed)])])
    return _Machine(
        links.Links() if Need.LINKS in scenario.needs else None,
        disks.Disks(scenario.disks) if Need.DISKS in scenario.needs else None,
    )


def _play_and_judge(name: str, data: Path | None, report: Path | None, seed: int | None, keep: bool) -> None:
    from stator.gameday.scenario import load_scenario

    scenario = load_scenario(name)
    machine = _machine(scenario, name, data, report, seed, keep)
    folder = report or Path(f"gameday-{scenario.name}-{datetime.now():%Y%m%d-%H%M%S}")  # noqa: DTZ005 (for its reader)
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise UsageError(f"{folder} is there already: name another folder with --report.") from None
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error}.") from None
    print(f"{scenario.name}: {scenario.description}")
    place = folder / "cluster"
    if data is None:
        print(f"starting a cluster in {place}")
    with machine.prepared():
        asyncio.run(_play(scenario, data, place.absolute(), folder, seed, machine))
    _judge(folder, is_reported=True, cluster=None if data or keep else place)


async def _play(
    scenario: "Scenario", data: Path | None, place: Path, folder: Path, seed: int | None, machine: _Machine
) -> None:
    """On the cluster that runs in `data`, else on a new one in `place`."""
    from stator.gameday.cluster import new_cluster, running_cluster
    from stator.gameday.run import Gameday

    new = new_cluster(place, scenario.nodes_per_zone, machine.links, machine.disks)
    async with running_cluster(data) if data else new as cluster:
        await Gameday(scenario, cluster, folder, _tell, seed).play()


def _tell(event: "Event") -> None:
    print(f"{event.at_ns / 1e9:9.3f} s  {event.kind:8} {event.text}", flush=True)


def _judge(folder: Path, *, is_reported: bool, cluster: Path | None = None) -> None:
    """Prints the verdict, and ends the command with 1 if it is no pass. `cluster`: a folder to remove after a pass."""
    from stator.gameday.history import HISTORY_FILE, read_history
    from stator.gameday.judge import judge
    from stator.gameday.report import REPORT_FILE, availability_rows, figures, headline, write_report

    history = read_history(folder / HISTORY_FILE)
    verdict = judge(history)
    print()
    columns, rows = availability_rows(verdict.availability)
    print_table(columns, rows, right=columns[1:])
    print()
    for line in figures(history, verdict):
        print(line)
    for finding in verdict.first_findings():
        print(f"{finding.flaw}: {finding.text}")
    if is_reported:
        missing = write_report(folder, history, verdict)
        print(f"report: {folder / REPORT_FILE}{f' ({missing})' if missing else ''}")
    print(headline(history, verdict))
    if not verdict.is_pass:
        raise SystemExit(REFUSED)
    if cluster is not None:
        shutil.rmtree(cluster)
