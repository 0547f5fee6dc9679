"""Account and folder names as names of files and directories, and back.

Every name that other programs or remote people can choose becomes a path here, and nowhere else. What holds for each pair of
functions:

- Reversible: what is on disk says the whole name, and two names never share a path.
- Nothing leaves the store's root: no component is empty, `.` or `..`, holds `/` or NUL, or starts with a dot that its format did
  not put there.
- A name that would need a longer component than file systems have (255 octets) is refused with InvalidName, before anything is
  touched.

Maildir folders are spelled as Dovecot spells them (modified UTF-7, RFC 3501 §5.1.3, and the `\\2e` escapes of its listescape
plugin), so that both see the same names. Text files are spelled for people: in capitals.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable

from mailfw.errors import InvalidName

INBOX = "INBOX"
COMPONENT_OCTETS = 255
_PATH_OCTETS = 2048

TEXT_SUFFIX = ".TXT"
_LONGEST_TEXT_SUFFIX = len(".TXT.lock.4194304")

# What stands in a Maildir's own directory: an account of another domain must not have such a name there, where the Maildir of an
# account of the first domain may be that is called as the domain is.
_MAILDIR_FILE = re.compile(r"(?:cur|new|tmp|subscriptions|maildir.*|dovecot.*|courier.*|mailfw.*)\Z", re.IGNORECASE | re.DOTALL)

_UNSAFE = frozenset(map(chr, range(0x20))) | {"%", "/", "\x7f"}
_PERCENT = re.compile(r"%([0-9A-F]{2})")
_BACKSLASH = re.compile(r"\\([0-9a-f]{2})")
_RUN = re.compile(r"[ -%'-~]+|[^ -%'-~]+")
_SHIFTED = re.compile(r"&([A-Za-z0-9+,]*)-")


def _component(text: str, reserve: int = 0) -> str:
    """`text`, when a file can have that name with `reserve` octets more."""
    try:
        isLong = len(text.encode()) + reserve > COMPONENT_OCTETS
    except UnicodeEncodeError:
        raise InvalidName("the name is not Unicode text") from None
    if isLong:
        raise InvalidName("the name is too long")
    return text


def _percent(character: str) -> str:
    return f"%{ord(character):02X}"


def _isAtRisk(name: str, at: int, unsafe: frozenset[str]) -> bool:
    """Whether a character must be escaped where it stands: unsafe, a dot at either end, a space at the end."""
    character = name[at]
    isLast = at == len(name) - 1
    return character in unsafe or (character == "." and (isLast or not at)) or (character == " " and isLast)


def splitAccount(account: str) -> tuple[str, str]:
    """Local part and domain of a canonical account name.

    :raises InvalidName: one of them is missing.
    """
    local, _, domain = account.rpartition("@")
    if not local or not domain:
        raise InvalidName("an account's name is an address")
    return local, domain.lower()


def _levels(folder: str) -> list[str]:
    """:raises InvalidName: a level is empty, or the name is INBOX otherwise spelled."""
    levels = folder.split("/")
    if not all(levels) or (levels[0] != INBOX and levels[0].upper() == INBOX):
        raise InvalidName("no folder can have that name")
    return levels


# --- Modified UTF-7, RFC 3501 §5.1.3 ---------------------------------------------------------------------------------


def encodeUTF7(name: str) -> str:
    """A mailbox name in modified UTF-7, as it stands on disk and in IMAP4rev1.

    :raises InvalidName: it holds lone surrogates.
    """
    return "".join(match[0] if _isDirect(match[0][0]) else _shift(match[0]) for match in _RUN.finditer(name))


def _isDirect(character: str) -> bool:
    return " " <= character <= "~" and character != "&"


def _shift(piece: str) -> str:
    """Characters that cannot stand for themselves; each `&` of theirs is `&-`."""
    shifted = []
    for part in re.split("(&)", piece):
        if part == "&":
            shifted.append("&-")
        elif part:
            try:
                encoded = binascii.b2a_base64(part.encode("utf-16-be"), newline=False)
            except UnicodeEncodeError:
                raise InvalidName("the name is not Unicode text") from None
            shifted.append("&" + encoded.decode("ascii").rstrip("=").replace("/", ",") + "-")
    return "".join(shifted)


def decodeUTF7(text: str) -> str:
    """The inverse of `encodeUTF7`.

    :raises ValueError: it is no modified UTF-7.
    """

    def unshift(match: re.Match[str]) -> str:
        if not match[1]:
            return "&"
        padded = match[1].replace(",", "/") + "=" * (-len(match[1]) % 4)
        return binascii.a2b_base64(padded.encode("ascii")).decode("utf-16-be")

    if "&" in _SHIFTED.sub("", text):
        raise ValueError("an '&' that shifts nothing")
    return _SHIFTED.sub(unshift, text)


# --- Maildir++ -------------------------------------------------------------------------------------------------------


def maildirAccount(account: str, firstDomain: str) -> str:
    """The directory of an account's Maildir under the store's root: `USER`, or `DOMAIN/USER` for another than the first domain.

    :raises InvalidName: it cannot be on disk.
    """
    local, domain = splitAccount(account)
    user = _escape(local)
    if domain == firstDomain.lower():
        return user
    if _MAILDIR_FILE.match(user):
        user = _percent(user[0]) + user[1:]
    return f"{_escape(domain)}/{_component(user)}"


def maildirAccountName(path: str, firstDomain: str) -> str:
    """The account whose directory `maildirAccount` named."""
    domain, _, user = path.rpartition("/")
    return f"{_unescape(user)}@{_unescape(domain) or firstDomain.lower()}"


def _escape(name: str) -> str:
    return _component("".join(_percent(c) if _isAtRisk(name, at, _UNSAFE) else c for at, c in enumerate(name)))


def _unescape(text: str) -> str:
    return _PERCENT.sub(lambda match: chr(int(match[1], 16)), text)


def maildirFolder(folder: str) -> str:
    """The directory of a folder in its account's: `.Work.Plans` for `Work/Plans`, empty for INBOX.

    Within a level `.` is written `\\2e`, `\\` is `\\5c` and a `~` at its beginning `\\7e`, as by Dovecot with listescape.

    :raises InvalidName: it cannot be on disk.
    """
    if folder == INBOX:
        return ""
    levels = []
    for level in _levels(folder):
        escaped = level.replace("\\", "\\5c").replace(".", "\\2e")
        levels.append("\\7e" + escaped[1:] if escaped.startswith("~") else escaped)
    return _component("." + encodeUTF7(".".join(levels)))


def maildirFolderName(component: str) -> str | None:
    """The folder that a directory in a Maildir holds, however another program spelled it; None: it is none.

    Of two directories that say the same name, the one that `maildirFolder` names is the folder.
    """
    if not component.startswith(".") or component.startswith(".."):
        return None
    text = component[1:]
    try:
        text.encode()
    except UnicodeEncodeError:
        return None
    try:
        text = decodeUTF7(text)
    except ValueError:
        pass  # mutt writes names as they are
    levels = [_BACKSLASH.sub(lambda match: chr(int(match[1], 16)), level) for level in text.split(".")]
    isName = all(levels) and not any("/" in level or "\0" in level for level in levels)
    if not isName or (levels[0].upper() == INBOX and (levels[0] != INBOX or len(levels) == 1)):
        return None
    return "/".join(levels)


# --- Text files ------------------------------------------------------------------------------------------------------

_SEPARATORS = frozenset(" -_./&+()[]")


def _casePairs() -> Iterable[tuple[str, str]]:
    """Letters that have one capital, and it one small form. Bounded to scripts whose pairs can no longer change."""
    for code in range(0x530):
        small, capital = chr(code), chr(code).upper()
        if len(capital) == 1 and capital != small and ord(capital) < 0x530 and capital.lower() == small:
            yield small, capital


_CAPITAL = dict(_casePairs())
_SMALL = {capital: small for small, capital in _CAPITAL.items()}
_TEXT_UNSAFE = _UNSAFE | {"^"}
_TEXT_TOKEN = re.compile(r"%([0-9A-F]{2})|(\^?)(.)", re.DOTALL)


def textAccount(account: str, firstDomain: str) -> tuple[str, str]:
    """Where an account's mail is under the store's root, without suffix: the path of its INBOX, and of its folders' directory.

    `mbrain` of the first domain: `MBRAIN`, `MBRAIN`; of `example.net`: `EXAMPLE.NET/MBRAIN`. Directories of domains have a dot in
    their names, those of accounts have none (`JOHN%2ESMITH/` beside `JOHN.SMITH.TXT`), so that neither can be the other.

    :raises InvalidName: it cannot be on disk.
    """
    local, domain = splitAccount(account)
    file = _capitals(local, isTitle=False)
    prefix = "" if domain == firstDomain.lower() else _textDomain(domain) + "/"
    return prefix + file, prefix + _component(file.replace(".", "%2E"), _LONGEST_TEXT_SUFFIX)


def _textDomain(domain: str) -> str:
    text = _capitals(domain, isTitle=False)
    return _component(text if "." in text else text + ".")


def textAccountName(path: str, firstDomain: str) -> str:
    """The account whose INBOX `textAccount` named."""
    domain, _, user = path.rpartition("/")
    return f"{_small(user, isTitle=False)}@{_small(domain.removesuffix('.'), isTitle=False) or firstDomain.lower()}"


def textFolder(folder: str) -> str:
    """The path of a folder under its account's directory, without suffix: `WORK/PLANS` for `Work/Plans`.

    A letter stands for what begins a name or a word with a capital and goes on with small letters; one that is not so has a
    caret before it: `lists` is `^LISTS`, `GTD` is `G^T^D`.

    :raises InvalidName: it cannot be on disk; INBOX is not below the account's directory.
    """
    levels = _levels(folder)
    if folder == INBOX:
        raise InvalidName("INBOX is not below an account's directory")
    spelled = [INBOX if level == INBOX and not at else _capitals(level, isTitle=True) for at, level in enumerate(levels)]
    path = "/".join(spelled)
    if len(path.encode()) > _PATH_OCTETS:
        raise InvalidName("the name is too long")
    return path


def textFolderName(path: str) -> str | None:
    """The folder that `textFolder` named so; None: no folder has that path."""
    first, slash, rest = path.partition("/")
    levels = [INBOX if first == INBOX else _small(first, isTitle=True)]
    levels += [_small(level, isTitle=True) for level in rest.split("/")] if slash else []
    folder = "/".join(levels)
    try:
        return folder if textFolder(folder) == path else None
    except InvalidName:
        return None


def _capitals(name: str, isTitle: bool) -> str:
    """One component in capitals; `isTitle`: words are expected to begin with a capital letter, else all letters to be small."""
    spelled = []
    for at, character in enumerate(name):
        expectsCapital = isTitle and (not at or name[at - 1] in _SEPARATORS)
        if _isAtRisk(name, at, _TEXT_UNSAFE):
            spelled.append(_percent(character))
        elif character in _CAPITAL:
            spelled.append(("^" if expectsCapital else "") + _CAPITAL[character])
        elif character in _SMALL:
            spelled.append(("" if expectsCapital else "^") + character)
        else:
            spelled.append(character)
    text = "".join(spelled)
    if text.endswith(TEXT_SUFFIX):
        text = text.removesuffix(TEXT_SUFFIX) + "%2ETXT"
    return _component(text, _LONGEST_TEXT_SUFFIX)


def _small(text: str, isTitle: bool) -> str:
    """The inverse of `_capitals`."""
    name: list[str] = []
    for code, caret, character in _TEXT_TOKEN.findall(text):
        if code:
            name.append(chr(int(code, 16)))
            continue
        expectsCapital = isTitle and (not name or name[-1] in _SEPARATORS)
        isCapital = expectsCapital != bool(caret)
        name.append(character if isCapital else _SMALL.get(character, character))
    return "".join(name)
