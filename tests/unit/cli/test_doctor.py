"""`roadmap doctor`: what is found, what is missing, and the one command that installs it."""

from __future__ import annotations

import json

import pytest

from roadmap_progress import servers
from roadmap_progress.cli import main

ROADMAP = {
    "version": "1",
    "sections": [
        {
            "number": 1,
            "slug": "01-foundations",
            "title": "Foundations",
            "notebooks": [
                {
                    "number": "1.1",
                    "slug": "internet",
                    "title": "Internet",
                    "status": "ready",
                    "servers": ["dns_hierarchy", "web_server"],
                },
                {
                    "number": "1.2",
                    "slug": "later",
                    "title": "Later",
                    "status": "planned",
                    "servers": ["http_cache"],
                },
            ],
        }
    ],
}


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course with one written notebook, which starts a DNS and a web server."""
    (tmp_path / "course").mkdir()
    (tmp_path / "course" / "roadmap.json").write_text(json.dumps(ROADMAP))
    monkeypatch.setenv("ROADMAP_ROOT", str(tmp_path))
    return tmp_path


def test_every_registered_server_has_a_row(course, capsys):
    main(["doctor", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(servers.REGISTRY)
    assert {row["name"]: row["unlocks"] for row in rows if row["unlocks"]} == {
        "dns_hierarchy": ["1.1"],
        "web_server": ["1.1"],
    }


def test_what_is_found_has_version_and_source(course, capsys):
    main(["doctor"])
    line = next(line for line in capsys.readouterr().out.splitlines() if "dns_hierarchy" in line)
    assert line.startswith("✓")
    assert "dnslib" in line
    assert line.endswith("1.1")


def test_what_is_missing_has_its_reason_and_commands_and_the_exit_code_says_so(course, capsys, monkeypatch):
    monkeypatch.setenv("ROADMAP_NGINX", "/nowhere/nginx")
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "✗  web_server" in out
    assert "/nowhere/nginx" in out
    assert out.count("sudo apt-get install -y nginx-light") == 1  # once for both that need it


def test_missing_ones_are_machine_readable_too(course, capsys, monkeypatch):
    monkeypatch.setenv("ROADMAP_NGINX", "/nowhere/nginx")
    assert main(["doctor", "--json"]) == 1
    row = next(row for row in json.loads(capsys.readouterr().out) if row["name"] == "http_cache")
    assert (row["found"], row["install"]["brew"]) == (False, "brew install nginx")


def test_a_missing_server_that_no_written_notebook_starts_is_no_shortcoming(course, capsys, monkeypatch):
    without = json.loads(json.dumps(ROADMAP))
    without["sections"][0]["notebooks"][0]["servers"] = ["dns_hierarchy"]
    (course / "course" / "roadmap.json").write_text(json.dumps(without))
    monkeypatch.setenv("ROADMAP_NGINX", "/nowhere/nginx")
    assert main(["doctor"]) == 0


def test_outside_the_course_it_still_looks_and_says_what_it_cannot_know(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ROADMAP_ROOT", str(tmp_path))
    main(["doctor"])
    out = capsys.readouterr().out
    assert "dnslib" in out
    assert "What each unlocks is not known" in out


def test_a_server_added_to_the_registry_appears_by_itself(course, capsys, monkeypatch):
    monkeypatch.setitem(servers.REGISTRY, "web_server", "roadmap_progress.servers.web")
    monkeypatch.delitem(servers.REGISTRY, "dns_hierarchy")
    main(["doctor", "--json"])
    assert "dns_hierarchy" not in [row["name"] for row in json.loads(capsys.readouterr().out)]


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A machine with nothing but what pip has installed."""
    from roadmap_progress.servers import _found, _postgresql, chromium

    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    monkeypatch.setattr(_found, "SERVER_FOLDERS", ())
    monkeypatch.setattr(_postgresql, "_system_folders", list)
    monkeypatch.setattr(chromium, "_folders", list)


EMBEDDED = {
    "dns_hierarchy",
    "certificate_authority",
    "web_server",
    "postgresql",
    "redis_server",
    "mongodb",
    "kafka",
    "openid_provider",
    "search",
}


def test_with_nothing_but_pip_it_says_what_works_embedded_and_the_command_for_each_other(course, bare, capsys):
    assert main(["doctor", "--json"]) == 0  # what the one written notebook needs is there
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert {name for name in EMBEDDED if not rows[name]["found"]} == set()
    assert {rows[name]["source"] for name in EMBEDDED} == {"embedded, from a Python wheel"}
    missing = {name: row for name, row in rows.items() if not row["found"]}
    assert {"prometheus", "browser", "container_engine"} <= set(missing)
    for row in missing.values():
        assert row["problem"]
        assert row["install"]
    assert missing["prometheus"]["install"]["apt"] == "sudo apt-get install -y prometheus"
    assert "MongoDB" in rows["mongodb"]["stand_in"]
    assert "Kafka" in rows["kafka"]["stand_in"]
    assert rows["postgresql"]["stand_in"] == ""


def test_the_table_names_stand_ins_and_one_command_for_all_that_is_missing(course, bare, capsys):
    main(["doctor"])
    out = capsys.readouterr().out
    assert "mongodb: a young server on MongoDB's storage engine that stands in for MongoDB" in out
    assert "kafka: a mock cluster of librdkafka's that stands in for Kafka" in out
    (line,) = [line for line in out.splitlines() if line.startswith("All of these on Debian and Ubuntu: ")]
    for package in ("prometheus", "chromium", "podman", "busybox-static"):
        assert package in line
