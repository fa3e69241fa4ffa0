"""Registry errors.

RegistryError
├── InvalidReferenceError     not a reference to a model version
│   └── RepeatedModelError    a list of models names one of them twice
├── ModelNotFoundError        no such model, version or alias
├── AliasConflictError        the alias moved after we read it
├── RegistryUnavailableError  the store cannot be reached; safe to retry
├── DigestMismatchError       the files are not the ones that were registered
├── FilesChangedError         the files of a version without a digest are not the ones fetched before
├── ReadOnlyRegistryError     the registry takes no files or tags from here
└── GateRefusedError          a gate says no; the facts say which and by how much
    └── GateRecordError       the record of the gates is missing, unreadable, or about other files
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from registry.gate_record import GateResult


class RegistryError(Exception):
    """Base of everything this package raises on purpose."""


class InvalidReferenceError(RegistryError):
    """The text is not a reference to a model version."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(
            f"'{text}' is not a model reference; write name@alias, name/version or models:/name/version"
        )


class RepeatedModelError(InvalidReferenceError):
    """A list of models names one of them twice."""

    def __init__(self, name: str) -> None:
        self.text = name
        RegistryError.__init__(self, f"the model '{name}' is named twice; name one of its versions")


class ModelNotFoundError(RegistryError):
    """No such model, version or alias; `reference` is what was asked for."""

    def __init__(self, reference: str) -> None:
        self.reference = reference
        super().__init__(
            f"no model version '{reference}' in the registry; `fairmind models list` shows what is there"
        )


class AliasConflictError(RegistryError):
    """The alias moved after we read it."""

    def __init__(self, name: str, alias: str, *, expected: str | None, found: str | None) -> None:
        self.name, self.alias, self.expected, self.found = name, alias, expected, found
        super().__init__(
            f"alias '{alias}' of model '{name}' was moved by somebody else "
            f"(expected {_version(expected)}, found {_version(found)}); look again and repeat"
        )


class RegistryUnavailableError(RegistryError):
    """The store cannot be reached; safe to retry. `address` never holds a password."""

    def __init__(self, address: str, reason: str) -> None:
        self.address, self.reason = address, reason
        super().__init__(f"the model registry at {address} cannot be reached: {reason}")


class DigestMismatchError(RegistryError):
    """The files are not the ones that were registered."""

    def __init__(self, what: str, *, expected: str, found: str) -> None:
        self.what, self.expected, self.found = what, expected, found
        super().__init__(
            f"the files of {what} have digest {found[:19]}…, registered was {expected[:19]}…; "
            "they were changed after registration: train and register the version again"
        )


class FilesChangedError(RegistryError):
    """The files of a version that was registered without a digest are not the ones that were fetched before."""

    def __init__(self, what: str, *, expected: str, found: str, record: str) -> None:
        self.what, self.expected, self.found = what, expected, found
        super().__init__(
            f"the files of {what} changed in the registry: they had digest {expected[:19]}… when they were first "
            f"fetched and have {found[:19]}… now; register them as a new version, or remove {record} to take them"
        )


class ReadOnlyRegistryError(RegistryError):
    """The registry takes no files or tags from here."""

    def __init__(self, address: str, reason: str) -> None:
        self.address, self.reason = address, reason
        super().__init__(f"the model registry at {address} takes nothing from here: {reason}")


class GateRefusedError(RegistryError):
    """A gate says no; `refusing` are its results."""

    def __init__(self, model: str, refusing: tuple[GateResult, ...], *, problem: str | None = None) -> None:
        self.model, self.refusing = model, refusing
        reason = problem or "; ".join(result.describe() for result in refusing)
        super().__init__(f"{model} was not promoted: {reason}")


class GateRecordError(GateRefusedError):
    """The record of the gates is missing, unreadable, or about other files: nothing to promote the version on."""

    def __init__(self, model: str, reason: str) -> None:
        self.reason = reason
        remedy = 'train it with `fairmind train`, or promote it with --override "reason"'
        super().__init__(model, (), problem=f"{reason}; {remedy}")


def _version(version: str | None) -> str:
    return "no version" if version is None else f"version {version}"
