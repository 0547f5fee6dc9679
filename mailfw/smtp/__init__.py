"""SMTP, submission and LMTP: one engine, three roles (RFC 5321, RFC 6409, RFC 2033)."""
