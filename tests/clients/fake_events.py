"""What has happened to a fake cluster."""

from __future__ import annotations

from statorpb import admin_pb2


class FakeEvents(list[admin_pb2.Event]):
    """A place is how many events are before it. There is a history once there is an event.
    `is_unknown`: the cluster is of a version that has none."""

    is_unknown = False

    def told(self, request: admin_pb2.ListEventsRequest) -> admin_pb2.ListEventsResponse:
        """The page that is asked for."""
        limit = request.limit or 1_000
        first = int(request.after) if request.after else max(0, len(self) - limit)
        events = self[first : first + limit]
        since_ms = 1_000 if self else 0
        return admin_pb2.ListEventsResponse(
            events=events, next=str(first + len(events)), told_by="metadata-2", since_ms=since_ms
        )
