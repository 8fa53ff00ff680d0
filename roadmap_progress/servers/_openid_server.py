"""An OpenID provider on a socket that its parent has bound: run as a module.

    python -m roadmap_progress.servers._openid_server SETTINGS_FILE

oidc-provider-mock, which is made of Authlib's server side, leaves PKCE out: it takes any code verifier, and none.
Authlib has the check (RFC 7636), so it is put in here; and clients without a secret are let in, who need it most.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import warnings
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

if TYPE_CHECKING:
    import flask

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # plain HTTP, on loopback

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the mock of Python 3.11 imports a module that Authlib will drop
    import oidc_provider_mock
    from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Request
    from authlib.oauth2.rfc7636 import CodeChallenge
    from oidc_provider_mock import _app, _storage
    from werkzeug.serving import WSGIRequestHandler, make_server

AUTHENTICATION = ["client_secret_basic", "client_secret_post", "none"]

_challenges: dict[str, tuple[str, str]] = {}  # code → its challenge and method
_lock = threading.Lock()


class Challenge(CodeChallenge):  # type: ignore[misc]  # it has no annotations
    """Authlib's check of the verifier, with the challenges in memory."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]  # noqa: RUF012 - so in Authlib; "plain" protects nobody

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        super().validate_code_challenge(grant, redirect_uri)
        data = grant.request.payload.data
        if data.get("code_challenge") and not data.get("code_challenge_method"):
            raise InvalidRequestError("Unsupported 'code_challenge_method'")

    def get_authorization_code_challenge(self, authorization_code: Any) -> str | None:
        return _challenges.get(authorization_code.code, (None, None))[0]

    def get_authorization_code_challenge_method(self, authorization_code: Any) -> str | None:
        return _challenges.get(authorization_code.code, (None, None))[1]


class CodeGrant(_app.AuthorizationCodeGrant):  # type: ignore[misc]
    """The mock's, with PKCE."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTHENTICATION

    def __init__(self, request: OAuth2Request, server: Any) -> None:
        super().__init__(request, server)
        Challenge(required=True)(self)

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        super().save_authorization_code(code, request)
        data = request.payload.data
        if challenge := data.get("code_challenge"):
            with _lock:
                _challenges[code] = challenge, data["code_challenge_method"]


class RefreshGrant(_app.RefreshTokenGrant):  # type: ignore[misc]
    """The mock's, for clients without a secret, too."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTHENTICATION


class Handler(WSGIRequestHandler):
    """Logs each request in one line without colours, and asks no DNS who the client is."""

    def address_string(self) -> str:
        return str(self.client_address[0])

    def log_request(self, code: Any = "-", _: Any = "-") -> None:
        print(self.command, self.path.partition("?")[0], int(code), file=sys.stderr, flush=True)


def with_state(response: flask.Response) -> flask.Response:
    """Send errors back with the state, too (RFC 6749, 4.1.2.1): the mock forgets it when the user refuses."""
    import flask

    state, target = flask.request.args.get("state"), response.location
    if state is not None and target is not None and flask.request.path == "/oauth2/authorize":
        parts = urlsplit(target)
        if "state" not in parse_qs(parts.query):
            query = f"{parts.query}&{urlencode({'state': state})}".lstrip("&")
            response.location = parts._replace(query=query).geturl()
    return response


def application(settings: dict[str, Any]) -> flask.Flask:
    """The provider with its users and clients."""
    _app.AuthorizationCodeGrant = CodeGrant
    _app.RefreshTokenGrant = RefreshGrant
    app: flask.Flask = oidc_provider_mock.app(
        require_client_registration=True,
        access_token_max_age=timedelta(seconds=settings["token_lifetime_s"]),
        user_claims=[oidc_provider_mock.User(sub=sub, claims=claims) for sub, claims in settings["users"].items()],
    )
    app.after_request(with_state)
    with app.test_request_context():
        app.preprocess_request()  # brings the storage
        for client in settings["clients"]:
            _storage.storage.store_client(
                _storage.Client(
                    id=client["id"],
                    secret=client["secret"],
                    redirect_uris=settings["redirect_uris"],
                    allowed_scopes=_storage.Client.SCOPES_SUPPORTED,
                    token_endpoint_auth_method=(_storage.ClientAllowAny() if client["secret"] else "none"),
                )
            )
    return app


def main() -> None:
    """Take over the socket and serve."""
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    listener = socket.socket(fileno=settings["descriptor"])
    host, port = listener.getsockname()
    server = make_server(
        host, port, application(settings), threaded=True, request_handler=Handler, fd=listener.fileno()
    )
    listener.close()  # it has a copy of its own
    server.serve_forever()


if __name__ == "__main__":
    main()
