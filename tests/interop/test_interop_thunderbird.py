"""Thunderbird, without a screen, steered through Marionette: it reads, searches, moves and flags, and sees new mail by itself.

It is large, so that continuous integration does not install it: there these tests are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess

import pytest

HOST = "127.0.0.1"

pytestmark = pytest.mark.prove

# What every script begins with. A script is the body of an async function; what it returns, or what is wrong, goes back.
PRELUDE = """
const done = arguments[arguments.length - 1], given = Array.from(arguments).slice(0, -1);
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const { setTimeout } = ChromeUtils.importESModule("resource://gre/modules/Timer.sys.mjs");
const server = MailServices.accounts.accounts.map(each => each.incomingServer).find(each => each.type == "imap");
const folder = name => server.rootFolder.subFolders.find(each => each.name.toLowerCase() == name.toLowerCase());
const message = (where, subject) => [...folder(where).messages].find(each => each.mime2DecodedSubject == subject);
const until = async (condition, what) => {
  for (let turn = 0; turn < 300; turn++) {
    const found = condition();
    if (found) return found;
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  throw new Error(`waited for ${what}`);
};
const listener = (kind, methods) => ({ QueryInterface: ChromeUtils.generateQI([kind]), ...methods });
"""

LOG_IN = """
const login = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
login.init("imap://127.0.0.1", null, "imap://127.0.0.1", "jsmith", "mailfw", "", "");
await Services.logins.addLoginAsync(login);
server.performExpand(null);
await until(() => folder("INBOX"), "the folders");
folder("INBOX").updateFolder(null);
await until(() => folder("INBOX").getTotalMessages(false) == given[0], "the messages");
return [...folder("INBOX").messages].map(each => each.mime2DecodedSubject);
"""

READ = """
const uri = folder("INBOX").getUriForMsg(message("INBOX", given[0]));
return await new Promise(resolve => {
  let text = "";
  MailServices.messageServiceFromURI(uri).streamMessage(uri, listener("nsIStreamListener", {
    onStartRequest() {},
    onDataAvailable(request, stream, offset, count) {
      const input = Cc["@mozilla.org/scriptableinputstream;1"].createInstance(Ci.nsIScriptableInputStream);
      input.init(stream);
      text += input.read(count);
    },
    onStopRequest() { resolve(text); },
  }), null, null, false, "", false);
});
"""

SEARCH = """
const session = Cc["@mozilla.org/messenger/searchSession;1"].createInstance(Ci.nsIMsgSearchSession);
session.addScopeTerm(Ci.nsMsgSearchScope.onlineMail, folder("INBOX"));
const term = session.createTerm(), value = term.value;
term.attrib = value.attrib = Ci.nsMsgSearchAttrib.Body;
term.op = Ci.nsMsgSearchOp.Contains;
value.str = given[0];
term.value = value;
session.appendTerm(term);
const hits = [];
await new Promise(resolve => {
  session.registerListener({
    onSearchHit(header) { hits.push(header.mime2DecodedSubject); }, onSearchDone: resolve, onNewSearch() {},
  });
  session.search(null);
});
return hits;
"""

MOVE = """
await new Promise((resolve, reject) => MailServices.copy.copyMessages(
  folder("INBOX"), [message("INBOX", given[0])], folder(given[1]), true, listener("nsIMsgCopyServiceListener", {
    onStartCopy() {}, onProgress() {}, setMessageKey() {}, getMessageId() {},
    onStopCopy(status) { status ? reject(new Error(status)) : resolve(); },
  }), null, false));
"""

FLAG = 'folder("INBOX").markMessagesFlagged([message("INBOX", given[0])], true);'
WAIT = 'await until(() => message("INBOX", given[0]), "news");'


class Marionette:
    """A conversation with a program of Mozilla's: `length:[type, id, name or error, parameters or result]`, each way."""

    def __init__(self, port):
        self._socket = socket.create_connection((HOST, port), timeout=60)
        self._file = self._socket.makefile("rb")
        self._count = 0
        self._receive()  # its greeting

    def ask(self, command, **parameters):
        self._count += 1
        said = json.dumps([0, self._count, command, parameters]).encode()
        self._socket.sendall(b"%d:%b" % (len(said), said))
        _, _, error, result = self._receive()
        assert error is None, error
        return result

    def _receive(self):
        length = b""
        while (octet := self._file.read(1)) != b":":
            assert octet, "it has hung up"
            length += octet
        return json.loads(self._file.read(int(length)))

    def close(self):
        self._file.close()
        self._socket.close()


class Thunderbird:
    """A running Thunderbird with one account on our server."""

    def __init__(self, program, home, port, waitFor):
        with socket.create_server((HOST, 0)) as free:
            marionettePort = free.getsockname()[1]
        profile = home / "profile"
        profile.mkdir()
        preferences = {
            "marionette.port": marionettePort,
            "mail.accountmanager.accounts": "account1",
            "mail.accountmanager.defaultaccount": "account1",
            "mail.account.account1.server": "server1",
            "mail.account.account1.identities": "id1",
            "mail.identity.id1.useremail": "jsmith@localhost",
            "mail.identity.id1.valid": True,
            "mail.server.server1.type": "imap",
            "mail.server.server1.hostname": HOST,
            "mail.server.server1.port": port,
            "mail.server.server1.userName": "jsmith",
            "mail.server.server1.socketType": 0,
            "mail.server.server1.authMethod": 3,
            "mail.server.server1.login_at_startup": False,
            "mail.shell.checkDefaultClient": False,
            "mail.provider.suppress_dialog_on_startup": True,
            "mailnews.start_page.enabled": False,
            "datareporting.policy.dataSubmissionEnabled": False,
            "network.captive-portal-service.enabled": False,
            "network.connectivity-service.enabled": False,
            "services.settings.server": "",
            "app.update.enabled": False,
        }
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in preferences.items()]
        (profile / "user.js").write_text("".join(lines))
        options = ("--headless", "--marionette", "--remote-allow-system-access", "--no-remote", "-profile", str(profile))
        with (home / "said").open("wb") as said:
            self.process = subprocess.Popen(
                [program, *options], stdout=said, stderr=subprocess.STDOUT, env=os.environ | {"HOME": str(home)}
            )

        def answers():
            try:
                return Marionette(marionettePort)
            except OSError:
                return None

        self._marionette = waitFor(answers, "Thunderbird")
        self._marionette.ask("WebDriver:NewSession", capabilities={})
        self._marionette.ask("Marionette:SetContext", value="chrome")
        self._marionette.ask("WebDriver:SetTimeouts", script=30_000)

    def run(self, script, *given):
        """What a script returns."""
        body = f"(async () => {{{script}}})().then(value => done([true, value]), error => done([false, String(error)]));"
        answer = self._marionette.ask(
            "WebDriver:ExecuteAsyncScript", script=PRELUDE + body, args=given, newSandbox=True, sandbox="system"
        )
        isDone, value = answer["value"]
        assert isDone, value
        return value

    def stop(self):
        try:
            self._marionette.ask("Marionette:Quit", flags=["eForceQuit"])
            self.process.wait(120)
        finally:
            self._marionette.close()
            self.process.kill()
            self.process.wait()


