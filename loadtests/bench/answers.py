"""HTTP answers as a load generator reads them: their status, where they end, and whether the connection stays."""

from __future__ import annotations

from typing import Final

import httptools

# 204 and 304 have no body, whatever their head says of its length.
_STATUSES: Final = {str(status).encode(): status for status in range(200, 600) if status not in (204, 304)}


def whole_answer(data: bytes) -> int | None:
    """Return the status when `data` is exactly one whole HTTP/1.1 answer after which its connection stays.

    This is the fast path, for what a server under load sends nearly always. None means no more than that an
    `Answer` has to look: a part of an answer, no `content-length` (written like this or `Content-Length`), any
    `connection` header, a `100 Continue`, another version of HTTP, or no HTTP at all.
    """
    end = data.find(b"\r\n\r\n")
    at = data.find(b"\r\ncontent-length: ", 0, end)
    if at < 0:
        at = data.find(b"\r\nContent-Length: ", 0, end)
        if at < 0:
            return None
    digits = data[at + 18 : data.find(b"\r\n", at + 18)]
    if not digits.isdigit() or len(data) != end + 4 + int(digits) or data.find(b"onnection:", 0, end) >= 0:
        return None
    return _STATUSES.get(data[9:12]) if data.startswith(b"HTTP/1.1 ") else None


class Answer:
    """One final answer in as many pieces as it comes, read by a real parser; interim ones (1xx) are passed over.

    `status` is 0 until the answer is whole; then `keeps` says whether the connection stays.
    """

    def __init__(self) -> None:
        self.status = 0
        self.keeps = False
        self._parser = httptools.HttpResponseParser(self)
        self._has_head = self._has_length = False

    def feed(self, data: bytes) -> None:
        """Read the next piece; bytes beyond the answer's end were not asked for, and end the connection.

        Raises:
            httptools.HttpParserError, httptools.HttpParserUpgrade: It is no HTTP, or no longer.
        """
        self._parser.feed_data(data)

    def end(self) -> None:
        """Note that the server has closed: an answer that did not say where it ends is whole by that."""
        if self._has_head and not self._has_length:
            self.on_message_complete()
            self.keeps = False

    def on_message_begin(self) -> None:
        """Begin an answer; a second one is not ours."""
        if self.status:
            self.keeps = False
        self._has_head = self._has_length = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note whether the answer says where it ends."""
        self._has_length |= name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        """Note that the body begins."""
        self._has_head = True

    def on_message_complete(self) -> None:
        """Note the first final answer."""
        status = self._parser.get_status_code()
        if not self.status and status >= 200:
            self.status = status
            self.keeps = self._parser.should_keep_alive()
