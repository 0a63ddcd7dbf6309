"""No secret leaves Warren in a text, whatever shape it has; and what holds none stays readable."""

from __future__ import annotations

import json
import string
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from support.figures import Figure
from warren.config.option_types import kind
from warren.config.schema import BrokerSettings
from warren.logs.formatter import render
from warren.redaction.masker import MASK, redact, redact_texts, redact_value

S = "%s"
#: Each with one or more places for a secret.
URLS = (
    "redis://%s@host/0", "redis://:%s@host:6379/0", "redis://:%s@[::1]:6379/0", "redis://:%s@/0",
    "rediss://u:%s@h/0?ssl_cert_reqs=none", "amqp://u:%s@h", "amqp://u:%s@h//", "amqp://u:%s@",
    "amqps://u:%s@h:5671/v;amqps://u:%s@i:5671/v", "pyamqp://u:%s@h,amqp://v:%s@h",
    "sentinel://:%s@a:26379;sentinel://:%s@b:26379",
    "postgresql+psycopg://u:%s@[fe80::1]:5432/db", "mongodb://u:%s@a,b/db", "https://%s@host/a",
    "https://u:%s@host/a", "https://%s:x-oauth-basic@host/a.git", "git+https://%s@host/a.git",
    "ftp://u:%s@h/f", "cannot reach 'amqp://u:%s@h//', trying again",
    "ValueError: (\"redis://:%s@h\",)", "urls = amqp://a:%s@h\nredis://:%s@i",
    "<Connection: amqp://u:%s@h at 0x7f>",
    "see http://a/b, then amqp://u:%s@h and http://host:8080/users/@me",
)  # fmt: skip
#: A secret without what ends a value there, as any program that makes such a text has it encoded.
PARAMETERS = (
    "https://h/v1?api_token=%s", "https://h/v1?a=1&token=%s&b=2", "/items?key=%s (Caused by X)",
    "https://h/?sig=%s", "https://h/cb?code=%s&state=1",
    "https://h/cb#access_token=%s&token_type=bearer",
    "https://s3.h/b/k?X-Amz-Credential=%s&X-Amz-Signature=%s&X-Amz-Expires=9",
    "https://h/?client_secret=%s", "https://h/?a=1&amp;password=%s",
    "GET https://h/?apikey=%s HTTP/1.1", "'https://h/?auth=%s', 'next'", "https://h/?session=%s",
    "https://h/?jwt=%s#top", "https://h/?user[passwd]=%s", "url: /v1?subscription-key=%s",
    "https://h/?api%%5Fkey=%s", "https://h/?x=1&access%%5ftoken=%s&y=2",
    "https://h/?%%70assword=%s", "/?api%%255Fkey=%s",
    "api%%5Fkey=%s&x=1", "body: pass%%77ord=%s", "https://h/?user%%5Bpasswd%%5D=%s",
    "?access=%s", "https://h/go?to=https%%3A%%2F%%2Fi%%2F%%3Ftoken%%3D%s%%26x%%3D1",
    "https://h/?mykey=%s&x=http://i", '{"url":"https://h/?sig=%s"}',
)  # fmt: skip
ASSIGNMENTS = (
    "host=h password=%s dbname=d", "password=%s", "PGPASSWORD=%s psql",
    "AWS_SECRET_ACCESS_KEY=%s", "api_key: %s", "x-api-key: %s", "Authorization: Bearer %s",
    "authorization: Basic %s\r\nAccept: */*", "Cookie: a=1; sid=%s",
    "Set-Cookie: sid=%s; HttpOnly", "curl --token %s https://h", "curl --password=%s",
    "Login(user='u', passphrase=%s)", "clientSecret=%s", "Server=h;Pwd=%s",
    "DefaultEndpointsProtocol=https;AccountKey=%s", "private_key = %s", "sessionid=%s",
    "db_password_v2=%s", "new-credential: %s",
)  # fmt: skip
QUOTED = (
    '{"api_key": "%s", "b": 1}', '{"password":"%s"}',
    "{'Authorization': 'Bearer %s', 'Accept': '*/*'}", "{b'cookie': b'sid=%s'}",
    "connect(password='%s', host='h')", '[("Authorization", "Bearer %s"), ("a", "b")]',
    "(b'x-api-key', b'%s')", "['--token', '%s']",
    '"{\\"client_secret\\": \\"%s\\", \\"b\\": 1}"', "password: \"%s\"",
    "{'proxies': {'password': '%s'}}", "auth=('u', '%s')", '{"tokens": ["%s", "%s"]}',
    "cookies={'sid': '%s'}", "KeyError in {'secret': '%s'",
)  # fmt: skip
#: Headers that hold quoted texts themselves, and what has a name of its own behind a value that is
#: in no quotes.
AMID_QUOTES = (
    'Authorization: Digest username="m", realm="r", response="%s", opaque="%s"',
    '"Authorization: Digest username=\\"m\\", response=\\"%s\\""', 'Cookie: a=1; b="%s"; sid=%s',
    "Authorization: Bearer %s {'token': '%s'}", 'Set-Cookie: sid=%s; Path=/ {"session_id": "%s"}',
    "password=%s{'token': '%s'}", "password=%s,'api_key':'%s'",
    "curl -H 'Authorization: Basic %s=' -H 'X-Token: %s' https://h",
)  # fmt: skip
ELSEWHERE = (
    "-----BEGIN RSA PRIVATE KEY-----\n%s\n%s\n-----END RSA PRIVATE KEY-----",
    "'-----BEGIN PRIVATE KEY-----\\n%s\\n-----END PRIVATE KEY-----\\n'",
    "-----BEGIN OPENSSH PRIVATE KEY-----\n%s", "sent Bearer %s1Z to the proxy",
    "sent Basic %s1Z= to the proxy",
)  # fmt: skip

