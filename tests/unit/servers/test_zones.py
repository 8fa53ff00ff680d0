"""A mistake in a zone is refused, with the zone and the place."""

from __future__ import annotations

import json

import pytest

from roadmap_progress.servers import BOOKSHOP_ZONES
from roadmap_progress.servers._zones import compile_zone

HEAD = "$TTL 1h\n@ SOA ns1 hostmaster 1 2 3 4 5\n@ NS ns1\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no SOA"),
        ("$TTL 60\n@ SOA a b 1 2 3 4 5\n", "no NS"),
        (HEAD + "www.other. A 192.0.2.1\n", r"line 4: www\.other\. is outside of it"),
        (HEAD + "www A 192.0.2\n", r"near www\.example\."),
        (HEAD + "www NOSUCHTYPE x\n", "near www"),
        (HEAD + "www A 192.0.2.1\nwww CNAME @\n", "CNAME.*not compatible"),
        (HEAD + "$INCLUDE /etc/passwd\n", "INCLUDE"),
    ],
)
def test_a_mistake_is_named(text, words):
    with pytest.raises(ValueError, match=rf"(?s)zone 'example\.'.*{words}"):
        compile_zone("example.", text)


def test_a_record_has_its_own_ttl_or_the_zones():
    _, records = json.loads(compile_zone("example.", HEAD + "a 30 A 192.0.2.1\nb A 192.0.2.2\n"))
    assert [ttl for _, kind, ttl, _ in records if kind == 1] == [30, 3600]


@pytest.mark.parametrize("origin", BOOKSHOP_ZONES)
def test_the_bookshops_zones_are_sound(origin):
    assert compile_zone(origin, BOOKSHOP_ZONES[origin])
