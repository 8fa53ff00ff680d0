"""Prints a folder with templates that any user can copy from: `python -m roadmap_progress.servers._prepare`.

The process that keeps a graded submission's servers takes it for its cache. Prints nothing where there is no
server that needs one.
"""

from __future__ import annotations

from roadmap_progress.errors import ServerError
from roadmap_progress.servers import _postgresql
from roadmap_progress.servers._kind import starting


def main() -> None:
    """Make what is missing, and print where it is."""
    try:
        found, user = _postgresql.locate(), _postgresql.unprivileged()
        with starting("templates") as watchdog:
            folder = _postgresql.open_to(user, watchdog.directory)
            print(_postgresql.readable_by_all(found, user, folder))
            watchdog.close()
    except ServerError:  # whoever starts one gets this error, and its words
        return


if __name__ == "__main__":
    main()
