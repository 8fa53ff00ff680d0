"""What an authoritative DNS server answers, by RFC 1034 §4.3.2 and RFC 2308: pure, no sockets.

Messages are read and written with dnslib.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from dnslib import CLASS, EDNS0, OPCODE, QTYPE, RCODE, RD, RR, DNSBuffer, DNSHeader, DNSLabel, DNSRecord
from dnslib.dns import RDMAP, DNSError

UDP_PLAIN = 512  # bytes, RFC 1035 §4.2.1
UDP_MOST = 1232  # bytes, what we say that we take: fits into a packet everywhere
EDNS_VERSION = 0
CHAIN = 16  # how many CNAMEs we follow inside our zone


@dataclass(frozen=True)
class Zone:
    """The records that one server has authority over, and the glue below its delegations.

    Attributes:
        origin: the zone's own name.
        names: every owner name → type → its records.
        empty: names that have no record but exist, because something below them does.
    """

    origin: DNSLabel
    names: dict[DNSLabel, dict[int, list[RR]]]
    empty: frozenset[DNSLabel]

    @property
    def soa(self) -> RR:
        """The zone's start of authority."""
        return self.names[self.origin][QTYPE.SOA][0]

    def exists(self, name: DNSLabel) -> bool:
        """Whether there is such a name, with records or without."""
        return name in self.names or name in self.empty

    def records(self, name: DNSLabel, kind: int) -> list[RR]:
        """The records of this name and type; none if there are none."""
        return self.names.get(name, {}).get(kind, [])

    def cut(self, name: DNSLabel) -> DNSLabel | None:
        """The topmost name at or above `name`, below the origin, that is delegated to other servers."""
        for depth in range(len(self.origin.label) + 1, len(name.label) + 1):
            ancestor = DNSLabel(name.label[-depth:])
            if self.records(ancestor, QTYPE.NS):
                return ancestor
        return None


@dataclass
class Sections:
    """A response in the making."""

    rcode: int = RCODE.NOERROR
    authoritative: bool = True
    answer: list[RR] = field(default_factory=list)
    authority: list[RR] = field(default_factory=list)
    additional: list[RR] = field(default_factory=list)


def load_zone(compiled: str) -> Zone:
    """A zone from what `_zones.compile_zone` made of its text."""
    top, records = json.loads(compiled)
    origin = _name(top)
    names: dict[DNSLabel, dict[int, list[RR]]] = {}
    for owner, kind, ttl, data in records:
        wire = bytes.fromhex(data)
        rdata = RDMAP.get(QTYPE.forward.get(kind), RD).parse(DNSBuffer(wire), len(wire))
        name = _name(owner)
        names.setdefault(name, {}).setdefault(kind, []).append(RR(name, kind, CLASS.IN, ttl, rdata))
    above = {
        DNSLabel(name.label[-depth:]) for name in names for depth in range(len(origin.label) + 1, len(name.label))
    }
    return Zone(origin, names, frozenset(above - set(names)))


def _name(wire: str) -> DNSLabel:
    return DNSBuffer(bytes.fromhex(wire)).decode_name()


def within(name: DNSLabel, origin: DNSLabel) -> bool:
    """Whether the name is the origin or below it (dnslib's `matchSuffix` is wrong for the root)."""
    return not origin.label or bool(name.matchSuffix(origin))


def respond(zone: Zone, packet: bytes, *, transport: str) -> tuple[bytes | None, tuple[str, str] | None]:
    """The answer to a packet, and (name, type) of its question; None where there is none.

    Args:
        zone: what we know.
        packet: as received.
        transport: "udp" or "tcp"; over UDP, an answer that is too long for the client is cut to nothing and
            marked TC, so that it asks again over TCP.
    """
    try:
        query = DNSRecord.parse(packet)
    except DNSError:
        return _malformed(packet), None
    if query.header.qr:
        return None, None  # an answer; answering it could go on for ever
    reply = DNSRecord(
        DNSHeader(id=query.header.id, qr=1, aa=0, ra=0, rd=query.header.rd, opcode=query.header.opcode),
        questions=query.questions,
    )
    edns = next((extra for extra in query.ar if extra.rtype == QTYPE.OPT), None)
    if query.header.opcode != OPCODE.QUERY:
        reply.header.rcode = RCODE.NOTIMP
        return _pack(reply, transport, edns), None
    if len(query.questions) != 1:
        reply.header.rcode = RCODE.FORMERR
        return _pack(reply, transport, edns), None
    question = query.questions[0]
    asked = (str(question.qname), str(QTYPE.get(question.qtype)))
    if edns is not None and (edns.ttl >> 16) & 0xFF > EDNS_VERSION:
        edns.ttl = 1 << 24  # BADVERS is 16: its upper bits go here
        return _pack(reply, transport, edns), asked
    found = lookup(zone, question.qname, question.qtype, question.qclass)
    reply.header.rcode, reply.header.aa = found.rcode, int(found.authoritative)
    reply.add_answer(*found.answer)
    reply.add_auth(*found.authority)
    reply.add_ar(*found.additional)
    return _pack(reply, transport, edns), asked


