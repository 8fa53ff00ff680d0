"""RabbitMQ, a message broker of one's own: a node with queues, exchanges and the virtual host `/`, nothing in it.

::

    mq = rabbitmq.start()
    pika.BlockingConnection(pika.URLParameters(mq.url))
    mq.connect()                           # the same, in fewer words
    mq.kill(); mq.restart()                # what is durable, and was confirmed, is there again

One thing is less durable than it should be: a quorum queue that was declared just before `kill()` may not come
back, for a node writes the list of them late. `mq.restart()` after its declaration is enough.

It is a node of its own beside any other on this machine: its name, its ports, its data, its home folder with the
cookie, and its own port mapper (`epmd`), which ends with it. The management plugin is off.

`ROADMAP_RABBITMQ_URL` names a broker that somebody else runs; then that one is used, and stays as it is.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from roadmap_progress.processes import LOG_LINES, StopLimits
from roadmap_progress.servers._found import SERVER_FOLDERS, Found, Install, Source, find_program
from roadmap_progress.servers._kind import ServerKind, starting
from roadmap_progress.servers._ports import HOST, PortServer, answers, free_port, start_on_port

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pika

    from roadmap_progress.processes import Watchdog

INSTALL = Install(apt="rabbitmq-server", conda="rabbitmq-server", brew="rabbitmq")
VARIABLE = "ROADMAP_RABBITMQ"  # the path of a `rabbitmq-server`
URL_VARIABLE = "ROADMAP_RABBITMQ_URL"
OLDEST = (3, 8)  # quorum queues
DEBIAN_FOLDER = "/usr/lib/rabbitmq/bin"  # the one in sbin is for the system's own broker
WRAPPER = "rabbitmq-script-wrapper"
NAME, MAPPER = "rabbitmq", "epmd"
USER = "bookshop"
TIMEOUT_S = 90.0
LIMITS = StopLimits(ask_s=10.0, terminate_s=2.0, kill_s=2.0)
GREETING_S = 5.0
FRAME_END = b"\xce"
ERROR = re.compile(r"\[error\] <[\d.]+> *\S|^Error")
MAPPER_LIMITS = StopLimits(ask_s=1.0, terminate_s=1.0, kill_s=1.0)
SETTINGS = {
    "vm_memory_high_watermark.absolute": "256MB",  # beyond that, publishers are held up
    "disk_free_limit.absolute": "20MB",
    "log.console": "true",
    "log.console.level": "info",
}
# One scheduler, which does not spin, and nobody but this machine may reach the node.
ERLANG = "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"


class RabbitMQ(PortServer):
    """A broker that was started here.

    Attributes:
        host: 127.0.0.1.
        port: where it listens.
        user: an administrator.
        password: theirs.
        node: its name as an Erlang node.
    """

    name = NAME
    insists = True  # the port mapper may for a moment still know the node that crashed

    def __init__(self, watchdog: Watchdog, found: Found, *, settings: Mapping[str, str], timeout_s: float) -> None:
        super().__init__(watchdog, found, timeout_s=timeout_s)
        self.user, self.password = USER, secrets.token_hex(16)
        self.node = f"roadmap-{secrets.token_hex(4)}@localhost"
        self._settings = {**SETTINGS, "default_user": self.user, "default_pass": self.password, **settings}
        self._mapper_port = 0
        for folder in ("home", "data", "plugins"):
            (watchdog.directory / folder).mkdir(mode=0o700)
        (watchdog.directory / "enabled_plugins").write_text("[].\n", encoding="ascii")
        start_on_port(watchdog, MAPPER, self._begin_mapper)
        self._start()

    @property
    def url(self) -> str:
        """Of its virtual host `/`, with user and password."""
        return f"amqp://{self.user}:{self.password}@{self.host}:{self.port}/%2F"

    def connect(self) -> pika.BlockingConnection:
        """A connection to its virtual host `/`, for `with` or to close."""
        return _connect(self.url)

    def _begin_mapper(self, port: int) -> None:
        program = shutil.which(MAPPER, path=_path(self.found))
        if program is None:
            raise INSTALL.unavailable("epmd, Erlang's port mapper,", [f"it is not beside {self.found.path}"])
        self._mapper_port = port
        command = [program, "-address", self.host, "-port", str(port), "-relaxed_command_check"]
        self._watchdog.start(MAPPER, command, env=self._environment(), limits=MAPPER_LIMITS)
        self._watchdog.wait_ready(
            MAPPER, lambda: answers(port) and self._watchdog.is_running(MAPPER), timeout_s=self._timeout_s
        )

    def _begin(self) -> None:
        assert self.found.path is not None  # noqa: S101 (a program has a path)
        text = "".join(f"{name} = {value}\n" for name, value in self._settings.items())
        file = self._watchdog.directory / "rabbitmq.conf"
        file.touch(mode=0o600)
        file.write_text(text, encoding="utf-8")
        log = self._watchdog.directory / f"{NAME}.log"
        before = log.stat().st_size if log.exists() else 0
        # As systemd wants it: the broker takes the place of the shell script, and hears signals itself.
        environment = {**self._environment(), "RUNNING_UNDER_SYSTEMD": "true"}
        self._watchdog.start(NAME, [self.found.path], env=environment, limits=LIMITS)

        def errors() -> str:
            """The first ones that it logged: what follows a cause is pages of its consequences."""
            lines = log.read_bytes()[before:].decode(errors="replace").splitlines()
            found = [line for line in lines if ERROR.search(line)]
            return "\n".join(found[:LOG_LINES])

        self._watchdog.wait_ready(NAME, self._is_ours, timeout_s=self._timeout_s, log=errors)

    def _environment(self) -> dict[str, str]:
        """Everything that a node would else share with others on this machine."""
        directory = self._watchdog.directory
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("RABBITMQ_", "ERL_", "NOTIFY_SOCKET"))
        }
        return {
            **kept,
            "PATH": _path(self.found),
            "HOME": str(directory / "home"),
            "ERL_EPMD_ADDRESS": self.host,
            "ERL_EPMD_PORT": str(self._mapper_port),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "advanced.config"),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_NODE_IP_ADDRESS": self.host,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(directory / "data"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_LOG_BASE": str(directory),
            "RABBITMQ_PID_FILE": str(directory / "rabbitmq.pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
            "RABBITMQ_PLUGINS_EXPAND_DIR": str(directory / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ERLANG,
        }

    def _is_ours(self) -> bool:
        """Whether what answers on the port is this node: its first words have its name."""
        with socket.create_connection((self.host, self.port), timeout=GREETING_S) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            said = b""
            while received := connection.recv(4096):
                said += received
                if said[-1:] == FRAME_END:
                    break
        return self.node.partition("@")[0].encode() in said


class RabbitMQElsewhere:
    """A broker that somebody else runs, named in the environment."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.found = locate()
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or HOST, parts.port or 5672

    @property
    def description(self) -> str:
        """Which version, and where it listens."""
        return f"{self.found} at {self.host}:{self.port}"

    def connect(self) -> pika.BlockingConnection:
        """A connection to the virtual host of its URL, for `with` or to close."""
        return _connect(self.url)

    def stop(self) -> None:
        """Nothing: it is not ours to stop."""


