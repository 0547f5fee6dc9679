"""The way of a message: what an address leads to (`directory`), and into our own store (`router`, `local`).

A message whose acceptance was announced is committed: to mailboxes, or (later) to the queue. Nothing is ever re-parsed
as a route: `a%b@local` is a local part with a percent sign in it.
"""
