"""nginx as a cache: what it keeps, what it asks again, what it serves when the origin is gone."""

from __future__ import annotations

import httpx
import pytest

from roadmap_progress.processes import wait_until
from roadmap_progress.servers import http_cache, web_server

pytestmark = pytest.mark.server

ORIGIN = """
    location /kept/    { alias SITE/; add_header Cache-Control "public, max-age=600"; }
    location /shared/  { alias SITE/; add_header Cache-Control "max-age=0, s-maxage=600"; }
    location /private/ { alias SITE/; add_header Cache-Control "private, max-age=600"; }
    location /never/   { alias SITE/; add_header Cache-Control "no-store"; }
    location /short/   { alias SITE/; add_header Cache-Control "max-age=1"; }
    location /cookie/  { alias SITE/; add_header Cache-Control "max-age=600"; add_header Set-Cookie "basket=1"; }
    location /vary/    { alias SITE/; add_header Cache-Control "max-age=600"; add_header Vary "Accept-Language"; }
    location /spare/   { alias SITE/; add_header Cache-Control "max-age=1, stale-if-error=600"; }
"""


@pytest.fixture
def origin(site, each_nginx):
    with web_server(site, config=ORIGIN.replace("SITE", str(site))) as origin:
        yield origin


@pytest.fixture
def edge(origin):
    with http_cache(origin.url) as edge:
        yield edge


def x_cache(edge, path, **headers) -> str:
    reply = httpx.get(edge.url + path, headers=headers)
    assert reply.status_code == 200
    return reply.headers["X-Cache"]


def twice(edge, path) -> list[str]:
    return [x_cache(edge, path), x_cache(edge, path)]


@pytest.mark.parametrize("path", ["/kept/", "/shared/"])
def test_what_a_shared_cache_may_keep_reaches_the_origin_once(edge, origin, path):
    assert twice(edge, path + "books/1.txt") == ["MISS", "HIT"]
    assert len(origin.requests()) == 1
    assert [request.cache for request in edge.requests()] == ["MISS", "HIT"]


@pytest.mark.parametrize("path", ["/private/", "/never/", "/cookie/", "/"])
def test_what_it_may_not_keep_or_was_not_told_to_reaches_it_each_time(edge, origin, path):
    assert twice(edge, path + "books/1.txt") == ["MISS", "MISS"]
    assert len(origin.requests()) == 2


def test_paths_queries_and_varying_headers_are_kept_apart(edge):
    assert twice(edge, "/kept/index.html?a=1") == ["MISS", "HIT"]
    assert x_cache(edge, "/kept/index.html?a=2") == "MISS"
    assert x_cache(edge, "/vary/index.html", **{"Accept-Language": "de"}) == "MISS"
    assert x_cache(edge, "/vary/index.html", **{"Accept-Language": "en"}) == "MISS"
    assert x_cache(edge, "/vary/index.html", **{"Accept-Language": "de"}) == "HIT"


def test_a_stale_copy_is_asked_about_and_kept_if_the_origin_says_304(edge, origin):
    assert x_cache(edge, "/short/index.html") == "MISS"
    seen = []
    assert wait_until(lambda: seen.append(x_cache(edge, "/short/index.html")) or seen[-1] != "HIT", timeout_s=30)
    assert seen[-1] == "REVALIDATED"
    assert [request.status for request in origin.requests()] == [200, 304]


def test_a_stale_copy_whose_original_changed_is_replaced(edge, site):
    assert x_cache(edge, "/short/index.html") == "MISS"
    (site / "index.html").write_text("a new and longer page")
    replies = []
    assert wait_until(
        lambda: replies.append(httpx.get(edge.url + "/short/index.html")) or "new" in replies[-1].text,
        timeout_s=30,
    )
    assert replies[-1].headers["X-Cache"] == "EXPIRED"


def test_when_the_origin_is_gone_a_stale_copy_is_served_if_that_is_allowed(edge, origin):
    for path in ("/spare/index.html", "/short/index.html"):
        assert x_cache(edge, path) == "MISS"
    origin.stop()
    assert wait_until(lambda: httpx.get(edge.url + "/short/index.html").status_code == 502, timeout_s=30)
    assert wait_until(lambda: x_cache(edge, "/spare/index.html") == "STALE", timeout_s=30)


def test_purging_a_path_or_everything(edge, origin):
    for path in ("/kept/index.html", "/kept/catalogue.json"):
        assert twice(edge, path) == ["MISS", "HIT"]
    assert edge.purge("/kept/nothing") == 0
    assert edge.purge("/kept/index.html") == 1
    assert x_cache(edge, "/kept/index.html") == "MISS"
    assert x_cache(edge, "/kept/catalogue.json") == "HIT"
    assert edge.purge() == 2
    assert x_cache(edge, "/kept/catalogue.json") == "MISS"
    assert edge.log() == ""


def test_directives_of_ones_own(origin):
    config = "proxy_cache_valid 200 10m; proxy_cache_bypass $http_x_fresh;"
    with http_cache(origin.url, config=config) as edge:
        assert twice(edge, "/index.html") == ["MISS", "HIT"]
        assert x_cache(edge, "/index.html", **{"X-Fresh": "1"}) == "BYPASS"


def test_the_origin_sees_the_name_that_the_client_asked_for(edge, origin):
    httpx.get(edge.url + "/kept/index.html", headers={"Host": "bookshop.example"})
    assert origin.requests()[-1].host == "bookshop.example"


@pytest.mark.parametrize("url", ["127.0.0.1:80", "http://127.0.0.1:80/path", "http://a; evil", "ftp://a"])
def test_an_origin_that_is_none_is_refused(url, any_nginx):
    with pytest.raises(ValueError, match="is no origin"), http_cache(url):
        pass
