"""The package index: real pip installs from it, real uploads publish to it, and nothing is left of it."""

from __future__ import annotations

import base64
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import pytest

from roadmap_progress.errors import ServerFailed
from roadmap_progress.processes import is_alive
from roadmap_progress.servers import package_index

pytestmark = pytest.mark.server


def make_wheel(folder: Path, version: str = "1.0") -> Path:
    """A wheel with one module, `pricing`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"bookshop_pricing-{version}-py3-none-any.whl"
    info = f"bookshop_pricing-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("pricing.py", f"VERSION = {version!r}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: bookshop-pricing\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


def upload(index, wheel: Path, password: str) -> int:
    """The status that a publisher gets."""
    boundary = "part"
    head = 'Content-Disposition: form-data; name=":action"\r\n\r\nfile_upload\r\n'
    content = f'Content-Disposition: form-data; name="content"; filename="{wheel.name}"\r\n\r\n'
    body = b"".join(
        [f"--{boundary}\r\n{head}--{boundary}\r\n{content}".encode(), wheel.read_bytes(), b"\r\n--part--\r\n"]
    )
    credentials = base64.b64encode(f"{index.username}:{password}".encode()).decode()
    headers = {
        "Content-Type": f"multipart/form-data; boundary={boundary}",
        "Authorization": f"Basic {credentials}",
    }
    request = urllib.request.Request(index.upload_url, body, headers)  # noqa: S310 - our own server
    try:
        with urllib.request.urlopen(request, timeout=20) as response:  # noqa: S310 - our own server
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.fixture
def packages(tmp_path) -> Path:
    folder = tmp_path / "packages"
    folder.mkdir()
    return folder


def test_pip_installs_what_lies_in_the_folder_and_the_requests_tell_what_it_asked(packages, tmp_path):
    wheel = make_wheel(packages)
    with package_index(packages) as index:
        command = [
            sys.executable,
            "-m",
            "pip",
            "--isolated",
            "--disable-pip-version-check",
            "install",
            "--no-deps",
            "--no-cache-dir",
            "-q",
        ]
        command += ["--index-url", index.url, "--target", str(tmp_path / "there"), "bookshop-pricing"]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
            check=False,
        )
        asked = index.requests()
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there" / "pricing.py").read_text() == "VERSION = '1.0'\n"
    assert asked[0] == ("GET", "/simple/bookshop-pricing/", 200)
    assert ("GET", f"/packages/{wheel.name}", 200) in asked


def test_publishing_needs_the_password_and_a_file_is_never_replaced(packages, tmp_path):
    wheel = make_wheel(tmp_path / "dist", "1.1")
    with package_index(packages) as index:
        assert upload(index, wheel, "guessed") == 403
        assert list(packages.iterdir()) == []
        assert upload(index, wheel, index.password) == 200
        assert (packages / wheel.name).read_bytes() == wheel.read_bytes()
        assert upload(index, wheel, index.password) == 409


def test_what_is_not_there_is_looked_for_nowhere_else(packages):
    with package_index(packages) as index, pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{index.url}requests/", timeout=20)  # noqa: S310 - our own server
    with caught.value as error:
        assert error.code == 404


def test_stopping_leaves_no_process_and_no_directory_but_the_packages(packages, capsys):
    make_wheel(packages)
    index = package_index.start(packages)
    assert capsys.readouterr().out == f"package_index: {index.description}\n"
    (process,) = index._watchdog.processes.values()
    directory = index._watchdog.directory
    index.stop()
    assert not is_alive(process.pid)
    assert not directory.exists()
    assert len(list(packages.iterdir())) == 1
    index.stop()


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(ServerFailed, match="is no folder: make it"):
        package_index.start(tmp_path / "nowhere")
