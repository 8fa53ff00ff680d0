"""The DNS hierarchy as a resolver sees it, over real sockets."""

from __future__ import annotations

import socket
import struct
from concurrent.futures import ThreadPoolExecutor

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from roadmap_progress.servers import BOOKSHOP_ZONES, dns_hierarchy
from roadmap_progress.servers import dns as servers_dns

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def names():
    with dns_hierarchy() as names:
        yield names


def ask(names, address, name, kind="A", *, how=dns.query.udp):
    host, port = names.address_of(address)
    return how(dns.message.make_query(name, kind), host, port=port, timeout=10)


def resolve(names, name, kind="A"):
    """The least resolver: follows referrals by their glue; returns the addresses asked and the last answer."""
    address, asked = names.root, []
    while True:
        asked.append(address)
        reply = ask(names, address, name, kind)
        if reply.answer or not reply.additional:
            return asked, reply
        address = reply.additional[0][0].to_text()


def test_a_name_is_found_by_following_referrals_from_the_root(names):
    asked, reply = resolve(names, "mail.bookshop.example.")
    assert asked == [names.servers[origin] for origin in (".", "example.", "bookshop.example.")]
    assert reply.answer[0].to_text() == "mail.bookshop.example. 300 IN A 192.0.2.25"
    assert reply.flags & dns.flags.AA


def test_every_address_in_glue_leads_to_the_server_of_that_zone(names):
    for origin, address in names.servers.items():
        reply = ask(names, address, origin, "SOA")
        assert reply.answer[0].name.to_text() == origin


def test_all_servers_are_on_one_port(names):
    assert {names.address_of(address) for address in names.servers.values()} == {
        (address, names.port) for address in ("127.0.0.2", "127.0.0.3", "127.0.0.4")
    }


@pytest.mark.parametrize("how", [dns.query.udp, dns.query.tcp])
def test_a_missing_name_and_a_missing_type_differ(names, how):
    address = names.servers["bookshop.example."]
    missing = ask(names, address, "nope.bookshop.example.", how=how)
    assert missing.rcode() == dns.rcode.NXDOMAIN
    no_data = ask(names, address, "api.bookshop.example.", "AAAA", how=how)
    assert (no_data.rcode(), no_data.answer) == (dns.rcode.NOERROR, [])
    assert no_data.authority[0].rdtype == dns.rdatatype.SOA


def test_a_lame_delegation_ends_in_refused(names):
    asked, reply = resolve(names, "www.closed.example.")
    assert asked == ["127.0.0.2", "127.0.0.3", "127.0.0.4"]  # to whom the referral leads, and who knows nothing
    assert reply.rcode() == dns.rcode.REFUSED
    assert not reply.flags & dns.flags.AA


def test_a_big_answer_is_cut_over_udp_and_whole_over_tcp(names):
    address = names.servers["bookshop.example."]
    cut = ask(names, address, "key._domainkey.bookshop.example.", "TXT")
    assert cut.flags & dns.flags.TC
    assert cut.answer == []
    whole = ask(names, address, "key._domainkey.bookshop.example.", "TXT", how=dns.query.tcp)
    assert "v=DKIM1" in whole.answer[0].to_text()
    assert len(whole.to_wire()) > 512


def test_what_the_servers_were_asked_can_be_read_and_forgotten(names):
    names.clear_queries()
    resolve(names, "WWW.bookshop.example.")
    ask(names, names.root, ".", "NS", how=dns.query.tcp)
    assert names.queries() == [
        (".", "WWW.bookshop.example.", "A", "udp"),
        ("example.", "WWW.bookshop.example.", "A", "udp"),
        ("bookshop.example.", "WWW.bookshop.example.", "A", "udp"),
        (".", ".", "NS", "tcp"),
    ]
    names.clear_queries()
    assert names.queries() == []


def test_several_queries_on_one_connection_are_answered_in_turn(names):
    host, port = names.address_of(names.root)
    with socket.create_connection((host, port), timeout=10) as connection:
        for number in (1, 2, 3):
            query = dns.message.make_query("example.", "NS", id=number)
            dns.query.send_tcp(connection, query)
            reply, _ = dns.query.receive_tcp(connection)
            assert reply.id == number


