"""The attack table of SMTP: one test for each row, named after it."""

import pytest

from mailfw.net.limits import Limits
from mailfw.values import Address, Resolution, Target

MESSAGE = b"Subject: x\r\n\r\nhello"


# --- End of data other than CRLF.CRLF ----------------------------------------------------------------------------------

FALSE_ENDS = [
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n.\r\0\n",
    b"\r\0\n.\r\n", b"\n\r.\r\n", b"\r\r\n.\r\r\n", b"\n.\r", b"\x85.\x85",
]  # fmt: skip


@pytest.mark.parametrize("end", FALSE_ENDS)
@pytest.mark.parametrize("isSplit", [False, True])
def test_end_of_data_other_than_crlf_dot_crlf_never_ends_data(connect, end, isSplit):
    client = connect()
    client.begin()
    client.say("DATA")
    smuggled = MESSAGE + end + b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<mbrain@localhost>\r\nDATA\r\nSubject: smuggled\r\n\r\n"
    if isSplit:
        said = [reply for octet in smuggled for reply in client.send(bytes([octet]))]
    else:
        said = client.send(smuggled)
    assert said == []
    (said,) = client.send(b"\r\n.\r\n")
    if end == b"\x85.\x85":
        assert said.code == 250
    else:
        assert said.code == 554
        assert client.messages == []
    assert client.codes("NOOP") == [250]


@pytest.mark.parametrize("bare", [b"a\nb", b"a\rb", b"\ra", b"a\r\r\nb", b"\n", b"a\r\n\nb"])
def test_bare_cr_or_lf_in_the_message_is_refused_at_the_end(connect, bare):
    (said,) = connect().deliver(b"Subject: x\r\n\r\n" + bare)
    assert (said.code, said.enhanced) == (554, "5.6.0")


def test_bare_cr_or_lf_in_bdat_is_refused_too(connect):
    client = connect()
    client.begin()
    assert [r.code for r in client.send(b"BDAT 6\r\nA: b\n\nBDAT 2 LAST\r\n\r\n")] == [250, 554]
    assert client.messages == []


# --- NUL ---------------------------------------------------------------------------------------------------------------


def test_nul_in_the_message_is_refused(connect):
    (said,) = connect().deliver(b"Subject: x\r\n\r\na\0b")
    assert said.code == 554


def test_nul_in_a_command_is_refused(connect):
    client = connect()
    assert client.codes(b"MAIL FROM:<a\0b@example.org>", b"NO\0OP", b"\0", b"HELP \0") == [501] * 4


# --- TLS ---------------------------------------------------------------------------------------------------------------


def test_bytes_after_starttls_in_the_same_segment_drop_the_connection(connect):
    client = connect()
    client.send(b"STARTTLS\r\nMAIL FROM:<evil@example.org>\r\n")
    assert client.isClosed
    assert not client.transport.isTLS


def test_half_a_line_after_starttls_drops_the_connection_too(connect):
    client = connect()
    client.send(b"STARTTLS\r\nM")
    assert client.isClosed


def test_after_starttls_all_state_is_reset_and_ehlo_needed_again(connect):
    client = connect()
    client.say("AUTH PLAIN " + "AG1icmFpbgBtYWlsZnc=")
    client.begin(sender="<mbrain@localhost>")
    assert client.codes("STARTTLS") == [220]
    assert client.transport.isTLS
    assert client.codes("MAIL FROM:<mbrain@localhost>", "RCPT TO:<jsmith@localhost>", "DATA") == [503] * 3
    (hello,) = client.say("EHLO client.example")
    assert "STARTTLS" not in hello.lines
    assert any(line.startswith("AUTH ") for line in hello.lines)
    assert client.codes("STARTTLS") == [503]
    assert client.world.context.router.aborted == 1


# --- Talking out of turn -----------------------------------------------------------------------------------------------


def test_client_that_talks_before_the_banner_is_refused(connect, monkeypatch):
    from mailfw.smtp.server import SMTPServer

    monkeypatch.setattr(SMTPServer, "hasEarlyInput", lambda self: True)
    client = connect(hello=False)
    assert [reply.code for reply in client.greeting] == [554]
    assert client.isClosed


@pytest.mark.parametrize("service", ["smtp", "lmtp"])
def test_pipelining_behind_ehlo_is_refused(connect, service):
    client = connect(service, hello=False)
    hello = b"LHLO" if service == "lmtp" else b"EHLO"
    assert [r.code for r in client.send(hello + b" client.example\r\nMAIL FROM:<a@example.org>\r\n")] == [503, 503]
    assert client.codes(hello + b" client.example") == [250]


