"""Milters as hooks: the protocol that libmilter speaks, version 6, from the side of the mail system.

`grammar` is the packets (pure), `session` what is said for one client's connection and what the answers mean, `connection` the
socket and the hook.
"""
