"""Finds the token in what clients of other services send as credentials; pure."""

from __future__ import annotations

import base64
import binascii

from tidewire_service.errors import Unauthenticated

__all__ = ["bearer_of"]


def bearer_of(authorization: str, token: str = "") -> str:
    """Return ``Bearer …`` for any form in which a client sends a token; an empty text for none.

    Args:
        authorization: the header: ``Bearer x``, ``Token x``, or Basic, whose password is the token. A user before a
            colon is left out.
        token: from elsewhere, such as a query string; used if the header is empty.

    Raises:
        Unauthenticated: the header has none of these forms.
    """
    if not authorization:
        return f"Bearer {token}" if token else ""
    scheme, _, rest = authorization.partition(" ")
    rest = rest.strip()
    match scheme.lower():
        case "bearer" | "token":
            found = rest
        case "basic":
            try:
                found = base64.b64decode(rest, validate=True).decode()
            except (binascii.Error, ValueError):
                raise Unauthenticated("the Basic credentials are not base64 of user:token", token_given=True) from None
        case _:
            raise Unauthenticated("expected the token as Bearer, Token, or the password of Basic", token_given=True)
    return f"Bearer {found.rpartition(':')[2]}"
