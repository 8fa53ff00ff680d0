"""An authoritative server's answers: referral, alias, none, nobody, too long, not ours."""

from __future__ import annotations

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadmap_progress.servers._authority import Zone, load_zone, respond
from roadmap_progress.servers._zones import compile_zone

ZONE = """
$TTL 1h
@            SOA   ns1 hostmaster 1 2 3 4 60
@            NS    ns1
@            MX    10 mail
ns1          A     127.0.0.4
mail         A     192.0.2.25
mail         AAAA  2001:db8::25
www          CNAME bookshop.example.
@            A     192.0.2.80
far          CNAME www.other.example.
gone         CNAME nowhere
loop         CNAME pool
pool         CNAME loop
a.b.c        TXT   deep
*.shops      A     192.0.2.99
here.shops   TXT   "not from the star"
_x._tcp      SRV   1 2 443 mail
cert         CAA   0 issue "ca.example"
note         TXT   "semi;colon \\"quoted\\""
long         TXT   ( {long} )
branch       NS    ns.branch
branch       NS    ns.far.example.
branch       DS    1 8 2 {ds}
ns.branch    A     127.0.0.5
alias        CNAME x.branch
""".format(long=" ".join(['"' + "x" * 200 + '"'] * 4), ds="ab" * 32)


@pytest.fixture(scope="module")
def zone() -> Zone:
    return load_zone(compile_zone("bookshop.example.", ZONE))


def ask(zone: Zone, name: str, kind: str = "A", *, transport: str = "udp", **options) -> dns.message.Message:
    """What dnspython, a client that we did not write, reads in the answer."""
    query = dns.message.make_query(name, kind, **options)
    packet, asked = respond(zone, query.to_wire(), transport=transport)
    reply = dns.message.from_wire(packet)
    assert query.is_response(reply)
    assert asked == (str(query.question[0].name), kind)
    return reply


def texts(section) -> list[str]:
    return [line for rrset in section for line in rrset.to_text().splitlines()]


def flags(reply) -> str:
    return dns.flags.to_text(reply.flags)


def test_a_name_of_ours_is_answered_with_authority(zone):
    reply = ask(zone, "bookshop.example.")
    assert texts(reply.answer) == ["bookshop.example. 3600 IN A 192.0.2.80"]
    assert flags(reply) == "QR AA RD"


def test_case_does_not_matter_and_is_kept(zone):
    reply = ask(zone, "BookShop.EXAMPLE.")
    assert texts(reply.answer) == ["BookShop.EXAMPLE. 3600 IN A 192.0.2.80"]


def test_an_alias_comes_with_what_it_stands_for(zone):
    assert texts(ask(zone, "www.bookshop.example.").answer) == [
        "www.bookshop.example. 3600 IN CNAME bookshop.example.",
        "bookshop.example. 3600 IN A 192.0.2.80",
    ]


def test_asked_for_the_alias_itself_it_is_not_followed(zone):
    assert len(texts(ask(zone, "www.bookshop.example.", "CNAME").answer)) == 1


def test_an_alias_out_of_the_zone_is_all_that_is_said(zone):
    reply = ask(zone, "far.bookshop.example.")
    assert texts(reply.answer) == ["far.bookshop.example. 3600 IN CNAME www.other.example."]
    assert (reply.rcode(), texts(reply.authority)) == (dns.rcode.NOERROR, [])


def test_an_alias_for_nothing_is_nxdomain_with_the_alias(zone):
    reply = ask(zone, "gone.bookshop.example.")
    assert reply.rcode() == dns.rcode.NXDOMAIN
    assert len(texts(reply.answer)) == 1
    assert len(texts(reply.authority)) == 1


def test_aliases_in_a_circle_end(zone):
    assert len(ask(zone, "loop.bookshop.example.", transport="tcp").answer) == 2


def test_an_alias_into_a_delegated_part_ends_with_the_referral(zone):
    reply = ask(zone, "alias.bookshop.example.")
    assert texts(reply.answer) == ["alias.bookshop.example. 3600 IN CNAME x.branch.bookshop.example."]
    assert reply.authority[0].name.to_text() == "branch.bookshop.example."
    assert "AA" in flags(reply)


def test_a_missing_name_is_nxdomain_and_the_soa_says_how_long(zone):
    reply = ask(zone, "nope.bookshop.example.")
    assert reply.rcode() == dns.rcode.NXDOMAIN
    assert flags(reply) == "QR AA RD"
    assert texts(reply.authority)[0].startswith("bookshop.example. 60 IN SOA ")


def test_a_missing_type_is_no_error_and_no_data(zone):
    reply = ask(zone, "mail.bookshop.example.", "TXT")
    assert (reply.rcode(), texts(reply.answer)) == (dns.rcode.NOERROR, [])
    assert "SOA" in texts(reply.authority)[0]


def test_a_name_that_only_has_names_below_it_exists(zone):
    for name in ("c.bookshop.example.", "b.c.bookshop.example.", "_tcp.bookshop.example."):
        assert ask(zone, name).rcode() == dns.rcode.NOERROR
    assert ask(zone, "b.bookshop.example.").rcode() == dns.rcode.NXDOMAIN