def lookup(zone: Zone, qname: DNSLabel, qtype: int, qclass: int = CLASS.IN) -> Sections:
    """What the zone has to say about a name and type."""
    if not within(qname, zone.origin) or qclass != CLASS.IN or qtype in (QTYPE.AXFR, QTYPE.IXFR):
        return Sections(rcode=RCODE.REFUSED, authoritative=False)
    sections = Sections()
    name = qname
    for _ in range(CHAIN):
        cut = zone.cut(name)
        if cut is not None and not (qtype == QTYPE.DS and name == cut):  # DS is the parent's (RFC 4035)
            if not sections.answer:
                sections.authoritative = False
            sections.authority = zone.records(cut, QTYPE.NS)
            break
        owner = _owner(zone, name)
        if owner is None:
            sections.rcode = RCODE.NXDOMAIN
            sections.authority = [_negative(zone)]
            break
        types = zone.names.get(owner, {})
        if QTYPE.CNAME in types and qtype not in (QTYPE.CNAME, QTYPE.ANY):
            alias = types[QTYPE.CNAME][0]
            sections.answer += _named(name, [alias])
            name = alias.rdata.label
            if not within(name, zone.origin):
                break  # the rest is somebody else's: the resolver goes on from there
            continue
        records = (
            [r for kind in sorted(types) for r in types[kind]] if qtype == QTYPE.ANY else types.get(qtype, [])
        )
        sections.answer += _named(name, records)
        if not records:
            sections.authority = [_negative(zone)]  # the name exists, the type does not: NODATA
        break
    sections.additional = _glue(zone, [*sections.answer, *sections.authority])
    return sections


def _owner(zone: Zone, name: DNSLabel) -> DNSLabel | None:
    """The name whose records answer for `name`: itself, or the wildcard of its closest ancestor (RFC 4592)."""
    if zone.exists(name):
        return name
    for depth in range(len(name.label) - 1, len(zone.origin.label) - 1, -1):
        ancestor = DNSLabel(name.label[len(name.label) - depth :])
        if zone.exists(ancestor):
            wildcard = ancestor.add("*")
            return wildcard if zone.exists(wildcard) else None
    return None


def _named(name: DNSLabel, records: list[RR]) -> list[RR]:
    """The records under the name that was asked for: a wildcard's stand for it."""
    return [RR(name, record.rtype, record.rclass, record.ttl, record.rdata) for record in records]


def _negative(zone: Zone) -> RR:
    """The SOA for "there is none", with the time for which that may be remembered (RFC 2308 §3)."""
    soa = zone.soa
    return RR(soa.rname, soa.rtype, soa.rclass, min(soa.ttl, soa.rdata.times[4]), soa.rdata)


def _glue(zone: Zone, records: list[RR]) -> list[RR]:
    """Addresses, as far as we have them, of the hosts that these records point at."""
    hosts = [r.rdata.label for r in records if r.rtype in (QTYPE.NS, QTYPE.MX)]
    hosts += [r.rdata.target for r in records if r.rtype == QTYPE.SRV]
    return [
        address
        for host in dict.fromkeys(hosts)
        for kind in (QTYPE.A, QTYPE.AAAA)
        for address in zone.records(host, kind)
    ]


def _pack(reply: DNSRecord, transport: str, edns: RR | None) -> bytes:
    limit = 65535
    if transport == "udp":
        limit = min(max(UDP_PLAIN, edns.rclass), UDP_MOST) if edns else UDP_PLAIN
    if edns is not None:
        reply.add_ar(EDNS0(udp_len=UDP_MOST, ext_rcode=edns.ttl >> 24))
    packet = bytes(reply.pack())
    if len(packet) <= limit:
        return packet
    short = DNSRecord(reply.header, questions=reply.questions)
    short.header.tc = 1
    if edns is not None:
        short.add_ar(EDNS0(udp_len=UDP_MOST))
    return bytes(short.pack())


def _malformed(packet: bytes) -> bytes | None:
    """FORMERR, if there is enough of a header to answer it."""
    if len(packet) < 12 or packet[2] & 0x80:
        return None
    header = DNSHeader(id=int.from_bytes(packet[:2]), qr=1, ra=0, aa=0, rcode=RCODE.FORMERR)
    return bytes(DNSRecord(header).pack())
