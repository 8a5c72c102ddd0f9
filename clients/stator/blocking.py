"""What the synchronous client's operations stand on."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Coroutine, Iterable, Iterator
from typing import Any, TypeVar

from stator.client import AsyncClient

ResultT = TypeVar("ResultT")


class Blocking(ABC):
    """An asynchronous client, and how to wait for what it does."""

    _client: AsyncClient

    @abstractmethod
    def _call(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Its result."""

    @abstractmethod
    def _iterate(self, pages: AsyncGenerator[Iterable[ResultT], None]) -> Iterator[ResultT]:
        """What is in the pages."""

    @abstractmethod
    def _iterate_pages(self, pages: AsyncGenerator[ResultT, None]) -> Iterator[ResultT]:
        """The pages."""
