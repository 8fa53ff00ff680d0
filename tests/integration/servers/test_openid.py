"""An OpenID provider as a lesson uses it: sign in with PKCE, read the tokens, refresh them; what is refused."""

from __future__ import annotations

import time
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.httpx_client import OAuth2Client
from joserfc import jwk, jwt
from joserfc.errors import ExpiredTokenError

from roadmap_progress.errors import ServerFailed
from roadmap_progress.servers import openid_provider
from roadmap_progress.servers.openid import NAME, REDIRECT_URI

pytestmark = pytest.mark.server

VERIFIER = "a-verifier-of-at-least-forty-three-characters-0"


@pytest.fixture(scope="module")
def provider():
    """A running provider; nothing that one test does there matters to another."""
    with openid_provider() as server:
        yield server


def client_of(provider, *, public: bool = True, scope: str = "openid profile email") -> OAuth2Client:
    """Authlib's client on httpx."""
    client_id = provider.public_client_id if public else provider.client_id
    secret = None if public else provider.client_secret
    return OAuth2Client(
        client_id,
        secret,
        token_endpoint_auth_method="none" if public else "client_secret_basic",
        scope=scope,
        redirect_uri=REDIRECT_URI,
        code_challenge_method="S256",
    )


def signed_in(provider, client, user: str = "ada", **more) -> str:
    """Where the browser is sent back to after signing in."""
    url, state = client.create_authorization_url(
        provider.metadata["authorization_endpoint"], code_verifier=VERIFIER, **more
    )
    callback = provider.sign_in(url, user)
    assert parse_qs(urlsplit(callback).query)["state"] == [state]
    return callback


def claims_of(provider, id_token: str) -> dict:
    """What the ID token says, once its signature is checked with the provider's published keys."""
    keys = jwk.KeySet.import_key_set(httpx.get(provider.metadata["jwks_uri"]).json())
    return jwt.decode(id_token, keys, algorithms=["RS256"]).claims


@pytest.mark.parametrize("public", [True, False])
def test_a_user_signs_in_with_pkce_and_the_client_learns_who_it_is(provider, public):
    with client_of(provider, public=public) as client:
        callback = signed_in(provider, client, nonce="once")
        assert callback.startswith(f"{REDIRECT_URI}?")
        token = client.fetch_token(
            provider.metadata["token_endpoint"], authorization_response=callback, code_verifier=VERIFIER
        )
        assert token["token_type"] == "Bearer"
        claims = claims_of(provider, token["id_token"])
        assert (claims["iss"], claims["sub"], claims["nonce"]) == (provider.issuer, "ada", "once")
        assert claims["aud"] in (client.client_id, [client.client_id])
        assert claims["exp"] - claims["iat"] == 3600
        told = client.get(provider.metadata["userinfo_endpoint"]).json()
        assert (told["sub"], told["name"], told["email"]) == ("ada", "Ada Lovelace", "ada@bookshop.example")


def test_a_refresh_token_brings_another_access_token_and_the_first_is_dead(provider):
    with client_of(provider) as client:
        callback = signed_in(provider, client)
        endpoint = provider.metadata["token_endpoint"]
        first = client.fetch_token(endpoint, authorization_response=callback, code_verifier=VERIFIER)
        second = client.refresh_token(endpoint, refresh_token=first["refresh_token"])
        assert second["access_token"] != first["access_token"]
        userinfo = provider.metadata["userinfo_endpoint"]
        assert client.get(userinfo).json()["sub"] == "ada"
        headers = {"Authorization": f"Bearer {first['access_token']}"}
        assert httpx.get(userinfo, headers=headers).is_client_error


def test_scopes_decide_what_is_told(provider):
    with client_of(provider, scope="openid email") as client:
        callback = signed_in(provider, client, "grace")
        client.fetch_token(
            provider.metadata["token_endpoint"], authorization_response=callback, code_verifier=VERIFIER
        )
        told = client.get(provider.metadata["userinfo_endpoint"]).json()
        assert told == {"sub": "grace", "email": "grace@bookshop.example", "email_verified": False}


@pytest.mark.parametrize("public", [True, False])
@pytest.mark.parametrize("verifier", ["another-verifier-of-forty-three-characters-00", None])
def test_a_stolen_code_is_worth_nothing_without_the_verifier(provider, public, verifier):
    """Also to one who has the client's secret."""
    with client_of(provider, public=public) as client:
        callback = signed_in(provider, client)
        with pytest.raises(OAuthError, match=r"invalid_grant|invalid_request"):
            client.fetch_token(
                provider.metadata["token_endpoint"], authorization_response=callback, code_verifier=verifier
            )


