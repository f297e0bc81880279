"""An S3 server (moto) for tests of shared storage."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cvat_flows.deployments.listening import free_port
from tests.support.waiting import wait_until


def serve(port: int) -> None:
    """Serve one request at a time: moto checks for an object and creates it in two steps."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import run_simple

    run_simple("127.0.0.1", port, DomainDispatcherApplication(create_backend_app), threaded=False)


@contextmanager
def s3_bucket() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield a bucket's URL and the environment in which `s3fs` and botocore find its server."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    environment = {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.support.s3_server", str(port)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def create_bucket() -> bool:
        request = urllib.request.Request(f"{address}/cvat-flows", method="PUT")
        try:
            with urllib.request.urlopen(request, timeout=5):
                return True
        except OSError:
            return False

    try:
        wait_until(create_bucket, what="the S3 server has a bucket")
        yield "s3://cvat-flows", environment
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
