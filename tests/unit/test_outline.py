"""content/roadmap.toml holds all of the roadmap that the course follows: nothing missing, renamed or moved."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from roadmap_progress import catalog

if TYPE_CHECKING:
    from roadmap_progress.model import Roadmap

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\[(?P<title>(?:`[^`]*`|[^\]`])*)\]\((?P<url>[^)]*)\)")

# The one bullet that is no subject of its own; the course says which patterns it means.
ET_CETERA = "etc."


@dataclass
class Bullet:
    title: str
    links: list[tuple[str, str]]


@dataclass
class Heading:
    number: str
    title: str
    links: list[tuple[str, str]]
    bullets: list[Bullet] = field(default_factory=list)


@dataclass
class Outline:
    resources: list[tuple[str, str]] = field(default_factory=list)
    sections: list[tuple[str, str]] = field(default_factory=list)
    headings: list[Heading] = field(default_factory=list)


def plain(text: str) -> tuple[str, list[tuple[str, str]]]:
    """A line of Markdown without its links, and these."""
    links = [(match["title"], match["url"]) for match in LINK.finditer(text)]
    return LINK.sub(lambda match: match["title"], text), links


def read_outline() -> Outline:
    outline = Outline()
    for line in (ROOT / "tests" / "data" / "outline.md").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        text = line.strip()
        if text.startswith("- "):
            title, links = plain(text.removeprefix("- "))
            if not outline.sections:
                outline.resources += links
            else:
                outline.headings[-1].bullets.append(Bullet(title, links))
            continue
        number, title = text.split(" ", 1)
        if "." in number:
            outline.headings.append(Heading(number, *plain(title)))
        else:
            outline.sections.append((number, title))
    return outline


@pytest.fixture(scope="module")
def outline() -> Outline:
    return read_outline()


@pytest.fixture(scope="module")
def source() -> dict[str, Any]:
    return tomllib.loads((ROOT / "content" / "roadmap.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def roadmap(source: dict[str, Any]) -> Roadmap:
    """The source as a checked roadmap: ids are unique, prerequisites known and without a cycle."""
    sections = [{**section, "notebooks": section["notebook"]} for section in source["section"]]
    return catalog.parse(
        {"version": "0", "sections": sections, "aliases": source["aliases"], "retired": source["retired"]}
    )


def test_the_outline_itself_has_16_sections_and_51_headings(outline: Outline) -> None:
    assert (len(outline.sections), len(outline.headings)) == (16, 51)


def test_sections_are_those_of_the_outline_in_order(outline: Outline, roadmap: Roadmap) -> None:
    assert [(str(section.number), section.title) for section in roadmap.sections] == outline.sections


def test_section_slugs_carry_their_number(roadmap: Roadmap) -> None:
    for section in roadmap.sections:
        assert section.slug.startswith(f"{section.number:02d}-")
    assert (roadmap.sections[0].slug, roadmap.sections[-1].slug) == ("01-foundations", "16-next-steps")


def test_headings_are_those_of_the_outline_in_order(outline: Outline, roadmap: Roadmap) -> None:
    ours = [(notebook.number, notebook.title) for notebook in roadmap.notebooks.values()]
    assert ours == [(heading.number, heading.title) for heading in outline.headings]


def test_a_heading_lies_in_the_section_of_its_number(roadmap: Roadmap) -> None:
    for section in roadmap.sections:
        for notebook in section.notebooks:
            assert notebook.number.split(".")[0] == str(section.number)


def test_every_bullet_is_a_topic_with_the_outlines_words_in_order(outline: Outline, roadmap: Roadmap) -> None:
    for heading in outline.headings:
        topics = roadmap.notebooks[heading.number].topics
        if not heading.bullets:
            assert 2 <= len(topics) <= 4, f"{heading.number} has no bullets: it needs 2 to 4 topics of its own"
            continue
        titles = [topic.title for topic in topics]
        if heading.bullets[-1].title == ET_CETERA:
            assert titles[-1].startswith(ET_CETERA)
            titles[-1] = ET_CETERA
        assert titles == [bullet.title for bullet in heading.bullets], heading.number


def test_every_link_is_kept_with_its_bullet(outline: Outline, roadmap: Roadmap) -> None:
    for heading in outline.headings:
        topics = roadmap.notebooks[heading.number].topics
        for topic, bullet in zip(topics, heading.bullets, strict=bool(heading.bullets)):
            assert [(link.title, link.url) for link in topic.links] == bullet.links, topic.id
        if not heading.bullets:
            links = [(link.title, link.url) for topic in topics for link in topic.links]
            assert links == heading.links, heading.number


def test_related_resources_are_those_of_the_outline(outline: Outline, source: dict[str, Any]) -> None:
    assert [(item["title"], item["url"]) for item in source["resources"]] == outline.resources


def test_links_are_absolute(outline: Outline, roadmap: Roadmap) -> None:
    urls = [link.url for n in roadmap.notebooks.values() for topic in n.topics for link in topic.links]
    assert len(urls) > 40
    assert all(url.startswith("https://") for url in urls + [url for _, url in outline.resources])


def test_ids_are_kebab_case(roadmap: Roadmap) -> None:
    ids = [section.slug for section in roadmap.sections]
    ids += [notebook.slug for notebook in roadmap.notebooks.values()]
    ids += [topic.id for notebook in roadmap.notebooks.values() for topic in notebook.topics]
    assert [name for name in ids if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)] == []


def test_prerequisites_come_earlier_in_the_roadmap(roadmap: Roadmap) -> None:
    """A learner who goes from top to bottom is never stopped."""
    order = list(roadmap.notebooks)
    for notebook in roadmap.notebooks.values():
        for needed in notebook.requires:
            assert order.index(needed) < order.index(notebook.number), f"{notebook.number} requires {needed}"


def test_prerequisites_are_direct_ones(roadmap: Roadmap) -> None:
    """What another prerequisite needs already is not named again: the map would draw a track twice."""

    def everything_before(number: str) -> set[str]:
        requires = roadmap.notebooks[number].requires
        return set(requires).union(*(everything_before(needed) for needed in requires))

    for notebook in roadmap.notebooks.values():
        for needed in notebook.requires:
            others = [everything_before(other) for other in notebook.requires if other != needed]
            assert all(needed not in other for other in others), f"{notebook.number} requires {needed} twice over"


def test_a_ready_notebook_has_been_written(roadmap: Roadmap) -> None:
    for notebook in roadmap.ready():
        for kind in ("lesson", "exercises"):
            assert (ROOT / "content" / notebook.section / f"{notebook.stem}.{kind}.md").is_file(), notebook.number


def test_section_1_is_ready(roadmap: Roadmap) -> None:
    assert [notebook.number for notebook in roadmap.ready()][:2] == ["1.1", "1.2"]


def test_every_heading_says_honest_minutes(roadmap: Roadmap) -> None:
    assert all(30 <= notebook.minutes <= 420 for notebook in roadmap.notebooks.values())
