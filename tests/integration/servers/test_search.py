"""Search as lesson 16.3 uses it: a real index, ranked by BM25; and an OpenSearch that is not there."""

from __future__ import annotations

import math

import pytest
import tantivy

from roadmap_progress.errors import ServerUnavailable
from roadmap_progress.servers import fulltext, search, web_server

pytestmark = pytest.mark.server

BOOKS = [
    ("whale", "the whale and the whale and the sea"),
    ("long", "the whale " + "and many other things that swim about in it " * 6),
    ("swims", "a ship swims on the water"),
    ("garden", "the garden and the roses"),
]


@pytest.fixture
def index(monkeypatch):
    """An index of a few texts."""
    monkeypatch.delenv(fulltext.VARIABLE, raising=False)
    with search() as engine:
        index = engine.index(name="raw", text="en_stem")
        writer = index.writer()
        for name, text in BOOKS:
            writer.add_document(tantivy.Document(name=name, text=text))
        writer.commit()
        del writer  # there can be one at a time
        index.reload()
        yield index


def hits(index, words: str) -> list[tuple[str, float]]:
    """Name and score of what is found, best first."""
    searcher = index.searcher()
    found = searcher.search(index.parse_query(words, ["text"]), 10).hits
    return [(searcher.doc(address)["name"][0], score) for score, address in found]


def test_a_word_that_comes_often_in_a_short_text_goes_before_one_that_is_lost_in_a_long_one(index):
    assert [name for name, _ in hits(index, "whale")] == ["whale", "long"]


def test_the_score_is_bm25s(index):
    """As Robertson and Zaragoza have it, with k1 = 1.2 and b = 0.75; lengths are rounded in the index."""
    lengths = [len(text.split()) for _, text in BOOKS]
    average, k1, b = sum(lengths) / len(lengths), 1.2, 0.75
    idf = math.log(1 + (len(BOOKS) - 2 + 0.5) / (2 + 0.5))
    expected = idf * 2 * (k1 + 1) / (2 + k1 * (1 - b + b * lengths[0] / average))
    assert hits(index, "whale")[0][1] == pytest.approx(expected, rel=0.05)


def test_a_rare_word_weighs_more_than_one_that_every_text_has(index):
    scores = dict(hits(index, "roses the"))
    assert max(scores, key=scores.get) == "garden"
    assert scores["garden"] > 2 * scores["whale"]


def test_the_analyzer_finds_other_forms_of_a_word_and_raw_finds_the_whole_only(index):
    assert {name for name, _ in hits(index, "swimming")} == {"long", "swims"}
    searcher = index.searcher()
    assert searcher.search(index.parse_query("Whale", ["name"]), 10).count == 0
    assert searcher.search(index.parse_query("whale", ["name"]), 10).count == 1


def test_a_document_that_is_deleted_is_found_no_more(index):
    writer = index.writer()
    writer.delete_documents_by_term("name", "whale")
    writer.commit()
    index.reload()
    assert [name for name, _ in hits(index, "whale")] == ["long"]


def test_it_says_that_it_is_a_library(monkeypatch, capsys):
    monkeypatch.delenv(fulltext.VARIABLE, raising=False)
    engine = search.start()
    assert capsys.readouterr().out.endswith("a library in this process\n")
    assert engine.url is None
    engine.stop()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "127.0.0.1:9200"])
def test_a_server_in_the_environment_that_does_not_answer_is_named(monkeypatch, url):
    monkeypatch.setenv(fulltext.VARIABLE, url)
    with pytest.raises(
        ServerUnavailable, match=r"ROADMAP_OPENSEARCH_URL (names a server that cannot be used|is .*: write http)"
    ):
        search.start()


@pytest.mark.parametrize("page", ["<h1>Bookshop</h1>", "[]", '{"version": 3}', "{}"])
def test_a_server_that_is_something_else_is_named(monkeypatch, site, any_nginx, page):
    (site / "index.html").write_text(page)
    with web_server(site) as web:
        monkeypatch.setenv(fulltext.VARIABLE, web.url)
        with pytest.raises(ServerUnavailable, match="cannot be used"):
            search.start()


def test_what_an_opensearch_says_of_itself_is_told(monkeypatch, site, any_nginx):
    (site / "index.html").write_text('{"version": {"distribution": "opensearch", "number": "3.3.0"}}')
    with web_server(site) as web:
        monkeypatch.setenv(fulltext.VARIABLE, web.url)
        with search() as engine:
            assert engine.description.startswith("opensearch 3.3.0 (named in the environment) at 127.0.0.1:")
            assert engine.url == web.url