#: What is known by its looks, or by what stands around it.
KNOWN = (
    "ghp_%s0123456789abcdef", "token " "ghs_%s0123456789abcdef", "glpat-%s0123456789abcdef",
    "xoxb-123456789012-%s",
    "sk_live_%s0123456789abcdef", "openai " "sk-proj-%s0123456789abcdef", "AIza%s0123456789abcdef",
    "('npm_%s0123456789abcdef',)",
    "Max retries exceeded with url: https://api.telegram.org/bot123456:%s/sendMessage",
    "https://api.telegram.org/file/bot123456:%s/a",
    "POST " "https://hooks.slack.com/services/T0/B0/%s failed",
    "https://discord.com/api/webhooks/1234/%s",
    "https://discord.com/api/v10/webhooks/1234/%s?wait=true",
    "curl -u admin:%s https://h", "Command '['curl', '-u', " "'admin:%s', 'http://h']' returned",
    "curl --user=a:%s http://h",
    'curl --proxy-user ' '"a:%s" http://h', "ALTER USER a " "WITH PASSWORD '%s';",
    "CREATE USER a " "IDENTIFIED BY '%s'",
    "<password>%s</password>", "<soap:ApiKey>%s</soap:ApiKey>",
)  # fmt: skip

#: Commands of well-known programs, in a shell or as a list of words.
COMMANDS = (
    "mysql -uroot -p%s db", "mysqldump -h h -p%s db > x", "mysql -p'%s' db",
    "mariadb-dump --password " "%s db",
    "mysqldump --password=%s",
    "Command '['mysql', '-u', 'root', '-p%s']' " "returned non-zero exit status 1.",
    "Command 'mysql -u root " "-p%s db' returned 1", '{"cmd": "mysql ' '-p\\"%s\\" db"}',
    "mysql -e 'select " "1; select 2' -p%s",
    "mysql -h h \\\n -p%s", "/usr/bin/mysql -p%s", "sudo mysql mysql -p%s", "7z x -p%s a.7z",
    "sshpass -p %s ssh -p 22 h", "sshpass -p%s scp a b", "['sshpass', '-p', " "'%s', 'ssh']",
    '["sshpass","-p","%s","ssh"]',
    "[b'sshpass', b'-p', b'%s']", "mongo -u u -p %s h/db", "mongodump -p%s",
    "docker login -u u -p %s h",
    "['docker', 'login', " "'-p', '%s']", "rabbitmqadmin -u u " "-p %s list queues",
    "redis-cli -h h -p " "6379 -a %s ping",
    "['redis-cli', '-a', '%s']", "redis-cli --pass %s", "ldapsearch -x -D cn=a " "-w %s -b dc=x",
    "ldapadd -w%s",
    "sqlcmd -S h -U u -P %s", "unzip -P %s a.zip", "zip -rP %s a.zip b",
    "snmpget -v3 -A %s -X %s h",
    "openssl enc -aes256 -k %s", "curl -su u:%s h", "curl -uu:%s h", "['curl', '-su', 'u:%s']",
    "curl --user u:%s h",
    "http -a u:%s h", "smbclient -U u%%%s //h/x", "lftp -u u,%s h",
    "rabbitmqctl -n a@h " "add_user u %s",
    "['rabbitmqctl', 'change_password', " "'u', '%s']", "vault login %s", "htpasswd -bc f u %s",
    "echo u:%s | chpasswd",
    "aws configure " "set aws_secret_access_key %s", "sqlplus -S u/%s@h", "plink -pw %s h",
    "keytool -storepass:none " "-password %s",
    "wget --http-password=%s h", "wget --password %s h", "psql 'host=h password=%s'",
    "MYSQL_PWD=%s mysql",
    "REDISCLI_AUTH=%s redis-cli", "helm install " "--set db.password=%s x",
    "java -Dpassword=%s -jar x",
    "Proxy-Authorization: Basic %s", "curl -H 'Proxy-Authorization: %s' h",
)  # fmt: skip
#: Sentences and lines of protocols, with no sign that assigns.
WORDS = (
    "the password is %s", "The password is %s.", "password is: %s", "Password for u is %s",
    "my passwd is '%s', keep it",
    "your password has " "been changed to %s", "password was set to %s", "password is now %s",
    "the api key is %s", "token -> %s",
    "API key: %s", "Access Key = %s", "secret key: %s", 'the client secret is "%s"',
    '"password is %s"', "pass phrase is %s",
    "AUTH %s", "AUTH default %s", "HELLO 3 AUTH u %s", "b'AUTH %s\\r\\n'", "AUTH PLAIN %s",
    "('AUTH', 'default', '%s')",
    "[b'AUTH', b'%s']", '1339518083.10 [0 ' '127.0.0.1:6] "auth" "%s"', '"AUTH" "default" "%s"',
    '"config" "set" ' '"requirepass" "%s"',
    "*2\r\n$4\r\nAUTH\r\n$11\r\n%s\r\n",
    "'*3\\r\\n$4\\r\\nAUTH\\r\\n$1\\r\\nu\\r\\n$11\\r\\n%s\\r\\n'",
    "ACL SETUSER u " "on >%s ~* +@all", "CONFIG SET requirepass %s",
    "machine h login " "u password %s", "wrong password %s for u",
    "SET PASSWORD FOR " "u = PASSWORD('%s')", 'ALTER ROLE u PASSWORD "%s"',
    "jdbc:oracle:thin:u/%s@h:1521:x",
    "jdbc:oracle:oci:u/%s@//h:1521/x", "cannot " "open 'jdbc:oracle:thin:u[p]/%s@h'",
    "jdbc:postgresql://h/db?user=u&password=%s",
    "jdbc:sqlserver://h;user=u;password=%s;", "jdbc:mysql://u:%s@h/db",
)  # fmt: skip

