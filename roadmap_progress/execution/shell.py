"""IPython without a kernel: runs a notebook's cells in this process and keeps their outputs as nbformat has them.

A cell does here what it does in ipykernel - magics, `!commands`, top-level `await`, rich display, tracebacks - but
for what needs a front end: widgets and comms. Built before the fork (`build`), used behind it (`Cells`).
"""

from __future__ import annotations

import asyncio
import atexit
import base64
import builtins
import fcntl
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets import Type
from traitlets.config import Config

if TYPE_CHECKING:
    from typing import Self

OUTPUT_LIMIT_CHARS = 1 << 20  # of one cell's streams; what comes behind is dropped, and that is said
OUTPUTS_LIMIT = 1000  # displays of one cell

Output = dict[str, Any]


class CellTimeout(KeyboardInterrupt):
    """Raised in a cell that ran longer than it may."""


class Outputs:
    """What the running cell has put out so far, as nbformat's dictionaries."""

    def __init__(self) -> None:
        self.items: list[Output] = []
        self._chars = 0

    def stream(self, name: str, text: str) -> None:
        """Append to the cell's stdout or stderr, each one output as with nbclient's `coalesce_streams`."""
        room = OUTPUT_LIMIT_CHARS - self._chars
        if room <= 0:
            return
        if len(text) > room:
            text = text[:room] + f"\n... cut: a cell may print {OUTPUT_LIMIT_CHARS} characters\n"
        self._chars += len(text)
        for output in self.items:
            if output["output_type"] == "stream" and output["name"] == name:
                output["text"] += text
                return
        self.items.append({"output_type": "stream", "name": name, "text": text})

    def add(self, output: Output) -> None:
        """Append a display, a result or an error."""
        size = sum(len(value) for value in output.get("data", {}).values() if isinstance(value, str))
        if len(self.items) < OUTPUTS_LIMIT and self._chars + size <= 4 * OUTPUT_LIMIT_CHARS:
            self._chars += size
            self.items.append(output)

    def has_error(self) -> bool:
        """Whether a traceback was shown."""
        return any(output["output_type"] == "error" for output in self.items)


