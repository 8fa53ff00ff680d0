"""A certificate authority of one's own, for TLS on this machine. No process: keys and certificates in files.

::

    ca = certificate_authority.start()
    certificate = ca.issue("bookshop.example", "localhost", "127.0.0.1")
    web = web_server.start(site, certificate=certificate)
    httpx.get(web.url, verify=ssl.create_default_context(cafile=ca.pem))
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from roadmap_progress.servers._found import Found, Install, find_library
from roadmap_progress.servers._kind import Server, ServerKind, starting

if TYPE_CHECKING:
    from pathlib import Path

    import trustme

    from roadmap_progress.processes import Watchdog

INSTALL = Install(pip="trustme")
LIFETIME = timedelta(days=90)  # what public authorities give


@dataclass(frozen=True, slots=True)
class Certificate:
    """A server's (or client's) certificate with its private key, as files.

    Attributes:
        chain: PEM: the certificate itself, then the intermediate's. The root is not in it: clients have that.
        key: PEM: the private key.
        names: host names and IP addresses that it is for.
        not_before: valid from.
        not_after: valid until.
    """

    chain: Path
    key: Path
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime


class CertificateAuthority(Server):
    """A root, an intermediate that it signed, and the certificates which that one issues.

    Attributes:
        pem: file with the root's certificate: what a client must trust.
        intermediate: file with the intermediate's certificate.
    """

    def __init__(self, watchdog: Watchdog, found: Found, name: str) -> None:
        import trustme

        super().__init__(watchdog, found, str(watchdog.directory))
        root = trustme.CA(organization_name=name, organization_unit_name="Root")
        self._issuer = trustme.CA(
            parent_cert=root, path_length=0, organization_name=name, organization_unit_name="Issuing CA"
        )
        self._count = 0
        self.name = name
        self.pem = watchdog.directory / "root.pem"
        self.intermediate = watchdog.directory / "intermediate.pem"
        root.cert_pem.write_to_path(self.pem)
        self._issuer.cert_pem.write_to_path(self.intermediate)

    @property
    def description(self) -> str:
        """Which library made it, and where the root's certificate is."""
        return f"{self.found}, its root in {self.pem}"

    def issue(
        self,
        *names: str,
        expired: bool = False,
        not_yet: bool = False,
        without_intermediate: bool = False,
        lifetime: timedelta = LIFETIME,
    ) -> Certificate:
        """A new certificate with a new key, valid from an hour ago for 90 days.

        Args:
            names: host names ("bookshop.example", "*.bookshop.example", "localhost") and IP addresses
                ("127.0.0.1", "::1") that it is for.
            expired: its 90 days ended yesterday.
            not_yet: its 90 days begin tomorrow.
            without_intermediate: leave the intermediate out of the chain, the commonest mistake in real
                configurations: a client that knows only the root cannot link the two.
            lifetime: instead of 90 days.

        Raises:
            ValueError: no name was given, or one is neither a host name nor an IP address.
        """
        if not names:
            raise ValueError("a certificate is for at least one name: issue('localhost', '127.0.0.1')")
        now = datetime.now(UTC).replace(microsecond=0)
        begin = now - timedelta(hours=1)
        if expired:
            begin = now - timedelta(days=1) - lifetime
        elif not_yet:
            begin = now + timedelta(days=1)
        leaf = self._issuer.issue_cert(
            *names,
            organization_name="Bookshop",
            organization_unit_name="Web",
            common_name=names[0],
            not_before=begin,
            not_after=begin + lifetime,
        )
        return self._write(leaf, names, begin, begin + lifetime, bare=without_intermediate)

    def _write(
        self, leaf: trustme.LeafCert, names: tuple[str, ...], begin: datetime, end: datetime, *, bare: bool
    ) -> Certificate:
        self._count += 1
        stem = f"{self._count}-{re.sub(r'[^A-Za-z0-9.-]', '_', names[0])}"
        chain, key = self._watchdog.directory / f"{stem}.pem", self._watchdog.directory / f"{stem}.key"
        blobs = leaf.cert_chain_pems[:1] if bare else leaf.cert_chain_pems
        chain.write_bytes(b"".join(blob.bytes() for blob in blobs))
        key.touch(mode=0o600)
        leaf.private_key_pem.write_to_path(key)
        return Certificate(chain, key, names, begin, end)


def locate() -> Found:
    """The library that makes certificates.

    Raises:
        ServerUnavailable: it is not installed.
    """
    return find_library("trustme", "trustme", INSTALL)


def _open(name: str = "Bookshop Trust") -> CertificateAuthority:
    """Make an authority.

    Args:
        name: the organization in its certificates. A second authority is one that nobody trusts yet.

    Raises:
        ServerUnavailable: trustme is not installed.
    """
    found = locate()
    with starting("authority") as watchdog:
        return CertificateAuthority(watchdog, found, name)


certificate_authority = ServerKind(
    "certificate_authority",
    _open,
    locate,
    INSTALL,
    "a TLS authority of one's own: trust, expiry, wrong host, mTLS",
    kept=False,
)
