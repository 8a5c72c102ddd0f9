"""What can go wrong around a local cluster. Every text is a sentence that says what to do."""


class LocalClusterError(Exception):
    """The local cluster cannot do what was asked. `str(error)` is for people."""


class NotRunningError(LocalClusterError):
    """No supervisor answers for this data folder."""


class UnknownProcessError(LocalClusterError):
    """No process, zone or role of the cluster has this name."""


class FolderInUseError(LocalClusterError):
    """Another cluster lives in this data folder; `pid` is its supervisor's (0: unknown)."""

    def __init__(self, sentence: str, pid: int) -> None:
        super().__init__(sentence)
        self.pid = pid


class DamagedFolderError(LocalClusterError):
    """The data folder is not Stator's, or its cluster.json cannot be trusted."""


class PortInUseError(LocalClusterError):
    """Something else listens on a port that the cluster needs."""


class StartFailedError(LocalClusterError):
    """A process ended, or was not ready in time, while the cluster started."""