def test_pipelining_behind_auth_is_refused(connect):
    client = connect()
    assert [r.code for r in client.send(b"AUTH PLAIN AG1icmFpbgBtYWlsZnc=\r\nNOOP\r\n")] == [503, 250]
    assert client.codes("AUTH PLAIN AG1icmFpbgBtYWlsZnc=") == [235]


def test_a_message_pipelined_behind_data_is_neither_taken_nor_read_as_commands(connect):
    client = connect()
    client.begin()
    said = client.send(b"DATA\r\nSubject: x\r\n\r\nRSET\r\n.\r\n")
    assert [r.code for r in said] == [503]
    assert client.isClosed
    assert client.messages == []


# --- Lengths -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("octets", [4097, 12289, 100_000])
def test_endless_line_is_cut(connect, octets):
    client = connect()
    (said,) = client.send(b"x" * octets + b"\r\n")
    assert (said.code, said.enhanced) == (500, "5.5.2")
    assert client.isClosed


def test_endless_line_without_an_end_is_not_kept(connect):
    client = connect()
    said = []
    for _ in range(1000):
        said += client.send(b"x" * 1000)
    assert [reply.code for reply in said] == [500]
    assert client.isClosed


def test_a_line_of_4096_octets_is_no_attack(connect):
    assert connect().codes(b"NOOP " + b"x" * 4091) == [250]


def test_auth_has_longer_lines(connect):
    client = connect()
    assert client.codes(b"AUTH PLAIN " + b"A" * 12000) == [501]
    assert client.codes(b"AUTH PLAIN") == [334]
    assert client.codes(b"A" * 12000) == [501]
    assert client.codes(b"AUTH PLAIN") == [334]
    (said,) = client.send(b"A" * 12400 + b"\r\n")
    assert (said.code, said.enhanced) == (500, "5.5.6")
    assert client.isClosed


@pytest.mark.parametrize("octets", [999, 65536])
def test_body_line_over_998_octets_is_accepted_intact(connect, octets):
    client = connect()
    assert [r.code for r in client.deliver(MESSAGE + b"x" * (octets - 5))] == [250]
    assert client.messages[0].content.endswith(b"\r\n\r\nhello" + b"x" * (octets - 5) + b"\r\n")


def test_body_line_over_the_bound_is_refused(connect):
    client = connect()
    assert [r.code for r in client.deliver(MESSAGE + b"x" * 65536)] == [554]
    assert [r.code for r in client.deliver(b"Subject: " + b"x" * 65536)] == [554]
    assert [r.code for r in client.deliver(MESSAGE)] == [250]


def test_more_than_50_received_headers_are_a_loop(connect):
    client = connect()
    (said,) = client.deliver(b"Received: by x; date\r\n" * 50 + MESSAGE)
    assert said.code == 250
    (said,) = client.deliver(b"reCEIVED: by x; date\r\n" * 51 + MESSAGE)
    assert (said.code, said.enhanced) == (554, "5.4.6")
    (said,) = client.deliver(b"Subject: x\r\n\r\n" + b"Received: quoted\r\n" * 60)
    assert said.code == 250


# --- Addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["a%b@localhost", "b!a@localhost", '"mbrain@localhost"@localhost', "mbrain%localhost@localhost"])
def test_a_local_part_is_never_parsed_as_a_route(connect, path):
    client = connect()
    client.say("MAIL FROM:<>")
    (said,) = client.say(f"RCPT TO:<{path}>")
    assert (said.code, said.enhanced) == (550, "5.1.1")


@pytest.mark.parametrize(
    "path", ["@localhost:a@example.org", "a@example.org", '"mbrain@localhost"@example.org', "mbrain@[127.0.0.1]"]
)
def test_relaying_is_denied_for_good(connect, path):
    client = connect()
    client.say("MAIL FROM:<mbrain@localhost>")
    (said,) = client.say(f"RCPT TO:<{path}>")
    assert (said.code, said.enhanced) == (550, "5.7.1")


def test_a_source_route_has_no_meaning(connect):
    client = connect()
    client.begin("@elsewhere.example,@example.org:jsmith@localhost")
    assert client.codes("DATA") == [354]
    client.send(MESSAGE + b"\r\n.\r\n")
    assert [r.address for r in client.messages[0].recipients] == [Address("jsmith", "localhost")]


def test_utf8_address_without_smtputf8_is_refused(connect):
    client = connect()
    (said,) = client.say("MAIL FROM:<jürgen@example.org>")
    assert (said.code, said.enhanced) == (550, "5.6.7")
    client.begin()
    (said,) = client.say("RCPT TO:<jürgen@localhost>")
    assert (said.code, said.enhanced) == (550, "5.6.7")
    (said,) = client.say("RCPT TO:<jsmith@exämple.org>")
    assert (said.code, said.enhanced) == (550, "5.6.7")
    # The Kelvin sign becomes a plain k in lower case: what counts are the octets that came.
    (said,) = client.say("RCPT TO:<jsmith@local\u212ahost>")
    assert (said.code, said.enhanced) == (550, "5.6.7")


