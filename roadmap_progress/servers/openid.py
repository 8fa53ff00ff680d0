"""An OpenID provider of one's own: oidc-provider-mock, where users sign in without a password.

::

    provider = openid_provider.start(redirect_uris=["http://127.0.0.1:8000/callback"])
    provider.metadata["token_endpoint"]               # from /.well-known/openid-configuration
    client = OAuth2Client(provider.client_id, provider.client_secret, …)
    url, state = client.create_authorization_url(provider.metadata["authorization_endpoint"], code_verifier=…)
    provider.sign_in(url, "ada")                      # what Ada does in her browser; returns where it is sent
    provider.refuse(url)                              # she does not consent

Everything but the password is as at other providers: registered clients and redirect URIs, PKCE with S256
(`provider.public_client_id` has no secret and cannot do without), refresh tokens, signed ID tokens and the keys
to check them with, scopes that decide which claims a client gets.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from roadmap_progress.errors import ServerFailed
from roadmap_progress.processes import StopLimits, tail
from roadmap_progress.servers._found import Found, Install, find_library
from roadmap_progress.servers._kind import Server, ServerKind, starting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INSTALL = Install(pip="oidc-provider-mock")
HOST = "127.0.0.1"
NAME = "oidc-provider-mock"
TIMEOUT_S = 20.0
LIMITS = StopLimits(ask_s=1.0, terminate_s=1.0, kill_s=2.0)
REDIRECT_URI = "http://127.0.0.1:8000/callback"
USERS: dict[str, dict[str, object]] = {
    "ada": {
        "name": "Ada Lovelace",
        "preferred_username": "ada",
        "email": "ada@bookshop.example",
        "email_verified": True,
    },
    "grace": {
        "name": "Grace Hopper",
        "preferred_username": "grace",
        "email": "grace@bookshop.example",
        "email_verified": False,
    },
}


class OpenIDProvider(Server):
    """A provider that was started here.

    Attributes:
        issuer: "http://127.0.0.1:<port>", as the ID tokens say it.
        port: where it listens.
        client_id: of a client that keeps a secret, as a web application does.
        client_secret: its secret.
        public_client_id: of a client that cannot keep one, as a page's script or an app.
        redirect_uris: where a client may have the browser sent back to.
    """

    def __init__(
        self,
        *,
        users: Mapping[str, Mapping[str, object]],
        redirect_uris: Sequence[str],
        token_lifetime_s: int,
        timeout_s: float,
        wait: bool,
    ) -> None:
        found = locate()
        self.client_id, self.client_secret, self.public_client_id = "bookshop", "for-lessons-only", "bookshop-app"
        self.redirect_uris = tuple(redirect_uris)
        with socket.create_server((HOST, 0)) as listener:
            self.port: int = listener.getsockname()[1]
            self.issuer = f"http://{HOST}:{self.port}"
            with starting("openid", descriptors=[listener.fileno()]) as watchdog:
                super().__init__(watchdog, found, self.issuer)
                settings = {
                    "descriptor": listener.fileno(),
                    "users": users,
                    "redirect_uris": self.redirect_uris,
                    "token_lifetime_s": token_lifetime_s,
                    "clients": [
                        {"id": self.client_id, "secret": self.client_secret},
                        {"id": self.public_client_id, "secret": ""},
                    ],
                }
                file = watchdog.directory / "settings.json"
                file.write_text(json.dumps(settings), encoding="utf-8")
                module = "roadmap_progress.servers._openid_server"
                watchdog.start(
                    NAME,
                    [sys.executable, "-P", "-m", module, file],
                    descriptors=[listener.fileno()],
                    limits=LIMITS,
                )
                listener.close()  # from here on, a server that has ended refuses
                if wait:
                    watchdog.wait_ready(NAME, self._answers, timeout_s=timeout_s)

    def wait_until_ready(self, *, timeout_s: float = TIMEOUT_S) -> None:
        """Return once it answers: for one that was started with `wait=False`.

        Raises:
            ServerFailed: it has ended, or did not answer in time.
        """
        self._watchdog.wait_ready(NAME, self._answers, timeout_s=timeout_s)

    @property
    def description(self) -> str:
        """Which provider it is, and that it knows no passwords."""
        return f"{self.found} at {self._address}, with users who need no password"

    @property
    def metadata(self) -> dict[str, Any]:
        """What it says of itself: the addresses of its endpoints, what it supports."""
        status, _, body = self._ask("GET", "/.well-known/openid-configuration")
        if status != http.client.OK:
            raise ServerFailed(f"{NAME} answered {status}; the last lines of its log:\n{self.log()}")
        told: dict[str, Any] = json.loads(body)
        return told

    def sign_in(self, authorization_url: str, user: str) -> str:
        """Do what a user does in a browser: open this address, sign in, consent.

        Returns:
            where the browser is sent then: the client's redirect URI with a code and the state, or an error.

        Raises:
            ServerFailed: it shows an error page and sends nobody anywhere, as for a client that it does not
                know or a redirect URI that is not registered.
        """
        return self._answer_form(authorization_url, sub=user)

    def refuse(self, authorization_url: str) -> str:
        """Do what a user does who does not consent; returns where the browser is sent then."""
        return self._answer_form(authorization_url, action="deny")

    def log(self, lines: int = 20) -> str:
        """The last lines of its log: method, path and status of each request, and what it refused."""
        return tail(self._watchdog.processes[NAME].log, lines)

    def _answer_form(self, url: str, **fields: str) -> str:
        parts = urlsplit(url)
        target = f"{parts.path}?{parts.query}"
        status, _, body = self._ask("GET", target)  # the form, as a browser opens it
        location: str | None = None
        if status == http.client.OK:
            status, location, body = self._ask("POST", target, urlencode(fields))
        if location is None:
            raise ServerFailed(
                f"{NAME} showed a page with status {status} instead of sending the browser on:\n{body}"
            )
        return location

    def _ask(self, method: str, target: str, form: str | None = None) -> tuple[int, str | None, str]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=20)
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if form is not None else {}
        try:
            connection.request(method, target, form, headers)
            response = connection.getresponse()
            return response.status, response.getheader("Location"), response.read().decode()
        finally:
            connection.close()

    def _answers(self) -> bool:
        try:
            return self._ask("GET", "/jwks")[0] == http.client.OK
        except http.client.HTTPException:
            return False


def locate() -> Found:
    """The library that the provider is made with.

    Raises:
        ServerUnavailable: it is not installed.
    """
    return find_library("oidc_provider_mock", "oidc-provider-mock", INSTALL)


def _open(
    *,
    users: Mapping[str, Mapping[str, object]] | None = None,
    redirect_uris: Sequence[str] = (REDIRECT_URI,),
    token_lifetime_s: int = 3600,
    timeout_s: float = TIMEOUT_S,
    wait: bool = True,
) -> OpenIDProvider:
    """Start a provider with two clients, "bookshop" and the public "bookshop-app".

    Args:
        users: the subject of each, and the claims about them; Ada and Grace, if not given.
        redirect_uris: where the clients may have the browser sent back to.
        token_lifetime_s: how long access and ID tokens are good for.
        timeout_s: it answers by then.
        wait: whether to return only when it answers. Else it gets ready meanwhile: `wait_until_ready()`.

    Raises:
        ServerUnavailable: oidc-provider-mock is not installed.
        ServerFailed: it did not come up in time.
    """
    return OpenIDProvider(
        users=USERS if users is None else users,
        redirect_uris=redirect_uris,
        token_lifetime_s=token_lifetime_s,
        timeout_s=timeout_s,
        wait=wait,
    )


openid_provider = ServerKind(
    "openid_provider",
    _open,
    locate,
    INSTALL,
    "an OpenID provider to sign in at, with PKCE",
    "a provider for tests that stands in for such as Keycloak: its users need no password",
)
