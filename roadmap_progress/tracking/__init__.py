"""The IPython extension that turns an executed check cell into an event.

`ipython_kernel_config.py`, installed into `{sys.prefix}/etc/ipython/`, loads it into every kernel of the course's
environment. It does something only for notebooks under the course's `work/`; everywhere else this module is
all that is imported.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Start tracking, if this kernel's notebook lies under the course's `work/`."""
    session = os.environ.get("JPY_SESSION_NAME", "")  # JupyterLab sets it to the notebook's path
    if "work" not in Path(session).parts and "work" not in Path.cwd().parts:
        return

    from roadmap_progress.tracking.tracker import start

    start(shell, session=session, cwd=Path.cwd())


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Stop tracking; true on return: the shell is as it was, and every event seen so far is stored."""
    from roadmap_progress.tracking.tracker import stop

    stop(shell)
