"""Measure the speed targets and print a table: `python -m bench [--quick] [--only NAME ...]`.

Figures are medians of alternating runs of both drivers on one sandbox: in one process, and for
`process` as whole processes. No Prefect server is configured, except where a row says so. All rows
take an hour on two cores, `--quick` a few minutes. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import os
import sys

from cvat_flows.flows.cli import set_prefect_defaults


def main() -> int:
    """Measure and print. Return 1 if a target is missed."""
    # Prefect reads its settings on import. These are the settings of the command line.
    set_prefect_defaults()
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")
    from bench.stage import temporary_prefect_home

    with temporary_prefect_home():
        return _measure()


def _measure() -> int:
    from bench import kind_rows, nuclio_row, process_rows, rows, tiled_row, yolo_rows
    from bench.stage import open_stage
    from bench.table import Row, print_table

    measurements = {
        "constant": rows.constant_box,
        "device": rows.device,
        "yolo": yolo_rows.yolo_on_cpu,
        "same-function": yolo_rows.yolo_same_function,
        "bf16": yolo_rows.yolo_bf16,
        "kinds": kind_rows.kinds,
        "transformers": kind_rows.transformers,
        "encoding": kind_rows.encoding,
        "tiled": tiled_row.tiled,
        "nuclio": nuclio_row.nuclio,
        "second-run": rows.second_run,
        "cached": rows.cached_run,
        "killed": rows.killed_and_resumed,
        "length": rows.memory_and_length,
        "prefect": rows.share_of_prefect,
        "process": process_rows.whole_process,
        "gpu": yolo_rows.yolo_on_gpu,
    }
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer frames and two rounds")
    parser.add_argument(
        "--only", nargs="+", choices=list(measurements), default=list(measurements), metavar="NAME",
        help="measure only these rows: " + ", ".join(measurements),
    )  # fmt: skip
    arguments = parser.parse_args()
    effort = rows.QUICK if arguments.quick else rows.Effort()
    measured: list[rows.Result] = []
    try:
        with open_stage() as stage:
            rows.warm_up(stage)
            for name in arguments.only:
                print(f"measuring {name} ...", file=sys.stderr, flush=True)
                result = measurements[name](stage, effort)
                measured += result if isinstance(result, list) else [result]
    finally:  # print the rows before the one that fails
        print_table(measured)
        print(rows.machine())
    return int(any(isinstance(row, Row) and not row.met for row in measured))


if __name__ == "__main__":
    sys.exit(main())