def test_postmaster_without_domain_is_accepted(connect):
    client = connect()
    client.world.directory.aliases["postmaster@localhost"] = Resolution((Target("jsmith@localhost"),))
    client.say("MAIL FROM:<>")
    assert client.codes("RCPT TO:<postmaster>", "RCPT TO:<PostMaster>", "rcpt to: postmaster") == [250] * 3


def test_control_bytes_never_reach_received(connect):
    client = connect()
    evil = [b"a\rb", b"a\tb", b"a\x1bb", b"a\x7fb", b"a (b)", b"a;b", b"`a`", b"a\xc2\x85b", b"a\xe2\x80\xa8b", b"\xff"]
    for name in evil:
        client = connect(hello=False)
        assert client.codes(b"EHLO " + name) == [501]
    client = connect()
    for line in (b"MAIL FROM:<a\rb@example.org>", b'MAIL FROM:<"a\tb"@example.org>', b'MAIL FROM:<"a\\\nb"@example.org>'):
        assert set(client.codes(line)) <= {501, 500}
    client.begin(sender='<"; rm -rf / ;"@example.org>')
    assert client.codes("DATA") == [354]
    assert [r.code for r in client.send(MESSAGE + b"\r\n.\r\n")] == [250]
    stamped = client.messages[0].content.partition(b"Subject:")[0]
    assert stamped.count(b"\r\n") == 4
    assert b"rm" not in stamped


def test_content_cannot_go_on_with_our_received_header(connect):
    client = connect()
    client.deliver(b" for <forged@example.org>; Thu, 1 Jan 1970\r\n\r\nhello")
    assert b"+0000\r\n\r\n for <forged" in client.messages[0].content


def test_unknown_recipient_is_refused_at_rcpt(connect):
    client = connect()
    assert client.codes("MAIL FROM:<>", "RCPT TO:<nobody@localhost>", "DATA", "RCPT TO:<jsmith@localhost>", "DATA") == [
        250, 550, 554, 250, 354,
    ]  # fmt: skip


def test_a_search_for_users_gets_ever_slower_and_ends(connect):
    client = connect()
    waits = []
    for n in range(1, 100):
        if n % 10 == 1:
            assert client.codes("RSET", "MAIL FROM:<>") == [250, 250]  # which begins nothing anew
        said, waited = client.send(b"RCPT TO:<user%d@localhost>\r\n" % n), 0
        while not said:
            said, waited = client.wait(0.05), waited + 1
        assert [reply.code for reply in said] == [550], n
        waits.append(waited)
    assert waits[:20] == [0] * 20
    assert waits[20:] == sorted(waits[20:])
    assert waits[-1] >= 20
    assert client.codes("RCPT TO:<user100@localhost>") == [421]
    assert client.isClosed


def test_who_has_logged_in_may_name_whom_he_likes(connect):
    client = connect()
    client.say("AUTH PLAIN AG1icmFpbgBtYWlsZnc=", "MAIL FROM:<mbrain@localhost>")
    assert client.codes(*["RCPT TO:<nobody@localhost>"] * 200) == [550] * 200


# --- Parameters --------------------------------------------------------------------------------------------------------


def test_unknown_mail_or_rcpt_parameter_is_refused(connect):
    client = connect()
    assert client.codes("MAIL FROM:<> FOO=1", "MAIL FROM:<> HOLDFOR=1", "MAIL FROM:<> BODY=9BITMIME") == [555, 555, 501]
    rcpt = "RCPT TO:<jsmith@localhost>"
    assert client.codes("MAIL FROM:<>", f"{rcpt} RET=FULL", f"{rcpt} FOO") == [250, 555, 555]


def test_size_over_the_limit_is_refused_at_mail(connect):
    client = connect(limits=Limits(messageSize=1000))
    (said,) = client.say("MAIL FROM:<> SIZE=1001")
    assert (said.code, said.enhanced) == (552, "5.3.4")
    assert client.codes("MAIL FROM:<> SIZE=99999999999999999999", "MAIL FROM:<> SIZE=999999999999999999999") == [552, 501]
    assert client.codes("MAIL FROM:<> SIZE=x", "MAIL FROM:<> SIZE", "MAIL FROM:<> SIZE=1000") == [501, 501, 250]


