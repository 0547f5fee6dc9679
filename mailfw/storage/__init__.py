"""Where mail is kept: the one engine, and the places in which it, or other programs, keep the octets."""
