"""Octets to typed commands, results to octets (RFC 3501 §9 and the ABNF of each extension).

Pure: no I/O, no clock, no Twisted. Every parser takes time in proportion to its input: a scanner walks over the octets
once, and what nests is bounded. A command family is a file with its values, its parsers and a table of them; `commands`
joins the tables.
"""
