"""A small web application of Flask's that sends mail: whoever signs up gets a link, and is a member once it was followed.

Its suite, test_club.py, shows how such an application is tested with mailfw's fixture, without a line of Twisted.
"""

import secrets
import smtplib
from email.message import EmailMessage

from flask import Flask, abort, request, url_for


def create(host, port):
    """:param host: :param port: of the mail server."""
    app = Flask(__name__)
    waiting, members = {}, set()
    app.config.update(MEMBERS=members)

    @app.post("/signup")
    def signUp():
        address, key = request.form["address"], secrets.token_urlsafe(12)
        message = EmailMessage()
        message["From"], message["To"] = "Club <club@example.org>", address
        message["Subject"] = "Welcome to the club"
        message.set_content(f"Follow {url_for('confirm', key=key, _external=True)} to be a member.\n")
        message.add_attachment("Be kind.\n", filename="rules.txt")
        try:
            with smtplib.SMTP(host, port) as server:
                server.send_message(message)
        except smtplib.SMTPRecipientsRefused as refused:
            code, _ = refused.recipients[address]
            abort(400 if code >= 500 else 503)
        waiting[key] = address
        return "look into your mail\n"

    @app.get("/confirm/<key>")
    def confirm(key):
        if key not in waiting:
            abort(404)
        members.add(waiting.pop(key))
        return "welcome\n"

    return app