@pytest.fixture
def thunderbird(server, tmp_path, waitFor):
    """Starts it."""
    program = shutil.which("thunderbird")
    if program is None:
        pytest.skip("thunderbird is not installed")
    started = []

    def start():
        started.append(Thunderbird(program, tmp_path, server.ports["imap"], waitFor))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def test_thunderbird(server, thunderbird, letter, waitFor):
    with server.imap() as imap:
        imap.create("Plans")
        imap.subscribe("Plans")  # it shows no others
    server.deliver(letter("one", "A needle."), letter("two", "Hay."), letter("three", "Another needle."))
    program = thunderbird()
    assert program.run(LOG_IN, 3) == ["one", "two", "three"]
    assert program.run(READ, "one").replace("\r\n", "\n").endswith("\nSubject: one\n" + _rest(letter("one", "A needle.")))
    assert program.run(SEARCH, "needle") == ["one", "three"]

    # It hears of news in answers to other commands, too, but does not heed them there.
    waitFor(lambda: ("idle", "INBOX") in server.sessions(), "IDLE")
    server.deliver(letter("four"))
    program.run(WAIT, "four")

    program.run(MOVE, "two", "Plans")
    program.run(FLAG, "one")
    assert server.subjects() == ["one", "three", "four"]
    assert server.subjects(folder="Plans") == ["two"]
    with server.imap() as imap:
        imap.select("INBOX", readonly=True)
        waitFor(lambda: imap.search(None, "FLAGGED", "SUBJECT", "one")[1] != [b""], "the flag")


def _rest(message):
    """A message from the field after Subject on."""
    return message.decode().replace("\r\n", "\n").partition("\nSubject: one\n")[2]
