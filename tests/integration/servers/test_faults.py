"""What goes wrong is said clearly, in time, and leaves nothing behind."""

from __future__ import annotations

import os
import resource
import socket
import time

import pytest

from roadmap_progress.errors import ServerFailed, ServerUnavailable
from roadmap_progress.processes import run
from roadmap_progress.servers import certificate_authority, dns_hierarchy, web_server

pytestmark = pytest.mark.server


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A folder of its own for temporary directories, empty again after the test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def script(tmp_path, text: str):
    """A program that tells nginx's version and then does as it is told here."""
    path = tmp_path / "own-nginx"
    path.write_text(f'#!/bin/sh\n[ "$1" = -v ] && {{ echo "nginx version: nginx/1.99.0" >&2; exit 0; }}\n{text}\n')
    path.chmod(0o755)
    return str(path)


def test_a_mistake_in_config_is_told_in_nginxs_words_with_ones_own_line(site, temporary, each_nginx):
    with pytest.raises(ServerFailed) as caught, web_server(site, config="# fine\nlocashun / { }"):
        pass
    text = str(caught.value)
    assert "nginx ended at once (exit code 1)" in text
    assert 'unknown directive "locashun"' in text
    assert text.endswith("/config:2")


def test_a_port_of_ones_own_that_is_taken_is_told(site, temporary, each_nginx):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with (
            pytest.raises(ServerFailed, match=rf"127\.0\.0\.1:{number} failed.*in use"),
            web_server(site, config=f"listen 127.0.0.1:{number};"),
        ):
            pass


def test_a_start_that_hangs_ends_at_its_deadline(site, tmp_path, temporary, monkeypatch):
    monkeypatch.setenv("ROADMAP_NGINX", script(tmp_path, "echo thinking; exec sleep 600"))
    begun = time.monotonic()
    with (
        pytest.raises(ServerFailed, match=r"nginx was not ready within 1 s; the last lines of its log:\nthinking"),
        web_server(site, timeout_s=1),
    ):
        pass
    assert time.monotonic() - begun < 30  # the deadline and the limits of stopping, not the ten minutes


def test_a_start_that_dies_is_told_with_its_last_words(site, tmp_path, temporary, monkeypatch):
    monkeypatch.setenv("ROADMAP_NGINX", script(tmp_path, "echo cannot allocate memory; exit 9"))
    with pytest.raises(ServerFailed, match=r"(?s)exit code 9.*cannot allocate memory"), web_server(site):
        pass


def test_an_nginx_that_is_missing_or_too_old_names_the_command(site, tmp_path, temporary, monkeypatch):
    monkeypatch.setenv("ROADMAP_NGINX", str(tmp_path / "none"))
    with pytest.raises(ServerUnavailable, match="sudo apt-get install -y nginx-light"), web_server(site):
        pass
    old = tmp_path / "old-nginx"
    old.write_text('#!/bin/sh\necho "nginx version: nginx/1.14.2" >&2\n')
    old.chmod(0o755)
    monkeypatch.setenv("ROADMAP_NGINX", str(old))
    with pytest.raises(ServerUnavailable, match=r"is 1\.14\.2, at least 1\.19\.5 is needed"), web_server(site):
        pass


def test_a_folder_that_is_not_there_is_told_before_anything_starts(tmp_path, temporary, any_nginx):
    with pytest.raises(NotADirectoryError, match="nowhere is no folder"), web_server(tmp_path / "nowhere"):
        pass


@pytest.mark.parametrize("kind", [dns_hierarchy, certificate_authority])
def test_a_temporary_folder_that_is_gone_is_told(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(ServerFailed, match=r"no temporary directory can be made in .*gone.*set TMPDIR"), kind():
        pass


@pytest.fixture
def full_disk(tmp_path, monkeypatch):
    """A function that leaves only so many bytes of a small disk; without the right to mount one, of every file."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = os.geteuid() == 0 and run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", disk], timeout_s=30).ok
    filler = disk / "filler"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def leave(room_bytes: int) -> None:
        if mounted:
            filler.write_bytes(b"x" * (16384 - room_bytes))
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))

    try:
        with monkeypatch.context() as patch:
            patch.setattr("tempfile.tempdir", str(disk))
            yield leave
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        filler.unlink(missing_ok=True)
        assert list(disk.iterdir()) == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        if mounted:
            assert run(["umount", disk], timeout_s=30).ok


@pytest.mark.parametrize("start", ["dns", "web", "authority"])
def test_a_full_disk_is_told_with_the_folder_and_what_to_do(full_disk, site, any_nginx, start):
    zones = {".": "$TTL 60\n@ SOA a b 1 2 3 4 5\n@ NS a\n" + "".join(f"h{n} A 192.0.2.1\n" for n in range(2000))}
    full_disk(8192 if start == "dns" else 0)  # its directory and a bit of the zone fit
    starts = {
        "dns": lambda: dns_hierarchy(zones),
        "web": lambda: web_server(site),
        "authority": certificate_authority,
    }
    with (
        pytest.raises(ServerFailed, match=r"(No space left on device|File too large).*set TMPDIR"),
        starts[start](),
    ):
        pass