@pytest.mark.parametrize(
    "path", ["a", "a@", "@b", "a b@c", "<a@b", "a@b>", "<<a@b>>", "<a@b>x", "<a@b..c>", "<.a@b>", "<a@-b>", "<a@[1]>"]
)
def test_malformed_path_is_refused(connect, path):
    client = connect()
    assert client.codes(f"MAIL FROM:{path}", "MAIL FROM:<>", f"RCPT TO:{path}") == [501, 250, 501]


# --- Too much ----------------------------------------------------------------------------------------------------------


def test_rcpt_flood(connect):
    client = connect()
    client.say("MAIL FROM:<>")
    said = client.codes(*["RCPT TO:<jsmith@localhost>"] * 1002)
    assert said == [250] * 1000 + [452] * 2
    assert client.codes("DATA") == [354]


def test_endless_bad_commands_are_answered_ever_slower_and_then_no_more(connect):
    client = connect()
    waits = []
    for n in range(1, 20):
        said, waited = client.send(b"BAD\r\n"), 0
        while not said:
            said, waited = client.wait(0.05), waited + 1
        assert [reply.code for reply in said] == [500], n
        waits.append(waited)
    assert waits[0] == 0
    assert waits == sorted(waits)
    assert waits[-1] > 10
    assert client.codes("BAD") == [421]
    assert client.isClosed


def test_a_client_that_hangs_up_in_the_middle_of_a_wait_leaves_nothing(connect):
    client = connect()
    client.say(*["BAD"] * 5)
    assert client.send(b"BAD\r\n") == []
    client.transport.hangUp()
    assert client.world.clock.getDelayedCalls() == []


def test_auth_guessing_ends_after_5_failures(connect):
    client = connect()
    wrong = b"AUTH PLAIN AG1icmFpbgB3cm9uZw==\r\n"
    for n in range(1, 5):
        assert client.send(wrong) == []
        assert [r.code for r in client.wait(0.5 * n)] == [535]
    assert [r.code for r in client.send(wrong)] == [421]
    assert client.isClosed


@pytest.mark.parametrize("verb", ["GET / HTTP/1.1", "POST /x HTTP/1.0", "CONNECT a:25 HTTP/1.1", "get /"])
def test_get_post_connect_end_the_session(connect, verb):
    client = connect(hello=False)
    said = client.send(verb.encode() + b"\r\nHost: x\r\n\r\nMAIL FROM:<a@example.org>\r\n")
    assert [reply.code for reply in said] == [421]
    assert client.isClosed


# --- Too slow ----------------------------------------------------------------------------------------------------------


def test_slow_command_is_cut_off(connect):
    client = connect()
    client.send(b"NO")
    client.world.advance(299)
    client.send(b"OP")
    assert [r.code for r in client.wait(2)] == [421]
    assert client.isClosed


def test_silent_data_is_cut_off(connect):
    client = connect()
    client.begin()
    client.say("DATA")
    client.send(MESSAGE * 1000)
    assert client.wait(179) == []
    assert [r.code for r in client.wait(2)] == [421]
    assert client.isClosed
    assert client.messages == []


def test_trickling_data_is_cut_off(connect):
    client = connect(limits=Limits(minimumRate=100))
    client.begin()
    client.say("DATA")
    start = client.world.clock.seconds()
    while not client.isClosed:
        client.send(b"x" * 500)
        client.wait(10)
    assert 350 <= client.world.clock.seconds() - start <= 370


def test_steady_data_is_not_cut_off(connect):
    client = connect(limits=Limits(minimumRate=100))
    client.begin()
    client.say("DATA")
    for _ in range(200):
        assert client.send(b"x" * 1098 + b"\r\n") == []
        assert client.wait(10) == []
    assert [r.code for r in client.send(b".\r\n")] == [250]


# --- Passwords ---------------------------------------------------------------------------------------------------------


def test_auth_without_tls_is_not_offered_and_refused_except_on_loopback(connect):
    client = connect(peer=connect.abroad)
    assert not any(line.startswith("AUTH") for line in client.hello.lines)
    (said,) = client.say("AUTH PLAIN AG1icmFpbgBtYWlsZnc=")
    assert (said.code, said.enhanced) == (538, "5.7.11")
    assert client.codes("AUTH LOGIN", "AUTH NONSENSE") == [538, 504]
    client.say("STARTTLS")
    (hello,) = client.say("EHLO client.example")
    assert "AUTH PLAIN LOGIN" in hello.lines
    assert client.codes("AUTH PLAIN AG1icmFpbgBtYWlsZnc=") == [235]


def test_auth_without_tls_can_be_refused_everywhere(connect):
    client = connect(hello=False)
    client.world.context.plaintext = "never"
    client.say("EHLO x")
    assert client.codes("AUTH PLAIN AG1icmFpbgBtYWlsZnc=") == [538]
