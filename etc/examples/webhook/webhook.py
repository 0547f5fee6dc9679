# webhook.py
"""Tells an application of mail, by HTTP: POST, in JSON, signed.

Whatever is not answered with 2xx is told again, later and later, for as long as `[code]` says.
"""

import hashlib
import hmac
import json
import os

from twisted.internet import reactor

from mailfw import mail
from mailfw.net.web import Web, WebTrouble, checkURL

URL = checkURL(os.environ["WEBHOOK_URL"])
KEY = os.environ["WEBHOOK_KEY"].encode()
LARGEST = 10 * 1024 * 1024

web = Web(reactor, timeout=20)


@mail.route("{name:slug}@hooks.example.org", timeout=30, concurrency=8, retry=["30s*4", "5m*12", "1h"])
async def tell(message, name):
    if message.size > LARGEST:
        return mail.Reject("5.3.4 too large for this address")
    told = {
        "id": message.id,  # the same each time this message is told of
        "arrived": message.arrived,
        "sender": message.sender,
        "recipient": message.recipient,
        "from": message.get("From"),
        "subject": message.subject,
        "text": message.text,
        "attachments": [{"name": each.safeName, "type": each.type, "size": len(each.content)} for each in message.attachments],
    }
    body = json.dumps(told).encode()
    signature = hmac.new(KEY, body, hashlib.sha256).hexdigest()
    headers = {b"content-type": b"application/json", b"x-signature": f"sha256={signature}".encode()}
    try:
        await web.send(URL, body, headers)
    except WebTrouble as trouble:
        return mail.Defer(str(trouble))
    return mail.Discard(f"{URL} has it")
