"""Base models for what goes into a job and what comes out of it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Payload(BaseModel):
    """What a job type takes. Fields that the model does not name are refused, so that a typo is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Result(BaseModel):
    """What a processor returns; committed by the runtime together with all other effects of the job."""

    model_config = ConfigDict(frozen=True)
