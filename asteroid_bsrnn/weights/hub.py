"""Published weights on the Hugging Face Hub: download and upload.

Everything goes through `huggingface_hub`, so its users find what they know: its cache (`HF_HOME`),
tokens (`HF_TOKEN`, or `hf auth login`), offline mode (`HF_HUB_OFFLINE`) and other servers
(`HF_ENDPOINT`).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from .._version import __version__
from ..errors import UserError, one_line
from . import checkpoint

PREFIX = "hf:"
# The name that `publish` gives the file of weights.
FILE = "model.pth"
_LIBRARY = {"library_name": "asteroid-bsrnn", "library_version": __version__}
_NAME = r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+"
# The form of the library's own URIs, without their slashes: ID, revision, path.
_FORM = re.compile(
    rf"{PREFIX}(?P<repository>{_NAME})(?:@(?P<revision>refs/pr/\d+|[^/@]+))?(?:/(?P<file>[^@]+))?"
)


@dataclass(frozen=True)
class Reference:
    """A file in a repository of the Hub."""

    repository: str  # user/name
    revision: str | None = None  # branch, tag or commit; None means the main branch
    file: str = FILE


def is_reference(name: str) -> bool:
    """Return whether a model's name refers to the Hub, that is, begins with `hf:`."""
    return name.startswith(PREFIX)


def parse(name: str) -> Reference:
    """Read a reference: `hf:user/name`, with an optional `@revision` and `/path/of/file.pth`.

    A slash in the name of a branch is written `%2F`.

    Raises:
        UserError: it has another form.

    Example:
        >>> parse("hf:user/name@v1.0")
        Reference(repository='user/name', revision='v1.0', file='model.pth')
    """
    match = _FORM.fullmatch(name)
    if match is None:
        raise UserError(
            f"{name!r}: not a model on the Hugging Face Hub; write hf:user/name, "
            "hf:user/name@revision or hf:user/name/file.pth"
        )
    revision = match["revision"]
    return Reference(match["repository"], revision and unquote(revision), match["file"] or FILE)


def fetch(name: str) -> Path:
    """Return the path of a published file in the Hub's cache, downloaded first if needed.

    Raises:
        UserError: the name has another form than `parse` takes, or the file is neither in the cache
            nor can be downloaded.
    """
    from huggingface_hub import hf_hub_download

    reference = parse(name)
    try:
        path = hf_hub_download(
            reference.repository, reference.file, revision=reference.revision, **_LIBRARY
        )
    except Exception as error:  # errors of the connection depend on the library's version
        raise UserError(f"{name}: {_reason(error, reference)}") from error
    return Path(path)


def publish(
    path: str | os.PathLike, repository: str, card: str, *, private: bool | None = None
) -> str:
    """Upload a published file and its model card as one commit; return `hf:user/name@commit`.

    The repository is created if needed. Earlier versions of its files stay in its history.

    Args:
        path: the file. It is loaded first, and not uploaded if it cannot be loaded.
        repository: `user/name`.
        card: the model card, Markdown that begins with a YAML block.
        private: whether only its owner may see the repository; None means what the repository or
            the owner's settings say.

    Raises:
        UserError: the file cannot be loaded, the card's block is not valid YAML, a private upload
            would go to a public repository, or the Hub refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, ModelCard, constants

    reference = parse(f"{PREFIX}{repository.removeprefix(PREFIX)}")
    if reference != Reference(reference.repository):
        raise UserError(f"{repository!r}: not a repository; write user/name")
    if constants.HF_HUB_OFFLINE:
        raise UserError("HF_HUB_OFFLINE is set; unset it to upload")
    checkpoint.load_model(path)
    try:
        ModelCard(card)
    except Exception as error:  # raised by the YAML parser, or for the block's contents
        raise UserError(f"the card's metadata are not valid: {one_line(error)}") from error
    api = HfApi(**_LIBRARY)
    files = [
        CommitOperationAdd(FILE, os.fspath(path)),
        CommitOperationAdd("README.md", card.encode()),
    ]
    try:
        api.create_repo(reference.repository, private=private, exist_ok=True)
        # `create_repo` does not change the visibility of an existing repository.
        public = not api.model_info(reference.repository).private
        if not (private and public):
            commit = api.create_commit(
                reference.repository, files, commit_message=f"Publish {FILE}"
            )
            return f"{PREFIX}{reference.repository}@{commit.oid}"
    except Exception as error:  # as in fetch
        raise UserError(f"{reference.repository}: {_reason(error, reference)}") from error
    raise UserError(
        f"{reference.repository}: this repository is public, nothing was uploaded; make it private "
        "in its settings on the Hub, or choose another name"
    )


def _reason(error: Exception, reference: Reference) -> str:
    """Return why a call of the library failed and what to do, in one line."""
    from huggingface_hub import constants, errors

    page = f"{constants.ENDPOINT}/{reference.repository}"
    if isinstance(error, errors.LocalEntryNotFoundError):
        if constants.HF_HUB_OFFLINE:
            return (
                "offline (HF_HUB_OFFLINE is set) and not in the cache; run once with a connection, "
                "or point HF_HOME at a cache that has it"
            )
        return f"not in the cache, and {_what_happened(error.__cause__ or error)}"
    # The order matters: GatedRepoError is a subclass of RepositoryNotFoundError.
    reasons = {
        errors.GatedRepoError: f"access must be granted first: ask for it at {page}; {_log_in()}",
        errors.RepositoryNotFoundError: f"no such repository at {constants.ENDPOINT}, or a private "
        f"one; check the name; {_log_in()}",
        errors.RevisionNotFoundError: f"no such revision; {page} lists branches, tags and commits",
        errors.EntryNotFoundError: f"the repository has no file {reference.file!r}; name another: "
        f"{PREFIX}{reference.repository}/FILE.pth",
        errors.HFValidationError: f"not a valid name on the Hub: {one_line(error)}",
    }
    for kind, reason in reasons.items():
        if isinstance(error, kind):
            return reason
    return _what_happened(error)


def _what_happened(error: BaseException) -> str:
    """Return the message of the Hub, the disk or the connection."""
    from huggingface_hub import constants, get_token

    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401 and get_token() is not None:
        return (
            "the Hub does not accept the token (hf auth login, or HF_TOKEN); create a new one at "
            f"{constants.ENDPOINT}/settings/tokens"
        )
    if status in (401, 403):
        return f"the Hub refuses; {_log_in()}"
    if status is not None:
        said = getattr(error, "server_message", None)
        return f"the Hub answers {status}{f' ({said})' if said else ''}; try again later"
    # Errors of the connection have other classes, or no errno.
    if isinstance(error, OSError) and error.strerror and not isinstance(error, ConnectionError):
        return (
            f"cannot be stored at {error.filename or constants.HF_HUB_CACHE} ({error.strerror}); "
            "make room there or point HF_HOME elsewhere"
        )
    if isinstance(error, ValueError):  # the Hub's check of the card failed
        return one_line(error)
    return (
        f"{constants.ENDPOINT} cannot be reached ({one_line(error) or type(error).__name__}); "
        "check the connection and try again"
    )


def _log_in() -> str:
    from huggingface_hub import get_token

    if get_token() is None:
        return "log in (hf auth login, or HF_TOKEN)"
    return "check what the token (hf auth login, or HF_TOKEN) gives access to"
