"""In a notebook's kernel: started in one line, interrupted, restarted, killed."""

from __future__ import annotations

import os

import psutil
import pytest
from jupyter_client.manager import KernelManager

from roadmap_progress.processes import is_alive, wait_until

pytestmark = [
    pytest.mark.server,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:zmq"),
]


@pytest.fixture
def kernel(tmp_path, any_nginx):
    """A kernel and a client of it; temporary files go to tmp_path / "tmp"."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env={**os.environ, "TMPDIR": str(temporary)}, cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield manager, client, temporary
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def execute(client, code: str) -> str:
    """What the code prints, or its error's text."""
    said = []

    def hear(message) -> None:
        content = message["content"]
        said.append(content.get("text") or content.get("evalue") or "")

    client.execute_interactive(code, output_hook=hear, timeout=60)
    return "".join(said)


START = """
from roadmap_progress.servers import certificate_authority, dns_hierarchy, http_cache, web_server
import json, pathlib
pathlib.Path("site").mkdir(exist_ok=True)
names = dns_hierarchy.start(); web = web_server.start("site"); edge = http_cache.start(web.url)
ca = certificate_authority.start()
"""


def started(manager, client, temporary) -> list[int]:
    text = execute(client, START)
    assert [line.partition(":")[0] for line in text.splitlines()] == [
        "dns_hierarchy",
        "web_server",
        "http_cache",
        "certificate_authority",
    ]
    pid = int(execute(client, "import os; print(os.getpid())"))
    below = psutil.Process(pid).children
    assert wait_until(lambda: len(below(recursive=True)) >= 12, timeout_s=30)
    pids = [child.pid for child in below(recursive=True)]
    assert len(list(temporary.iterdir())) >= 4
    return pids


def gone(pids, temporary) -> bool:
    return wait_until(lambda: not any(map(is_alive, pids)) and not ours(temporary), timeout_s=30)


def ours(temporary) -> list[str]:
    return [path.name for path in temporary.iterdir() if path.name.startswith("roadmap-")]


@pytest.mark.parametrize("now", [True, False], ids=["killed", "shut down"])
def test_everything_ends_with_the_kernel(kernel, now):
    pids = started(*kernel)
    manager, _, temporary = kernel
    manager.shutdown_kernel(now=now)
    assert gone(pids, temporary)


def test_everything_ends_when_the_kernel_is_restarted(kernel):
    pids = started(*kernel)
    manager, client, temporary = kernel
    manager.restart_kernel(now=True)
    client.wait_for_ready(timeout=60)
    assert gone(pids, temporary)


def test_an_interrupt_does_not_reach_the_servers(kernel):
    pids = started(*kernel)
    manager, client, _ = kernel
    manager.interrupt_kernel()
    assert "200\n" in execute(
        client, "import httpx; pathlib.Path('site/x').touch(); print(httpx.get(web.url + '/x').status_code)"
    )
    assert all(map(is_alive, pids))


def test_running_the_cell_again_replaces_the_server(kernel):
    _, client, temporary = kernel
    execute(client, START)
    before = ours(temporary)
    execute(client, START)
    after = ours(temporary)
    assert len(before) == len(after) == 4
    assert not set(before) & set(after)


def test_an_interrupted_start_leaves_the_kernel_without_children(kernel, tmp_path):
    manager, client, temporary = kernel
    script = tmp_path / "hanging-nginx"
    script.write_text(
        '#!/bin/sh\n[ "$1" = -v ] && { echo "nginx version: nginx/1.99.0" >&2; exit 0; }\nexec sleep 600\n'
    )
    script.chmod(0o755)
    pid = int(execute(client, "import os; print(os.getpid())"))
    client.execute(
        f"os.environ['ROADMAP_NGINX'] = {str(script)!r}\n"
        "from roadmap_progress.servers import web_server\nweb = web_server.start('.')"
    )
    kernel_process = psutil.Process(pid)
    assert wait_until(
        lambda: any(child.name() == "sleep" for child in kernel_process.children(recursive=True)), timeout_s=60
    )
    manager.interrupt_kernel()
    assert client.get_shell_msg(timeout=30)["content"]["ename"] == "KeyboardInterrupt"
    assert wait_until(lambda: not kernel_process.children(recursive=True), timeout_s=30)
    assert ours(temporary) == []
    assert execute(client, "print(1 + 1)") == "2\n"
