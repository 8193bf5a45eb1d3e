"""Who may publish, who may watch: scopes, tokens, JSON Web Tokens, tickets, and the door that asks for them."""
