"""All servers work for a plain user whose PATH has no sbin, and for root."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import dnslib
import pytest

import roadmap_progress
from roadmap_progress import servers
from roadmap_progress.errors import ServerUnavailable
from roadmap_progress.servers import _nginx, pgbouncer, postgresql, rabbitmq, redis_sentinel

pytestmark = pytest.mark.server

LESSON = """
import json, os, pathlib, ssl
import dns.message, dns.query, httpx
from roadmap_progress.servers import certificate_authority, dns_hierarchy, http_cache, web_server

site = pathlib.Path(os.environ["TMPDIR"], "site"); site.mkdir()
site.chmod(0o700)
(site / "index.html").write_text("books")
with (
    certificate_authority() as ca,
    dns_hierarchy() as names,
    web_server(site, certificate=ca.issue("localhost", "127.0.0.1")) as web,
    http_cache(web.url, config="proxy_cache_valid 200 1m;") as edge,
):
    query = dns.message.make_query("mail.bookshop.example.", "A")
    host, port = names.address_of(names.servers["bookshop.example."])
    address = dns.query.udp(query, host, port=port, timeout=10).answer[0][0].to_text()
    page = httpx.get(web.url, verify=ssl.create_default_context(cafile=ca.pem)).text
    caches = [httpx.get(edge.url).headers["X-Cache"] for _ in range(2)]
    source = str(web.found.path)
left = [name for name in os.listdir(os.environ["TMPDIR"]) if name != "site"]
print(json.dumps([os.geteuid(), address, page, caches, source, left]))
"""


DATABASES = """
import json, os, pathlib
from roadmap_progress.servers import pgbouncer, postgresql
with postgresql() as pg, pgbouncer(pg, pool_mode="transaction") as pool, pool.connect() as connection:
    served = connection.execute("SELECT current_user").fetchone()[0]
    connection.rollback()
    modes = [row["pool_mode"] for row in pool.show("pools") if row["database"] == "bookshop"]
left = [name for name in os.listdir(os.environ["TMPDIR"]) if name != ".cache"]
print(json.dumps([os.geteuid(), served, modes, left]))
"""

# Without a client: before Python 3.11.3, which a plain user may have here, redis-py needs one more package.
SENTINEL = """
import json, os, socket
from roadmap_progress.servers import redis_sentinel
with redis_sentinel(replicas=1, sentinels=1, quorum=1) as ha:
    def ask(server, words):
        with socket.create_connection((server.host, server.port), timeout=30) as connection:
            connection.sendall(words.encode() + b"\\r\\n")
            return connection.recv(4096).decode()
    port = ha.servers[0].port
    told = ask(ha.sentinels[0], "SENTINEL GET-MASTER-ADDR-BY-NAME " + ha.service_name)
    served = [ask(ha.servers[0], "SET order 1").strip(), str(port) in told]
print(json.dumps([os.geteuid(), served, os.listdir(os.environ["TMPDIR"])]))
"""

BROKER = """
import json, os
from roadmap_progress.servers import rabbitmq
with rabbitmq() as mq, mq.connect() as connection:
    channel = connection.channel()
    channel.queue_declare("orders")
    channel.basic_publish("", "orders", b"order 1")
    channel.queue_declare("orders", passive=True)
    served = channel.basic_get("orders", auto_ack=True)[2].decode()
print(json.dumps([os.geteuid(), served, os.listdir(os.environ["TMPDIR"])]))
"""

START = """
import json, os
from roadmap_progress.servers import {kind}
with {kind}() as one:
    said = one.description
print(json.dumps([os.geteuid(), said, os.listdir(os.environ["TMPDIR"])]))
"""


def lesson(folder: Path, interpreter: str, user: int | None, nginx: str | None = None, code: str = LESSON) -> list:
    """Run a lesson as this user, as the present one if None, with the least of an environment."""
    packages = [str(Path(module.__file__).parents[1]) for module in (roadmap_progress, dnslib)]
    env = {
        "PATH": "/usr/bin:/bin",
        "TMPDIR": str(folder),
        "PYTHONPATH": os.pathsep.join(packages),
        "HOME": str(folder),
    }
    if nginx:
        env["ROADMAP_NGINX"] = nginx
    told = subprocess.run(
        [interpreter, "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
        env=env,
        cwd="/",
        user=user,
        group=user,
        extra_groups=[] if user else None,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


USERS = ["plain", "root"] if os.geteuid() == 0 else ["plain"]


@pytest.fixture(params=USERS)
def user(request, missing):
    """(uid to change to or None, an interpreter that it may run); as root, the plain user is nobody."""
    if os.geteuid() != 0 or request.param == "root":
        return None, sys.executable
    nobody = 65534
    same_version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for interpreter in (sys.executable, f"/usr/bin/{same_version}", f"/usr/local/bin/{same_version}"):
        try:
            subprocess.run(
                [interpreter, "-c", "pass"], user=nobody, group=nobody, extra_groups=[], check=True, cwd="/"
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        return nobody, interpreter
    return missing(
        f"nobody may run neither {sys.executable} nor a system {same_version}; test as a plain user too"
    )


@pytest.fixture
def folder(user):
    """A folder of that user's; pytest's own cannot be entered by others."""
    with tempfile.TemporaryDirectory(prefix="plain-") as folder:
        os.chown(folder, -1 if user[0] is None else user[0], -1)
        yield Path(folder)


def test_the_whole_lesson_runs(user, folder, each_nginx):
    uid, interpreter = user
    named = str(_nginx.locate().path) if each_nginx == "wheel" else None
    told_uid, address, page, caches, source, left = lesson(folder, interpreter, uid, named)
    assert told_uid == (os.geteuid() if uid is None else uid)
    assert (address, page, caches, left) == ("192.0.2.25", "books", ["MISS", "HIT"], [])
    assert source == str(_nginx.locate().path)  # found, though PATH has no sbin


def run_as(user, folder, kinds, missing, code) -> list:
    """What the lesson tells, without the user's number, which is right."""
    for kind in kinds:
        try:
            kind.locate()
        except ServerUnavailable as error:
            missing(str(error))
    folder.chmod(0o755)  # as root, PostgreSQL runs as somebody else, who has to get there
    uid, interpreter = user
    told_uid, *told = lesson(folder, interpreter, uid, code=code)
    assert told_uid == (os.geteuid() if uid is None else uid)
    return told


def test_postgresql_behind_a_pooler(user, folder, missing):
    told = run_as(user, folder, [postgresql, pgbouncer], missing, DATABASES)
    assert told == ["bookshop", ["transaction"], []]


def test_redis_with_sentinel(user, folder, missing):
    assert run_as(user, folder, [redis_sentinel], missing, SENTINEL) == [["+OK", True], []]


@pytest.mark.slow
def test_rabbitmq(user, folder, missing):
    assert run_as(user, folder, [rabbitmq], missing, BROKER) == ["order 1", []]


@pytest.mark.parametrize("kind", ["openid_provider", "search", "prometheus", "browser", "container_engine"])
def test_the_servers_of_later_sections_start_and_leave_nothing(user, folder, kind, missing):
    try:
        getattr(servers, kind).locate()
    except ServerUnavailable as error:
        missing(str(error))
    uid, interpreter = user
    told_uid, said, left = lesson(folder, interpreter, uid, code=START.format(kind=kind))
    assert told_uid == (os.geteuid() if uid is None else uid)
    assert left == []
    assert ("rootless" in said) == (kind == "container_engine" and told_uid != 0)
