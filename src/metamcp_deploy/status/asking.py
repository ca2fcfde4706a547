"""A question asked beside others, with a deadline: what does not answer in time is unknown, and says why."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from metamcp_deploy.errors import Code, DeployError

T = TypeVar("T")


class Asked(Generic[T]):
    """A question under way, in a thread that ends with the process: nobody waits for it beyond its deadline.

    Args:
        what: that is asked, for the message of a late answer.
        ask: gives the answer.
        seconds: until which it has to be there, from now.
    """

    def __init__(self, what: str, ask: Callable[[], T], seconds: float) -> None:
        self._what, self._ask, self._seconds = what, ask, seconds
        self.began = time.monotonic()
        self.seconds = 0.0  # that the answer took
        self._done = threading.Event()
        self._value: T | None = None
        self._failure: BaseException | None = None
        threading.Thread(target=self._work, name=f"asks-{what}", daemon=True).start()

    def _work(self) -> None:
        try:
            self._value = self._ask()
        except BaseException as e:  # it is raised where the answer is taken
            self._failure = e
        self.seconds = round(time.monotonic() - self.began, 3)
        self._done.set()

    def result(self) -> T:
        """The answer.

        Raises:
            DeployError: DEADLINE where it is late; what the question raised.
        """
        left = self.began + self._seconds - time.monotonic()
        if not self._done.wait(max(0.0, left)):
            self.seconds = round(time.monotonic() - self.began, 3)
            raise DeployError(
                Code.DEADLINE,
                f"{self._what}: no answer within {self._seconds:g} s",
                hint="Name the cause: metamcp-deploy doctor",
            )
        if self._failure is not None:
            raise self._failure
        return self._value  # type: ignore[return-value]  # without a failure there is an answer

    def known(self, unknown: dict[str, str], part: str) -> T | None:
        """The answer; None where there is none, and then `unknown` gets the reason under the part's name."""
        try:
            return self.result()
        except DeployError as e:
            unknown[part] = e.message
            return None
