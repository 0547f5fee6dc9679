"""A small web application that sends mail: whoever signs up gets a code, and is a member once it was typed in.

Its suite, test_signup.py, shows how such an application is tested with mailfw's fixture.
"""

import secrets
from email.message import EmailMessage

from twisted.internet.defer import Deferred
from twisted.mail.smtp import SMTPClientError, sendmail
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET


class Application(Resource):
    """POST /signup address=…, then POST /confirm address=… code=…

    :param host: :param port: of the mail server.
    """

    isLeaf = True

    def __init__(self, host, port):
        super().__init__()
        self.mailServer = (host, port)
        self.codes = {}
        self.members = set()

    def render_POST(self, request):
        address = request.args[b"address"][0].decode()
        if request.path == b"/signup":
            Deferred.fromCoroutine(self.signUp(request, address)).addErrback(request.processingFailed)
            return NOT_DONE_YET
        code = self.codes.get(address)
        if code is None or not secrets.compare_digest(code.encode(), request.args[b"code"][0]):
            request.setResponseCode(403)
            return b"wrong code\n"
        self.members.add(address)
        return b"welcome\n"

    async def signUp(self, request, address):
        code = f"{secrets.randbelow(10**6):06}"
        message = EmailMessage()
        message["From"], message["To"] = "Club <club@example.org>", address
        message["Subject"] = "Welcome to the club"
        message.set_content(f"Your code is {code}.\n")
        host, port = self.mailServer
        try:
            await sendmail(host, "club@example.org", [address], message.as_bytes(), port=port)
        except SMTPClientError as error:
            request.setResponseCode(400 if 500 <= error.code < 600 else 503)
            request.write(b"no mail can be sent there\n")
        else:
            self.codes[address] = code
            request.write(b"look into your mail\n")
        request.finish()
