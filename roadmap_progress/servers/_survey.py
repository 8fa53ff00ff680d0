"""Looking for many servers at once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from roadmap_progress.errors import ServerUnavailable
from roadmap_progress.servers import REGISTRY
from roadmap_progress.servers._kind import load

if TYPE_CHECKING:
    from collections.abc import Iterable

    from roadmap_progress.servers._found import Found


def survey(names: Iterable[str]) -> dict[str, Found | ServerUnavailable]:
    """What there is of each of these servers on this machine, or why there is none.

    Each is asked in a thread of its own: most of the time goes into waiting for programs to tell their versions.
    """
    wanted = list(names)
    found: dict[str, Found | ServerUnavailable] = {}
    failures: list[BaseException] = []

    def look(name: str) -> None:
        try:
            found[name] = load(name, REGISTRY[name]).locate()
        except ServerUnavailable as error:
            found[name] = error
        except BaseException as error:  # noqa: BLE001 (raised below, in the thread of who asked)
            failures.append(error)

    threads = [
        threading.Thread(target=look, args=(name,), name=f"look for {name}", daemon=True) for name in wanted
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return {name: found[name] for name in wanted}
