"""What every listener shares, whatever it speaks: lines and sinks, STARTTLS, deadlines, backpressure, limits, graceful stop.

Nothing here knows a protocol's words, a store or a plugin; `smtp`, `pop3` and `imap` stand on it.
"""
