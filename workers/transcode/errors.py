"""What can go wrong here. Most may go better another time: that is a `Retry`, which costs an attempt, not the job.

What the same input gives again is a `Reject`: an encode of a film takes hours, and another would end like the first.
"""

from __future__ import annotations

from errno import ENOSPC

from jobkit import Reject, Retry


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


class PackagingFailed(TranscodeFailed):
    """The segments could not be written; the message carries what the packaging process said."""


class DiskFull(TranscodeFailed, OSError):
    """The disk that outputs are made on has no room; the message says how much there is.

    As any error of a full disk it costs no attempt: it is not the job's doing, and is waited for.
    """

    errno = ENOSPC


class OutputInvalid(TranscodeFailed):
    """A finished file is damaged or has gone; it was thrown away."""


class OutputUnfit(Reject):
    """A finished file is whole, but not what was planned: the same source gives the same again."""


class SourceUnreachable(TranscodeFailed):
    """A source that is fetched could not be had, or not in time; the message says why."""


class KeyUnavailable(TranscodeFailed):
    """The key server could not be asked, or could not answer; the message says why."""


class SourceChanged(TranscodeFailed):
    """Somebody wrote to the source while it was being read."""
