"""JSON Web Tokens of an identity provider, against a real service and a JWKS file."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from servers import StartService

from tidewire.errors import InvalidInput
from tidewire_service.auth.jwt import JwtVerifier
from tidewire_service.errors import Unauthenticated
from tidewire_service.settings import ServiceSettings

from .conftest import bearer

ISSUER, AUDIENCE = "https://id.example.org", "tidewire"
KEY = rsa.generate_private_key(65_537, 2_048)
OTHER = rsa.generate_private_key(65_537, 2_048)


def claims(**more: Any) -> dict[str, Any]:
    now = time.time()
    found = {"iss": ISSUER, "aud": AUDIENCE, "sub": "anna", "exp": now + 600, "tidewire": "subscribe:plant/**"}
    return {name: value for name, value in {**found, **more}.items() if value is not None}


def signed(key: Any = KEY, algorithm: str = "RS256", kid: str = "one", **more: Any) -> str:
    return jwt.encode(claims(**more), key, algorithm, headers={"kid": kid})


def unsigned(header: dict[str, str], body: dict[str, Any]) -> str:
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, body))
    return ".".join([*parts, ""])


@pytest.fixture
async def service(start_service: StartService, tmp_path: Path) -> Any:
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [{**public, "kid": "one", "use": "sig", "alg": "RS256"}]}))
    return await start_service(
        auth=True, jwt_issuer=ISSUER, jwt_audience=AUDIENCE, jwt_jwks=str(tmp_path / "jwks.json")
    )


async def test_a_good_one_may_what_its_claim_says(service: Any) -> None:
    who = (await service.http.get("/v1/whoami", headers=bearer(signed(name="Anna")))).json()
    assert (who["kind"], who["name"], who["subscribe"], who["publish"]) == ("jwt", "Anna", ["plant/**"], [])
    refused = await service.http.post("/v1/readings", json={"metric": "a", "value": 1}, headers=bearer(signed()))
    assert refused.status_code == 403
    writer = signed(tidewire="publish:plant/** edit")
    assert (
        await service.http.post("/v1/readings", json={"metric": "plant/a", "value": 1}, headers=bearer(writer))
    ).status_code == 200
    other = await service.http.post("/v1/readings", json={"metric": "b", "value": 1}, headers=bearer(writer))
    assert other.status_code in (403, 422), other.text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (lambda: signed(exp=time.time() - 60), "has expired"),
        (lambda: signed(aud="others"), "audience"),
        (lambda: signed(iss="https://evil.example.org"), "issuer"),
        (lambda: signed(OTHER), "signature"),
        (lambda: signed(OTHER, kid="unknown"), "does not list"),
        (lambda: signed(exp=None), "lacks"),
        (lambda: signed(sub=None), "lacks"),
        (lambda: signed(nbf=time.time() + 600), "not valid yet"),
        (lambda: unsigned({"alg": "none", "kid": "one"}, claims()), "RS256"),
        (lambda: signed("s" * 32, "HS256"), "RS256"),
        (lambda: signed(ec.generate_private_key(ec.SECP384R1()), "ES384"), "RS256"),
        (lambda: signed(tidewire={"subscribe": "x"}), "cannot be read"),
        (lambda: signed(tidewire={"admin": True, "subscribe": ["a**"]}), "cannot be read"),
        (lambda: "a.b.c", "no JSON Web Token"),
    ],
)
async def test_what_is_wrong_is_refused_and_said(service: Any, text: Any, why: str) -> None:
    await service.http.get("/v1/whoami", headers=bearer(signed()))
    given = text()
    answer = await service.http.get("/v1/whoami", headers=bearer(given))
    assert answer.status_code == 401, answer.text
    assert why in answer.json()["detail"]
    assert given not in answer.text
    assert "Bearer" in answer.headers["www-authenticate"]


_ABSURD = (
    10**400, -(10**400), 1e308, float("inf"), float("-inf"), float("nan"), True, "soon", "9" * 5_000, "", [], [1], {},
    {"a": 1},
)  # fmt: skip


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat", "sub", "aud", "iss", "name", "jti", "tidewire"])
async def test_a_signed_claim_of_any_type_and_size_is_no_failure(service: Any, claim: str) -> None:
    """The provider signs what its users choose; PyJWT raises errors of its own for few of these."""
    await service.http.get("/v1/whoami", headers=bearer(signed()))
    for value in _ABSURD:
        body = json.dumps(claims(**{claim: value})).encode()  # PyJWT's own encoder refuses some
        token = jwt.PyJWS().encode(body, KEY, "RS256", headers={"kid": "one"})
        answer = await service.http.get("/v1/whoami", headers=bearer(token))
        assert answer.status_code in (200, 401), (claim, str(value)[:20], answer.text)
    far = await service.http.get("/v1/whoami", headers=bearer(signed(exp=10**400)))
    assert (far.status_code, far.json()["title"]) == (401, "Unauthorized")


@pytest.mark.parametrize("claim", ["x", "tidewire", "sub", "exp"])
async def test_a_signed_claim_that_is_nested_deeply_is_no_failure(service: Any, claim: str) -> None:
    await service.http.get("/v1/whoami", headers=bearer(signed()))
    for depth in (33, 500, *range(880, 1_010, 5), 3_000):
        for deep in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
            if len(deep) > 8_000:
                continue
            body = json.dumps(claims(**{claim: "?"})).replace('"?"', deep).encode()
            token = jwt.PyJWS().encode(body, KEY, "RS256", headers={"kid": "one"})
            answer = await service.http.get("/v1/whoami", headers=bearer(token))
            assert answer.status_code in (200, 401), (depth, answer.text)
            rest = signed().partition(".")[2]
            head = base64.urlsafe_b64encode(f'{{"alg":"RS256","kid":"one","x":{deep}}}'.encode()).rstrip(b"=").decode()
            answer = await service.http.get("/v1/whoami", headers=bearer(f"{head}.{rest}"))
            assert answer.status_code == 401, (depth, answer.text)


async def test_without_a_claim_it_may_nothing(service: Any) -> None:
    nobody = bearer(signed(tidewire=None))
    assert (await service.http.get("/v1/whoami", headers=nobody)).json()["subscribe"] == []
    assert (await service.http.get("/v1/catalog?metric=**", headers=nobody)).status_code == 403


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"jwt_jwks": "http://id.example.org/keys"}, "https"),
        ({"jwt_jwks": "https://user:secret@id.example.org/keys"}, "password"),
        ({"jwt_jwks": "https://id.example.org/keys"}, "egress"),
        ({"jwt_algorithms": ("HS256",)}, "RS256"),
        ({"jwt_algorithms": ("none",)}, "RS256"),
        ({"jwt_algorithms": ()}, "empty"),
        ({"jwt_audience": ""}, "missing"),
    ],
)
def test_settings_that_open_too_much_are_refused(settings: dict[str, Any], why: str) -> None:
    given = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_jwks": "keys.json", **settings}
    with pytest.raises(InvalidInput, match=why):
        JwtVerifier(ServiceSettings(auth=True, **given))


@pytest.mark.parametrize("name", ["\ud800", "a\udfff\ud800", ["\ud800"], "x" * 99 + "\U0001f525"], ids=ascii)
async def test_a_name_of_half_a_character_is_no_failure(service: Any, name: Any) -> None:
    answer = await service.http.get("/v1/whoami", headers=bearer(signed(name=name)))
    assert (answer.status_code, answer.json()["subscribe"]) == (200, ["plant/**"])


PUBLIC = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"5", b'"x"', b"null", b"{}", b'{"keys":5}', b'{"keys":[5]}', b"\xff", b"[" * 5_000]
)
async def test_a_file_of_keys_that_holds_none_admits_nobody_and_ends_nothing(tmp_path: Path, text: bytes) -> None:
    keys = tmp_path / "jwks.json"
    settings = ServiceSettings(auth=True, jwt_issuer=ISSUER, jwt_audience=AUDIENCE, jwt_jwks=str(keys))
    keys.write_bytes(text)
    verifier = JwtVerifier(settings)
    await verifier.refresh()
    with pytest.raises(Unauthenticated):
        verifier.verify(signed(), time.time() * 1e3)


@pytest.mark.parametrize("kid", ["one", 1])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
async def test_a_file_of_keys_is_read_as_it_is_written(tmp_path: Path, kid: object, mark: bytes) -> None:
    keys = tmp_path / "jwks.json"
    settings = ServiceSettings(auth=True, jwt_issuer=ISSUER, jwt_audience=AUDIENCE, jwt_jwks=str(keys))
    keys.write_bytes(mark + json.dumps({"keys": [{"kty": "XX"}, {**PUBLIC, "kid": kid}]}).encode())
    verifier = JwtVerifier(settings)
    await verifier.refresh()
    found = verifier.verify(signed(kid=str(kid)), time.time() * 1e3)
    assert found is not None
    assert found.name == "anna"
