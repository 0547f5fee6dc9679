"""`twistd mailfw` and `twist mailfw`. Nothing of mailfw is imported before the command is given."""

from twisted.application.service import ServiceMaker

mailfw = ServiceMaker(
    "mailfw",
    "mailfw.app.launch",
    "A mail system: SMTP, POP3 and IMAP. Without --config: development mode, on loopback.",
    "mailfw",
)
