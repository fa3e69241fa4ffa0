"""FEED: where data comes from (files, wheels, SQL, OpenML), read into plain tables with a fingerprint."""