LETTERS = string.ascii_letters + string.digits
#: A mark that no text holds by itself, so that a part of a secret that is left is seen.
secret = st.text(LETTERS, min_size=0, max_size=8).map(lambda text: f"Zq7{text}Xj9")


def odd(more: str) -> st.SearchStrategy[str]:
    """A secret with these characters in its middle: both of its ends must go."""
    return st.tuples(st.text(LETTERS + more, max_size=10)).map(lambda text: f"Zq7{text[0]}Xj9")


def fill(shape: str, value: str) -> str:
    return shape % ((value,) * (shape.count(S)))


def is_clean(text: str) -> bool:
    return "Zq7" not in text and "Xj9" not in text


@given(st.sampled_from(URLS), odd(":/@;?#&=%'\"\\,.!$()[]{}*+~^|<>-_"))
@example("amqp://u:%s@h", "Zq7://bXj9")
@example("redis://%s@host/0", "Zq7/bXj9")
def test_no_password_of_a_url_is_shown(shape: str, value: str) -> None:
    """User information of a URL is masked, of a broker or of a page.

    This holds also where it should have been percent-encoded.
    """
    if "http" in shape or "ftp" in shape or shape.startswith("mongodb"):
        # what ends the host there is no part of a password
        value = value.translate(str.maketrans("", "", "/?#"))
    if ":" in value and shape == "redis://%s@host/0":
        value = value.replace(":", "")  # what stands before a colon is the name of a user
    shown = redact(fill(shape, value))
    assert is_clean(shown)
    assert MASK in shown


