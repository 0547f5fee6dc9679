"""The engine beside a simple store: whoever can list, read, add and remove messages gets everything else from here.

The files are the truth for bytes, and for flags where their format has them. A database beside them, the state, keeps what the
format cannot: UIDs, MODSEQ, the vanished log, subscriptions, other flags. When both disagree, the files are right, and the state
follows (`reconcile`).

How a change is made, so that a crash at any point loses nothing (`effects`, `intents`):

1. The operations are rehearsed in the state, which yields their effects on files, and are taken back.
2. When more than one message or folder is concerned, the effects are written down as an intent, with the keys of new messages.
3. The files are changed; each step is durable when it returns.
4. The operations are done in the state, in group commit, and the intent is forgotten in the same transaction.

A single delivery needs no intent: after a crash between 3 and 4 the message is found in its folder and numbered then, as if
another program had put it there. It was not acknowledged, so it may come twice, and cannot be lost. The same holds for one
message's removal or flags.
"""
