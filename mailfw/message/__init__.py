"""Messages (RFC 5322, MIME) by byte offset, and what IMAP, POP3, submission, JMAP and Sieve ask of them in common.

Invariants of the whole room:

- Any bytes are a message. Nothing here raises because of what a message holds (`decoding.UnknownEncoding`, asked for by
  name, is the one exception), and no message makes it work longer than in proportion to its size: depth, parts, fields
  and addresses are bounded, and what lies past a bound is kept as bytes and no longer understood.
- Nothing is changed behind anybody's back: a part is a pair of offsets into the content, and what is sent are those
  octets.
- No I/O, no clock, no Twisted.

Lines end in CRLF or in LF; the empty line that ends a header is the first one of either kind, whatever the lines before
it look like.
"""