@given(st.sampled_from(PARAMETERS), odd("%.-_~+/=!*()@:,"))
def test_no_parameter_of_a_url_is_shown(shape: str, value: str) -> None:
    """Keys, tokens, signatures and the like in a query or a fragment are masked.

    The rest of the URL is shown.
    """
    shown = redact(fill(shape, value))
    assert is_clean(shown)
    assert shown.count(MASK) >= shape.count(S)


@given(st.sampled_from(ASSIGNMENTS), odd("%.-_~+/=!*()@:?#&{}[]<>|"))
@example("password=%s", "Zq7'\"Xj9")
def test_nothing_assigned_to_the_name_of_a_secret_is_shown(shape: str, value: str) -> None:
    """Secrets are masked in headers, options, connection strings and settings in any text."""
    shown = redact(fill(shape, value))
    assert is_clean(shown)
    assert MASK in shown


@given(st.sampled_from(QUOTED), odd("%.-_~+/=!*()@: ;,?#&{}<>|\n"))
def test_nothing_quoted_behind_the_name_of_a_secret_is_shown(shape: str, value: str) -> None:
    """Secrets are masked in JSON, dictionaries and calls as Python shows them.

    This includes JSON within JSON; the rest of the text is shown.
    """
    if "cookies={" in shape or "auth=(" in shape or '["' in shape:
        value = value.translate(str.maketrans("", "", "})"))
    shown = redact(fill(shape, value))
    assert is_clean(shown)
    assert MASK in shown


@given(st.sampled_from(AMID_QUOTES), secret)
def test_a_quote_within_a_value_is_not_its_end(shape: str, value: str) -> None:
    """Nor hides a masked value the name that follows it."""
    assert is_clean(redact(fill(shape, value)))


@given(
    st.dictionaries(
        st.sampled_from(["password", "a", "Authorization"]),
        # Hypothesis also tries the constants of this file.
        st.text(string.printable)
        .filter(lambda text: "Zq7" not in text)
        .map(lambda text: f"Zq7{text}Xj9"),
    )
)
def test_a_dictionary_shown_as_text_is_masked(headers: dict[str, str]) -> None:
    """However Python or JSON escapes a value, it ends where it ends."""
    for text in (
        repr(headers),
        json.dumps(headers),
        json.dumps(json.dumps(headers)),
        repr(json.dumps(headers)),
    ):
        plain = {key: value for key, value in headers.items() if key == "a"}
        assert text.count("Zq7") == len(headers)
        assert redact(text).count("Zq7") <= len(plain)


@given(st.sampled_from(ELSEWHERE), secret)
def test_keys_and_tokens_by_themselves_are_masked(shape: str, value: str) -> None:
    """A private key, and what follows `Bearer` and `Basic`, need no name."""
    assert is_clean(redact(fill(shape, value)))


@given(st.sampled_from(KNOWN), secret)
def test_what_is_known_by_its_looks_is_masked(shape: str, value: str) -> None:
    """Keys of well-known services, webhooks, and the passwords of commands, of SQL and of XML."""
    shown = redact(fill(shape, value))
    assert is_clean(shown)
    assert MASK in shown


@given(st.sampled_from(COMMANDS), secret)
def test_no_password_of_a_command_is_shown(shape: str, value: str) -> None:
    """Whatever the flag of the program is called, in a shell or in a list of words."""
    shown = redact(fill(shape, value))
    assert is_clean(shown)
    assert MASK in shown


@given(st.sampled_from(WORDS), secret)
def test_no_secret_that_a_sentence_tells_is_shown(shape: str, value: str) -> None:
    """Also in a command of Redis or SMTP, however it is shown."""
    shown = redact(fill(shape, value))
    assert is_clean(shown)
    assert MASK in shown


@pytest.mark.parametrize(
    "value",
    [
        {"password": {"value": "Zq7"}},
        {"cookies": {"a": "Zq7", "b": ["Zq7"]}},
        {"secrets": {"db": {"first": "Zq7"}}},
        {"headers": [["X-Token", "Zq7"], ("Authorization", "Zq7")]},
        {"args": ["password", "Zq7"]},
    ],
)
def test_a_value_that_holds_secrets_is_masked_to_its_depth(value: Any) -> None:
    """Each value in an object of secrets is a secret, and so is the second of a pair."""
    assert is_clean(json.dumps(redact_value(value)))
    assert is_clean(render({"event": "x", "kwargs": value}))


