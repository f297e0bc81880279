"""An evaluation of 100,000 boxes takes seconds and little memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

MAX_SECONDS = 30
MAX_GIGABYTES = 2
PROGRAM = """
import resource, time
from cvat_flows.tasks.evaluate.corrections import rank_by_truth
from cvat_flows.tasks.evaluate.evaluation import compare, evaluate
from cvat_flows.tasks.evaluate.mistakes import find_mistakes
from cvat_flows.tasks.evaluate.thresholds import curve_of, suggest
from tests.tasks.evaluate.scenes import random_boxes

begin = time.process_time()
found, true = random_boxes(100_000, 10_000, seed=1)
comparison = compare(found, true, frames=range(10_000), sizes={}, used=found.score > 0.3)
evaluation = evaluate(comparison)
for label in range(1, 5):
    suggest(curve_of(found, true, comparison.pairing, label), min_precision=0.8)
assert len(rank_by_truth(comparison)) > 5000
find_mistakes(comparison)
assert evaluation.overall.counts.true == 100_000
print(time.process_time() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
"""


@pytest.mark.slow
def test_10000_frames_with_100000_boxes() -> None:
    # The time of the processor: other processes on the machine do not count.
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    seconds, gigabytes = map(float, done.stdout.split())
    assert seconds < MAX_SECONDS
    assert gigabytes < MAX_GIGABYTES
    print(f"{seconds:.1f} s, {gigabytes:.2f} GB")