def test_a_referral_has_servers_and_glue_and_no_authority(zone):
    for name in ("branch.bookshop.example.", "deep.down.branch.bookshop.example.", "ns.branch.bookshop.example."):
        reply = ask(zone, name)
        assert flags(reply) == "QR RD"
        assert (reply.rcode(), texts(reply.answer)) == (dns.rcode.NOERROR, [])
        assert texts(reply.authority) == [
            "branch.bookshop.example. 3600 IN NS ns.branch.bookshop.example.",
            "branch.bookshop.example. 3600 IN NS ns.far.example.",
        ]
        assert texts(reply.additional) == ["ns.branch.bookshop.example. 3600 IN A 127.0.0.5"]


def test_ds_at_a_cut_is_answered_by_the_parent(zone):
    reply = ask(zone, "branch.bookshop.example.", "DS")
    assert "AA" in flags(reply)
    assert len(texts(reply.answer)) == 1


def test_mail_and_service_records_bring_the_addresses_of_their_hosts(zone):
    expected = ["mail.bookshop.example. 3600 IN A 192.0.2.25", "mail.bookshop.example. 3600 IN AAAA 2001:db8::25"]
    assert texts(ask(zone, "bookshop.example.", "MX").additional) == expected
    assert texts(ask(zone, "_x._tcp.bookshop.example.", "SRV").additional) == expected


def test_a_wildcard_stands_for_what_does_not_exist(zone):
    assert texts(ask(zone, "a.shops.bookshop.example.").answer) == [
        "a.shops.bookshop.example. 3600 IN A 192.0.2.99"
    ]
    assert texts(ask(zone, "x.y.shops.bookshop.example.").answer) != []
    assert texts(ask(zone, "here.shops.bookshop.example.").answer) == []  # it exists, so the star is not for it
    assert ask(zone, "below.here.shops.bookshop.example.").rcode() == dns.rcode.NXDOMAIN


def test_other_zones_are_refused(zone):
    for name in ("other.example.", "example.", ".", "notbookshop.example."):
        reply = ask(zone, name)
        assert (reply.rcode(), flags(reply), texts(reply.authority)) == (dns.rcode.REFUSED, "QR RD", [])


def test_another_class_or_a_zone_transfer_is_refused(zone):
    assert ask(zone, "bookshop.example.", "AXFR").rcode() == dns.rcode.REFUSED
    assert ask(zone, "bookshop.example.", rdclass="CH").rcode() == dns.rcode.REFUSED


def test_any_returns_every_type(zone):
    assert {rrset.rdtype.name for rrset in ask(zone, "mail.bookshop.example.", "ANY").answer} == {"A", "AAAA"}


def test_text_and_types_that_need_care_come_through_unchanged(zone):
    assert texts(ask(zone, "note.bookshop.example.", "TXT").answer)[0].endswith(r'"semi;colon \"quoted\""')
    assert texts(ask(zone, "cert.bookshop.example.", "CAA").answer)[0].endswith('0 issue "ca.example"')


def test_an_answer_too_long_for_udp_is_cut_and_whole_over_tcp(zone):
    reply = ask(zone, "long.bookshop.example.", "TXT")
    assert flags(reply) == "QR AA TC RD"
    assert reply.answer == []
    assert len(ask(zone, "long.bookshop.example.", "TXT", transport="tcp").answer) == 1


def test_a_client_that_takes_more_over_udp_gets_it(zone):
    reply = ask(zone, "long.bookshop.example.", "TXT", use_edns=0, payload=4096)
    assert "TC" not in flags(reply)
    assert (reply.edns, reply.payload, len(reply.answer)) == (0, 1232, 1)
    assert "TC" in flags(ask(zone, "long.bookshop.example.", "TXT", use_edns=0, payload=600))


def test_a_client_without_edns_gets_none(zone):
    assert ask(zone, "bookshop.example.").edns == -1


def test_a_later_edns_version_is_refused(zone):
    assert ask(zone, "bookshop.example.", use_edns=7).rcode() == dns.rcode.BADVERS


def test_what_is_no_query_is_not_implemented(zone):
    query = dns.message.make_query("bookshop.example.", "SOA")
    query.set_opcode(dns.opcode.NOTIFY)
    reply = dns.message.from_wire(respond(zone, query.to_wire(), transport="udp")[0])
    assert reply.rcode() == dns.rcode.NOTIMP


def test_an_answer_is_not_answered(zone):
    query = dns.message.make_query("bookshop.example.", "A")
    query.flags |= dns.flags.QR
    assert respond(zone, query.to_wire(), transport="udp") == (None, None)


def test_two_questions_are_a_format_error(zone):
    query = dns.message.make_query("bookshop.example.", "A").to_wire()
    packet, asked = respond(zone, query[:5] + b"\x02" + query[6:] + query[12:], transport="udp")
    assert (packet[3] & 15, asked) == (dns.rcode.FORMERR, None)


@given(st.binary(max_size=80))
def test_no_packet_breaks_the_server(zone, packet):
    reply, _ = respond(zone, packet, transport="udp")
    assert reply is None or (reply[:2] == packet[:2] and len(reply) <= 512)


@given(st.integers(0, 60), st.binary(min_size=1, max_size=3))
def test_no_damaged_query_breaks_the_server(zone, at, damage):
    packet = dns.message.make_query("www.bookshop.example.", "A", use_edns=0).to_wire()
    reply, _ = respond(zone, packet[:at] + damage + packet[at + len(damage) :], transport="udp")
    assert reply is None or len(reply) <= 1232
