"""Trust, expiry, wrong host, missing intermediate: as a real client meets them on a real server."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from roadmap_progress.servers import certificate_authority, web_server

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def ca():
    with certificate_authority() as ca:
        yield ca


def get(web, authority, *, name="127.0.0.1"):
    context = ssl.create_default_context(cafile=authority.pem)
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # as Python 3.13 does by itself
    with httpx.Client(verify=context) as client:
        return client.get(
            f"https://127.0.0.1:{web.port}/", extensions={"sni_hostname": name}, headers={"Host": name}
        )


def refusal(web, authority, **options) -> str:
    with pytest.raises(httpx.ConnectError) as caught:
        get(web, authority, **options)
    return str(caught.value)


def test_a_certificate_of_a_trusted_authority_is_accepted(ca, site, each_nginx):
    with web_server(site, certificate=ca.issue("bookshop.example", "127.0.0.1")) as web:
        assert get(web, ca).status_code == 200
        assert get(web, ca, name="bookshop.example").status_code == 200
        assert {request.tls for request in web.requests()} == {"TLSv1.3"}


def test_a_second_authority_is_one_that_is_not_trusted(ca, site, any_nginx):
    with (
        certificate_authority("Somebody Else") as other,
        web_server(site, certificate=other.issue("127.0.0.1")) as web,
    ):
        assert "unable to get local issuer certificate" in refusal(web, ca)
        assert get(web, other).status_code == 200


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"expired": True}, "certificate has expired"),
        ({"not_yet": True}, "certificate is not yet valid"),
        ({"without_intermediate": True}, "unable to get local issuer certificate"),
    ],
)
def test_a_faulty_certificate_is_refused_for_its_reason(ca, site, any_nginx, options, words):
    with web_server(site, certificate=ca.issue("127.0.0.1", **options)) as web:
        assert words in refusal(web, ca)


def test_a_certificate_for_another_host_is_refused(ca, site, any_nginx):
    with web_server(site, certificate=ca.issue("bookshop.example")) as web:
        assert "Hostname mismatch" in refusal(web, ca, name="evil.example")
        assert get(web, ca, name="bookshop.example").status_code == 200


def test_a_wildcard_covers_one_level(ca, site, any_nginx):
    with web_server(site, certificate=ca.issue("*.bookshop.example")) as web:
        assert get(web, ca, name="www.bookshop.example").status_code == 200
        assert "Hostname mismatch" in refusal(web, ca, name="a.b.bookshop.example")


def test_clients_can_be_asked_for_a_certificate(ca, site, any_nginx):
    config = f"ssl_client_certificate {ca.pem}; ssl_verify_depth 2; ssl_verify_client on;"
    with web_server(site, certificate=ca.issue("127.0.0.1"), config=config) as web:
        assert get(web, ca).status_code == 400
        context = ssl.create_default_context(cafile=ca.pem)
        customer = ca.issue("customer.example")
        context.load_cert_chain(customer.chain, customer.key)
        with httpx.Client(verify=context) as client:
            assert client.get(web.url).status_code == 200


def test_validity_is_as_promised(ca):
    now = datetime.now(UTC)
    good, old, new = ca.issue("a"), ca.issue("a", expired=True), ca.issue("a", not_yet=True)
    assert good.not_before < now < good.not_after
    assert old.not_after < now < new.not_before
    assert good.not_after - good.not_before == timedelta(days=90)


def test_keys_can_be_read_by_their_owner_only(ca):
    certificate = ca.issue("localhost", "::1", "127.0.0.1")
    assert stat.S_IMODE(certificate.key.stat().st_mode) == 0o600
    assert certificate.names == ("localhost", "::1", "127.0.0.1")
    assert certificate.chain.read_text().count("BEGIN CERTIFICATE") == 2


def test_a_certificate_without_a_name_is_refused(ca):
    with pytest.raises(ValueError, match="at least one name"):
        ca.issue()


def test_its_directory_ends_with_it():
    with certificate_authority() as ca:
        folder = ca.pem.parent
        assert folder.is_dir()
    assert not folder.exists()
