"""Mail as JSON: whatever comes for hook-NAME@ is POSTed to a URL, signed, until the program there takes it.

The program checks `X-Mail-Signature`: `t=SECONDS,v1=HEX`, the HMAC-SHA256 of `SECONDS.BODY` under the secret that both know. It
may see a message twice, and knows that by `X-Mail-Id`.
"""

import hashlib
import hmac
import io
import json
import os
import time
from base64 import b64encode

from twisted.internet import reactor
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool, readBody
from twisted.web.http_headers import Headers

from mailfw import mail

HOOKS = {"orders": os.environ.get("WEBHOOK_URL", "http://127.0.0.1:8080/mail")}  # by NAME
SECRET = os.environ.get("WEBHOOK_SECRET", "a long secret that the program knows too").encode()
LARGEST = 10 << 20  # octets of a message

agent = Agent(reactor, connectTimeout=10, pool=HTTPConnectionPool(reactor, persistent=False))


def bodyOf(message, name):
    """The JSON of a message."""
    return json.dumps({
        "id": message.id,
        "hook": name,
        "from": message.sender,
        "to": message.recipient,
        "subject": message.subject,
        "messageId": message.messageId,
        "text": message.text,
        "html": message.html,
        "attachments": [
            {"name": each.safeName, "type": each.type, "content": b64encode(each.content).decode()}
            for each in message.attachments
        ],
    }).encode()  # fmt: skip


def signature(body, seconds):
    return f"t={seconds},v1={hmac.digest(SECRET, b'%d.' % seconds + body, hashlib.sha256).hex()}"


@mail.route("hook-{name:slug}@example.org", timeout="30s", retry=["10s", "1m*5", "10m"], giveUpAfter="1d")
async def hook(message, name):
    """Post it. What is raised (nobody listens, the connection breaks) is tried again, as an error of the program is."""
    url = HOOKS.get(name)
    if url is None:
        return mail.Reject("5.1.1 there is no such hook")
    if message.size > LARGEST:
        return mail.Reject("5.3.4 the message is too large for the program that would get it")
    body = bodyOf(message, name)
    headers = Headers({
        "Content-Type": ["application/json"],
        "X-Mail-Id": [message.id],
        "X-Mail-Signature": [signature(body, int(time.time()))],
    })  # fmt: skip
    response = await agent.request(b"POST", url.encode(), headers, FileBodyProducer(io.BytesIO(body)))
    said = (await readBody(response))[:200].decode("utf-8", "replace") if 0 <= response.length < 65536 else ""
    if 200 <= response.code < 300:
        return None
    if response.code in (408, 425, 429) or response.code >= 500:
        wanted = response.headers.getRawHeaders("Retry-After", [""])[0]
        return mail.Defer(f"HTTP {response.code}: {said}", after=min(int(wanted), 3600) if wanted.isdecimal() else None)
    return mail.Reject(f"5.3.0 the program does not take it (HTTP {response.code})")
