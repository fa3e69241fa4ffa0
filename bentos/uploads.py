"""Files that are uploaded: the body itself, or the part `file` of a form."""

from __future__ import annotations

import re
from typing import Annotated, Final

from fastapi import Depends, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from assessment.upload import Upload
from bentos.errors import InvalidRequestError, MalformedRequestError

_BOUNDARY: Final = re.compile(rb"--([0-9A-Za-z'()+_,./:=?-]{1,70})\r\n")
_FIELDS: Final = 20
_SUFFIXES: Final = {
    "text/csv": ".csv",
    "application/vnd.apache.parquet": ".parquet",
    "application/x-parquet": ".parquet",
}


async def uploaded(request: Request, name: str | None = None, filename: str | None = None) -> Upload:
    """Return the file that a request brings, as the body or as the part `file` of a form (with a field `name`).

    Raises:
        MalformedRequestError: The form cannot be read.
        InvalidRequestError: There is no file in it.
    """
    body = await request.body()
    media_type = request.headers.get("content-type", "").split(";", 1)[0].strip().lower()
    boundary = _BOUNDARY.match(body)
    # FairMind's page says of its form that it were JSON: a body that begins with a boundary is a form.
    if media_type != "multipart/form-data" and not (media_type == "application/json" and boundary):
        if not body:
            raise InvalidRequestError(
                "the body is empty; send a CSV or Parquet file, or a form with the part 'file'"
            )
        suffix = _SUFFIXES.get(media_type, "")
        return Upload(body, filename or f"{name or 'upload'}{suffix}", name)
    headers = request.headers
    if boundary and media_type != "multipart/form-data":
        headers = headers.mutablecopy()
        headers["content-type"] = f"multipart/form-data; boundary={boundary[1].decode()}"
    try:
        parser = MultiPartParser(headers, request.stream(), max_files=1, max_fields=_FIELDS)
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        raise MalformedRequestError("the form cannot be read") from error
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise InvalidRequestError("the form has no part 'file'; send the CSV or Parquet file under this name")
        named = form.get("name")
        content = await file.read()
        return Upload(content, file.filename or "upload", named if isinstance(named, str) and named else name)
    finally:
        await form.close()


Uploaded = Annotated[Upload, Depends(uploaded)]
