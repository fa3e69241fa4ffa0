"""ASK: the `fairmind` command."""
