"""Committed files: what a key's jobs have made, for programs that read it, and over HTTP."""

from typing import TYPE_CHECKING, Any

from jobkit.files.file_set import CommittedFile, FileReader, FileSet, OpenFile
from jobkit.lazy_names import load

if TYPE_CHECKING:
    from jobkit.files.application import Access, FilesApplication, everyone
    from jobkit.files.signed_links import FileLinks

__all__ = [
    "Access",
    "CommittedFile",
    "FileLinks",
    "FileReader",
    "FileSet",
    "FilesApplication",
    "OpenFile",
    "everyone",
]

# They bring a web framework with them, which a plugin does without.
_ON_DEMAND = {
    "Access": "jobkit.files.application",
    "FileLinks": "jobkit.files.signed_links",
    "FilesApplication": "jobkit.files.application",
    "everyone": "jobkit.files.application",
}


def __getattr__(name: str) -> Any:
    return load(globals(), _ON_DEMAND, name)
