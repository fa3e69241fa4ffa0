"""A table that a query returns from the user's own database."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, Self

import pandas as pd
import sqlalchemy
from pydantic import BaseModel, ConfigDict, model_validator
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    NoSuchModuleError,
    OperationalError,
    ProgrammingError,
    ResourceClosedError,
)

from sources.errors import SourceFormatError, SourceSettingsError, SourceUnavailableError
from sources.tables import plain

# What drivers call their secrets in an address's query (?password=…, ?sslpassword=…, ?access_token=…), without
# regard to case and punctuation; and in what ODBC takes as one value (?odbc_connect=…;PWD=…).
_SECRET_NAME: Final = re.compile(
    r"password|passwd|pwd|passphrase|token|secret|apikey|accesskey|privatekey|credentialsbase"
)
_SECRET_INSIDE: Final = re.compile(rf"(?:{_SECRET_NAME.pattern})\s*=", re.IGNORECASE)


class SqlSource(BaseModel):
    """What `query` returns from a database.

    The address is `url` when it holds no password, else the name of an environment variable, `url_env`: a
    configuration file is logged with every run and is no place for a secret.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kind: Literal["sql"] = "sql"
    url: str | None = None
    url_env: str | None = None
    query: str

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.url is None) == (self.url_env is None):
            raise ValueError("give either url or url_env")
        if self.url is not None:
            try:
                address = make_url(self.url)
            except ArgumentError:
                raise ValueError("url is not a database address such as postgresql+psycopg://host/name") from None
            if any(_secrets(address)):
                raise ValueError("url holds a password; put the address into a variable and name it in url_env")
        return self

    def read(self, data_folder: Path) -> pd.DataFrame:
        """Return the query's rows.

        Raises:
            SourceSettingsError: the variable is unset, the address makes no sense or the query is refused.
            SourceUnavailableError: the database cannot be reached.
            SourceFormatError: the query returns no rows.
        """
        engine = self._engine()
        try:
            with engine.connect() as connection:
                # Not through pandas, which hides the kind of the error and quotes the query.
                result = connection.execute(sqlalchemy.text(self.query))
                names = list(result.keys())
                rows = [tuple(row) for row in result]
        except ResourceClosedError as error:
            raise SourceSettingsError("the query returns no rows by its nature; it must be a SELECT") from error
        except OperationalError as error:
            # Some drivers report a missing table here, others only lost connections: both are said.
            reason = _first_line(error, engine.url)
            raise SourceUnavailableError("the rows of the SQL source", reason) from error
        except ProgrammingError as error:
            raise SourceSettingsError(f"the query was refused: {_first_line(error, engine.url)}") from error
        except DBAPIError as error:
            # Only the kind of error is said: the driver's text may quote a value of a row.
            raise SourceSettingsError(f"the query failed ({type(error.orig).__name__})") from error
        finally:
            engine.dispose()
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise SourceFormatError("the result of the query", f"it has two columns '{twice[0]}'")
        if not rows:
            raise SourceFormatError("the result of the query", "it has no rows")
        return plain(pd.DataFrame.from_records(rows, columns=names, coerce_float=True))

    def describe(self) -> str:
        """Return a short name for people and for the run's tags; it holds no address."""
        return f"sql query ({'$' + self.url_env if self.url_env else 'url in the configuration'})"

    def _engine(self) -> sqlalchemy.Engine:
        address = self.url or os.environ.get(self.url_env or "", "")
        if not address:
            raise SourceSettingsError(
                f"the variable {self.url_env} is not set; it must hold the database's address"
            )
        try:
            return sqlalchemy.create_engine(address, hide_parameters=True)
        except (ArgumentError, NoSuchModuleError) as error:
            raise SourceSettingsError("the database address is not one that SQLAlchemy understands") from error
        except ModuleNotFoundError as error:
            raise SourceSettingsError(f"the database driver '{error.name}' is not installed") from error


def _secrets(address: URL) -> Iterator[str]:
    """Give what must not be shown of an address: its password, and values of its query that hold one."""
    if address.password:
        yield str(address.password)
    for name, values in address.query.items():
        is_secret = _SECRET_NAME.search(re.sub(r"[^a-z]", "", name.lower()))
        for value in [values] if isinstance(values, str) else values:
            if value and (is_secret or _SECRET_INSIDE.search(value)):
                yield value


def _first_line(error: DBAPIError, address: URL) -> str:
    line = (str(error.orig).splitlines() or [type(error.orig).__name__])[0]
    for secret in _secrets(address):
        line = line.replace(secret, "***")
    return line
