"""Full-text search: Tantivy, which is a library in this process, or an OpenSearch that somebody else runs.

::

    engine = search.start()
    index = engine.index(title="en_stem", body="en_stem", isbn="raw")      # a `tantivy.Index`, in memory
    writer = index.writer()
    writer.add_document(tantivy.Document(title="Middlemarch", body="…", isbn="…"))
    writer.commit()

Tantivy has an inverted index, analyzers and BM25, as OpenSearch and Elasticsearch have, which are made on the same
plan (Lucene's). What those add is a server: HTTP, copies, shards. `ROADMAP_OPENSEARCH_URL` names one; then
`engine.url` has its address, and is None otherwise.
"""

from __future__ import annotations

import json
import os
import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from roadmap_progress.servers._found import Found, Install, Source, find_library
from roadmap_progress.servers._kind import ServerKind

if TYPE_CHECKING:
    import tantivy

INSTALL = Install(pip="tantivy")
VARIABLE = "ROADMAP_OPENSEARCH_URL"


class Search:
    """What to search with.

    Attributes:
        found: which library or server it is.
        url: of the OpenSearch in the environment; None where there is none.
    """

    def __init__(self) -> None:
        self.found = locate()
        self.url = os.environ.get(VARIABLE) or None

    @property
    def description(self) -> str:
        """Which library or server it is, and where."""
        if self.url:
            return f"{self.found} at {urlsplit(self.url).netloc.rpartition('@')[2]}"
        return f"{self.found}, a library in this process"

    def index(self, **fields: str) -> tantivy.Index:
        """An empty Tantivy index in memory, also where there is an OpenSearch.

        Args:
            fields: the name of each text field → its analyzer: "default" (words in lower case), "en_stem" (and
                without their endings), "raw" (the whole value as it is), "whitespace".
        """
        import tantivy

        builder = tantivy.SchemaBuilder()
        for name, analyzer in fields.items():
            builder.add_text_field(name, stored=True, tokenizer_name=analyzer)
        return tantivy.Index(builder.build())

    def stop(self) -> None:
        """Nothing: a library has no process, and a server named in the environment is not ours to stop."""


def locate() -> Found:
    """What would be taken.

    Raises:
        ServerUnavailable: Tantivy is not installed, or the server named in the environment does not answer.
    """
    library = find_library("tantivy", "tantivy", INSTALL)
    url = os.environ.get(VARIABLE)
    if not url:
        return library
    if urlsplit(url).scheme not in ("http", "https"):
        raise INSTALL.unavailable("OpenSearch", [f"{VARIABLE} is {url!r}: write http://host:9200"])
    try:
        with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 (the scheme was looked at)
            version = json.load(response)["version"]
        return Found(version.get("distribution", "elasticsearch"), version["number"], Source.ENVIRONMENT)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        reasons = [f"{VARIABLE} names a server that cannot be used: {error}"]
        raise INSTALL.unavailable("OpenSearch", reasons) from error


def _open() -> Search:
    """Take Tantivy, and the OpenSearch that the environment names, if it names one.

    Raises:
        ServerUnavailable: Tantivy is not installed, or that server does not answer.
    """
    return Search()


search = ServerKind(
    "search",
    _open,
    locate,
    INSTALL,
    "full-text search: Tantivy, or an OpenSearch",
    "a library that stands in for OpenSearch: the same kind of index and ranking, without a server; "
    f"{VARIABLE} names a real one",
    kept=False,
)
