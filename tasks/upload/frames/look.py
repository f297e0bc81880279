"""A look at a job: until when an open request may still be carried out."""

from __future__ import annotations

from attrs import frozen

from cvat_flows.tasks.record.manifest_file import FrameRecord


@frozen(kw_only=True)
class Look:
    """A look at a job. Times are in seconds since 1970."""

    at: float
    """When the job was read."""
    run: str
    """Id of the run that looks."""
    quiet_since: float | None = None
    """Since when no other run has written to the CVAT task; None: until now."""
    lifetime: float
    """Seconds after its end in which a request may still be carried out."""

    def until(self, record: FrameRecord) -> float:
        """Return until when the open request of a frame may be carried out.

        Without a time in the record, the run that sent the request was interrupted. No request can
        be carried out later than its lifetime from now, whatever clock the time is from.
        """
        if record.until is not None:
            return min(record.until, self.at + self.lifetime)
        if record.run.id == self.run or self.quiet_since is None:
            return self.at + self.lifetime
        return min(self.at, self.quiet_since) + self.lifetime
