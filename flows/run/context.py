"""The context of a run: what it is about, in one value that nothing changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context
from typing import TypeVar

from attrs import field, frozen
from cvat_sdk import Client

from aa_functions.reference import LoadedFunction, load_function
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.connect import connect_for_run
from cvat_flows.flows.run.live import LiveInputs
from cvat_flows.flows.run.naming import name_flow_run
from cvat_flows.flows.run.unknown_inputs import warn_of_unknown_inputs
from cvat_flows.tasks.cvat.client.login import remember_session
from cvat_flows.tasks.cvat.client.retry import write_policy
from cvat_flows.tasks.cvat.client.settings import find_settings
from cvat_flows.tasks.engine.current import current_engine, run_logger
from cvat_flows.tasks.matching.mapping import load_mapping
from cvat_flows.tasks.matching.result import SpecMatch
from cvat_flows.tasks.model.labels import Label
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.steps import fetch_labels, fetch_media, match_spec
from cvat_flows.tasks.storage import Storage, open_storage

T = TypeVar("T")


@frozen(kw_only=True, eq=False)
class RunContext:
    """A function, a CVAT task, and how one is to annotate the other."""

    parameters: AnnotateTaskParameters
    live: LiveInputs = field(factory=LiveInputs)
    client: Client
    media: TaskMedia
    function: LoadedFunction
    labels: tuple[Label, ...]
    """Labels of the CVAT task."""
    match: SpecMatch
    storage: Storage


def _read_task(
    parameters: AnnotateTaskParameters, live: LiveInputs
) -> tuple[Client, TaskMedia, tuple[Label, ...]]:
    """Connect to CVAT and read the task."""
    if live.client is None:
        _show_phase(live, "connecting to CVAT")
    client = live.client or connect_for_run(find_settings(parameters.server))
    remember_session(client)
    media = fetch_media(client, parameters.task_id, parameters.jobs)
    name_flow_run(parameters, media, live)
    return client, media, fetch_labels(client, media)


def _load_function(parameters: AnnotateTaskParameters, live: LiveInputs) -> LoadedFunction:
    _show_phase(live, f"loading {parameters.short_name}")
    return load_function(parameters.reference)


def _show_phase(live: LiveInputs, text: str) -> None:
    """Show what the run does before its first frame, on the terminal and on the run's page."""
    live.progress.phase(text)
    if current_engine().is_recorded:
        run_logger().info("%s ...", text)


@contextmanager
def _in_thread(
    call: Callable[[AnnotateTaskParameters, LiveInputs], T],
    parameters: AnnotateTaskParameters,
    live: LiveInputs,
) -> Iterator[Future[T]]:
    """Call in another thread during the block. Its error goes before an error of the block."""
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(call(parameters, live))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=copy_context().run, args=[work], name="read-task", daemon=True).start()
    try:
        yield future
    except Exception:
        future.result()
        raise


def open_context(parameters: AnnotateTaskParameters, live: LiveInputs | None = None) -> RunContext:
    """Connect to CVAT, read the task and its labels, load the function and match the labels.

    Raises BadRequestLifetime, CannotConnect, CvatRefused, CvatUnavailable, FunctionReferenceError,
    SpecMismatch and the errors of a task without frames.
    """
    live = live or LiveInputs()
    write_policy()  # A bad setting ends the run now, not after the detection.
    # Side by side: a model takes seconds to load. It is loaded in this thread, because libraries
    # may insist on the main thread.
    with _in_thread(_read_task, parameters, live) as reading:
        function = live.function or _load_function(parameters, live)
    client, media, labels = reading.result()
    warn_of_unknown_inputs(function)
    match = match_spec(
        function,
        labels,
        thresholds=parameters.label_thresholds or {},
        allow_unmatched_labels=parameters.allow_unmatched_labels,
        conv_mask_to_poly=parameters.conv_mask_to_poly,
        mapping=load_mapping(parameters.label_mapping),
    )
    return RunContext(
        parameters=parameters,
        live=live,
        client=client,
        media=media,
        function=function,
        labels=labels,
        match=match,
        storage=open_storage(),
    )
