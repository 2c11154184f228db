"""The one seam between the client and a hub: a request goes in, its answer comes out, or Broken
says why none came.

There are two ways behind it, and one suite of tests runs over both:

- `requests_transport`: the library's default; takes any adapter of requests, a user's too
- `light_transport`: uses the standard library alone, which loads in a third of the time; for what
  starts often

`send` neither repeats a request nor follows a redirect, and an answer of any status is an answer:
the rest is `calls`'.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import NamedTuple


class Request(NamedTuple):
    """What is sent, whole: the URL with its query, every header that matters.

    `body` None: none, as a GET has.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None


class Broken(Exception):
    """No answer, or half of one; the cause is why.

    `is_unsent`: nothing of the request has left this machine.
    """

    def __init__(self, message: str, *, is_unsent: bool = False) -> None:
        super().__init__(message)
        self.is_unsent = is_unsent


class Answer(ABC):
    """The head of an answer, and its body as it comes.

    Close it, or leave it as a context manager.
    """

    status: int

    @abstractmethod
    def header(self, name: str) -> str:
        """Return a header's value; empty where there is none."""

    @abstractmethod
    def chunks(self, *, live: bool) -> Iterator[bytes]:
        """Return the body, in pieces of any size; with `live` each as soon as it is there.

        Raises Broken (an early end, too).
        """

    @abstractmethod
    def close(self) -> None:
        """Hang up, unless all was read: then the connection may be used again."""

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Transport(ABC):
    """A way to one hub.

    It keeps its connection and uses it again. Not for several threads at once.
    """

    @abstractmethod
    def send(self, request: Request, connect_s: float, read_s: float) -> Answer:
        """Return the answer to a request, when its head is there.

        Raises Broken; `read_s` is the longest silence, also later on.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""
