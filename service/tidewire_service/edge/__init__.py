"""An edge: serves the streams of another service to many viewers, without a Redis.

It is a subscriber upstream and a fan-out downstream. For each distinct selection it has one upstream stream, whose
events it keeps in a ring and hands to all its viewers, with their ids unchanged. Who needs more than the ring has is
given an upstream stream of its own, until what it has is a point of the ring.

`upstream`, `relay`, `identities` and `proxy` do I/O; `blocks`, `ring`, `shared_selection` and `viewer` are pure.
"""
