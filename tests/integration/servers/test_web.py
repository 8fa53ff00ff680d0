"""nginx serving a folder: what lesson 1.1 sees, with each nginx that there is."""

from __future__ import annotations

import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from roadmap_progress.servers import certificate_authority, web_server

pytestmark = pytest.mark.server


def raw(web, text: str) -> str:
    """Send these bytes, return all that comes until the server hangs up."""
    with socket.create_connection((web.host, web.port), timeout=10) as connection:
        connection.sendall(text.encode())
        received = b""
        while part := connection.recv(4096):
            received += part
    return received.decode()


def test_a_folder_is_served_with_the_status_codes_of_a_real_server(site, each_nginx):
    config = """
        location /staff/ { deny all; }
        location = /old { return 301 /books/1.txt; }
        location = /bug { return 500; }
    """
    with web_server(site, config=config) as web, httpx.Client(base_url=web.url) as client:
        page = client.get("/")
        assert (page.status_code, page.text) == (200, "<h1>Bookshop</h1>")
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert page.headers["Server"] == "nginx"  # no version: lessons' outputs do not depend on it
        assert client.get("/", headers={"If-None-Match": page.headers["ETag"]}).status_code == 304
        assert client.get("/", headers={"If-Modified-Since": page.headers["Last-Modified"]}).status_code == 304
        part = client.get("/books/1.txt", headers={"Range": "bytes=2-4"})
        assert (part.status_code, part.text, part.headers["Content-Range"]) == (206, "234", "bytes 2-4/10")
        assert client.get("/books/1.txt", headers={"Range": "bytes=99-"}).status_code == 416
        assert client.get("/books").status_code == 301
        assert client.get("/old").headers["Location"].endswith("/books/1.txt")
        assert client.get("/books/").status_code == 403  # no index, and no listing
        assert client.get("/staff/rota").status_code == 403
        assert client.get("/nothing").status_code == 404
        assert client.post("/").status_code == 405
        assert client.head("/").headers["Content-Length"] == "17"
        assert client.get("/bug").status_code == 500
        assert client.get("/catalogue.json").headers["Content-Type"].startswith("application/json")
    assert raw_status_of_a_bad_request(site) == 400


def raw_status_of_a_bad_request(site) -> int:
    with web_server(site) as web:
        answer = raw(web, "GET / HTTP/1.1\r\n\r\n")  # HTTP/1.1 without Host
        (request,) = web.requests()
        assert (request.method, request.status) == ("GET", 400)
    return int(answer.split()[1])


def test_a_dead_and_a_slow_upstream_are_502_and_504(site, each_nginx):
    with socket.create_server(("127.0.0.1", 0)) as slow, socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))  # taken, so that nobody else answers there; and nobody listens
        config = f"""
            location /dead/ {{ proxy_pass http://127.0.0.1:{dead.getsockname()[1]}; }}
            location /slow/ {{ proxy_pass http://127.0.0.1:{slow.getsockname()[1]}; proxy_read_timeout 200ms; }}
        """
        with web_server(site, config=config) as web:
            assert httpx.get(web.url + "/dead/").status_code == 502
            assert httpx.get(web.url + "/slow/", timeout=30).status_code == 504
            assert "connect() failed" in web.log()


def test_every_request_that_was_answered_is_in_the_log_at_once(site, each_nginx):
    with web_server(site) as web:
        assert web.requests() == []
        for number in range(50):
            httpx.get(f"{web.url}/?n={number}", headers={"Host": "shop.example"})
            last = web.requests()[-1]
            assert (last.method, last.path, last.status, last.host) == (
                "GET",
                f"/?n={number}",
                200,
                "shop.example",
            )
        assert (last.bytes, last.scheme, last.protocol, last.tls, last.cache) == (17, "http", "HTTP/1.1", "", "")
        web.clear_requests()
        assert web.requests() == []


