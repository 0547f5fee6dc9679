"""The system put together: configuration, the service tree, control socket, command line, manhole, logs.

The only place that names concrete plugins and wires one room to another.
"""
