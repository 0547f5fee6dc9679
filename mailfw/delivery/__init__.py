"""The way of a message: where its recipients are, and who takes it there."""
