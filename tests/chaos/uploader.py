"""Start and kill the process that uploads."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.chaos.worker import Attempt


class Uploader:
    """The process of tests.chaos.worker, which forks for each attempt."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.log = (folder / "worker.log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        self.child = 0

    def run(self, attempt: Attempt) -> int:
        """Run an attempt and return its exit code, which is negative if it was killed."""
        path = self.folder / "attempt.pickle"
        path.write_bytes(pickle.dumps(attempt))
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        self.child = int(self.process.stdout.readline())
        code = int(self.process.stdout.readline())
        self.child = 0
        return code

    def kill(self) -> None:
        if self.child:
            with suppress(ProcessLookupError):
                os.kill(self.child, signal.SIGKILL)

    def errors(self) -> str:
        self.log.flush()
        self.log.seek(0)
        return self.log.read()[-3000:]

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(120)
        self.process.stdout.close()
        self.log.close()
