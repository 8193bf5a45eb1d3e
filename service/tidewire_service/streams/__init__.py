"""Subscriptions as ASGI responses: opening, quotas, heartbeats, deadlines, rotation and drain."""
