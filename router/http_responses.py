"""What the HTTP door answers with: heads, and what a client's headers may ask for beyond the usual (another content
type, compression, an answer that a browser lets a page see)."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

from server.model.errors import SerializationError
from server.model.limits import REQUEST_BYTES_MAX

GZIP_BYTES_MIN = 1024
"""What is smaller goes as it is: it would be one packet either way."""

_GZIP_LEVEL = 1  # on the event loop, where everybody waits: a third of the time of level 6 for nine tenths of its use
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_PREFLIGHT_AGE_S = 172_800

_REASONS = {
    200: b"OK",
    400: b"Bad Request",
    404: b"Not Found",
    408: b"Request Timeout",
    413: b"Content Too Large",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    503: b"Service Unavailable",
}
JSON_TYPE = b"application/x-amz-json-1.0"
OTHER_JSON_TYPE = b"application/json"
JSON_HEADS = {
    status: b"HTTP/1.1 %d %b\r\nServer: Stator\r\nContent-Type: %b" % (status, reason, JSON_TYPE)
    for status, reason in _REASONS.items()
}
EMPTY_HEAD = b"HTTP/1.1 200 OK\r\nServer: Stator"
HEALTHY_HEAD = EMPTY_HEAD + b"\r\nContent-Type: text/plain"
NOT_FOUND_HEAD = b"HTTP/1.1 404 Not Found\r\nServer: Stator"
NOT_FOUND = b"<UnknownOperationException/>\n"
"""To what is no call of the API at all: another method than POST, a body of another type than JSON."""

_DYNAMODB_OPERATIONS = frozenset(
    b"""BatchExecuteStatement BatchGetItem BatchWriteItem CancelBulkOperation CreateBackup CreateGlobalTable CreateTable
    DeleteBackup DeleteItem DeleteResourcePolicy DeleteTable DescribeBackup DescribeBulkOperation
    DescribeContinuousBackups DescribeContributorInsights DescribeEndpoints DescribeExport DescribeGlobalTable
    DescribeGlobalTableSettings DescribeImport DescribeKinesisStreamingDestination DescribeLimits DescribeTable
    DescribeTableReplicaAutoScaling DescribeTimeToLive DisableKinesisStreamingDestination
    EnableKinesisStreamingDestination ExecuteStatement ExecuteTransaction ExportTableToPointInTime GetItem
    GetResourcePolicy ImportTable ListBackups ListBulkOperations ListContributorInsights ListExports ListGlobalTables
    ListImports ListTables ListTagsOfResource PutItem PutResourcePolicy Query RestoreTableFromBackup
    RestoreTableToPointInTime Scan SearchVectors StartBulkPutItems TagResource TransactGetItems TransactWriteItems
    UntagResource UpdateContinuousBackups UpdateContributorInsights UpdateGlobalTable UpdateGlobalTableSettings
    UpdateItem UpdateKinesisStreamingDestination UpdateTable UpdateTableReplicaAutoScaling UpdateTimeToLive""".split()
)

_LOOPBACK_ORIGIN = re.compile(rb"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?", re.IGNORECASE)


@dataclass(slots=True)
class Negotiation:
    """What a request's headers ask for beyond the usual. `is_packed`: its body is gzip; `origin`: of the page that a
    browser sends it for; `asked_method`, `asked_headers`: what a browser asks about before it does; `expects`: to be
    told to go on before it sends its body."""

    expects: bool = False
    is_packed: bool = False
    accepts_gzip: bool = False
    is_other_json: bool = False
    origin: bytes = b""
    asked_method: bytes = b""
    asked_headers: bytes = b""

    def shape(self, head: bytes, body: bytes, *, is_open: bool) -> tuple[bytes, bytes]:
        """Head and body as the client wants them. `is_open`: pages of any origin may see responses."""
        if self.is_other_json:
            head = head.replace(JSON_TYPE, OTHER_JSON_TYPE)
        if self.origin and (is_open or is_loopback(self.origin)):
            head += b"\r\nAccess-Control-Allow-Origin: *"
        if self.accepts_gzip and len(body) >= GZIP_BYTES_MIN:
            head += b"\r\nContent-Encoding: gzip"
            body = pack(body)
        return head, body

    def preflight_head(self) -> bytes:
        """The answer to a browser that asks whether it may send a request; with what `shape` adds to it."""
        head = EMPTY_HEAD
        if self.asked_headers:
            head += b"\r\nAccess-Control-Allow-Headers: " + self.asked_headers
        if self.asked_method:
            head += b"\r\nAccess-Control-Allow-Methods: " + self.asked_method
        return head + b"\r\nAccess-Control-Max-Age: %d" % _PREFLIGHT_AGE_S


def is_loopback(origin: bytes) -> bool:
    """Whether a page comes from this machine. Where requests need no signature, only such pages may see responses: any
    page of the web could make its reader's browser send requests to a server at 127.0.0.1."""
    return _LOOPBACK_ORIGIN.fullmatch(origin) is not None


def accepts_gzip(accept_encoding: bytes) -> bool:
    """Whether a client takes gzip; the weight 0 means that it does not."""
    for part in accept_encoding.lower().split(b","):
        name, _, weight = part.partition(b";")
        if name.strip() in (b"gzip", b"x-gzip"):
            return re.fullmatch(rb"\s*q\s*=\s*0(\.0*)?\s*", weight) is None
    return False


def pack(body: bytes) -> bytes:
    """A body as gzip."""
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    return packer.compress(body) + packer.flush()


def unpack(body: bytes) -> bytes | None:
    """What is in a gzip body; None: more than a request may have. Never makes more bytes than that. Raises
    SerializationError for what is not gzip, or goes on after its end."""
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    try:
        content = unpacker.decompress(body, REQUEST_BYTES_MAX + 1)
    except zlib.error as error:
        raise SerializationError(f"The body is not gzip, although its Content-Encoding says so: {error}") from error
    if len(content) > REQUEST_BYTES_MAX:
        return None
    if not unpacker.eof or unpacker.unused_data:
        raise SerializationError("The body is not one whole gzip member, although its Content-Encoding says so")
    return content


def unknown_target(target: bytes) -> str:
    """What to say to an X-Amz-Target that there is no operation for: nothing, as DynamoDB; but what DynamoDB does have
    is named."""
    service, _, operation = target.partition(b".")
    is_of_dynamodb = service == b"DynamoDB_20120810" and operation in _DYNAMODB_OPERATIONS
    return f"{target.decode()} is not supported" if is_of_dynamodb else ""


def healthy(region: str) -> bytes:
    """What DynamoDB says of itself to whoever asks with GET; it does end in a space."""
    return f"healthy: dynamodb.{region}.amazonaws.com ".encode()