def test_a_path_with_any_characters_is_logged_whole(site, each_nginx):
    with web_server(site) as web:
        raw(web, 'GET /"a\\b HTTP/1.0\r\nUser-Agent: é"\tx\r\n\r\n')
        raw(web, "rubbish\r\n\r\n")
        one, two = web.requests()
        assert (one.path, one.user_agent, one.status) == ('/"a\\b', 'é"\tx', 404)
        assert (two.method, two.path, two.status) == ("", "", 400)


def test_keep_alive_shows_as_one_connection(site, each_nginx):
    with web_server(site) as web:
        with httpx.Client(base_url=web.url) as client:
            client.get("/")
            client.get("/")
        httpx.get(web.url)
        first, second, third = (request.connection for request in web.requests())
        assert first == second != third


def test_virtual_hosts_share_a_port(site, tmp_path, each_nginx):
    blog = tmp_path / "blog"
    blog.mkdir()
    (blog / "index.html").write_text("blog")
    with web_server(site, hosts={"blog.example": blog}) as web:
        assert httpx.get(web.url, headers={"Host": "blog.example"}).text == "blog"
        assert httpx.get(web.url, headers={"Host": "shop.example"}).text == "<h1>Bookshop</h1>"


def test_with_a_certificate_plain_http_redirects_to_https(site, each_nginx):
    with certificate_authority() as ca, web_server(site, certificate=ca.issue("localhost")) as web:
        assert web.url == f"https://localhost:{web.port}"
        reply = httpx.get(web.http_url + "/books/1.txt?page=2", headers={"Host": "localhost"})
        assert (reply.status_code, reply.headers["Location"]) == (301, f"{web.url}/books/1.txt?page=2")
        context = ssl.create_default_context(cafile=ca.pem)
        assert httpx.get(reply.headers["Location"], verify=context).text == "0123456789"


def test_the_folder_is_served_as_it_is_now(site, any_nginx):
    with web_server(str(site)) as web:
        (site / "new.html").write_text("new")
        assert httpx.get(web.url + "/new.html").text == "new"


def test_a_changed_configuration_is_tested_and_read_anew_by_nginxs_own_program(site, tmp_path, each_nginx):
    file = tmp_path / "more.conf"
    file.write_text("location = /who { return 200 blue; }")
    with web_server(site, config=f'include "{file}";') as web:
        file.write_text("location = /who { retrun 200 green; }")
        refused = web.command("-t", "-q")
        assert refused.returncode == 1
        assert 'unknown directive "retrun"' in refused.stderr
        web.command("-s", "reload")
        assert httpx.get(web.url + "/who").text == "blue"  # what it does not accept it does not take
        file.write_text("location = /who { return 200 green; }")
        assert web.command("-t").ok
        assert web.command("-s", "reload").ok
        deadline = time.monotonic() + 20
        while httpx.get(web.url + "/who").text != "green":  # a new connection each: old workers take no more
            assert time.monotonic() < deadline


def test_many_at_once_have_ports_and_logs_of_their_own(site, any_nginx):
    with ThreadPoolExecutor(8) as pool:
        servers = list(pool.map(lambda _: web_server.open(site), range(8)))
    try:
        assert len({web.port for web in servers}) == 8
        httpx.get(servers[3].url)
        assert [len(web.requests()) for web in servers] == [0, 0, 0, 1, 0, 0, 0, 0]
    finally:
        for web in servers:
            web.stop()


def test_a_folder_with_a_difficult_name_is_served(tmp_path, any_nginx):
    folder = tmp_path / 'the "best" {books}; é'
    folder.mkdir()
    (folder / "index.html").write_text("found")
    with web_server(folder) as web:
        assert httpx.get(web.url).text == "found"


def test_it_listens_on_loopback_only(site, any_nginx):
    with web_server(site) as web, socket.socket(type=socket.SOCK_DGRAM) as route:
        route.connect(("192.0.2.1", 9))  # sends nothing; tells which address of ours would be used
        outside = route.getsockname()[0]
        with pytest.raises(OSError, match=r"refused|timed out"):
            socket.create_connection((outside, web.port), timeout=5)
