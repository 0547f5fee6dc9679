"""Plugins that break a promise are caught by the test that is meant for it, and by no other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import mailfw
from mailfw.testing.promises.broken import sentence

TEMPLATES = Path(mailfw.__file__).parent / "app" / "templates"
PATIENCE = 600

BROKEN = {
    "storage": {
        "loses a message": (("executemany(insert, rows)", "executemany(insert, rows[1:])"),),
        "forgets when it is reopened": (
            ("self.ask(TABLE)", 'self.ask("DROP TABLE IF EXISTS message")\n        self.ask(TABLE)'),
        ),
        "counts line ends": (("length(content) FROM", "length(replace(content, x'0d', x'')) FROM"),),
        "gives what is gone": (("raise Vanished", 'return b""'),),
        "has one key for equal messages": (
            ("secrets.token_hex(12)", "__import__('hashlib').sha256(message.source.read()).hexdigest()"),
        ),
        "forgets dates": (("self.now() if new.internalDate is None else new.internalDate", "self.now()"),),
        "mixes accounts": (
            ('WHERE = "WHERE account = ? AND folder = ?"', "WHERE = \"WHERE account != ? || '/' AND folder = ?\""),
        ),
    },
    "auth": {
        "lets everybody in": (("return hmac.compare_digest(scrambled(password, salt), stored)", "return True"),),
        "knows nobody": (('("00" * 16, "")', '("00" * 16, "")[:0]'),),
        "says who is unknown": (
            (
                "        if not await self.there(self.isRight",
                """\
        if account not in self.accounts():
            raise AuthenticationFailed("no such account")
        if not await self.there(self.isRight""",
            ),
        ),
        "takes a password's beginning": (
            ("if not password.isprintable():", 'password = password.partition("\\0")[0]\n        if False:'),
        ),
        "lists nobody": (("return account in await", "return account not in await"),),
    },
    "hook": {
        "answers what may not be answered there": (
            ("Continue((AddHeader", "Discard() if not event.message.size else Continue((AddHeader"),
            ("import AddHeader", "import Discard, AddHeader"),
            ("Stage.END_OF_MESSAGE", "Stage.DSN_CREATED"),
        ),
        "answers nonsense": (("return None  # go on", 'return "go on"'),),
        "raises for the sender of reports": (("sender is not None and ", ""),),
        "is no plugin": (("def openHook(self, argument, context)", "def openHook(self, argument)"),),
    },
    "route": {
        "says that it delivered what it lost": (("file.writelines(message.chunks())", "file.write(b'')"),),
        "loses what is empty": (("return name", 'message.size or os.remove(path)\n        return "gone"'),),
        "has one outcome for all": (("] * len(self.recipients)", "]"),),
        "delivers what was aborted": (
            ('"""Nothing was begun."""', "self.write(__import__('mailfw').values.MessageSource(b'x'))"),
        ),
        "has a new destination each time": (('return f"specimen:{self.directory}"', "return secrets.token_hex(4)"),),
        "chokes on names": (
            ("self.recipients.append(recipient)", "self.recipients.append(recipient.address.local.encode('ascii'))"),
        ),
        "blocks where it may wait": (
            ("async def commit", "def commit"),
            ("await deferToThread(self.write, message)", "self.write(message)"),
        ),
    },
    "service": {
        "keeps the silent for ever": (("self.setDeadline(60)", "pass"),),
        "has no port": (("port = 4000", "port = 0"),),
        "raises": (("case _:", "case _ if line.decode('ascii') and False:"),),
        "leaves a call behind": (("def greet(self):", "def greet(self):\n        self.context.reactor.callLater(10**6, list)"),),
    },
}
MEANT = {
    "counts line ends": ["test_theSizeIsThatOfWhatIsRead", "test_appendReturnsWhatScanFinds"],
    "gives what is gone": ["test_whatIsGoneHasVanished"],
    "has one key for equal messages": [
        "test_equalMessagesHaveKeysOfTheirOwn",
        "test_equalMessagesKeepTheirKeysWhenOthersGo",
        "test_messagesComeBackWhateverStandsBesideThem",
        "test_anySequenceOfOctetsComesBack",
        "test_appendReturnsWhatScanFinds",
        "test_theInternalDateIsKept",
        "test_theTokenChangesWithEveryChange",
    ],
    "forgets dates": ["test_theInternalDateIsKept"],
    "mixes accounts": ["test_everyAccountNameIsAnAccountOfItsOwnOrRefused", "test_accountsCanBeUsedAtTheSameTime"],
    "says who is unknown": ["test_wrongPasswordAndUnknownUserAreAlike"],
    "takes a password's beginning": ["test_hostilePasswords"],
    "lists nobody": ["test_listsItsUsers"],
    "answers what may not be answered there": ["test_itAnswersWhatMayBeAnsweredAtItsStages"],
    "answers nonsense": ["test_itAnswersWhatMayBeAnsweredAtItsStages"],
    "raises for the sender of reports": ["test_itAnswersWhatMayBeAnsweredAtItsStages"],
    "says that it delivered what it lost": ["test_whatIsSaidToBeDeliveredHasArrived"],
    "loses what is empty": ["test_whatIsSaidToBeDeliveredHasArrived"],
    "has one outcome for all": ["test_eachRecipientHasAnOutcomeInItsPlace"],
    "delivers what was aborted": ["test_whatIsAbortedNeverArrives"],
    "has a new destination each time": ["test_aDomainHasOneDestination"],
    "chokes on names": ["test_aRecipientIsTakenOrRefused"],
    "keeps the silent for ever": ["test_whoSaysNothingIsNotKeptForEver"],
    "has no port": ["test_thePluginKeepsItsInterface"],
    "leaves a call behind": ["test_whoHangsUpIsForgotten"],
}


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What was said of the contract's tests that failed, by what is broken and the test's name."""
    place = tmp_path_factory.mktemp("broken")
    numbered = {}
    for kind, plugins in BROKEN.items():
        for name, changes in plugins.items():
            number = f"n{len(numbered)}"
            numbered[number] = name
            text = (TEMPLATES / kind / "mailfw_specimen.py").read_text()
            for old, new in changes:
                assert old in text, (name, old)
                text = text.replace(old, new)
            (place / f"specimen_{number}.py").write_text(text.replace("n=2**14", "n=2"))  # a weak hash is a fast one
            test = (TEMPLATES / kind / "tests" / "test_contract.py").read_text()
            (place / f"test_{number}.py").write_text(test.replace("mailfw_specimen", f"specimen_{number}"))
    words = ("-q", "-p", "no:cacheprovider", "-p", "mailfw.testing.report", f"--mailfw-report={place}/report", "-c", "/dev/null")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *words, "--tb=no", f"--rootdir={place}", f"--basetemp={place}/bt", "."],
        cwd=place,
        env={"PYTHONPATH": str(Path(mailfw.__file__).parent.parent), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert run.returncode == 1, run.stdout  # collected, and some failed
    found: dict[str, dict[str, str]] = {name: {} for name in numbered.values()}
    for each in map(json.loads, (place / "report").read_text().splitlines()):
        if each["outcome"] == "broken" and each["test"].startswith("TestSpecimen::"):
            number = each["file"].removeprefix("test_").removesuffix(".py")
            test = each["test"].removeprefix("TestSpecimen::").partition("[")[0]
            found[numbered[number]][test] = each["sentence"]
    return found


@pytest.mark.parametrize("name", MEANT)
def test_aBrokenPromiseIsCaughtByItsTest(failed: dict[str, dict[str, str]], name: str) -> None:
    own = {"test_refusesMailFromTheDomains", "test_answers"}  # the plugin's own tests, beside the contract
    assert set(failed[name]) - own == set(MEANT[name])
    for test in MEANT[name]:
        assert failed[name][test].startswith(OWN.get(test) or sentence(test))


OWN = {"test_hostilePasswords": "What is no password lets nobody in, and is refused as any wrong one"}
"""Promises that have a sentence of their own; others are told in the words of the test's name."""
MANY = [name for kind in BROKEN.values() for name in kind if name not in MEANT]


@pytest.mark.parametrize("name", MANY)
def test_whatBreaksMoreThanOnePromiseIsCaught(failed: dict[str, dict[str, str]], name: str) -> None:
    assert failed[name]