def _connect(url: str) -> pika.BlockingConnection:
    import pika

    return pika.BlockingConnection(pika.URLParameters(url))


def locate() -> Found:
    """The broker that would be taken.

    Raises:
        ServerUnavailable: there is none, or the one named in the environment does not answer.
    """
    url = os.environ.get(URL_VARIABLE)
    if not url:
        return find_program(
            "rabbitmq-server",
            variable=VARIABLE,
            version_of=_version,
            at_least=OLDEST,
            wheel=lambda: None,
            install=INSTALL,
            folders=[DEBIAN_FOLDER],
            lacks=_lacks,
        )
    from pika.exceptions import AMQPError

    try:
        with _connect(url) as connection:
            told: dict[str, object] = connection._impl.server_properties
    except (AMQPError, OSError, ValueError) as error:
        reasons = [f"{URL_VARIABLE} names a broker that cannot be used: {error or type(error).__name__}"]
        raise INSTALL.unavailable("RabbitMQ", reasons) from error
    return Found("RabbitMQ", str(told.get("version", "?")), Source.ENVIRONMENT)


def _lacks(binary: Path) -> str:
    wrapped = binary.resolve().name == WRAPPER
    return f"runs the system's own broker only; {DEBIAN_FOLDER} has the one for everybody" if wrapped else ""


def _path(found: Found) -> str:
    """Where to look for Erlang: beside the broker, in this Python's conda environment, in the usual places."""
    here = [str(found.path.parent)] if found.path else []
    conda = [str(Path(sys.prefix) / "bin")] if (Path(sys.prefix) / "conda-meta").is_dir() else []
    return os.pathsep.join([*here, *conda, os.environ.get("PATH", os.defpath), *SERVER_FOLDERS])


def _version(binary: Path) -> str | None:
    """From the name of its own plugin: asking it would start an Erlang machine, and leave a port mapper behind."""
    home = binary.resolve().parents[1]
    for plugins in (
        home / "plugins",
        *home.glob("lib/*rabbitmq*/plugins"),
        *home.glob("share/*rabbitmq*/plugins"),
    ):
        for plugin in plugins.glob("rabbit-*"):
            if match := re.match(r"rabbit-(\d+(?:\.\d+)+)", plugin.name):
                return match[1]
    return None


def _open(
    *, settings: Mapping[str, str] | None = None, timeout_s: float = TIMEOUT_S
) -> RabbitMQ | RabbitMQElsewhere:
    """Start a broker with nothing in it; it takes some seconds.

    Args:
        settings: names and values for its rabbitmq.conf, such as {"consumer_timeout": "60000"}.
        timeout_s: it answers by then.

    Raises:
        ServerUnavailable: there is no RabbitMQ.
        ServerFailed: it did not accept its settings, or did not come up in time.
    """
    if url := os.environ.get(URL_VARIABLE):
        return RabbitMQElsewhere(url)
    found = locate()
    with starting(NAME) as watchdog:
        return RabbitMQ(watchdog, found, settings=settings or {}, timeout_s=timeout_s)
    raise AssertionError("not reached")


rabbitmq = ServerKind(
    "rabbitmq",
    _open,
    locate,
    INSTALL,
    "RabbitMQ, a message broker",
)
