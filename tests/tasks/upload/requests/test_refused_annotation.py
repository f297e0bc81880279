"""Find the annotation that CVAT refused; the frame's picture highlights it."""

from __future__ import annotations

import json
from typing import Any

from cvat_flows.tasks.cvat.digest import digest
from cvat_flows.tasks.cvat.job_annotations import Reply
from cvat_flows.tasks.cvat.label_names import LabelNames
from cvat_flows.tasks.model.credentials import remember
from cvat_flows.tasks.model.frames import Failure
from cvat_flows.tasks.upload.frames.encode import encode_frame
from cvat_flows.tasks.upload.frames.result import UploadOptions
from cvat_flows.tasks.upload.requests.create import Creator
from tests.tasks.reports.report_factory import annotated, media_of, names_of


class Refusing:
    """A job that refuses every create."""

    job_id = 1

    def __init__(self, answer: Any) -> None:
        self.reply = Reply(
            result="refused", status=400, text="400 no", body=json.dumps(answer).encode()
        )

    def create(self, body: bytes) -> Reply:
        return self.reply


def failure_of(answer: Any) -> Failure:
    outcome = annotated(media_of(names_of(1)).frame(0), 3)
    frame = encode_frame(outcome, job_frames={0}, names=LabelNames())
    frame.make_plan([], None, "keep")
    channel: Any = Refusing(answer)
    creator = Creator(
        channel=channel,
        digest_of=lambda item: digest(item, LabelNames()),
        options=UploadOptions(),
        run_id="run",
        read_objects=lambda frames: {},
        record=lambda frames: None,
    )
    creator.create(creator.group([frame]))
    assert frame.failure is not None
    assert frame.failure.error.startswith("CVAT refused the frame's annotations: ")
    return frame.failure


def index_of_fault(answer: Any) -> int | None:
    return failure_of(answer).annotation_index


def test_a_list_of_errors_names_the_annotation() -> None:
    assert index_of_fault({"shapes": [{}, {}, {"points": ["no"]}]}) == 2
    assert index_of_fault({"shapes": [{}, {"points": ["no"]}, {}]}) == 1


def test_any_other_answer_names_none() -> None:
    assert index_of_fault(["label_id `9` is invalid"]) is None
    assert index_of_fault({"shapes": []}) is None


def test_a_long_error_is_cut_after_its_credentials_are_masked() -> None:
    remember("a-long-secret-of-the-user")
    error = {"points": ["x" * 275 + " a-long-secret-of-the-user"]}
    text = failure_of({"shapes": [error, {}, {}]}).error
    assert "xxx" in text
    assert "a-long" not in text