class _Stream:
    """`sys.stdout` or `sys.stderr` of the cells."""

    encoding, errors, closed, newlines, mode = "UTF-8", "strict", False, None, "w"

    def __init__(self, shell: Shell, name: str, descriptor: int) -> None:
        self._shell, self._descriptor = shell, descriptor
        self.name = f"<{name}>"
        self._stream = name

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._shell.outputs.stream(self._stream, text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._descriptor

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False


class _Results(DisplayHook):
    """The value of a cell's last expression becomes its execute_result."""

    shell: Any

    def __call__(self, result: Any = None) -> None:
        self.check_for_underscore()
        if result is None or self.quiet():
            return
        data, metadata = self.compute_format_data(result)
        self.update_user_ns(result)
        self.fill_exec_result(result)
        if data:
            self.shell.outputs.add(
                {
                    "output_type": "execute_result",
                    "execution_count": self.shell.current,
                    "data": _jsonable(data),
                    "metadata": _jsonable(metadata),
                }
            )


class _Displays(DisplayPublisher):
    """`display(...)` becomes a display_data, or updates the one with the same display id."""

    def publish(
        self,
        data: Any,
        metadata: Any = None,
        source: Any = None,  # noqa: ARG002 - IPython's signature
        *,
        transient: Any = None,
        update: Any = False,
        **_: Any,
    ) -> None:
        name = (transient or {}).get("display_id")
        output = {"output_type": "display_data", "data": _jsonable(data), "metadata": _jsonable(metadata or {})}
        shown = self.shell.displays.setdefault(name, []) if name else []
        if name and update:
            for earlier in shown:
                earlier.update(data=output["data"], metadata=output["metadata"])
            return
        shown.append(output)
        self.shell.outputs.add(output)

    def clear_output(self, wait: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - IPython's signature
        self.shell.outputs.items.clear()


def _jsonable(data: dict[str, Any]) -> dict[str, Any]:
    return {
        kind: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for kind, value in data.items()
    }


class Shell(InteractiveShell):
    """An InteractiveShell whose outputs are kept."""

    displayhook_class = Type(_Results)
    display_pub_class = Type(_Displays)

    def __init__(self, **arguments: Any) -> None:
        self.outputs = Outputs()
        self.displays: dict[str, list[Output]] = {}
        self.current = 1  # IPython counts on before it shows the result
        super().__init__(**arguments)

    def _showtraceback(self, etype: type[BaseException], evalue: BaseException, stb: list[str]) -> None:
        try:
            words = str(evalue)
        except Exception as error:  # noqa: BLE001 - a __str__ of the submission's
            words = f"<str() of this {etype.__name__} raised {type(error).__name__}>"
        self.outputs.add(
            {
                "output_type": "error",
                "ename": etype.__name__,
                "evalue": words[:20_000],
                "traceback": list(stb)[:400],
            }
        )

    def init_virtualenv(self) -> None:
        """The interpreter is the right one already."""

    def enable_gui(self, gui: str | None = None) -> None:
        """There is no screen."""


_built: Shell | None = None


def build() -> Shell:
    """Make the shell and warm it up, leaving no thread, no file and no history behind: for the zygote."""
    global _built  # noqa: PLW0603 - a forked child finds here what its zygote made
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"  # a traceback in colours takes four times as long
    streams = sys.stdout, sys.stderr
    shell = Shell.instance(config=config)
    atexit.unregister(shell.atexit_operations)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(_run(shell, "1 + 1\nimport math\nclass _A: pass\n_A()"))
    loop.run_until_complete(_run(shell, "assert 0, 'warm'"))
    loop.close()
    asyncio.set_event_loop(None)
    shell.outputs, shell.displays = Outputs(), {}
    shell.reset(new_session=True)
    shell.execution_count = 1
    sys.stdout, sys.stderr = streams
    _built = shell
    return shell


class Cells:
    """Runs cells one after another; made once, behind the fork.

    What subprocesses and C code write to the descriptors 1 and 2 becomes the cell's output, too, but behind what
    Python printed.
    """

    def __init__(self) -> None:
        if _built is None:
            raise RuntimeError("build() comes first")
        self.shell = _built
        self._descriptors = {}
        for name, descriptor in (("stdout", 1), ("stderr", 2)):
            memory = os.memfd_create(name)
            os.dup2(memory, descriptor, inheritable=True)
            os.close(memory)
            flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
            fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_APPEND)
            self._descriptors[name] = descriptor
        sys.stdout = _Stream(self.shell, "stdout", 1)
        sys.stderr = _Stream(self.shell, "stderr", 2)
        builtins.input = _no_input
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)

    def run(self, source: str, timeout_s: float) -> tuple[list[Output], int]:
        """Run one cell; returns its outputs and its execution count.

        A cell that takes longer than `timeout_s` gets `CellTimeout` in its main thread; one that ignores it has to
        be ended from outside.
        """
        shell = self.shell
        outputs = shell.outputs = Outputs()
        shell.displays = {}
        count = shell.current = shell.execution_count
        with _Alarm(timeout_s) as alarm:
            try:
                result = self.loop.run_until_complete(_run(shell, source))
                error = result.error_before_exec or result.error_in_exec
                if error is not None and not outputs.has_error():  # the cell silenced its traceback
                    outputs.add(_error(error))
            except BaseException as error:  # noqa: BLE001 - the cell must not end the shell
                outputs.add(_error(error))
        if alarm.rang and not outputs.has_error():  # the cell swallowed the exception, and ended then
            outputs.add(_error(CellTimeout(f"the cell took longer than {timeout_s:g} s")))
        shell.execution_count = count + 1
        self.collect()
        return outputs.items, count

    def collect(self) -> None:
        """Move what was written to the descriptors into the outputs."""
        for name, descriptor in self._descriptors.items():
            if size := os.fstat(descriptor).st_size:
                text = os.pread(descriptor, min(size, OUTPUT_LIMIT_CHARS), 0).decode("utf-8", "replace")
                os.ftruncate(descriptor, 0)
                os.lseek(descriptor, 0, os.SEEK_SET)
                self.shell.outputs.stream(name, text)


class _Alarm:
    """SIGALRM after some seconds, raising CellTimeout in the main thread."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self.rang = False

    def __enter__(self) -> Self:
        signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, self._timeout_s)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _ring(self, *_: object) -> None:
        self.rang = True
        raise CellTimeout(f"the cell took longer than {self._timeout_s:g} s")


def _run(shell: Shell, source: str) -> Any:
    problem = None
    try:
        transformed = shell.transform_cell(source)
    except Exception:  # noqa: BLE001 - IPython shows it as the cell's error
        transformed, problem = source, sys.exc_info()
    return shell.run_cell_async(
        source, store_history=True, silent=False, transformed_cell=transformed, preprocessing_exc_tuple=problem
    )


def _error(error: BaseException) -> Output:
    name = type(error).__name__
    try:
        words = str(error)[:20_000]
    except Exception:  # noqa: BLE001 - a __str__ of the submission's
        words = ""
    return {"output_type": "error", "ename": name, "evalue": words, "traceback": [f"{name}: {words}"]}


def _no_input(*_: object) -> str:
    raise RuntimeError("raw_input was called, but this frontend does not support input requests.")