def test_a_public_client_cannot_do_without_pkce(provider):
    with client_of(provider) as client:
        url, _ = client.create_authorization_url(provider.metadata["authorization_endpoint"])
        callback = provider.sign_in(url, "ada")
        with pytest.raises(OAuthError, match="code_verifier"):
            client.fetch_token(provider.metadata["token_endpoint"], authorization_response=callback)


@pytest.mark.parametrize("method", ["plain", None])
def test_a_challenge_that_is_not_hashed_is_refused(provider, method):
    with client_of(provider) as client:
        client.metadata["code_challenge_method"] = None
        more = {"code_challenge_method": method} if method else {}
        url, _ = client.create_authorization_url(
            provider.metadata["authorization_endpoint"], code_challenge=VERIFIER, **more
        )
        told = httpx.post(url, data={"sub": "ada"})
        assert "Unsupported" in told.text + told.headers.get("Location", "")
        assert "code=" not in told.headers.get("Location", "")


def test_a_code_is_good_for_one_token(provider):
    with client_of(provider) as client:
        callback = signed_in(provider, client)
        fetch = {"authorization_response": callback, "code_verifier": VERIFIER}
        client.fetch_token(provider.metadata["token_endpoint"], **fetch)
        with pytest.raises(OAuthError, match="invalid_grant"):
            client.fetch_token(provider.metadata["token_endpoint"], **fetch)


def test_a_wrong_secret_gets_no_token(provider):
    with client_of(provider, public=False) as client:
        callback = signed_in(provider, client)
        client.client_secret = "guessed"
        with pytest.raises(OAuthError, match="invalid_client"):
            client.fetch_token(
                provider.metadata["token_endpoint"], authorization_response=callback, code_verifier=VERIFIER
            )


def test_a_user_who_does_not_consent_is_sent_back_with_an_error_and_the_state(provider):
    with client_of(provider) as client:
        url, state = client.create_authorization_url(
            provider.metadata["authorization_endpoint"], code_verifier=VERIFIER
        )
        told = parse_qs(urlsplit(provider.refuse(url)).query)
        assert (told["error"], told["state"]) == (["access_denied"], [state])


@pytest.mark.parametrize(
    "change", [{"redirect_uri": "http://127.0.0.1:8000/elsewhere"}, {"client_id": "nobody-we-know"}]
)
def test_the_browser_is_sent_nowhere_that_is_not_registered(provider, change):
    with client_of(provider) as client:
        url, _ = client.create_authorization_url(provider.metadata["authorization_endpoint"])
        changed = httpx.URL(url).copy_merge_params(change)
        with pytest.raises(ServerFailed, match="showed a page with status 400"):
            provider.sign_in(str(changed), "ada")


def test_tokens_have_an_end():
    with openid_provider(token_lifetime_s=1) as provider, client_of(provider) as client:
        callback = signed_in(provider, client)
        token = client.fetch_token(
            provider.metadata["token_endpoint"], authorization_response=callback, code_verifier=VERIFIER
        )
        assert token["expires_in"] == 1
        claims = claims_of(provider, token["id_token"])
        time.sleep(max(0.0, claims["exp"] + 1 - time.time()))
        with pytest.raises(ExpiredTokenError):
            jwt.JWTClaimsRegistry().validate(claims)
        headers = {"Authorization": f"Bearer {token['access_token']}"}
        assert httpx.get(provider.metadata["userinfo_endpoint"], headers=headers).is_client_error


def test_users_of_ones_own(provider):
    users = {"emmy": {"name": "Emmy Noether", "roles": ["editor"]}}
    with openid_provider(users=users) as own, client_of(own) as client:
        callback = signed_in(own, client, "emmy")
        token = client.fetch_token(
            own.metadata["token_endpoint"], authorization_response=callback, code_verifier=VERIFIER
        )
        assert claims_of(own, token["id_token"])["sub"] == "emmy"
        assert client.get(own.metadata["userinfo_endpoint"]).json()["roles"] == ["editor"]


def test_one_that_is_not_waited_for_gets_ready_meanwhile():
    with openid_provider(wait=False) as server:
        server.wait_until_ready()
        assert server.metadata["issuer"] == server.issuer


def test_one_that_ends_before_it_is_ready_is_reported():
    with openid_provider(wait=False) as server:
        server._watchdog.stop(NAME)
        with pytest.raises(ServerFailed, match="ended at once"):
            server.wait_until_ready()
