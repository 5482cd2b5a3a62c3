import os
import socket
import subprocess
import sys

import pytest
from tests.waiting import wait_until


@pytest.fixture(scope="session")
def s3():
    """An object store of its own: a server of the S3 protocol in another process, with an empty bucket."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    settings = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        try:
            wait_until(lambda: server.poll() is not None or _answers(port))
            assert server.poll() is None
            import s3fs

            s3fs.S3FileSystem().mkdir("bucket")
            yield f"s3://bucket/{os.getpid()}"
        finally:
            server.kill()
            server.wait()


def _answers(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
