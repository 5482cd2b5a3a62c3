"""The page behind a reverse proxy: which names it answers to, and whose word it takes."""

import json

import pytest

from distlaw.apps.cli import main
from distlaw.apps.web.app import make_app
from distlaw.apps.web.names import Names, host_name
from distlaw.apps.web.serving import guard
from distlaw.apps.web.site import COOKIE

HERE = "http://127.0.0.1:8050"
FORWARDED = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "plan.example.org",
    "X-Forwarded-Prefix": "/distlaw",
}


def client_of(site, **said):
    app = make_app(site)
    guard(app, **said)
    return app.server.test_client()


@pytest.fixture(scope="module")
def behind(site):
    return client_of(site, loopback=True, allow=["plan.example.org"])


@pytest.fixture(scope="module")
def alone(site):
    return client_of(site, loopback=True)


@pytest.mark.parametrize("host", ["plan.example.org", "PLAN.example.org:443", "127.0.0.1:8050", "localhost"])
def test_it_answers_to_the_name_it_was_given_and_to_its_own(behind, host):
    assert behind.get("/", base_url=HERE, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.org", "plan.example.org.evil.org", "example.org", "[bad", "x@plan.example.org"])
def test_it_answers_to_no_other(behind, host):
    assert behind.get("/", base_url=HERE, headers={"Host": host}).status_code in (400, 421)
    # Nor to another whose page adds a header as a proxy does.
    assert behind.get("/", base_url=HERE, headers=FORWARDED | {"Host": host}).status_code in (400, 421)


def test_without_a_name_nothing_is_believed(alone):
    answer = alone.get("/", base_url=HERE, headers=FORWARDED)
    assert answer.status_code == 200
    assert b"/distlaw/" not in answer.data


def test_from_another_machine_nothing_is_believed(site):
    client = client_of(site, loopback=False, allow=["plan.example.org"])
    said = {"base_url": "http://plan.example.org", "headers": FORWARDED}
    assert b"/distlaw/" in client.get("/", **said, environ_base={"REMOTE_ADDR": "127.0.0.1"}).data
    assert b"/distlaw/" not in client.get("/", **said, environ_base={"REMOTE_ADDR": "192.0.2.1"}).data
    wrong = FORWARDED | {"X-Forwarded-Host": "evil.org"}
    there = client.get(
        "/", base_url="http://plan.example.org", headers=wrong, environ_base={"REMOTE_ADDR": "192.0.2.1"}
    )
    assert there.status_code == 200  # the header counts for nothing


def test_the_page_lies_below_the_prefix(behind):
    text = behind.get("/", base_url=HERE, headers=FORWARDED).text
    assert '"requests_pathname_prefix":"/distlaw/"' in text
    links = [part.split('"')[0] for part in text.replace('src="', 'href="').split('href="')[1:]]
    assert len(links) > 8
    assert all(link.startswith("/distlaw/") for link in links)
    layout = json.dumps(behind.get("/_dash-layout", base_url=HERE, headers=FORWARDED).json)
    assert '"/distlaw/law"' in layout
    assert '"/law"' not in layout
    for path in ("/plan", "/distlaw/plan", "/distlaw", "/distlaw/"):  # whether the proxy strips it or not
        assert behind.get(path, base_url=HERE, headers=FORWARDED).status_code == 200
    assert behind.get("/distlaw/nowhere", base_url=HERE, headers=FORWARDED).status_code == 404


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-Forwarded-Prefix", '/a" onload="x'),
        ("X-Forwarded-Prefix", "//evil.org"),
        ("X-Forwarded-Prefix", "https://evil.org/"),
        ("X-Forwarded-Prefix", "a/b"),
        ("X-Forwarded-Proto", "javascript"),
    ],
)
def test_what_no_proxy_says_is_refused(behind, header, value):
    answer = behind.get("/", base_url=HERE, headers=FORWARDED | {header: value})
    assert answer.status_code == 400
    assert header in answer.text
    assert answer.text.count("\n") == 1


def test_its_own_page_may_ask_through_the_proxy_and_no_other(behind):
    known = behind.get("/_dash-dependencies", base_url=HERE).json[0]["output"]
    ask = {"base_url": HERE, "json": {"output": known}}

    def status(origin, **headers):
        return behind.post("/_dash-update-component", **ask, headers={"Origin": origin} | headers).status_code

    assert status("https://plan.example.org", **FORWARDED) != 403
    assert status("https://plan.example.org") != 403  # by a proxy that says nothing of the host
    assert status("https://plan.example.org:8443", Host="plan.example.org") != 403
    for origin in ("https://evil.org", "null", "", "https://plan.example.org.evil.org", "http://[bad", "file://"):
        assert status(origin, **FORWARDED) == 403


def test_its_cookie_is_secure_and_of_its_path(site, behind):
    del site
    answer = behind.get("/", base_url=HERE, headers=FORWARDED)
    assert COOKIE not in answer.headers.get("Set-Cookie", "")
    body = {
        "output": "..fit-table.data...fit-columns-said.data...fit-said.children..",
        "outputs": [
            {"id": "fit-table", "property": "data"},
            {"id": "fit-columns-said", "property": "data"},
            {"id": "fit-said", "property": "children"},
        ],
        "inputs": [{"id": "fit-upload", "property": "value", "value": {"name": "a.txt", "content": ""}}],
        "changedPropIds": ["fit-upload.value"],
        "state": [],
    }
    cookie = behind.post("/_dash-update-component", base_url=HERE, headers=FORWARDED, json=body).headers["Set-Cookie"]
    assert COOKIE in cookie
    assert {"Secure", "HttpOnly", "Path=/distlaw", "SameSite=Strict"} <= set(cookie.split("; "))


@pytest.mark.parametrize("name", ["http://a.org", "a.org:80", "a.org/x", "*.a.org", "", "a b", "a-.org", "a..b"])
def test_a_name_that_is_none_is_said_in_a_line(name, capsys):
    assert main(["serve", "--allow-host", name]) == 2
    error = capsys.readouterr().err
    assert "is not the name of a machine" in error
    assert error.count("\n") == 1


def test_names_are_compared_as_machines_do():
    assert host_name("Plan.Example.org.") == "plan.example.org"
    names = Names(loopback=True, allowed=[host_name("a.org")])
    assert names.has("A.org:9")
    assert not names.has("b.org")
    assert not Names(loopback=True).has("a.org")
    assert Names(loopback=False).has("a.org")
    assert not Names(loopback=False, allowed=["b.org"]).has("a.org")
