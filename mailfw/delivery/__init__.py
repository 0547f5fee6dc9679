"""The way of a message: which addresses are ours and where they lead, and how mail gets there."""
