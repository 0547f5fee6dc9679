"""mailfw as the mail trap of somebody's test suite: a whole server beside the tests, into which everything is sent and nothing
leaves. `docs/trap.md` is its manual.

A program of its own, beside `app`: it wires the rooms for one purpose, and nobody in production imports it. Invariants:

- Whoever installs mailfw and does not use the fixture pays for one small module (`plugin`), which imports none of the others.
- Each test begins empty: store, queue, accounts and failures asked for are made anew; ports and certificate stay for the session.
- Nothing leaves: there is no relay. Only loopback is listened on.
"""
