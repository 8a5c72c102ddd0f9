"""An access key, and how calls are signed with it: AWS's Signature Version 4, so that the same keys serve both doors.

A call is signed as a POST of its method ("/stator.v1.Session/Converse") with an unsigned payload: the signature says
who calls what, and when; that nobody has changed the messages is for TLS to say. A stream is signed once, when it
begins.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

_ALGORITHM = "AWS4-HMAC-SHA256"
_REGION = "local"  # routers take any on this door


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key of `stator user create`. Clients use the one in $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY
    unless they are given another; a cluster without --auth takes no notice.

        stator.Client(credentials=stator.Credentials("AKIA...", "..."))
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self | None:
        """The access key of the environment; None: it has none."""
        access_key_id, secret = environ.get("AWS_ACCESS_KEY_ID", ""), environ.get("AWS_SECRET_ACCESS_KEY", "")
        return cls(access_key_id, secret) if access_key_id and secret else None

    def sign(self, method: str, now: datetime | None = None) -> tuple[tuple[str, str], ...]:
        """The metadata that signs a call of a gRPC method. `now`: in UTC; by default, now."""
        timestamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
        scope = (timestamp[:8], _REGION, "dynamodb", "aws4_request")
        request = f"POST\n{method}\n\nx-amz-date:{timestamp}\n\nx-amz-date\nUNSIGNED-PAYLOAD"
        string = "\n".join((_ALGORITHM, timestamp, "/".join(scope), hashlib.sha256(request.encode()).hexdigest()))
        key = b"AWS4" + self.secret_access_key.encode()
        for part in scope:
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, string.encode(), "sha256").hex()
        authorization = (
            f"{_ALGORITHM} Credential={self.access_key_id}/{'/'.join(scope)}, SignedHeaders=x-amz-date, "
            f"Signature={signature}"
        )
        return (("authorization", authorization), ("x-amz-date", timestamp))
