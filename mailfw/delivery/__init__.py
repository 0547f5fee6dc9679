"""The way of a message: what an address leads to (`directory`), into our store and the queue (`router`, `local`), and out of it.

    router → queue → relay → routes: carrier (SMTP, LMTP), pipe
                       ↓      ↓
                     verdict  destination, dns, sessions
                       ↓
                     bounce

A message whose acceptance was announced is committed: to mailboxes, or to the queue. Nothing is ever re-parsed as a route:
`a%b@local` is a local part with a percent sign in it.
"""
