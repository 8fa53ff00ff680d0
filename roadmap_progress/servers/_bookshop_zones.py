"""The default world of `dns_hierarchy`: how names are delegated, and what can go wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

BOOKSHOP_ZONES: Mapping[str, str] = {
    ".": """
$TTL 86400
@                       SOA   a.root-servers. hostmaster.root-servers. 2026010101 1800 900 604800 86400
@                       NS    a.root-servers.
a.root-servers.         A     127.0.0.2
example.                NS    a.nic.example.
a.nic.example.          A     127.0.0.3
""",
    "example.": """
$TTL 3600
@                       SOA   a.nic hostmaster.nic 2026010101 1800 900 604800 900
@                       NS    a.nic
a.nic                   A     127.0.0.3
; the bookshop has servers of its own
bookshop                NS    ns1.bookshop
ns1.bookshop            A     127.0.0.4
; a lame delegation: the server named here knows nothing of closed.example.
closed                  NS    ns1.bookshop
; a content delivery network, run by the registry
edge.cdn            60  A     192.0.2.60
edge.cdn            60  AAAA  2001:db8:cd::60
""",
    "bookshop.example.": """
$TTL 300
@                       SOA   ns1 hostmaster 2026010101 1800 900 604800 60
@                       NS    ns1
@                       A     127.0.0.1
@                       AAAA  2001:db8:b00c::80
@                       MX    10 mail
@                       MX    20 backup.mail
@                       TXT   "v=spf1 mx -all"
ns1                     A     127.0.0.4
www                     CNAME @
mail                    A     192.0.2.25
mail                    AAAA  2001:db8:b00c::25
backup.mail             A     192.0.2.26
api                 30  A     192.0.2.80
api                 30  A     192.0.2.81
images                  CNAME edge.cdn.example.
_https._tcp             SRV   0 5 443 www
; a key that is too long for a plain UDP answer
key._domainkey          TXT   ( "v=DKIM1; k=rsa; p="
  "MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEAuCRNAomB1pOve0Vq+O+kytY9KC4Z/xSU"
  "LCRuUNk1HSJwSoAqccNYC2Nw3kzrKTwySoQjNCVX1OXDhDjw42kQ7ntUtmg2wfvdE9JEHZ4UNNxi"
  "ymd/to9f5mpGS6rezb0AV2+Na1rDvMgIRLfVCxzGYDREu+fPz4/Aqh7jxjbZ4zn6uEjJtleoU+43"
  "wJy/3RSdCzgHsZHd6bYjzNlSgd0YcFtIyJsVA5A4RbuldTlFNR/mtFSFJ2D3NSnPAcqPadzK5Fv1"
  "gX3flKovekBwcfDu3GvrmPdotM0z0RdtRNFWOkWl1yEikOt2cMZ4axNZGu2shkeJk4leiyTmEgFK"
  "uqa6BLW4xyVQe1sTFY4CDZb+TPv213TgkWHitZm481rjHxbjlYJe3viqaa0wTvgP7ZuqBYDSR82E"
  "5Xoq4jmuyQ0tWGkJXz5EilX6LDxwScAdzxL7h8REd882eZMTLKdMkqJ6HqqjQcL9VyTqRJzsJyhU"
  "foDtu35gKYkcX/0Vfig+u0HlCAwEAAQ"
  )
""",
}
