"""What a plugin author and an administrator see of finding and checking plugins."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from zope.interface import implementer

from mailfw.interfaces import IAuthenticator, IAuthenticatorPlugin, IMailbox, IMailStorePlugin
from mailfw.plugins import BrokenPlugin, BuiltIn, Kind, Plugins, UnknownPlugin, check, didYouMean


@implementer(IMailStorePlugin)
class Cellar:
    """Keeps mail cool."""

    prefix = "cellar"

    def openStore(self, argument: str, context: Any) -> Any:
        return argument


cellar = Cellar()


@implementer(IMailStorePlugin)
class Misshapen:
    prefix = "misshapen"

    def openStore(self, argument: str) -> Any:
        return argument


misshapen = Misshapen()

DROPPED_IN = '''
from zope.interface import implementer
from mailfw.interfaces import IAuthenticatorPlugin

@implementer(IAuthenticatorPlugin)
class Doorman:
    """Knows everybody."""
    prefix = "doorman"
    def openAuthenticator(self, argument, context):
        return None

doorman = Doorman()
'''


def entryPoint(name: str, value: Any) -> Any:
    def load() -> Any:
        if isinstance(value, Exception):
            raise value
        return value

    return SimpleNamespace(name=name, dist=SimpleNamespace(name="somebodys-package"), load=load)


@pytest.fixture
def dropIns(tmp_path: Path) -> Any:
    """A package that stands for `twisted.plugins`, with a directory to drop modules into."""
    name = f"dropins_{tmp_path.name}".replace("-", "_")
    package = ModuleType(name)
    package.__path__ = [str(tmp_path)]
    sys.modules[name] = package
    yield package, tmp_path
    for module in [each for each in sys.modules if each.partition(".")[0] == name]:
        del sys.modules[module]


def plugins(package: Any = None, points: tuple[Any, ...] = (), builtIns: tuple[BuiltIn, ...] = ()) -> Plugins:
    empty = ModuleType("nothing_here")
    empty.__path__ = []
    return Plugins(builtIns, package or empty, lambda: points)


OURS = BuiltIn(Kind.STORE, "cellar", f"{__name__}:cellar", "a store for tests")


def test_aBuiltInIsFoundByItsPrefixAndGetsTheArgument() -> None:
    assert plugins(builtIns=(OURS,)).open(Kind.STORE, "cellar:left:corner") == (cellar, "left:corner")


def test_onlyTheBuiltInThatIsAskedForIsImported() -> None:
    broken = BuiltIn(Kind.STORE, "absent", "mailfw.no.such.module:plugin")
    assert plugins(builtIns=(OURS, broken)).find(Kind.STORE, "cellar") is cellar


def test_anUnknownPrefixIsAnsweredWithTheNearestOne() -> None:
    with pytest.raises(UnknownPlugin, match=r'there is no store "celar" – did you mean "cellar"\?'):
        plugins(builtIns=(OURS,)).open(Kind.STORE, "celar:x")


def test_aSpecificationWithoutColonSaysHowToWriteIt() -> None:
    with pytest.raises(UnknownPlugin, match='"cellar" lacks a colon'):
        plugins(builtIns=(OURS,)).open(Kind.STORE, "cellar")


def test_kindsHaveTheirOwnWords() -> None:
    with pytest.raises(UnknownPlugin, match='no authenticator "cellar"'):
        plugins(builtIns=(OURS,)).open(Kind.AUTHENTICATOR, "cellar:")


def test_aModuleDroppedIntoTwistedPluginsIsFound(dropIns: Any) -> None:
    package, directory = dropIns
    (directory / "doorman.py").write_text(DROPPED_IN)
    (directory / "unrelated.py").write_text("raise RuntimeError('imported, and it is none of ours')")
    found = plugins(package)
    assert IAuthenticatorPlugin.providedBy(found.find(Kind.AUTHENTICATOR, "doorman"))
    assert [(each.word, each.summary, each.error) for each in found.all()] == [("doorman", "Knows everybody.", "")]


def test_aModuleThatFailsToImportIsNamedWithItsError(dropIns: Any) -> None:
    package, directory = dropIns
    (directory / "broken.py").write_text("import mailfw\nimport no_such_module_at_all\n")
    [found] = plugins(package).all()
    assert found.origin.endswith("broken.py")
    assert found.error == "ModuleNotFoundError: No module named 'no_such_module_at_all'"
    with pytest.raises(UnknownPlugin, match=r"failed to import.*broken\.py.*no_such_module_at_all"):
        plugins(package).find(Kind.STORE, "anything")


def test_aModuleWithASyntaxErrorIsNamedToo(dropIns: Any) -> None:
    package, directory = dropIns
    (directory / "crooked.py").write_text("import mailfw\ndef (:\n")
    [found] = plugins(package).all()
    assert found.error.startswith("SyntaxError: ")
    assert "\n" not in found.error


def test_entryPointsGiveAPluginOrAList() -> None:
    assert plugins(points=(entryPoint("one", cellar),)).find(Kind.STORE, "cellar") is cellar
    assert plugins(points=(entryPoint("many", [cellar]),)).words(Kind.STORE) == ["cellar"]


def test_aModuleOnAStackLeadsToThePluginThatItIsOf() -> None:
    found = plugins(points=(entryPoint("one", cellar),))
    home = __name__.partition(".")[0]
    assert found.nameOf(f"{home}.deeper.still") == "", "nobody has asked for a plugin yet"
    found.find(Kind.STORE, "cellar")
    assert found.nameOf(f"{home}.deeper.still").startswith("store cellar (entry point one")
    assert found.nameOf("mailfw.storage.engine") == found.nameOf("json") == found.nameOf("") == ""


def test_anEntryPointThatFailsOrIsNoPluginIsNamed() -> None:
    points = (entryPoint("bad", ImportError("no libfoo")), entryPoint("odd", 42))
    errors = [each.error for each in plugins(points=points).all()]
    assert errors == ["ImportError: no libfoo", "42 provides no plugin contract of mailfw.interfaces"]


def test_aMisshapenPluginIsFoundAndRefused() -> None:
    found = plugins(points=(entryPoint("bad", misshapen),))
    with pytest.raises(BrokenPlugin, match=r'"misshapen" \(entry point bad of somebodys-package\) cannot be used: .*openStore'):
        found.find(Kind.STORE, "misshapen")
    assert found.words(Kind.STORE) == []


def test_twoPluginsOfOneWordAreAnErrorThatNamesBoth() -> None:
    found = plugins(points=(entryPoint("one", cellar), entryPoint("two", Cellar())))
    with pytest.raises(BrokenPlugin, match=r"entry point one .* and entry point two"):
        found.find(Kind.STORE, "cellar")


def test_aBuiltInCannotBeReplacedAndTheOtherIsListedAsShadowed() -> None:
    found = plugins(points=(entryPoint("usurper", Cellar()),), builtIns=(OURS,))
    assert found.find(Kind.STORE, "cellar") is cellar
    assert [each.error for each in found.all()] == ["", 'the built-in store has the word "cellar"']


@implementer(IAuthenticator)
class Hasty:
    def authenticate(self, credentials: Any) -> Any:
        return None


def test_aPlainDefWhereTheContractSaysAsyncIsFound() -> None:
    with pytest.raises(BrokenPlugin, match=r"Hasty breaks IAuthenticator: authenticate\(\) must be an `async def`"):
        check(IAuthenticator, Hasty())


def test_anAsyncDefWhereTheContractSaysPlainIsFound() -> None:
    @implementer(IMailStorePlugin)
    class Eager:
        prefix = "eager"

        async def openStore(self, argument: str, context: Any) -> Any:
            return None

    with pytest.raises(BrokenPlugin, match=r"openStore\(\) must be a plain `def`"):
        check(IMailStorePlugin, Eager())


def test_everyFaultIsNamedAtOnce() -> None:
    @implementer(IMailbox)
    class Hollow:
        def status(self) -> None: ...

    with pytest.raises(BrokenPlugin) as caught:
        check(IMailbox, Hollow())
    text = str(caught.value)
    assert all(name in text for name in ("info", "snapshot", "rows", "read", "changesSince", "status() must be"))
    assert "\n" not in text


def test_didYouMean() -> None:
    assert didYouMean("Hostnam", ["hostname", "domains"]) == ' – did you mean "hostname"?'
    assert didYouMean("zzz", ["hostname"]) == ""
