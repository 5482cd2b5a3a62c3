import socket
import subprocess
import sys

import pytest

from distlaw.apps.cli import main
from distlaw.apps.web.app import make_app
from distlaw.apps.web.serving import MOST_BYTES, guard, is_loopback, listen
from distlaw.apps.web.site import COOKIE

HERE = "http://127.0.0.1:8050"


@pytest.fixture(scope="module")
def client(site):
    app = make_app(site)
    guard(app, loopback=True)
    return app.server.test_client()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "::1", "[::1]"])
def test_this_machine(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", "localhost.evil.org", ""])
def test_other_machines(host):
    assert not is_loopback(host)


def test_the_page_says_what_a_browser_may_do(client):
    answer = client.get("/", base_url=HERE)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    scripts = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert "unsafe" not in scripts
    assert "http" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert b"http://" not in answer.data
    assert b"https://" not in answer.data
    assert b'<html lang="en">' in answer.data


@pytest.mark.parametrize("host", ["evil.org", "evil.org:8050", "127.0.0.1.evil.org", "192.168.0.5:8050", "[bad", ""])
def test_a_name_that_points_here_is_not_answered(client, host):
    assert client.get("/", base_url=HERE, headers={"Host": host}).status_code in (400, 421)


@pytest.mark.parametrize("host", ["127.0.0.1:8050", "localhost:8050", "[::1]:8050"])
def test_our_own_names_are(client, host):
    assert client.get("/", base_url=HERE, headers={"Host": host}).status_code == 200


def test_another_page_cannot_ask(client):
    headers = {"Origin": "http://evil.org"}
    assert client.post("/_dash-update-component", base_url=HERE, headers=headers, json={}).status_code == 403


def test_a_request_has_a_most(client):
    body = b"x" * (MOST_BYTES + 1)
    answer = client.post("/_dash-update-component", base_url=HERE, data=body, content_type="application/json")
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "path",
    ["/assets/../app.py", "/assets/%2e%2e/app.py", "/_dash-component-suites/distlaw/cli.py", "/assets//etc/passwd"],
)
def test_no_other_file_is_served(client, path):
    answer = client.get(path, base_url=HERE)
    assert b"import" not in answer.data
    assert b"root:" not in answer.data


@pytest.mark.parametrize("body", [b"", b"{}", b"[", b'{"output": "x.y"}', b'{"output": 3, "inputs": 4}'])
def test_a_bad_request_is_an_error_and_the_server_lives(client, body):
    answer = client.post("/_dash-update-component", base_url=HERE, data=body, content_type="application/json")
    assert answer.status_code >= 400
    assert b"Traceback" not in answer.data
    assert client.get("/", base_url=HERE).status_code == 200


def test_a_visitor_who_brings_nothing_gets_no_cookie(client):
    assert COOKIE not in client.get("/", base_url=HERE).headers.get("Set-Cookie", "")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--host", "0.0.0.0"], "'0.0.0.0' lets other machines in: add --allow-remote"),
        (["--host", "example.org"], "add --allow-remote"),
        (["--port", "70000"], "--port 70000 is not a port"),
        (["--laws", "/nowhere"], "--laws '/nowhere' is not a folder"),
        (["--studies", "/nowhere"], "--studies '/nowhere' is not a folder"),
        (["--port", "0"], "is not a whole number"),
        (["--allow-host", "http://a.org"], "--allow-host 'http://a.org' is not the name of a machine"),
    ],
)
def test_what_cannot_be_served_is_said_in_a_line(words, says, capsys):
    assert main(["serve", *words]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_a_port_in_use_is_said_in_a_line(site, capsys):
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        port = one.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 2
        assert f"port {port} of 127.0.0.1 is in use; give another with --port" in capsys.readouterr().err
        with pytest.raises(ValueError, match="is in use"):
            listen(make_app(site), host="127.0.0.1", port=port)


def test_the_command_line_stays_light():
    heavy = ("dash", "plotly", "flask", "waitress")
    code = f"import distlaw.apps.cli, sys; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/plan/x",
        "/PLAN",
        "/favicon.ico",
        "/_dash-component-suites/foo/bar.js",
        "/_dash-component-suites/dash/dcc/nothing.js",
        "/_dash-component-suites/dash/../dash.py",
        "/_dash-component-suites/dash/deps/",
        "/_dash-component-suites/",
        "/_dash-nothing",
        "/assets/nothing.js",
    ],
)
def test_what_is_not_there_is_404(client, path):
    client.get("/", base_url=HERE)
    answer = client.get(path, base_url=HERE)
    assert answer.status_code == 404
    assert b"Traceback" not in answer.data


@pytest.mark.parametrize("path", ["/", "/plan", "/law", "/fit?a=b", "/study/"])
def test_what_is_there_is_200(client, path):
    assert client.get(path, base_url=HERE).status_code == 200


def test_the_page_s_own_components_are_there(client):
    page = client.get("/", base_url=HERE).text
    scripts = [part.split('"')[0] for part in page.split('src="')[1:]] + [
        "/_dash-component-suites/plotly/package_data/plotly.min.js"
    ]
    assert len(scripts) > 8
    for script in scripts:
        answer = client.get(script, base_url=HERE)
        assert answer.status_code == 200
        assert "javascript" in answer.headers["Content-Type"]
        answer.close()


@pytest.mark.parametrize("body", [None, [], {}, {"output": 3}, {"output": "x.y"}, {"output": ["a"]}, "text"])
def test_a_request_for_no_such_thing_is_400(client, body):
    assert client.post("/_dash-update-component", base_url=HERE, json=body).status_code == 400


@pytest.mark.parametrize("origin", ["http://[bad", "null", "http://127.0.0.1:1", "javascript:x"])
def test_an_origin_that_is_not_this_page_is_403(client, origin):
    headers = {"Origin": origin}
    assert client.post("/_dash-update-component", base_url=HERE, headers=headers, json={}).status_code == 403
