"""mailfw: a programmable mail system, whose stores, authenticators, routes, hooks and services are plugins."""

__version__ = "0.1.0.dev0"
