"""The directory: what addresses lead to, and who may send as them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface import implementer
from zope.interface.verify import verifyObject

from mailfw.delivery.directory import DEPTH_LIMIT, SIZE_LIMIT, Directory
from mailfw.errors import AuthenticationUnavailable, NoSuchRecipient, RelayDenied, Unavailable
from mailfw.interfaces import IAliases, IDirectory, IUserList
from mailfw.testing.authenticator import resultOf
from mailfw.values import Address, Identity, Target


@implementer(IUserList, IAliases)
class Users:
    def __init__(self, accounts=("mbrain", "jsmith"), aliases=None, admins=()):
        self.accounts = {name if "@" in name else f"{name}@example.org" for name in accounts}
        self.aliases = {name if "@" in name else f"{name}@example.org": targets for name, targets in (aliases or {}).items()}
        self.administrators = list(admins)
        self.isAway = False

    async def hasAccount(self, account):
        if self.isAway:
            raise AuthenticationUnavailable
        return account in self.accounts

    async def admins(self):
        return self.administrators

    async def aliasTargets(self, address):
        return self.aliases.get(address, [])


def directoryOf(users=None, domains=("example.org", "example.net"), **config):
    users = users or Users()
    return Directory(users, users, domains, **config)


def address(text):
    return Address("postmaster", "") if text.lower() == "postmaster" else Address(*text.rsplit("@", 1))


def resolve(directory, text):
    found = resultOf(directory.resolve(address(text)))
    return [target.account for target in found.targets], [str(forward) for forward in found.forwards]


def leadsNowhere(directory, text):
    with pytest.raises(NoSuchRecipient):
        resolve(directory, text)
    return True


def test_providesItsInterface():
    assert verifyObject(IDirectory, directoryOf())


# --- Accounts and tags ---


@pytest.mark.parametrize("text", ["mbrain@example.org", "MBrain@EXAMPLE.org", "mbrain+lists@example.org", "mbrain+@example.org"])
def test_anAccountTakesItsMail(text):
    assert resolve(directoryOf(), text) == (["mbrain@example.org"], [])


@pytest.mark.parametrize(
    "text", ["nobody@example.org", "mbrain@example.net", "+mbrain@example.org", "nobody+x@example.org", "@example.org"]
)
def test_unknownNamesLeadNowhere(text):
    assert leadsNowhere(directoryOf(), text)


@pytest.mark.parametrize("text", ["mbrain@elsewhere.example", "mbrain@sub.example.org", "mbrain@[192.0.2.1]"])
def test_otherDomainsAreNotOurs(text):
    with pytest.raises(RelayDenied):
        resolve(directoryOf(), text)


@pytest.mark.parametrize(
    "local",
    [
        "mbrain%example.org",
        "mbrain%elsewhere.example",
        "example.org!mbrain",
        "mbrain@example.org",
        "@x:mbrain",
        "a b",
        "a\r\nb",
        "\ud800",
    ],
)
def test_localPartsAreNeverRoutes(local):
    with pytest.raises(NoSuchRecipient):
        resultOf(directoryOf().resolve(Address(local, "example.org")))


def test_theTagIsKeptForScripts():
    found = resultOf(directoryOf().resolve(Address("MBrain+Lists+More", "example.org")))
    assert found.targets == (Target("mbrain@example.org", detail="Lists+More"),)


def test_tagsBeginAsConfigured():
    assert resolve(directoryOf(tagDelimiter="-"), "mbrain-lists@example.org") == (["mbrain@example.org"], [])
    assert leadsNowhere(directoryOf(tagDelimiter="-"), "mbrain+lists@example.org")
    assert leadsNowhere(directoryOf(tagDelimiter=""), "mbrain+lists@example.org")
    assert resolve(directoryOf(tagDelimiter="+-"), "mbrain-a+b@example.org") == (["mbrain@example.org"], [])


def test_aNameWithATagMayBeAnAccountItself():
    directory = directoryOf(Users(["mbrain", "mbrain+own"]))
    assert resolve(directory, "mbrain+own@example.org") == (["mbrain+own@example.org"], [])


@pytest.mark.parametrize("text", ["mbrain@XN--BCHER-KVA.example", "mbrain@bücher.example", "mbrain@Bücher.example"])
@pytest.mark.parametrize("configured", ["bücher.example", "xn--bcher-kva.example"])
def test_aDomainIsOursInBothItsForms(text, configured):
    directory = directoryOf(Users([f"mbrain@{configured}"]), domains=[configured])
    assert resolve(directory, text) == ([f"mbrain@{configured}"], [])


# --- Aliases ---


def test_aliasesLeadHereAndElsewhere():
    users = Users(aliases={"info": ["mbrain@example.org", "Someone@elsewhere.example", "jsmith"]})
    assert resolve(directoryOf(users), "Info@example.org") == (
        ["mbrain@example.org", "jsmith@example.org"],
        ["Someone@elsewhere.example"],
    )


def test_aliasesLeadToAliases():
    users = Users(aliases={"all": ["staff", "jsmith"], "staff": ["mbrain", "jsmith@example.org"]})
    assert resolve(directoryOf(users), "all@example.org") == (["jsmith@example.org", "mbrain@example.org"], [])


def test_anAccountMayForwardACopy():
    users = Users(aliases={"mbrain": ["mbrain@example.org", "mbrain@elsewhere.example"]})
    assert resolve(directoryOf(users), "mbrain@example.org") == (["mbrain@example.org"], ["mbrain@elsewhere.example"])


def test_anAliasGoesBeforeTheAccount():
    users = Users(aliases={"mbrain": ["jsmith@example.org"]})
    assert resolve(directoryOf(users), "mbrain@example.org") == (["jsmith@example.org"], [])


def test_loopsEnd():
    users = Users(aliases={"a": ["b"], "b": ["c", "a"], "c": ["a", "c", "mbrain"]})
    assert resolve(directoryOf(users), "a@example.org") == (["mbrain@example.org"], [])
    assert leadsNowhere(directoryOf(Users(aliases={"a": ["b"], "b": ["a"]})), "a@example.org")


def test_aTagGoesThroughAnAlias():
    users = Users(aliases={"info": ["mbrain", "jsmith+own"]})
    found = resultOf(directoryOf(users).resolve(Address("info+sales", "example.org")))
    assert found.targets == (Target("mbrain@example.org", detail="sales"), Target("jsmith@example.org", detail="own"))


def test_oneTargetThatIsGoneSparesTheOthers():
    users = Users(aliases={"info": ["gone", "mbrain", "not an address"]})
    assert resolve(directoryOf(users), "info@example.org") == (["mbrain@example.org"], [])
    assert leadsNowhere(directoryOf(Users(aliases={"info": ["gone"]})), "info@example.org")
    users = Users(aliases={"info": ["postmaster", "mbrain"]})
    assert resolve(directoryOf(users), "info@example.org") == (["mbrain@example.org"], [])


def test_aliasesThatLeadTooFarArePutOff():
    deep = {f"a{number}": [f"a{number + 1}"] for number in range(DEPTH_LIMIT + 2)}
    wide = {"all": [f"user{number}@elsewhere.example" for number in range(SIZE_LIMIT + 1)]}
    directory = directoryOf(Users(aliases={**deep, **wide, f"a{DEPTH_LIMIT + 2}": ["mbrain"]}))
    for name in ("a0@example.org", "all@example.org"):
        with pytest.raises(Unavailable):
            resolve(directory, name)
    assert resolve(directory, "a3@example.org") == (["mbrain@example.org"], [])


def test_anAliasMayLeadToARemotePlaceAlone():
    users = Users(aliases={"gone": ["mbrain@elsewhere.example"]})
    assert resolve(directoryOf(users), "gone@example.org") == ([], ["mbrain@elsewhere.example"])


# --- Postmaster and catch-all ---


@pytest.mark.parametrize("text", ["postmaster", "PostMaster", "postmaster@example.org", "Postmaster@example.net"])
def test_postmasterLeadsToWhoIsConfiguredOrToTheFirstAdministrator(text):
    users = Users(admins=["jsmith@example.org", "mbrain@example.org"])
    assert resolve(directoryOf(users, postmaster="mbrain"), text) == (["mbrain@example.org"], [])
    assert resolve(directoryOf(users, postmaster="me@elsewhere.example"), text) == ([], ["me@elsewhere.example"])
    assert resolve(directoryOf(users), text) == (["jsmith@example.org"], [])
    with pytest.raises(NoSuchRecipient, match="this system has no postmaster"):
        resolve(directoryOf(), text)


def test_anAccountOrAliasCalledPostmasterGoesBefore():
    users = Users(["postmaster", "mbrain"], aliases={"postmaster@example.net": ["mbrain@example.org"]})
    directory = directoryOf(users, postmaster="jsmith@example.org")
    assert resolve(directory, "postmaster@example.org") == (["postmaster@example.org"], [])
    assert resolve(directory, "postmaster@example.net") == (["mbrain@example.org"], [])


def test_postmasterThatLeadsToItselfEnds():
    assert leadsNowhere(directoryOf(postmaster="postmaster@example.org"), "postmaster")


def test_onlyPostmasterComesWithoutADomain():
    with pytest.raises(NoSuchRecipient):
        resultOf(directoryOf().resolve(Address("mbrain", "")))


def test_catchAllTakesTheRestOfItsDomain():
    directory = directoryOf(catchAll={"Example.org": "jsmith"}, postmaster="mbrain")
    assert resolve(directory, "anything@example.org") == (["jsmith@example.org"], [])
    assert resolve(directory, "any%thing@example.org") == (["jsmith@example.org"], [])
    assert resolve(directory, "mbrain@example.org") == (["mbrain@example.org"], [])
    assert resolve(directory, "postmaster@example.org") == (["mbrain@example.org"], [])
    assert leadsNowhere(directory, "anything@example.net")


def test_catchAllThatLeadsNowhereEnds():
    assert leadsNowhere(directoryOf(catchAll={"example.org": "gone"}), "anything@example.org")


def test_badConfigurationIsNamed():
    with pytest.raises(ValueError, match=r"elsewhere\.example"):
        directoryOf(catchAll={"elsewhere.example": "mbrain"})
    with pytest.raises(ValueError, match="not an address"):
        directoryOf(postmaster="not an address")


# --- Whose address it is ---

MBRAIN = Identity("mbrain@example.org")


@pytest.mark.parametrize(
    ("text", "isOwn"),
    [
        ("mbrain@example.org", True),
        ("MBRAIN@Example.Org", True),
        ("mbrain+shop@example.org", True),
        ("info@example.org", True),
        ("info+x@example.org", True),
        ("postmaster@example.org", True),
        ("jsmith@example.org", False),
        ("jsmith+mbrain@example.org", False),
        ("nobody@example.org", False),
        ("mbrain@example.net", False),
        ("mbrain@elsewhere.example", False),
        ("mbrain@example.org@example.org", False),
        ("postmaster@elsewhere.example", False),
    ],
)
def test_ownAddresses(text, isOwn):
    users = Users(aliases={"info": ["jsmith", "mbrain", "someone@elsewhere.example"]})
    directory = directoryOf(users, postmaster="mbrain", catchAll={"example.org": "mbrain"})
    assert resultOf(directory.owns(MBRAIN, address(text))) == isOwn


def test_expandGoesOneLevel():
    users = Users(aliases={"all": ["staff", "me@elsewhere.example"], "staff": ["mbrain"]})
    directory = directoryOf(users)
    assert resultOf(directory.expand(address("All@example.org"))) == [
        Address("staff", "example.org"),
        Address("me", "elsewhere.example"),
    ]
    for text in ("mbrain@example.org", "nobody@example.org", "all@elsewhere.example"):
        assert resultOf(directory.expand(address(text))) == []


def test_aSourceThatIsAwayIsTemporary():
    users = Users()
    users.isAway = True
    directory = directoryOf(users)
    for ask in (directory.resolve, directory.expand):
        with pytest.raises(Unavailable):
            resultOf(ask(address("mbrain@example.org")))
    with pytest.raises(Unavailable):
        resultOf(directory.owns(MBRAIN, address("mbrain@example.org")))


NAMES = st.sampled_from(["a", "b", "c", "d", "mbrain", "a+x", "x@elsewhere.example"])


@given(st.dictionaries(st.sampled_from("abcd"), st.lists(NAMES, min_size=1, max_size=4), max_size=4), NAMES)
def test_resolvingEndsWhateverTheAliases(aliases, start):
    directory = directoryOf(Users(aliases=aliases))
    try:
        accounts, forwards = resolve(directory, start if "@" in start else f"{start}@example.org")
    except (NoSuchRecipient, RelayDenied):
        return
    assert set(accounts) <= {"mbrain@example.org"}
    assert set(forwards) <= {"x@elsewhere.example"}
    assert accounts or forwards
