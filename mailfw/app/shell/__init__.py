"""The manhole: a Python prompt inside the running server, for whoever may do everything anyway.

`entrance` is SSH: who comes in, and how. `prompt` is one prompt, made of what is pure – `keys`, `editor`, `statements` – and of
`interpreter`, which runs statements in the reactor's thread and says which of them held it up. `names` says what is there:
`sessions` (with `trace`, whose masks are `wire`), `mail`, `verbs` (the queue), `services`, `configtree`, `lessons` (help). All of
it becomes `page`s, and only printable text gets from a page to a screen, whatever a remote client has sent.
"""