def test_rubbish_does_not_end_a_server(names):
    host, port = names.address_of(names.root)
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        for rubbish in (b"", b"x", b"\0" * 12, b"\xff" * 600):
            client.sendto(rubbish, (host, port))
    with socket.create_connection((host, port), timeout=10) as client:
        client.sendall(struct.pack("!H", 3) + b"abc")
        assert client.recv(10) == b""  # it hangs up
    assert ask(names, names.root, "example.", "NS").authority


def test_many_clients_at_once_are_all_answered(names):
    names.clear_queries()
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda _: ask(names, names.root, "x.example.", how=dns.query.tcp), range(200)))
    assert len(replies) == 200
    assert names.queries() == [(".", "x.example.", "A", "tcp")] * 200


def test_a_server_that_is_stopped_no_longer_answers_and_the_others_do():
    with dns_hierarchy() as names:
        names.stop_server("example.")
        with pytest.raises(OSError, match="refused"):
            ask(names, names.servers["example."], "example.", "SOA", how=dns.query.tcp)
        assert ask(names, names.root, ".", "SOA").answer
        with pytest.raises(KeyError, match=r"no server has the zone 'nowhere\.'; there are \., example\."):
            names.stop_server("nowhere.")


def test_several_hierarchies_at_once_do_not_meet():
    with (
        dns_hierarchy() as one,
        dns_hierarchy({".": "$TTL 9\n@ SOA a b 1 2 3 4 5\n@ NS a\na A 127.0.0.2\n"}) as two,
    ):
        assert one.port != two.port
        ask(two, two.root, "example.")
        assert one.queries() == []
        assert ask(two, two.root, "example.").rcode() == dns.rcode.NXDOMAIN
        assert ask(one, one.root, "example.").rcode() == dns.rcode.NOERROR


def test_own_zones_are_served_in_their_order_from_the_second_address_on():
    zones = {
        ".": "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 127.0.0.2\nshop NS ns.shop\nns.shop A 127.0.0.3\n",
        "Shop": "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 127.0.0.3\n@ TXT hello\n",
    }
    with dns_hierarchy(zones) as names:
        assert names.servers == {".": "127.0.0.2", "shop.": "127.0.0.3"}
        assert resolve(names, "shop.", "TXT")[1].answer[0].to_text() == 'shop. 60 IN TXT "hello"'


def test_a_zone_with_a_mistake_is_refused_before_anything_starts():
    with (
        pytest.raises(ValueError, match=r"zone 'example\.'.*no NS"),
        dns_hierarchy({"example": "@ 9 SOA a b 1 2 3 4 5"}),
    ):
        pass


def test_with_one_loopback_address_the_mapping_leads_to_ports(monkeypatch):
    """As on macOS, where binding 127.0.0.2 fails."""
    monkeypatch.setattr(servers_dns, "_has_address", lambda _: False)
    with dns_hierarchy() as names:
        assert {host for host, _ in names.mapping.values()} == {"127.0.0.1"}
        assert len(set(names.mapping.values())) == len(BOOKSHOP_ZONES)
        asked, reply = resolve(names, "mail.bookshop.example.")
        assert asked == ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
        assert reply.answer
        assert names.port == names.mapping[names.root][1]


def test_a_port_that_is_taken_at_one_address_is_not_used(monkeypatch):
    """The first free port of 127.0.0.2 is taken at 127.0.0.3: another is chosen."""
    real, tried = servers_dns._pairs, []
    with socket.socket(type=socket.SOCK_DGRAM) as stranger:

        def pairs(host, port, **options):
            for pair in real(host, port, **options):
                if host == "127.0.0.2" and not tried:
                    stranger.bind(("127.0.0.3", pair.address[1]))
                    tried.append(pair.address[1])
                yield pair

        monkeypatch.setattr(servers_dns, "_pairs", pairs)
        with dns_hierarchy() as names:
            assert names.port != tried[0]
            assert ask(names, "127.0.0.3", "example.", "SOA").answer
