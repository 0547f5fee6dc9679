"""Hooks: other people's say in a message's life, and the adapters to programs that have one (milter, policy service, HTTP)."""