@given(
    st.sampled_from(
        (
            *URLS,
            *PARAMETERS,
            *ASSIGNMENTS,
            *QUOTED,
            *AMID_QUOTES,
            *ELSEWHERE,
            *KNOWN,
            *COMMANDS,
            *WORDS,
        )
    ),
    secret,
    st.text(max_size=20),
    st.text(max_size=20),
)
def test_both_sides_agree(shape: str, value: str, before: str, behind: str) -> None:
    """The log and `warren show-config` mask by one rule, and masking twice changes nothing."""
    text = f"{before} {fill(shape, value)} {behind}"
    shown = redact(text)
    assert redact(shown) == shown
    assert redact_value([text]) == redact_texts([text]) == [shown]
    line = json.loads(render({"message": text, "more": {"list": [text]}}))
    unpaired = shown.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if unpaired == shown:
        assert line["message"] == line["more"]["list"][0] == shown


MORE_PARTS = [
    "mysql",
    " -p",
    "'-p",
    "AUTH ",
    "is ",
    "curl -u ",
    "$4\\r\\n",
    "sshpass",
    "'",
    '"',
    " ",
    ", ",
    "A1b2C3d4",
    "\\",
]
PARTS = [
    *"a:/@;?#&='\"\\ ,()",
    "password",
    "://",
    "amqp",
    "key",
    MASK,
    "Bearer ",
    "\n",
    "%3a%2f%2f",
    "%40",
]


@given(
    st.lists(st.sampled_from(PARTS), max_size=40)
    | st.lists(st.sampled_from([*PARTS, *MORE_PARTS]), max_size=30)
)
def test_masking_twice_changes_nothing(parts: list[str]) -> None:
    """A text that is masked twice, as for a log line and then a command, stays the same."""
    text = "".join(parts)
    shown = redact(text)
    assert redact(shown) == shown


@given(odd(":/@;"))
def test_settings_and_log_show_the_same_url(value: str) -> None:
    """`warren show-config` shows a broker's URL as the log does."""
    url = f"amqp://u:{value}@h/v"
    field = BrokerSettings.model_fields["url"]

    class Held:
        @staticmethod
        def get_secret_value() -> str:
            return url

    assert (
        kind(field).text(Held())
        == json.loads(render({"message": url}))["message"]
        == "amqp://u:***@h/v"
    )


HARMLESS = (
    "http://host:8080/users/@me", "https://host/a", "https://host/@me?mail=a@b",
    "mail a@b about http://host/x", "amqp://user@host", "ssh://git@host/a.git",
    "redis://host:6379/0", "redis://[::1]:6379/0", "redis://:@host/0", "file:///srv/a@b",
    "s3://bucket/a@1", "http://host:8080", "amqp://host:5672//", "amqp://", "redis:///1",
    "https://h/?page=2&sort=name&country_code=de#top",
    "https://h/?keyboard=us&monkey=1&zipcode=1&author=b&language_code=de",
    "keyboard=us monkey=1 tokenize=yes secretary=Ann bypass=1",
    "exit code 70: status_code=200, code 200",
    "routing_key=server_task binding_key=a primary_key=5", "KeyError: 'page'",
    "key 'a' is missing", "max_tokens=4096 total_tokens: 12", '{"max_tokens": 4096}',
    "token_type=bearer", "password_file=/etc/warren/secrets/a",
    "[broker] url_file: expected a file that only its owner may read",
    "password: expected a text, found a number", "token=None secret: null",
    "the password is wrong", "the password is required", "Password is too short.",
    "the password is not set", "password is empty",
    "The token " "is invalid/expired", "the api key is missing",
    "the password " "is case-sensitive", "password is (optional)",
    "password is " "12 characters long", "the password was changed",
    "the password has " "been set to nothing", "AUTH ERROR",
    "AUTH failed", "AUTH failed: timeout", "AUTH failed error 535-5.7.8",
    "AUTH PLAIN LOGIN CRAM-MD5", "250-AUTH LOGIN PLAIN",
    "AUTH PLAIN", "AUTH is required", "cp -p file dir", "mkdir -p dir", "ssh -p 22 h", "ps -p 4711",
    "docker run -p 80:80 a",
    "redis-cli -h h -p 6379 ping", "mysql -u root -p", "mysql -u root -p db", "mysql -h h -P 3306",
    "mysqldump -p | gzip -p9",
    "mysql db; mkdir -p dir", "psql -p 5432 -w", "ldapsearch -x -W -s sub",
    "mongo -u u -p --host h", "curl -u u h", "tar -xpf a",
    "curl -sSu", "rabbitmqctl add_vhost a b", "rabbitmqctl list_queues " "name messages",
    "vault login -method=ldap",
    "sqlplus / as sysdba", "openssl req -keyout " "a.pem -key b", "jdbc:oracle:thin:@h:1521:x",
    "primary key: 5", "foreign key = a",
    "fields ['auth', " "'users', 'x']", "password " "authentication failed", "invalid password",
    "token 5 of 7",
    "unexpected token 'a1'",
    "a - b - c", "?page%5Fno=2", "100%=all", "Bearer of news", "Basic usage: call it",
    "Bearer authentication is needed", "auth_mechanism: PLAIN",
    "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN",
    "signal SIGTERM, design, assigned: 5", "session 5 ended", "a://b", "::://", "50 % of 3:4",
    "passed: 4, passenger=3", "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----",
    "task-sk-1", "disk-0123456789abcdef0123", "docker run -u 1000:1000 a", "sort -u a",
    "<name>a</name>", "<b>5</b>",
    "https://api.telegram.org/", "msg.sk-", "npm_config_registry",
    "celery@host: OK", "fields 'token', 'name'", "def connect(password, token):",
)  # fmt: skip


