"""`stator gameday`."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stator.cli.exits import MACHINE, REFUSED, UsageError, expected_errors, fail
from stator.cli.output import print_table

if TYPE_CHECKING:
    from stator.cli.gameday_play import Options

ScenarioArgument = Annotated[
    str | None, typer.Argument(metavar="[SCENARIO]", help="A file (.toml), or a name that --list shows.")
]
TableOption = Annotated[
    bool,
    typer.Option(
        "--availability",
        help="Play one scenario after the other, each in a cluster of its own, and print a table: what is promised of "
        "each event, and what clients got. Takes about six minutes.",
    ),
]
ShowOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Print the file of a shipped scenario, to begin your own with.")
]
CheckOption = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Judge the history that an earlier game day recorded.")
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Play on the local cluster that runs in this folder. Its processes are killed and paused, and its "
        "other tables suffer that too. Default: a new cluster, on free ports, which is removed after a pass.",
    ),
]
ReportOption = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Where report.md, plot.svg and history.jsonl go. Default: gameday-NAME-TIME."),
]


def gameday(
    scenario: ScenarioArgument = None,
    is_table: TableOption = False,
    is_list: Annotated[bool, typer.Option("--list", help="List the scenarios that come with Stator.")] = False,
    show: ShowOption = None,
    check: CheckOption = None,
    data: DataOption = None,
    report: ReportOption = None,
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
    leader, index-leader or follower) and for = 10 (seconds until it is undone). On Linux, as root: do = "cut" also
    takes to = "zone-3" and one_way = true, as do "delay" (ms = 50, jitter_ms = 10) and "lose" (percent = 5);
    "fill-disk", "hang-disk", "fail-disk" (every write and sync fails) and "cut-power" (what was not synced is lost) are
    done to a disk that each process gets for it. do = "clock-rate" (percent = 0.4) needs libfaketime.

    Examples:

    stator gameday --list

    stator gameday leader-killed

    stator gameday --show leader-killed > mine.toml; stator gameday mine.toml --report out

    stator gameday --check out

    stator gameday --availability
    """
    with _expected_errors():
        if sum((is_list, show is not None, check is not None, is_table, scenario is not None)) != 1:
            raise UsageError("say one of SCENARIO, --availability, --list, --show NAME and --check FOLDER; see --help.")
        if is_list or show is not None:
            _show_shipped(show)
        else:
            from stator.cli.gameday_play import Options

            _play(scenario, check, Options(data, report, seed, keep))


@contextlib.contextmanager
def _expected_errors() -> Iterator[None]:
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


def _play(scenario: str | None, check: Path | None, options: "Options") -> None:
    """A scenario, or (None) a history once more, or (None, too) the table."""
    from stator.cli import gameday_play

    why_not = ""
    if scenario is not None:
        is_good = gameday_play.play_one(scenario, options)
    elif check is not None:
        is_good = gameday_play.check(check)
    elif options.data is not None:
        raise UsageError("--availability starts clusters itself: leave out --data.")
    else:
        is_good, why_not = gameday_play.play_table(options)
    if not is_good:
        raise SystemExit(REFUSED)
    if why_not:
        fail(why_not, MACHINE)
