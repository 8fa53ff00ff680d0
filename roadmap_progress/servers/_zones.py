"""Zones in master-file form (RFC 1035 §5) → plain records, checked.

dnspython reads them: it knows every directive and type, and names the line of a mistake. It is imported
here, where the lesson has it anyway, and not in each server's process, whose start it would double.
"""

from __future__ import annotations

import json

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.tokenizer
import dns.zone
import dns.zonefile


def compile_zone(origin: str, text: str) -> str:
    """Read a zone; returns JSON: its origin, and for each record [name, type, TTL, data], names and data as hex.

    Raises:
        ValueError: it cannot be read, has no SOA or NS at its origin, names something outside the zone, or
            has a CNAME beside other records; the message names the zone and the line or record.
    """
    top = dns.name.from_text(origin)
    records: list[tuple[str, int, int, str]] = []
    kinds: dict[dns.name.Name, set[dns.rdatatype.RdataType]] = {}
    for name, rdataset in _read(top, text).iterate_rdatasets():
        kinds.setdefault(name, set()).add(rdataset.rdtype)
        records += [(_hex(name), int(rdataset.rdtype), rdataset.ttl, _hex(rdata)) for rdata in rdataset]
    for needed in (dns.rdatatype.SOA, dns.rdatatype.NS):
        if needed not in kinds.get(top, ()):
            raise ValueError(f"the zone {origin!r} has no {dns.rdatatype.to_text(needed)} record at its origin")
    return json.dumps([_hex(top), records])


def _hex(item: dns.name.Name | dns.rdata.Rdata) -> str:
    wire = item.to_wire()
    assert wire is not None  # noqa: S101 (only with a file argument)
    return wire.hex()


def _read(top: dns.name.Name, text: str) -> dns.zone.Zone:
    zone = dns.zone.Zone(top, relativize=False)
    tokens = dns.tokenizer.Tokenizer(text, f"zone {top}")
    with zone.writer(replacement=True) as transaction:
        reader = dns.zonefile.Reader(tokens, dns.rdataclass.IN, transaction, allow_include=False)
        reader.last_name = top
        reader.zone_origin = dns.name.root  # it drops names outside of its origin without a word
        try:
            reader.read()
        except (dns.exception.DNSException, ValueError) as error:
            near = f"near {reader.last_name}"
            raise ValueError(f"the zone {str(top)!r} cannot be read, {near}: {error}") from error
        except KeyError as error:
            line = tokens.where()[1] - 1  # it has read on to the next
            raise ValueError(f"the zone {str(top)!r}, line {line}: {reader.last_name} is outside of it") from error
    return zone
