"""Authentication: scopes, tokens, JSON Web Tokens, tickets and request rates."""
