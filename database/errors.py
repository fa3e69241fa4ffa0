"""Database errors.

DatabaseError
├── DatabaseUnavailableError  the database cannot be reached or opened; safe to retry
├── DatabaseUrlError          the address in the settings is none of a PostgreSQL database
└── SchemaVersionError        the tables were made by a newer release than this one
"""

from __future__ import annotations


class DatabaseError(Exception):
    """Base of everything this package raises on purpose."""


class DatabaseUnavailableError(DatabaseError):
    """The database cannot be reached or opened; safe to retry."""

    def __init__(self, where: str, reason: str) -> None:
        self.where, self.reason = where, reason
        super().__init__(f"the database at {where} cannot be opened: {reason}")


class DatabaseUrlError(DatabaseError):
    """The address in the settings is none of a PostgreSQL database; the message does not repeat it."""

    def __init__(self) -> None:
        super().__init__(
            "FAIRMIND_DATABASE_URL is no address of a PostgreSQL database; give one such as "
            "postgresql+psycopg://user:password@host/name, or none for SQLite files in FAIRMIND_HOME"
        )


class SchemaVersionError(DatabaseError):
    """The tables were made by a newer release than this one."""

    def __init__(self, where: str, revision: str) -> None:
        self.where, self.revision = where, revision
        super().__init__(
            f"the database at {where} is at revision {revision}, which this release does not know; "
            "upgrade this installation or point FAIRMIND_HOME elsewhere"
        )