@pytest.mark.parametrize("text", HARMLESS)
def test_what_holds_no_secret_stays_as_it_is(text: str) -> None:
    """Ports, paths, addresses, prose, and names that only sound like one."""
    assert redact(text) == text


@given(st.text(string.ascii_letters + " .,;!?'\"()\n-", max_size=200))
def test_prose_stays_as_it_is(text: str) -> None:
    """A text without a sign that assigns or begins a URL is never touched."""
    assert (
        redact(text) == text
        or "bearer" in text.lower()
        or "basic" in text.lower()
        or "eyj" in text.lower()
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"password": 12345}, {"password": MASK}),
        (
            {"password": None, "secret": "", "token": True},
            {"password": None, "secret": "", "token": True},
        ),
        ({"a": {"api_key": ["x", "y"]}}, {"a": {"api_key": [MASK, MASK]}}),
        ({"max_tokens": 5, "tokens": 6}, {"max_tokens": 5, "tokens": 6}),
        ({"redis://:pw@h": 1}, {"redis://:***@h": 1}),
        (
            {"task_default_routing_key": "a", "key": "a", "code": 5},
            {"task_default_routing_key": "a", "key": "a", "code": 5},
        ),
    ],
)
def test_values_by_their_names(value: object, shown: object) -> None:
    """In a dictionary the name says what is secret; numbers are, too; nothing needs no mask."""
    assert redact_value(value) == shown
    assert json.loads(render({"extra": value}))["extra"] == shown


HOSTILE = (
    "a://", "://", "a://:", ";a://", "a:1@", "amqp://u:", "http://u:1/", "redis:// ", "x", "key",
    "key=", "?key=", 'key="', "key\\", "?a", "%3a%2f%2f", "%26", "password=[", 'password:\\"',
    "password='\\", "('password', ", "--password ", "authorization: Bearer ", "Bearer ", "eyJa.",
    "-----BEGIN PRIVATE KEY-----", "password\t\t\t", "&key", "@", "'", "\\\\'", "a@:",
    "amqp://a:b", "key:", "https://h?sig", "cookie: none ", "cookie: a' ", "cookie: ='x ",
    "{'pw: 'cookie",
    "cookie=\"'", "cookie: a= 'x\n", "mysql ", "mysql -p", "mysql '", "zip " + "'" * 990,
    "docker login ", "sshpass -p 'x",
    "curl -u a", "'-p", "AUTH ", "AUTH PLAIN ", "AUTH\\r\\n$4\\r\\n", "password for ",
    "password is '", "password is a-",
    "token a1", "rabbitmqctl ", "rabbitmqctl add_user a ", "sqlplus a/", "jdbc:oracle:thin:a/",
    "?%5f", " a%", "setuser a ",
    "api key ", "echo a:b", "htpasswd -b -b ", "-password ", "aws configure set secret",
)  # fmt: skip


def test_a_megabyte(figure: Figure) -> None:
    """Time grows with the text and no faster.

    A square of a hostile text of 1 MB would outlast the time limit of a test.
    """
    worst = 0.0
    for part in HOSTILE:
        text = part * (1_000_000 // len(part))
        began = time.process_time()
        redact(text)
        worst = max(worst, time.process_time() - began)
    figure("a hostile text of 1 MB without its secrets, CPU", worst, "< 1 s")
