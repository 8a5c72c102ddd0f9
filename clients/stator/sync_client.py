"""The synchronous client: the asynchronous one, on an event loop in a background thread."""

import asyncio
import random
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar, overload

from stator.client import AsyncClient
from stator.connection import TIMEOUT_S_DEFAULT
from stator.credentials import Credentials
from stator.descriptions import ClusterDescription, ClusterEvents, NewUser, NodeDescription, UserDescription
from stator.errors import ClientClosedError
from stator.sync_items import SyncItemOperations
from stator.sync_streams import SyncStreamOperations
from stator.sync_table import Table
from stator.sync_tables import SyncTableOperations
from stator.sync_transactions import SyncTransactionOperations
from stator.transport import CONFLICT_ATTEMPTS_DEFAULT, Statistics
from stator.typed_items import ObjectT
from stator.values import Floats, Item

ResultT = TypeVar("ResultT")


class _LoopThread:
    """The one background event loop of this process; it runs while any synchronous client is open."""

    _lock: ClassVar[threading.Lock] = threading.Lock()
    _shared: ClassVar["_LoopThread | None"] = None

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._users = 0
        self._thread = threading.Thread(target=self._run, name="stator client", daemon=True)
        self._thread.start()

    @classmethod
    def acquire(cls) -> "_LoopThread":
        """The shared loop, started if need be; `release` must follow."""
        with cls._lock:
            if cls._shared is None:
                cls._shared = cls()
            cls._shared._users += 1
            return cls._shared

    def release(self) -> None:
        """Stops the loop when nobody uses it any more."""
        with _LoopThread._lock:
            self._users -= 1
            if self._users:
                return
            _LoopThread._shared = None
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def call(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Runs `work` on the loop and waits for its end. Ctrl-C while waiting cancels it."""
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("stator.Client blocks: on an event loop use stator.AsyncClient.")
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        # What is left ends before the loop is closed, as `asyncio.run` would see to.
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())


class Client(SyncTableOperations, SyncItemOperations, SyncTransactionOperations, SyncStreamOperations):
    """A connection to a Stator cluster that blocks: the surface of `stator.AsyncClient`, without `await`.

    Safe to share between threads, and better shared: requests of several threads travel together.

        with stator.Client() as client:
            client.put_item("music", {"artist": "Nina Simone", "year": 1964})
            print(client.get_item("music", {"artist": "Nina Simone", "year": 1964}))
    """

    def __init__(
        self,
        endpoints: Sequence[str] | None = None,
        *,
        timeout_s: float = TIMEOUT_S_DEFAULT,
        floats: Floats = "refuse",
        rng: random.Random | None = None,
        credentials: Credentials | None = None,
        conflict_attempts: int = CONFLICT_ATTEMPTS_DEFAULT,
    ) -> None:
        self._client = AsyncClient(
            endpoints,
            timeout_s=timeout_s,
            floats=floats,
            rng=rng,
            credentials=credentials,
            conflict_attempts=conflict_attempts,
        )
        self._thread: _LoopThread | None = None
        self._is_closed = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections; calls under way in other threads raise ClientClosedError. May be called twice."""
        with self._lock:
            thread, self._thread, self._is_closed = self._thread, None, True
        if thread is not None:
            thread.call(self._client.close())
            thread.release()

    @property
    def statistics(self) -> Statistics:
        """How many requests, retries, fail-overs and frames so far."""
        return self._client.statistics

    @property
    def retries(self) -> int:
        """How many attempts after the first were made so far, over all calls."""
        return self._client.retries

    @overload
    def table(self, name: str, *, as_type: None = None) -> Table[Item]: ...

    @overload
    def table(self, name: str, *, as_type: type[ObjectT]) -> Table[ObjectT]: ...

    def table(self, name: str, *, as_type: Any = None) -> Table[Any]:
        """The operations on one table's items, without its name each time. See AsyncClient.table."""
        return Table(self, name, as_type)

    def describe_cluster(self, *, timeout_s: float | None = None) -> ClusterDescription:
        """The cluster's nodes and partitions. See AsyncClient.describe_cluster."""
        return self._call(self._client.describe_cluster(timeout_s=timeout_s))

    def list_events(self, after: str = "", *, limit: int = 0, timeout_s: float | None = None) -> ClusterEvents:
        """What has happened to the cluster, the oldest first: the newest `limit` (0: 1,000, which is the most), or,
        with `after`, which is `next` of an earlier answer, the first that came since. See AsyncClient.list_events."""
        return self._call(self._client.list_events(after, limit=limit, timeout_s=timeout_s))

    def drain_node(self, name: str, *, cancel: bool = False, timeout_s: float | None = None) -> NodeDescription:
        """Has a storage node's replicas moved to others. See AsyncClient.drain_node."""
        return self._call(self._client.drain_node(name, cancel=cancel, timeout_s=timeout_s))

    def remove_node(self, name: str, *, timeout_s: float | None = None) -> NodeDescription:
        """Takes a storage node that has no replicas out of the cluster. See AsyncClient.remove_node."""
        return self._call(self._client.remove_node(name, timeout_s=timeout_s))

    def create_user(self, name: str, *, timeout_s: float | None = None) -> NewUser:
        """Makes a user with an access key. See AsyncClient.create_user."""
        return self._call(self._client.create_user(name, timeout_s=timeout_s))

    def list_users(self, *, timeout_s: float | None = None) -> tuple[UserDescription, ...]:
        """All users by name. See AsyncClient.list_users."""
        return self._call(self._client.list_users(timeout_s=timeout_s))

    def disable_user(self, name: str, *, timeout_s: float | None = None) -> UserDescription:
        """Has a user's signatures refused, for good. See AsyncClient.disable_user."""
        return self._call(self._client.disable_user(name, timeout_s=timeout_s))

    def _call(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        with self._lock:
            if self._is_closed:
                work.close()
                raise ClientClosedError("the client is closed")
            if self._thread is None:
                self._thread = _LoopThread.acquire()
            thread = self._thread
        return thread.call(work)

    def _iterate(self, pages: AsyncGenerator[Iterable[ResultT], None]) -> Iterator[ResultT]:
        """Crosses to the background thread once a page, not once an element."""
        for page in self._iterate_pages(pages):
            yield from page

    def _iterate_pages(self, pages: AsyncGenerator[ResultT, None]) -> Iterator[ResultT]:
        try:
            while (page := self._call(_next_page(pages))) is not None:
                yield page
        finally:
            if not self._is_closed:
                self._call(pages.aclose())


async def _next_page(pages: AsyncGenerator[ResultT, None]) -> ResultT | None:
    return await anext(pages, None)
