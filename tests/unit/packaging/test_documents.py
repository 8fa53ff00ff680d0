"""What README, CONTRIBUTING and the licences tell a reader is so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from roadmap_progress.cli import COMMANDS

ROOT = Path(__file__).parents[3]
DOCUMENTS = ["README.md", "CONTRIBUTING.md"]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def project() -> dict[str, Any]:
    return tomllib.loads(text("pyproject.toml"))


class TestLicences:
    def test_code_and_content_name_theirs(self) -> None:
        assert project()["project"]["license"] == "BSD-3-Clause"
        assert text("LICENSE").startswith("BSD 3-Clause License\n")
        assert "Creative Commons Attribution 4.0 International" in text("LICENSE-content")
        assert "https://creativecommons.org/licenses/by/4.0/legalcode" in text("LICENSE-content")


class TestDocuments:
    """What a document tells a reader to type or to follow exists."""

    def test_the_badge_is_made_from_the_one_setting(self) -> None:
        repository = project()["tool"]["roadmap"]["repository"]
        address = repository.removeprefix("https://github.com/")
        badge = f"https://mybinder.org/v2/gh/{address}/HEAD?urlpath=lab/tree/dashboard.ipynb"
        assert f"[![Binder](https://mybinder.org/badge_logo.svg)]({badge})" in text("README.md")

    @pytest.mark.parametrize("name", DOCUMENTS)
    def test_addresses_of_the_course_agree_with_the_setting(self, name: str) -> None:
        repository = project()["tool"]["roadmap"]["repository"]
        slug = repository.rpartition("/")[2]
        addresses = re.findall(rf"(?:https://github\.com|mybinder\.org/v2/gh)/([\w.-]+/{slug})\b", text(name))
        ours = repository.removeprefix("https://github.com/")
        assert set(addresses) <= {ours, f"iBrokeTheCode/{slug}"}  # the second is the roadmap's own author
        assert name != "README.md" or ours in addresses

    @pytest.mark.parametrize("name", [*DOCUMENTS, "CHANGELOG.md"])
    def test_links_inside_the_repository_lead_somewhere(self, name: str) -> None:
        for target in re.findall(r"\]\((?!https?:|#)([^)\s#]+)", text(name)):
            assert (ROOT / target).exists(), f"{name} links to {target}"

    @pytest.mark.parametrize("name", DOCUMENTS)
    def test_commands_exist(self, name: str) -> None:
        code = "\n".join(code_of(text(name)))
        targets = set(re.findall(r"^make ([a-z][a-z-]*)", code, re.MULTILINE))
        assert targets
        known = set(re.findall(r"^([a-z][a-z-]*):", text("Makefile"), re.MULTILINE))
        assert targets <= known
        commands = set(re.findall(r"^(?:\.venv/bin/)?roadmap ([a-z]+)", code, re.MULTILINE))
        assert commands
        assert commands <= set(COMMANDS)

    def test_the_picture_is_there(self) -> None:
        assert "docs/images/dashboard.png" in text("README.md")

    def test_the_table_of_what_is_written_is_true(self) -> None:
        sections = tomllib.loads(text("content/roadmap.toml"))["section"]
        for section in sections:
            ready = [notebook["status"] for notebook in section["notebook"]].count("ready")
            row = f"| {section['number']} {section['title']} | {ready} of {len(section['notebook'])} |"
            assert row in text("README.md").splitlines()

    def test_the_changelog_has_a_place_for_what_comes(self) -> None:
        assert re.search(r"^## Unreleased$", text("CHANGELOG.md"), re.MULTILINE)


def code_of(document: str) -> list[str]:
    """Every line of code in a document: fenced and inline."""
    fenced = re.findall(r"```\w*\n(.*?)```", document, re.DOTALL)
    inline = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"```.*?```", "", document, flags=re.DOTALL))
    return [line.strip() for block in (*fenced, *inline) for line in block.splitlines()]
