"""What can go wrong here and may go better another time: each is a `Retry`, so it costs an attempt, not the job.

What can never go better is a `Reject`, raised where it is found.
"""

from __future__ import annotations

from jobkit import Retry


class TranscodeFailed(Retry):
    """Root of the troubles of this machine, or of this moment, that another attempt may not meet."""


class Stalled(TranscodeFailed):
    """A media process showed no progress for the stall timeout."""


class TookTooLong(TranscodeFailed):
    """A media process ran for longer than it may."""


class Killed(TranscodeFailed):
    """A media process was ended from outside: by the out-of-memory killer, by a limit, by a person."""


class ProbeFailed(TranscodeFailed):
    """The process that looks into media files crashed, or answered nonsense."""


class FfmpegFailed(TranscodeFailed):
    """ffmpeg gave up for a reason that is not known to lie in the source; the message carries what it said."""


class OutputInvalid(TranscodeFailed):
    """A finished file is not what was planned; it was thrown away."""


class SourceChanged(TranscodeFailed):
    """Somebody wrote to the source while it was being read."""
